//! The machines and what they are played with.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use call_core::{
    brain::{
        Brain, BrainEffect, BrainInput, BrainNote, CallContext, EndWish, FinalTranscript,
        MindEvent, PlayoutKind, PlayoutReport, ToolOutcome, UtteranceId,
    },
    call::{AgentEnd, Call, CallConfig, CallFact, Effect, Ending, Incoming, Input, Limits},
    dialplan::{Dialplans, Known},
    digits::{DigitEvent, Via},
    document::SourceFile,
    ledger::{Ledger, LedgerConfig, LedgerEvent},
    pipeline::PipelineBrain,
};
use media_core::{
    FRAME, FRAME_MS, Leg, codec,
    leg::{Command, LegConfig, LegEventKind, Mode, Negotiated, RtcpPath, Timeouts, Wire},
    playout::{PlayoutEvent, Tag},
};
use model::transcript::{Segment, Speaker};

use super::{INVITE, Outcome, STEP, Script};
use crate::{
    chatter::{Chatter, Turns},
    dice::Dice,
    network::Network,
    phone::{Deed, Phone},
    reference::WireTap,
    voice::Voice,
};

const PLAN: &str =
    "context = \"internal\"\n[[route]]\nname = \"agent\"\ndo = [{ agent = \"demo/chatter\" }]\n";
const CALLER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4_000);

/// What is played at a time to come.
enum Cue {
    Call(Input),
    Brain(BrainInput),
    Final(FinalTranscript),
    Talking(bool),
}

/// See the module's first line.
pub(super) struct World {
    now: Duration,
    dice: Dice,
    call: Call,
    brain: PipelineBrain,
    ledger: Ledger,
    leg: Option<Leg>,
    voice: Voice,
    phone: Phone,
    talking: u32,
    to_us: Network,
    to_phone: Network,
    tap: WireTap,
    cues: BTreeMap<(Duration, u64), Cue>,
    serial: u64,
    acts: Vec<crate::phone::Act>,
    answered: Option<Duration>,
    started: bool,
    wish: Option<(EndWish, Option<UtteranceId>)>,
    last_id: UtteranceId,
    last_segment: Option<Segment>,
    turns: Turns,
    /// Onsets that the agent was told and whose words are to come.
    speech: BTreeSet<u64>,
    outcome: Outcome,
}

impl World {
    pub(super) fn new(script: &Script) -> Self {
        let seed = script.seed;
        let turns = Turns::default();
        let file = SourceFile {
            name: "plan.toml".into(),
            text: PLAN.into(),
        };
        let (plan, _) = Dialplans::parse(&[file], &Known::default());
        let config = CallConfig {
            wall_at_start: jiff::Timestamp::UNIX_EPOCH,
            limits: Limits::default(),
        };
        Self {
            now: INVITE,
            dice: Dice::new(seed),
            call: Call::new(config, Arc::new(plan.unwrap_or_default())),
            brain: PipelineBrain::new(
                script.pipeline.clone(),
                Box::new(Chatter::new(seed ^ 1, turns.clone())),
            ),
            ledger: Ledger::new(LedgerConfig::default()),
            leg: None,
            voice: Voice::new(seed ^ 2),
            phone: Phone::new(u32::try_from(seed & 0xffff).unwrap_or(1) + 1),
            talking: 0,
            to_us: Network::new(script.network, seed ^ 3),
            to_phone: Network::new(script.network, seed ^ 4),
            tap: WireTap::default(),
            cues: BTreeMap::new(),
            serial: 0,
            acts: script.acts.clone(),
            answered: None,
            started: false,
            wish: None,
            last_id: UtteranceId(0),
            last_segment: None,
            turns,
            speech: BTreeSet::new(),
            outcome: empty(seed),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn is_over(&self) -> bool {
        self.call.is_over()
    }

    pub(super) fn invite(&mut self) {
        let incoming = Incoming {
            context: "internal".into(),
            to: "agent".into(),
            from: "2000".into(),
            ..Incoming::default()
        };
        self.call_input(Input::Incoming(Box::new(incoming)));
    }

    pub(super) fn step(&mut self) {
        self.now += STEP;
        while let Some(entry) = self
            .cues
            .first_entry()
            .filter(|entry| entry.key().0 <= self.now)
        {
            let cue = entry.remove();
            self.cue(cue);
        }
        if self.call.poll_timeout().is_some_and(|at| at <= self.now) {
            self.call.handle_timeout(self.now);
            self.carry_out_call();
        }
        if self.brain.poll_timeout().is_some_and(|at| at <= self.now) {
            self.brain.handle_timeout(self.now);
            self.carry_out_brain();
        }
        self.media();
    }

    pub(super) fn outcome(mut self) -> Outcome {
        self.outcome.turns = self
            .turns
            .lock()
            .map(|turns| turns.clone())
            .unwrap_or_default();
        self.outcome.history = self.ledger.history();
        self.outcome.wire = self.tap.samples;
        self.outcome.packets = self.tap.packets;
        self.outcome.broken_packets = self.tap.broken;
        self.outcome.phone_received = self.phone.received;
        self.outcome
    }

    fn after(&mut self, delay: Duration, cue: Cue) {
        self.serial += 1;
        self.cues.insert((self.now + delay, self.serial), cue);
    }

    fn at_call_ms(&mut self, ms: u64, cue: Cue) {
        let answered = self.answered.unwrap_or(self.now);
        let delay = (answered + Duration::from_millis(ms)).saturating_sub(self.now);
        self.after(delay, cue);
    }

    fn cue(&mut self, cue: Cue) {
        match cue {
            Cue::Call(input) => self.call_input(input),
            // Nobody listens any more to an agent that was stopped.
            Cue::Brain(_) | Cue::Final(_) if !self.started => {}
            Cue::Brain(input) => self.brain_input(input),
            Cue::Final(said) => {
                if self.speech.remove(&said.start_ms) && !said.text.is_empty() {
                    self.outcome.spoken.push(said.text.clone());
                }
                self.ledger.caller(&said);
                self.ledger.caller_closed(said.start_ms);
                self.brain_input(BrainInput::Final(said));
            }
            Cue::Talking(on) => {
                self.talking = if on {
                    self.talking + 1
                } else {
                    self.talking.saturating_sub(1)
                }
            }
        }
    }

    fn call_input(&mut self, input: Input) {
        self.call.handle(self.now, input);
        self.carry_out_call();
    }

    fn brain_input(&mut self, input: BrainInput) {
        match input {
            BrainInput::SpeechStarted { at_ms } => {
                self.speech.insert(at_ms);
            }
            BrainInput::CallOver => self.started = false,
            _ => {}
        }
        self.brain.handle(self.now, input);
        self.carry_out_brain();
    }

    fn carry_out_call(&mut self) {
        let short = Duration::from_millis(self.dice.between(1, 40));
        while let Some(effect) = self.call.poll_effect() {
            match effect {
                Effect::Lookup { .. } => self.after(short, Cue::Call(Input::Resolved(None))),
                Effect::Journal(CallFact::Started) => {
                    self.after(short, Cue::Call(Input::Journaled))
                }
                Effect::Journal(CallFact::Ended(_)) => self.outcome.ended_facts += 1,
                Effect::PrepareAgent { .. } => {
                    self.brain_input(BrainInput::Prepare(Box::new(context())))
                }
                Effect::Answer => self.answer(short),
                Effect::StartAgent { .. } => {
                    self.started = true;
                    self.brain_input(BrainInput::Answered);
                }
                Effect::AgentDigit { digit } => {
                    let at_ms = self.call_ms();
                    self.brain_input(BrainInput::Digit { digit, at_ms });
                }
                Effect::StopAgent => self.brain_input(BrainInput::CallOver),
                Effect::CloseMedia => self.close_media(),
                Effect::Ended(ending) => self.ended(*ending),
                // The rest is signalling and sound that this call's plan does not use.
                _ => {}
            }
        }
    }

    fn answer(&mut self, ack: Duration) {
        self.answered = Some(self.now);
        let negotiated = Negotiated {
            codec: &codec::pcmu::SPEC,
            payload_type: 0,
            max_packet_ms: 20,
            receive_payload_type: 0,
            fmtp: None,
            also_receive: Vec::new(),
            telephone_event: None,
            comfort_noise: None,
            srtp: None,
            remote: Some(CALLER),
            rtcp: RtcpPath::Muxed,
            voip_metrics: false,
        };
        let config = LegConfig {
            negotiated,
            mode: Mode::Agent,
            ears: Some(media_core::Rate::Hz8000),
            timeouts: Timeouts::default(),
            reflex_armed: false,
            keys_in_band: false,
        };
        self.leg = Some(Leg::new(
            config,
            Wire {
                ssrc: 7,
                ..Wire::default()
            },
            self.now,
        ));
        self.after(ack, Cue::Call(Input::Acknowledged));
        for act in std::mem::take(&mut self.acts) {
            self.act(act.at_ms, act.deed);
        }
    }

    /// What the caller does, with what gate and recogniser will make of it.
    fn act(&mut self, at_ms: u64, deed: Deed) {
        match deed {
            Deed::Press(digit) => self.at_call_ms(
                at_ms,
                Cue::Call(Input::Digit(DigitEvent {
                    digit,
                    via: Via::Info,
                })),
            ),
            Deed::HangUp => self.at_call_ms(at_ms, Cue::Call(Input::RemoteBye)),
            Deed::Speak { ms, text } => {
                let end_ms = at_ms + ms;
                self.at_call_ms(at_ms, Cue::Talking(true));
                self.at_call_ms(end_ms, Cue::Talking(false));
                let late = self.dice.between(90, 150);
                self.at_call_ms(
                    at_ms + late,
                    Cue::Brain(BrainInput::SpeechStarted { at_ms }),
                );
                self.at_call_ms(
                    end_ms + 240,
                    Cue::Brain(BrainInput::SpeechEnded {
                        at_ms: end_ms,
                        speech_ms: ms,
                    }),
                );
                let late = self.dice.between(20, 250);
                let confidence = Some(0.9);
                let said = FinalTranscript {
                    start_ms: at_ms,
                    end_ms,
                    text: text.clone(),
                    confidence,
                };
                self.at_call_ms(end_ms + 240 + late, Cue::Final(said));
            }
        }
    }

    fn call_ms(&self) -> u64 {
        let since = self.answered.map_or(Duration::ZERO, |at| self.now - at);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn carry_out_brain(&mut self) {
        while let Some(effect) = self.brain.poll_effect() {
            match effect {
                BrainEffect::Ready => self.call_input(Input::AgentReady),
                BrainEffect::Say {
                    utterance,
                    text,
                    last,
                    protected,
                } => {
                    self.last_id = utterance;
                    if protected && !self.outcome.protected.contains(&utterance) {
                        self.outcome.protected.push(utterance);
                    }
                    self.voice
                        .say(self.now, &mut self.ledger, utterance, &text, last);
                }
                BrainEffect::Cut => {
                    self.voice.cut(&mut self.ledger);
                    let tag = Tag(self.last_id.0);
                    self.command(Command::CutThrough(tag));
                }
                BrainEffect::Resume => self.command(Command::Resume),
                BrainEffect::HoldPause => self.command(Command::ConfirmPause),
                BrainEffect::ArmReflex(armed) => self.command(Command::ArmReflex(armed)),
                BrainEffect::Think(request) => self.think(request.id),
                BrainEffect::RunTool(request) => {
                    let took = Duration::from_millis(self.dice.between(50, 4_000));
                    let outcome = ToolOutcome::Ok(serde_json::json!({}));
                    self.after(
                        took,
                        Cue::Brain(BrainInput::ToolResult(request.id, outcome)),
                    );
                }
                BrainEffect::Note(note) => self.note(&note),
                BrainEffect::End { reason, after } => self.wish = Some((reason, after)),
                BrainEffect::WantFinal
                | BrainEffect::CancelThink(_)
                | BrainEffect::Pace(_)
                | BrainEffect::Sound { .. }
                | BrainEffect::SoundText { .. }
                | BrainEffect::CallerSaid(_) => {}
            }
        }
        self.drain_ledger();
        self.end_if_wished();
    }

    fn command(&mut self, command: Command) {
        let now = self.now;
        if let Some(leg) = &mut self.leg {
            leg.handle(now, command);
        }
    }

    /// A model that streams twelve words.
    fn think(&mut self, id: call_core::brain::ThinkId) {
        let mut delay = Duration::from_millis(self.dice.between(100, 900));
        for nth in 0..12 {
            let text = format!("m{}w{nth}{} ", id.0, if nth == 4 { "." } else { "" });
            self.after(
                delay,
                Cue::Brain(BrainInput::Mind(id, MindEvent::Delta(text))),
            );
            delay += Duration::from_millis(self.dice.between(5, 60));
        }
        self.after(delay, Cue::Brain(BrainInput::Mind(id, MindEvent::Done)));
    }

    fn note(&mut self, note: &BrainNote) {
        self.ledger.note(note);
        match note {
            BrainNote::SpeechDiscarded { why, .. } => self.outcome.discarded.push(*why),
            BrainNote::Interrupted { .. } => self.outcome.interruptions += 1,
            BrainNote::TurnTaken { .. }
            | BrainNote::FalseAlarm { .. }
            | BrainNote::Answering { .. } => {}
        }
    }

    fn media(&mut self) {
        let Some(mut leg) = self.leg.take() else {
            return;
        };
        let since = self.answered.map_or(Duration::ZERO, |at| self.now - at);
        if (since.as_millis() + 5).is_multiple_of(u128::from(FRAME_MS)) {
            let packet = self.phone.frame(self.talking > 0);
            self.to_us.send(self.now, &packet);
        }
        while let Some(datagram) = self.to_us.poll(self.now) {
            leg.on_packet(self.now, CALLER, &datagram);
        }
        while let Some(datagram) = self.to_phone.poll(self.now) {
            self.phone.receive(&datagram);
        }
        let ticks = since.as_nanos().is_multiple_of(FRAME.as_nanos());
        if ticks {
            self.tick(&mut leg);
        }
        while leg.poll_ear(self.now).is_some() {}
        self.leg = Some(leg);
        if ticks {
            self.playout_events();
        }
    }

    fn tick(&mut self, leg: &mut Leg) {
        if self.started {
            self.voice.render(self.now, &mut self.ledger);
            self.voice.pump(leg);
        }
        let tick = leg.tick(self.now);
        self.tap.packet(tick.packet);
        self.to_phone.send(self.now, tick.packet);
        self.outcome.ticks += 1;
    }

    fn playout_events(&mut self) {
        let mut reports = VecDeque::new();
        let at_ms = self.call_ms();
        while let Some(event) = self.leg.as_mut().and_then(Leg::poll_event) {
            match event.kind {
                LegEventKind::Playout(event) => reports.push_back(report(event, at_ms)),
                LegEventKind::MediaTimeout(_) => self.after(STEP, Cue::Call(Input::MediaTimeout)),
                _ => {}
            }
        }
        for report in reports {
            self.ledger.playout(report);
            self.brain_input(BrainInput::Playout(report));
            let over = matches!(report.kind, PlayoutKind::Cut | PlayoutKind::Finished);
            if let Some((_, after)) = self
                .wish
                .as_mut()
                .filter(|(_, after)| over && *after == Some(report.utterance))
            {
                *after = None;
            }
        }
        self.drain_ledger();
        self.end_if_wished();
    }

    fn end_if_wished(&mut self) {
        if let Some((reason, _)) = self.wish.take_if(|(_, after)| after.is_none()) {
            let input = match reason {
                EndWish::Goodbye => Input::AgentEnded(AgentEnd::Finished),
                EndWish::Idle => Input::AgentEnded(AgentEnd::Inactive),
                EndWish::GaveUp => Input::AgentFailed {
                    reason: "it gave up".into(),
                },
            };
            self.call_input(input);
        }
    }

    fn drain_ledger(&mut self) {
        while let Some(event) = self.ledger.poll_event() {
            match event {
                LedgerEvent::Segment(segment) if segment.speaker == Speaker::Agent => {
                    self.last_segment = Some(segment)
                }
                LedgerEvent::Segment(segment) => self.outcome.caller.push(segment),
                LedgerEvent::Heard {
                    utterance,
                    text,
                    interrupted,
                } => {
                    self.outcome
                        .agent
                        .extend(self.last_segment.take().map(|segment| (utterance, segment)));
                    self.brain_input(BrainInput::Heard {
                        utterance,
                        text,
                        interrupted,
                    });
                }
                LedgerEvent::Interrupted { yield_ms } => self.outcome.yields.push(yield_ms),
                LedgerEvent::FalsePause { paused_ms } => self.outcome.false_pauses.push(paused_ms),
                LedgerEvent::Turn(_) => {}
            }
        }
    }

    fn close_media(&mut self) {
        self.playout_events();
        let at_ms = self.call_ms();
        let position = self.leg.take().map(|leg| leg.position());
        let at = position
            .filter(|at| at.tag.0 > 0)
            .map(|at| (UtteranceId(at.tag.0), at.samples_sent));
        self.ledger.finish(at, at_ms);
        self.drain_ledger();
        self.call_input(Input::MediaClosed);
    }

    fn ended(&mut self, ending: Ending) {
        self.outcome.endings.push(ending);
    }
}

fn context() -> CallContext {
    CallContext {
        call_id: "cal_simulated".into(),
        caller_number: None,
        called_number: "agent".into(),
        unix_ms: 0,
        utc_offset_s: 0,
        history: Vec::new(),
    }
}

fn report(event: PlayoutEvent, at_ms: u64) -> PlayoutReport {
    let (tag, kind, samples_sent) = match event {
        PlayoutEvent::Started { tag } => (tag, PlayoutKind::Started, 0),
        PlayoutEvent::Paused {
            tag,
            samples_sent,
            by,
        } => {
            let onset_ms = by.onset_ms(at_ms);
            (tag, PlayoutKind::Paused { onset_ms }, samples_sent)
        }
        PlayoutEvent::Resumed { tag, samples_sent } => (tag, PlayoutKind::Resumed, samples_sent),
        PlayoutEvent::Cut { tag, samples_sent } => (tag, PlayoutKind::Cut, samples_sent),
        PlayoutEvent::Finished { tag, samples_sent } => (tag, PlayoutKind::Finished, samples_sent),
    };
    PlayoutReport {
        utterance: UtteranceId(tag.0),
        kind,
        samples_sent,
        at_ms,
    }
}

fn empty(seed: u64) -> Outcome {
    Outcome {
        seed,
        endings: Vec::new(),
        ended_facts: 0,
        agent: Vec::new(),
        caller: Vec::new(),
        history: Vec::new(),
        wire: BTreeMap::new(),
        packets: 0,
        ticks: 0,
        broken_packets: 0,
        spoken: Vec::new(),
        turns: BTreeMap::new(),
        discarded: Vec::new(),
        protected: Vec::new(),
        interruptions: 0,
        false_pauses: Vec::new(),
        yields: Vec::new(),
        phone_received: 0,
    }
}
