//! Orders of the office: a call to place goes to Calls, everything else to the call it concerns.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use model::command::{Command, CommandAction, DialOrder, Outcome};
use ractor::ActorRef;
use tokio::sync::oneshot;

use super::Msg;
use crate::{
    call::{self, LiveOrder},
    office::Carry,
    services::Services,
};

/// An order that nobody answered in this time is refused: it will not be begun any more.
const LIMIT: Duration = Duration::from_secs(20);

/// A refusal waits no longer than this for the facts before it.
const FACTS_FIRST: Duration = Duration::from_secs(2);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Carries orders to where they are done.
pub(super) fn carrier(services: Arc<Services>, node: ActorRef<Msg>) -> Carry {
    Arc::new(move |command| {
        let answer = hand_over(&services, &node, command);
        let services = services.clone();
        Box::pin(async move {
            let Ok(answer) = answer else {
                let why = "there is no such live call on this switch".to_owned();
                return Outcome::Refused { why };
            };
            let outcome = outcome(answer).await;
            if matches!(outcome, Outcome::Refused { .. }) {
                facts_first(&services).await;
            }
            outcome
        })
    })
}

async fn outcome(mut answer: oneshot::Receiver<Outcome>) -> Outcome {
    let answered = match tokio::time::timeout(LIMIT, &mut answer).await {
        Ok(answered) => answered.ok(),
        // Closed, nobody can begin it any more; what was said just before still counts.
        Err(_) => {
            answer.close();
            answer.try_recv().ok()
        }
    };
    answered.unwrap_or_else(|| Outcome::Refused {
        why: "the call ended before it was done".to_owned(),
    })
}

/// Waits until the office has what the journal holds now. A refusal that overtook the facts of its call would make the office think
/// that nobody ever began it, and end it provisionally for another reason than the true one.
async fn facts_first(services: &Services) {
    let shipping = services.office.shipping();
    let shipped = || shipping.shipped.load(Ordering::Relaxed);
    let waiting = || {
        let journal = services.journal.stats();
        journal.queued + journal.unacknowledged
    };
    let all = shipped() + waiting();
    let there = async {
        while shipped() < all && waiting() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    };
    // An office that takes no facts hears of the refusal all the same.
    let _ = tokio::time::timeout(FACTS_FIRST, there).await;
}

fn hand_over(
    services: &Arc<Services>,
    node: &ActorRef<Msg>,
    command: Command,
) -> Result<oneshot::Receiver<Outcome>, ()> {
    let (reply, answer) = oneshot::channel();
    if let CommandAction::Dial(dial) = command.action {
        let order = order(
            services,
            &command.id,
            (command.call, command.tenant),
            *dial,
            reply,
        );
        node.cast(Msg::Place(Box::new(order))).map_err(drop)?;
        return Ok(answer);
    }
    let entry = services.calls.get(command.call).ok_or(())?;
    let order = Box::new(LiveOrder { command, reply });
    entry.actor.cast(call::Msg::Order(order)).map_err(drop)?;
    Ok(answer)
}

fn order(
    services: &Services,
    command: &model::CommandId,
    (call, tenant): (model::CallId, model::TenantId),
    dial: DialOrder,
    reply: oneshot::Sender<Outcome>,
) -> call::Order {
    call::Order {
        command: Some(*command),
        call,
        tenant: Some(tenant),
        to: dial.to,
        from: dial.from,
        talks: call::Talks::Agent(Arc::new(dial.agent)),
        ring_for: Duration::from_millis(dial.ring_for_ms),
        reply: Some(reply),
        tokens: services.fork_tokens(),
    }
}
