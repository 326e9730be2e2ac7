//! Who has the floor: the agent of the call, whatever kind it is.
//!
//! A named agent is an Agent actor with a Brain; `listen` is hearing alone; the stub agents take
//! the leg's rings for themselves.

mod policy;

use std::sync::Arc;

use call_core::{
    brain::{BrainEffect, BrainInput, BrainNote, CallContext, EndWish, ToolOutcome, UtteranceId},
    call::{AgentEnd, AgentStart, Input},
    consent::RecordingPolicy,
    dialplan::{Binding, action::AgentSource},
    pipeline::EchoBrain,
};
use media_core::{frame::Rate, leg::Command, playout::Tag};
use model::{
    FactKind, RecordingMode,
    agent::{PublishedAgent, VoiceConfig},
};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

pub(super) use policy::is_heard_through_ears;

use super::{Msg, State, children, ears, effects, handing, media, speech, tags::Origin};
use crate::{
    agent::{self, Agent, Wish},
    clock,
    duplex::Duplex,
    stub::{Connection, Stub},
};

/// A Brain that broke so often is given up.
const AGENT_RESTARTS: u8 = 1;

/// See the module.
#[derive(Default)]
pub(super) struct Floor {
    bound: Option<Arc<PublishedAgent>>,
    /// When the number that was called wants its calls recorded.
    number: Option<RecordingMode>,
    published: Option<Arc<PublishedAgent>>,
    agent: Option<ActorRef<agent::Msg>>,
    restarts: u8,
    /// How often the agent left the caller to somebody else: what it still wanted then counts for
    /// nothing.
    absences: u8,
    /// The newest utterance any Brain of this call has begun: its successor counts on from there.
    newest: u64,
    /// The utterance that still takes words; whoever began it has to end it.
    open: Option<UtteranceId>,
    /// How much slower or faster than configured the caller wants it.
    pace: Option<f32>,
    started: bool,
    ready: bool,
    /// Sentences being rendered ahead of the answer.
    warming: usize,
    /// What the Brain wants said as soon as the caller can hear it.
    held: Vec<(UtteranceId, String, bool)>,
    ending: Option<(EndWish, Option<Tag>)>,
    connection: Option<Connection>,
    stub: Option<Stub>,
    duplex: Option<Duplex>,
}

impl Floor {
    /// The floor of a call that was ordered for an agent, or of any other.
    pub(super) fn of(order: Option<&super::Order>) -> Self {
        Self {
            bound: order.and_then(|order| order.agent().cloned()),
            ..Self::default()
        }
    }

    /// Which of the agents of this call is the present one.
    fn generation(&self) -> u8 {
        self.restarts.wrapping_add(self.absences)
    }
}

/// Which agent a number known to the office reaches, in the version that counts for this call.
pub(super) fn lookup(state: &mut State, number: &str) {
    let found = state.snapshot.agent_for_number(number);
    let recording = found.and_then(|(number, _)| number.recording);
    let bound = found.map(|(_, published)| Arc::new(published.clone()));
    let binding = bound.as_ref().map(|published| Binding {
        agent: format!("{}/{}", published.tenant_slug, published.agent.slug),
        recording: RecordingPolicy::of(&published.config, recording),
    });
    state.floor.bound = bound;
    state.floor.number = recording;
    state.inbox.push_back(Input::Resolved(binding));
}

/// The agent of the call so far, for the record.
pub(super) fn bound(state: &State) -> Option<&Arc<PublishedAgent>> {
    state
        .floor
        .published
        .as_ref()
        .or(state.floor.bound.as_ref())
}

/// Warms an agent while the phone rings.
pub(super) async fn prepare(
    state: &mut State,
    agent: AgentSource,
) -> Result<(), ActorProcessingErr> {
    match agent {
        AgentSource::Named(name) => prepare_named(state, &name).await?,
        AgentSource::Listen | AgentSource::StubLocal => state.inbox.push_back(Input::AgentReady),
        AgentSource::Stub => connect_stub(state),
    }
    Ok(())
}

async fn prepare_named(state: &mut State, name: &str) -> Result<(), ActorProcessingErr> {
    let Some(published) = find(state, name) else {
        effects::agent_failed(state, format!("there is no published agent '{name}'"));
        return Ok(());
    };
    state.floor.published = Some(published.clone());
    policy::tell(state, &published);
    warm(state, &published);
    if matches!(published.config.brain, model::BrainConfig::Echo) {
        state.inbox.push_back(Input::AgentReady);
        return Ok(());
    }
    spawn(state).await
}

/// Opens while it rings what voice and recogniser elsewhere need.
fn warm(state: &State, published: &PublishedAgent) {
    let (providers, config) = (&state.services().providers, &published.config);
    if let Ok(voice) = providers.tts(&config.voice.provider) {
        voice.warm(&config.voice.name);
    }
    if let Ok(ears) = providers.stt(&config.stt.provider) {
        ears.warm();
    }
}

/// The bound version first: the call keeps what its number pins.
fn find(state: &State, name: &str) -> Option<Arc<PublishedAgent>> {
    let (tenant, slug) = name.split_once('/')?;
    let bound = state.floor.bound.clone();
    let same = |p: &Arc<PublishedAgent>| p.tenant_slug == tenant && p.agent.slug == slug;
    bound.filter(same).or_else(|| {
        let latest = state.snapshot.agent_by_name(tenant, slug);
        latest.map(|published| Arc::new(published.clone()))
    })
}

async fn spawn(state: &mut State) -> Result<(), ActorProcessingErr> {
    let Some(published) = state.floor.published.clone() else {
        return Ok(());
    };
    let (me, generation) = (state.me.clone(), state.floor.generation());
    let services = state.services();
    let args = agent::Args {
        first: UtteranceId(state.floor.newest + 1),
        call: state.dossier().call(),
        context: context(state, &published),
        published,
        answered: state.floor.started,
        providers: services.providers.clone(),
        office: services.office.clone(),
        clock: services.clock,
        wishes: Arc::new(move |wish| drop(me.cast(Msg::Agent { generation, wish }))),
    };
    match Actor::spawn_linked(None, Agent, args, state.me.get_cell()).await {
        Ok((agent, _)) => state.floor.agent = Some(agent),
        Err(error) => effects::agent_failed(state, error.to_string()),
    }
    Ok(())
}

fn context(state: &State, published: &PublishedAgent) -> CallContext {
    let (facing, parties) = (&state.args.facing, state.parties());
    // A number that its owner hides is for the record, not for the agent to say.
    let person = match facing.order() {
        Some(order) => Some(&order.to),
        None => Some(&parties.from).filter(|_| !parties.hidden),
    };
    let zone = match &published.config.brain {
        model::BrainConfig::Script(script) => script.zone.as_str(),
        model::BrainConfig::Llm(_) | model::BrainConfig::Echo => "UTC",
    };
    let unix_ms = clock::unix_ms();
    CallContext {
        call_id: state.dossier().call().to_string(),
        caller_number: person.and_then(|person| call_core::dialplan::e164(person)),
        called_number: match facing.order() {
            Some(order) => order.from.clone(),
            None => parties.to.clone(),
        },
        unix_ms,
        utc_offset_s: utc_offset_s(zone, unix_ms),
        history: state.speech.ledger.history(),
    }
}

fn utc_offset_s(zone: &str, unix_ms: i64) -> i32 {
    let at = jiff::Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    let zone = jiff::tz::TimeZone::get(zone).unwrap_or(jiff::tz::TimeZone::UTC);
    zone.to_offset(at).seconds()
}

fn connect_stub(state: &State) {
    let address = state.services().settings.current().server.loadtest.stub;
    let (me, call) = (state.me.clone(), state.dossier().call());
    tokio::spawn(async move {
        let connection = match address {
            Some(address) => Connection::open(address, call).await,
            None => Err(std::io::Error::other("[loadtest] stub is not set")),
        };
        let _ = me.cast(Msg::StubOpened(connection));
    });
}

/// The stub agent answered, or not.
pub(super) fn stub_opened(state: &mut State, connection: std::io::Result<Connection>) {
    match connection {
        Ok(connection) => {
            state.floor.connection = Some(connection);
            state.inbox.push_back(Input::AgentReady);
        }
        Err(error) => effects::agent_failed(state, error.to_string()),
    }
}

/// The stub agent hung up.
pub(super) fn stub_gone(state: &mut State) {
    state.inbox.push_back(Input::AgentEnded(AgentEnd::Finished));
}

/// The caller hears us: the agent takes the floor.
pub(super) async fn start(
    state: &mut State,
    agent: AgentSource,
    _start: AgentStart,
) -> Result<(), ActorProcessingErr> {
    if policy::asks_first(state, &agent) {
        return Ok(());
    }
    media::listen(
        state,
        match effects::listens(&agent) {
            true => Rate::Hz16000,
            false => Rate::Hz8000,
        },
    );
    match agent {
        AgentSource::Named(name) => start_named(state, &name).await?,
        AgentSource::Listen => ears::open(state, "local", ears::listen_config()),
        AgentSource::StubLocal => duplex(state, Box::new(EchoBrain::new())),
        AgentSource::Stub => join_stub(state),
    }
    Ok(())
}

async fn start_named(state: &mut State, name: &str) -> Result<(), ActorProcessingErr> {
    if state.floor.published.is_none() {
        prepare_named(state, name).await?;
    }
    let Some(published) = state.floor.published.clone() else {
        return Ok(());
    };
    state.dossier().write(FactKind::AgentStarted {
        agent: published.agent.clone(),
        tenant: published.tenant,
    });
    state.floor.started = true;
    if matches!(published.config.brain, model::BrainConfig::Echo) {
        duplex(state, Box::new(EchoBrain::new()));
        return Ok(());
    }
    ears::open(state, &published.config.stt.provider, ears::agent_config());
    for (utterance, text, last) in std::mem::take(&mut state.floor.held) {
        say(state, utterance, text, last);
    }
    feed(state, BrainInput::Answered);
    Ok(())
}

fn duplex(state: &mut State, brain: Box<dyn call_core::brain::Brain>) {
    let (Some(frames), Some(voice)) = (state.media.ears.take(), state.media.voice.take()) else {
        return effects::agent_failed(state, "the leg is taken");
    };
    let context = CallContext {
        call_id: state.dossier().call().to_string(),
        caller_number: None,
        called_number: String::new(),
        unix_ms: clock::unix_ms(),
        utc_offset_s: 0,
        history: Vec::new(),
    };
    let first = state.speech.tags.reserve();
    let clock = state.services().clock;
    state.floor.duplex = Some(Duplex::open(brain, context, frames, voice, first, clock));
}

fn join_stub(state: &mut State) {
    let rings = (state.media.ears.take(), state.media.voice.take());
    let (Some(connection), (Some(frames), Some(voice))) = (state.floor.connection.take(), rings)
    else {
        return effects::agent_failed(state, "the stub agent is not connected");
    };
    let me = state.me.clone();
    let tag = Tag(state.speech.tags.reserve().0 + 1);
    let gone = move || drop(me.cast(Msg::StubGone));
    state.floor.stub = Some(connection.join(frames, voice, tag, gone));
}

/// The agent leaves the floor.
pub(super) fn stop(state: &mut State) {
    feed(state, BrainInput::CallOver);
    if let Some(agent) = state.floor.agent.take() {
        agent.stop(None);
    }
    state.floor.stub = None;
    state.floor.duplex = None;
    state.floor.connection = None;
}

/// The caller is handed over: the agent is silent and hears nothing until it is resumed. It comes
/// back as its own successor, with the conversation so far.
pub(super) fn hold(state: &mut State) {
    if let Some(agent) = state.floor.agent.take() {
        agent.stop(None);
    }
    state.floor.absences = state.floor.absences.wrapping_add(1);
    state.floor.ending = None;
    if let Some(utterance) = state.floor.open.take() {
        say(state, utterance, String::new(), true);
    }
    media::arm_reflex(state, false);
}

/// The agent has the caller again.
pub(super) async fn resume(state: &mut State) -> Result<(), ActorProcessingErr> {
    match state.floor.agent {
        None => spawn(state).await,
        Some(_) => Ok(()),
    }
}

/// Whose agent it is, and what it is in this call.
pub(super) fn published(state: &State) -> Option<&Arc<PublishedAgent>> {
    state.floor.published.as_ref()
}

/// A digit that nobody else gathers.
pub(super) fn digit(state: &State, digit: char) {
    let at_ms = state.media.now_ms();
    feed(state, BrainInput::Digit { digit, at_ms });
}

/// An input for the Brain, if there is one.
pub(super) fn feed(state: &State, input: BrainInput) {
    tell_agent(state, agent::Msg::Input(input));
}

/// Something the agent shall know and the caller does not hear.
pub(super) fn hint(state: &State, text: String) -> Result<(), String> {
    if state.floor.agent.is_none() {
        return Err("no agent that takes words has this call".into());
    }
    feed(state, BrainInput::Hint { text });
    Ok(())
}

/// Tells the Agent actor.
pub(super) fn tell_agent(state: &State, msg: agent::Msg) {
    if let Some(agent) = &state.floor.agent {
        let _ = agent.cast(msg);
    }
}

/// Whether this is our Agent actor.
pub(super) fn is_agent(state: &State, who: ActorId) -> bool {
    let agent = state.floor.agent.as_ref();
    agent.is_some_and(|agent| agent.get_id() == who)
}

/// The Brain broke: another continues the conversation, once. What it was saying is finished.
pub(super) async fn agent_failed(state: &mut State, why: &str) -> Result<(), ActorProcessingErr> {
    children::restarted(state, "agent");
    state.floor.agent = None;
    state.floor.restarts += 1;
    if let Some(utterance) = state.floor.open.take() {
        say(state, utterance, String::new(), true);
    }
    if state.floor.restarts > AGENT_RESTARTS {
        effects::agent_failed(state, why);
        return Ok(());
    }
    let why = why.to_owned();
    state.dossier().write(FactKind::AgentRestarted { why });
    spawn(state).await
}

/// What the Agent wants. Of a Brain that has been replaced, only what its tools did still counts.
pub(super) fn wish(state: &mut State, generation: u8, wish: Wish) {
    match wish {
        Wish::Effect(_) | Wish::Transfer { .. } if generation != state.floor.generation() => {}
        Wish::Effect(effect) => brain_effect(state, effect),
        Wish::Transfer { destination } => handing::by_name(state, &destination),
        Wish::Tool {
            name,
            key,
            outcome,
            denied,
            took,
        } => {
            let (ok, summary) = summary(&outcome);
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            state.dossier().write(FactKind::Tool {
                name,
                key,
                ok,
                denied,
                summary,
                took_ms,
            });
        }
    }
}

/// Whether it did what was asked, and one line for the timeline; never the arguments.
fn summary(outcome: &ToolOutcome) -> (bool, String) {
    match outcome {
        ToolOutcome::Failed { why } => (false, why.clone()),
        ToolOutcome::Ok(value) => {
            let field = |name| value.get(name).and_then(serde_json::Value::as_str);
            let words = [field("outcome"), field("code"), field("reason")];
            let words: Vec<&str> = words.into_iter().flatten().collect();
            // "No table is left" is an answer; "that is not possible" is a refusal.
            (field("outcome") != Some("refused"), words.join(" "))
        }
    }
}

fn brain_effect(state: &mut State, effect: BrainEffect) {
    match effect {
        BrainEffect::Ready => {
            state.floor.ready = true;
            when_warm(state);
        }
        BrainEffect::Say {
            utterance,
            text,
            last,
            protected: _,
        } => {
            begun(state, utterance, last);
            say(state, utterance, text, last);
        }
        BrainEffect::Sound {
            utterance,
            pcm,
            last,
            ..
        } => {
            begun(state, utterance, last);
            speech::play(state, Origin::Brain(utterance), pcm.into(), last, false);
        }
        BrainEffect::SoundText { utterance, text } => {
            speech::sound_text(state, Origin::Brain(utterance), &text);
        }
        BrainEffect::CallerSaid(said) => {
            state.speech.ledger.caller(&said);
            speech::drain(state);
        }
        BrainEffect::Pace(rate) => state.floor.pace = Some(rate),
        BrainEffect::Cut => {
            state.floor.open = None;
            speech::cut(state);
        }
        // A playout that rests with the call goes on with the call.
        BrainEffect::Resume if state.media.held => {}
        BrainEffect::Resume => media::command(state, Command::Resume),
        BrainEffect::HoldPause => media::command(state, Command::ConfirmPause),
        BrainEffect::ArmReflex(armed) => {
            media::arm_reflex(state, armed);
        }
        BrainEffect::WantFinal => ears::close_utterance(state),
        BrainEffect::Note(note) => self::note(state, &note),
        BrainEffect::End { reason, after } => end(state, reason, after),
        // The Agent actor keeps these to itself.
        BrainEffect::Think(_) | BrainEffect::CancelThink(_) | BrainEffect::RunTool(_) => {}
    }
}

fn begun(state: &mut State, utterance: UtteranceId, last: bool) {
    state.floor.newest = state.floor.newest.max(utterance.0);
    state.floor.open = (!last).then_some(utterance);
}

/// Words of the Brain. Before the answer they are only rendered ahead, so that a prompt of the
/// dialplan keeps its place in front of them.
fn say(state: &mut State, utterance: UtteranceId, text: String, last: bool) {
    let voice = voice(state);
    if state.floor.started {
        return speech::speak(state, Origin::Brain(utterance), text, voice, last);
    }
    let (me, services) = (state.me.clone(), state.services().clone());
    state.floor.warming += 1;
    state.floor.held.push((utterance, text.clone(), last));
    tokio::spawn(async move {
        let cache = &services.speech_cache;
        cache.warm(&services.providers, &text, &voice).await;
        let _ = me.cast(Msg::Warmed);
    });
}

/// One sentence is rendered.
pub(super) fn warmed(state: &mut State) {
    state.floor.warming = state.floor.warming.saturating_sub(1);
    when_warm(state);
}

fn when_warm(state: &mut State) {
    if state.floor.ready && state.floor.warming == 0 {
        state.floor.ready = false;
        state.inbox.push_back(Input::AgentReady);
    }
}

fn note(state: &mut State, note: &BrainNote) {
    let mut note = note.clone();
    if let BrainNote::Answering { utterance, .. } = &mut note {
        // The ledger knows utterances by their tags.
        let tag = state.speech.tags.of(Origin::Brain(*utterance));
        *utterance = UtteranceId(tag.0);
    }
    state.speech.ledger.note(&note);
    speech::drain(state);
}

fn end(state: &mut State, reason: EndWish, after: Option<UtteranceId>) {
    let tag = after.and_then(|u| state.speech.tags.find(Origin::Brain(u)));
    state.floor.ending = Some((reason, tag));
    if tag.is_none() {
        leave(state);
    }
}

/// An utterance is over: was it the farewell?
pub(super) fn utterance_over(state: &mut State, tag: Tag) {
    if state
        .floor
        .ending
        .is_some_and(|(_, after)| after == Some(tag))
    {
        leave(state);
    }
}

/// The last words get their time to be heard, then the call machine is told.
fn leave(state: &mut State) {
    let Some((reason, _)) = state.floor.ending.take() else {
        return;
    };
    let me = state.me.clone();
    tokio::spawn(async move {
        tokio::time::sleep(media::TAIL).await;
        let _ = me.cast(Msg::AgentOver(match reason {
            EndWish::Goodbye => Input::AgentEnded(AgentEnd::Finished),
            EndWish::Idle => Input::AgentEnded(AgentEnd::Inactive),
            EndWish::GaveUp => Input::AgentFailed {
                reason: "the agent gave up".into(),
            },
        }));
    });
}

/// The agent's voice, as fast as the caller wants it.
pub(super) fn voice(state: &State) -> VoiceConfig {
    let published = state.floor.published.as_ref();
    let mut voice = published.map_or_else(VoiceConfig::default, |p| p.config.voice.clone());
    voice.rate = (voice.rate * state.floor.pace.unwrap_or(1.0)).clamp(0.5, 2.0);
    voice
}

/// The voice in use, for the record.
pub(super) fn voice_provider(state: &State) -> String {
    voice(state).provider
}

/// The recogniser in use, for the record.
pub(super) fn stt_provider(state: &State) -> String {
    let published = state.floor.published.as_ref();
    published.map_or_else(|| "local".into(), |p| p.config.stt.provider.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_booking_did_not_do_what_was_asked() {
        let outcome = |text: &str| ToolOutcome::Ok(serde_json::from_str(text).unwrap());
        let refused = outcome(r#"{"outcome":"refused","reason":"we are closed"}"#);
        assert_eq!(summary(&refused), (false, "refused we are closed".into()));
        let booked = outcome(r#"{"outcome":"booked","code":"R-1"}"#);
        assert_eq!(summary(&booked), (true, "booked R-1".into()));
    }
}
