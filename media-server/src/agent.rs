//! The Agent actor: runs a call's Brain.
//!
//! Supervised by its Call, which restarts it once with the conversation so far. Supervises nobody;
//! questions to models and tool runs are tasks whose answers come back as messages, so that the
//! Brain is never waited for. Dies of a panic in the Brain; playout, reflex and hearing go on
//! without it.

mod tools;

use std::{collections::HashMap, sync::Arc, time::Duration};

use call_core::brain::{
    Brain, BrainEffect, BrainInput, CallContext, MindEvent, ThinkId, ThinkRequest, ToolOutcome,
    ToolRunId, UtteranceId,
};
use model::{CallId, agent::PublishedAgent};
use providers::Providers;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use crate::{clock::Clock, office::Office};

/// What an Agent is told.
pub enum Msg {
    /// Something happened in the call.
    Input(BrainInput),
    /// A tool came back.
    ToolDone(ToolRunId, ToolOutcome),
    /// A language model said something.
    Mind(ThinkId, MindEvent),
    /// The armed timer fired.
    Wake,
    /// Test seam: break inside the Brain's actor.
    Panic,
    /// Test seam: hang inside the Brain's actor.
    Hang(Duration),
}

/// What an Agent wants of its Call.
pub enum Wish {
    /// Something of the Brain's that concerns sound, the record or the call.
    Effect(BrainEffect),
    /// The caller is to be handed to one of the agent's destinations.
    Transfer {
        /// Its name.
        destination: String,
    },
    /// A tool ran; for the record.
    Tool {
        /// Its name.
        name: String,
        /// Its idempotency key.
        key: String,
        /// What came of it.
        outcome: ToolOutcome,
        /// It asked for what it may not.
        denied: bool,
        /// How long it took.
        took: Duration,
    },
}

/// Receives the wishes, in order.
pub type Wishes = Arc<dyn Fn(Wish) + Send + Sync>;

/// What an Agent needs.
#[derive(Clone)]
pub struct Args {
    /// The call.
    pub call: CallId,
    /// The frozen version it runs.
    pub published: Arc<PublishedAgent>,
    /// The number of its first utterance; those before are its predecessor's.
    pub first: UtteranceId,
    /// What the Brain may know; the history grows with each restart.
    pub context: CallContext,
    /// Whether the call has been answered already (a restart).
    pub answered: bool,
    /// Models.
    pub providers: Providers,
    /// Where tools of the office run.
    pub office: Office,
    /// The clock.
    pub clock: Clock,
    /// Who hears the wishes.
    pub wishes: Wishes,
}

/// The Brain and what it waits for.
pub struct State {
    brain: Box<dyn Brain>,
    args: Args,
    thinking: HashMap<ThinkId, JoinHandle<()>>,
    armed: Option<(Duration, JoinHandle<()>)>,
}

/// The actor.
pub struct Agent;

impl Actor for Agent {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let config = &args.published.config;
        let specs = providers::brain::tools::specs_for(config);
        let mut state = State {
            brain: providers::brain::build(config, &specs)?,
            args,
            thinking: HashMap::new(),
            armed: None,
        };
        state.brain.number_from(state.args.first);
        let context = Box::new(state.args.context.clone());
        feed(&me, &mut state, BrainInput::Prepare(context));
        if state.args.answered {
            feed(&me, &mut state, BrainInput::Answered);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Input(input) => feed(&me, state, input),
            Msg::ToolDone(id, outcome) => feed(&me, state, BrainInput::ToolResult(id, outcome)),
            Msg::Mind(id, event) => mind(&me, state, id, event),
            Msg::Wake => {
                // Its task may not count as finished yet: a deadline that stays would not be armed again.
                disarm(state);
                state.brain.handle_timeout(state.args.clock.now());
                settle(&me, state);
            }
            Msg::Panic => panic!("injected into the agent"),
            Msg::Hang(time) => tokio::time::sleep(time).await,
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _me: ActorRef<Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        for (_, task) in state.thinking.drain() {
            task.abort();
        }
        disarm(state);
        Ok(())
    }
}

fn feed(me: &ActorRef<Msg>, state: &mut State, input: BrainInput) {
    state.brain.handle(state.args.clock.now(), input);
    settle(me, state);
}

fn mind(me: &ActorRef<Msg>, state: &mut State, id: ThinkId, event: MindEvent) {
    if matches!(event, MindEvent::Done | MindEvent::Failed { .. }) {
        state.thinking.remove(&id);
    }
    feed(me, state, BrainInput::Mind(id, event));
}

fn settle(me: &ActorRef<Msg>, state: &mut State) {
    while let Some(effect) = state.brain.poll_effect() {
        match effect {
            BrainEffect::Think(request) => think(me, state, *request),
            BrainEffect::CancelThink(id) => {
                if let Some(task) = state.thinking.remove(&id) {
                    task.abort();
                }
            }
            BrainEffect::RunTool(request) => tools::run(me, &state.args, request),
            other => (state.args.wishes)(Wish::Effect(other)),
        }
    }
    arm(me, state);
}

fn think(me: &ActorRef<Msg>, state: &mut State, request: ThinkRequest) {
    let id = request.id;
    let me = me.clone();
    let llm = state.args.providers.llm(&request.provider);
    let task = tokio::spawn(async move {
        let mut thinking = match llm {
            Ok(llm) => llm.think(request),
            Err(error) => {
                let why = error.to_string();
                let _ = me.cast(Msg::Mind(id, MindEvent::Failed { why }));
                return;
            }
        };
        while let Some(event) = thinking.next().await {
            if me.cast(Msg::Mind(id, event)).is_err() {
                return;
            }
        }
    });
    state.thinking.insert(id, task);
}

fn arm(me: &ActorRef<Msg>, state: &mut State) {
    let wanted = state.brain.poll_timeout();
    let current = state.armed.as_ref().filter(|(_, task)| !task.is_finished());
    if wanted == current.map(|(at, _)| *at) {
        return;
    }
    disarm(state);
    if let Some(at) = wanted {
        let (me, instant) = (me.clone(), state.args.clock.instant(at));
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(instant).await;
            let _ = me.cast(Msg::Wake);
        });
        state.armed = Some((at, task));
    }
}

fn disarm(state: &mut State) {
    if let Some((_, task)) = state.armed.take() {
        task.abort();
    }
}
