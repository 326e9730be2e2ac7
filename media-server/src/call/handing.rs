//! Handing the caller over: from an agent's or the office's wish to the call machine, and back to
//! the agent when nobody takes him.

use call_core::{
    brain::BrainInput,
    call::{DialFailure, Handover, HandoverEnd, HandoverNews, Input},
    dialing::{By, Digits},
    dialplan::action::{BridgeOp, Callee, Refer},
};
use model::{
    TenantId,
    command::{AfterTransfer, TransferMode, TransferPlan},
};
use ractor::ActorProcessingErr;

use super::{State, asking, floor, speech, tags::Origin};
use crate::targets;

/// See the module.
#[derive(Default)]
pub(super) struct Handing {
    /// A handover that waits until the agent has said what it was saying.
    leaving: Option<Box<Handover>>,
    /// The one under way.
    plan: Option<(String, TransferPlan)>,
    /// Whose agent, or whose order, it is.
    tenant: Option<TenantId>,
}

impl Handing {
    /// By whose rules targets are judged.
    pub(super) fn tenant(&self) -> Option<TenantId> {
        self.tenant
    }
}

/// The agent hands the caller to one of its destinations, by name.
pub(super) fn by_name(state: &mut State, destination: &str) {
    let published = floor::published(state).cloned();
    let known = published.as_ref().and_then(|published| {
        let mut all = published.config.transfers.iter();
        let known = all.find(|known| known.name == destination)?;
        Some((published.tenant, known))
    });
    let wanted = match known {
        Some((tenant, known)) => want(state, tenant, &known.name, known.plan.clone()),
        None => Err(format!("there is no destination '{destination}'")),
    };
    if let Err(why) = wanted {
        let text = format!("The caller cannot be transferred to {destination}: {why}");
        floor::feed(state, BrainInput::Hint { text });
    }
}

/// Somebody wants the caller handed over. What the agent is saying is heard to its end first.
///
/// # Errors
/// Why it cannot be, in one line.
pub(super) fn want(
    state: &mut State,
    tenant: TenantId,
    name: &str,
    plan: TransferPlan,
) -> Result<(), String> {
    if state.handing.plan.is_some() {
        return Err("the caller is being handed over already".into());
    }
    state.handing.tenant = Some(tenant);
    let asker = asking::asker(state, By::Agent, &state.parties().from.clone());
    for target in plan.targets.iter().flatten() {
        let leave = targets::admit(state.services(), &asker, target, Digits::Written);
        leave.map_err(|no| no.why)?;
    }
    let handover = Box::new(handover(name, &plan));
    state.handing.plan = Some((name.to_owned(), plan));
    if state.speech.tags.are_quiet() {
        leave(state, handover);
    } else {
        state.handing.leaving = Some(handover);
    }
    Ok(())
}

fn stage(targets: &[String]) -> Vec<Callee> {
    targets.iter().map(Callee::written).collect()
}

fn handover(name: &str, plan: &TransferPlan) -> Handover {
    Handover {
        name: name.to_owned(),
        op: BridgeOp {
            stages: plan.targets.iter().map(|targets| stage(targets)).collect(),
            refer: match plan.mode {
                TransferMode::Bridge => Refer::Never,
                TransferMode::Refer => Refer::Only,
                TransferMode::ReferOrBridge => Refer::First,
            },
            ring_for: std::time::Duration::from_secs(plan.ring_for_s.into()),
            from: plan.caller_id.clone(),
            on_busy: None,
            on_no_answer: None,
            on_failed: None,
        },
        resume: plan.then == AfterTransfer::ResumeAi,
        record: plan.record,
    }
}

fn leave(state: &mut State, handover: Box<Handover>) {
    let wanted = HandoverNews::Wanted(handover);
    state.inbox.push_back(Input::Handover(wanted));
}

/// An utterance is over: was it the last before the handover?
pub(super) fn utterance_over(state: &mut State) {
    if !state.speech.tags.are_quiet() {
        return;
    }
    if let Some(handover) = state.handing.leaving.take() {
        leave(state, handover);
    }
}

/// The agent has its caller again and is told what came of it; so is the caller.
pub(super) async fn resume(state: &mut State, end: HandoverEnd) -> Result<(), ActorProcessingErr> {
    let Some((name, plan)) = state.handing.plan.take() else {
        return Ok(());
    };
    floor::resume(state).await?;
    let (what, text) = match end {
        HandoverEnd::Failed(DialFailure::Busy) => ("was busy", plan.busy_text),
        HandoverEnd::Failed(DialFailure::NoAnswer) => ("did not answer", plan.no_answer_text),
        HandoverEnd::Failed(DialFailure::Failed | DialFailure::Full | DialFailure::NotFound) => {
            ("could not be reached", plan.failed_text)
        }
        HandoverEnd::Failed(DialFailure::Forbidden) => ("may not be called", plan.failed_text),
        HandoverEnd::Over => ("has talked with the caller and hung up", plan.resume_text),
    };
    if !text.is_empty() {
        let origin = Origin::Order(state.speech.tags.newest().0 + 1);
        let voice = floor::voice(state);
        speech::speak(state, origin, text.clone(), voice, true);
    }
    let text =
        format!("The transfer to {name} is over: {name} {what}. The caller was told: \"{text}\"");
    floor::feed(state, BrainInput::Hint { text });
    Ok(())
}
