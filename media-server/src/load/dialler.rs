//! The signalling of all calls: one UDP socket, one endpoint, a dialog for each call, one thread.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use media_core::codec::CodecSpec;
use sip_core::{
    dialog::{
        Dialog, DialogEffect, DialogEvent, DialogId, DialogInput, EndCause, Ended, EndedBy,
        OutboundCall, Refusal,
    },
    endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput},
    flow::{Flow, Transport},
    offer_answer::{AgreedMedia, Direction, MediaAddress},
    tokens::TokenSource,
    value::{NameAddr, Uri},
};

use super::{
    ear::Heard,
    gauge::Sample,
    manners,
    mix::{Deed, Kind},
    plan::Plan,
    wire::{self, Voice, Wire},
};
use crate::entropy;

/// How long the socket is waited on before the clock is looked at again.
const PATIENCE: Duration = Duration::from_millis(4);
/// Datagrams taken before the clock is looked at.
const AT_ONCE: usize = 64;
const MAX_MESSAGE: usize = 65_535;
/// A call that has no final answer by then is given up (timer B is 32 s).
const RING: Duration = Duration::from_secs(40);
/// Repeated farewells are waited for so long after the last call's end.
const FAREWELL: Duration = Duration::from_millis(1_500);
/// Rest before the first call and after the last has come up: setting up is not holding.
const SETTLE: Duration = Duration::from_millis(1_000);

/// How one call went.
#[derive(Debug, Clone, Default)]
pub(super) struct Outcome {
    /// INVITE → 200.
    pub(super) setup: Option<Duration>,
    /// When the 200 came.
    pub(super) answered_at: Option<Duration>,
    /// The final status of a call that was not answered; 0 for none.
    pub(super) refused: Option<u16>,
    /// The far side ended it before we did, or our BYE failed.
    pub(super) dropped: bool,
    /// What it heard.
    pub(super) heard: Heard,
}

/// What the run gives.
pub(super) struct Run {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) idle: Sample,
    /// The start and the end of the hold.
    pub(super) hold: (Sample, Sample),
    pub(super) last: Sample,
}

#[derive(Default)]
struct Line {
    dialog: Option<Dialog>,
    wake: Option<Duration>,
    placed: Duration,
    remote: Option<SocketAddr>,
    /// Answered, refused or given up.
    settled: bool,
    leaving: bool,
    over: bool,
    outcome: Outcome,
}

pub(super) struct Dialler<'a> {
    plan: &'a Plan,
    target: Uri,
    codec: &'static CodecSpec,
    server: Option<u32>,
    epoch: Instant,
    socket: UdpSocket,
    flow: Flow,
    endpoint: Endpoint,
    tokens: TokenSource,
    wire: &'a Wire,
    lines: Vec<Line>,
    by_id: HashMap<DialogId, usize>,
    wakes: BTreeSet<(Duration, usize)>,
    /// What calls are to do, in the order it is due.
    cues: BTreeSet<(Duration, usize, Cue)>,
    settled: usize,
    over: usize,
    last_end: Duration,
    samples: BTreeMap<Moment, Sample>,
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cue {
    HangUp,
    Hold,
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Idle,
    HoldBegins,
    HoldEnds,
    Last,
}

impl<'a> Dialler<'a> {
    pub(super) fn open(
        plan: &'a Plan,
        wire: &'a Wire,
        server: Option<u32>,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let remote = plan.address()?;
        let ip = wire.address(0).context("no RTP socket")?.ip();
        let socket = wire::socket(ip)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let flow = Flow {
            transport: Transport::Udp,
            local: socket.local_addr()?,
            remote,
            connection: 0,
        };
        let mut tokens = TokenSource::new(entropy::bytes());
        let config = EndpointConfig {
            max_dialogs: usize::MAX,
            ..EndpointConfig::default()
        };
        Ok(Self {
            plan,
            target: plan.target()?,
            codec: plan.codec()?,
            server,
            epoch,
            socket,
            flow,
            endpoint: Endpoint::new(config, tokens.fork()),
            tokens,
            wire,
            lines: Vec::new(),
            by_id: HashMap::new(),
            wakes: BTreeSet::new(),
            cues: BTreeSet::new(),
            settled: 0,
            over: 0,
            last_end: Duration::ZERO,
            samples: BTreeMap::new(),
            buffer: vec![0; MAX_MESSAGE],
        })
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Places, holds and ends all calls.
    pub(super) fn run(mut self) -> anyhow::Result<Run> {
        self.look(Moment::Idle);
        let begin = self.now();
        let calls = self.plan.load.calls as usize;
        let mut held: Option<Duration> = None;
        while !self.is_over(calls) {
            self.place_due(begin, calls)?;
            self.timers();
            if self.plan.load.together && self.settled == calls {
                let all_up = *held.get_or_insert_with(|| self.epoch.elapsed() + SETTLE);
                self.hold(all_up);
            }
            self.follow_cues();
            self.receive();
        }
        self.look(Moment::Last);
        self.finish()
    }

    fn is_over(&self, calls: usize) -> bool {
        let waited = self.now().saturating_sub(self.last_end) >= FAREWELL;
        self.over == calls && (waited || self.by_id.is_empty())
    }

    fn look(&mut self, moment: Moment) {
        let server = self.server;
        self.samples
            .entry(moment)
            .or_insert_with(|| Sample::take(server));
    }

    /// All calls are up since `all_up`: measures the hold, then plans the farewells.
    fn hold(&mut self, all_up: Duration) {
        let (now, hold) = (self.now(), self.plan.load.hold.0);
        if now >= all_up {
            self.look(Moment::HoldBegins);
        }
        if now >= all_up + hold && !self.samples.contains_key(&Moment::HoldEnds) {
            self.look(Moment::HoldEnds);
            let up = self.lines.iter().enumerate().filter(|(_, line)| !line.over);
            let up: Vec<usize> = up.map(|(number, _)| number).collect();
            let step = self.step();
            let due = |at: usize| now + step * u32::try_from(at).unwrap_or(u32::MAX);
            self.cues = up
                .into_iter()
                .enumerate()
                .map(|(at, number)| (due(at), number, Cue::HangUp))
                .collect();
        }
    }

    fn step(&self) -> Duration {
        Duration::from_secs(1) / self.plan.load.per_second.max(1)
    }

    fn place_due(&mut self, begin: Duration, calls: usize) -> anyhow::Result<()> {
        let step = self.step();
        while self.lines.len() < calls {
            let number = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
            if begin + SETTLE + step * number > self.now() {
                return Ok(());
            }
            if number == 0 && !self.plan.load.together {
                self.look(Moment::HoldBegins);
            }
            self.place(number)?;
        }
        Ok(())
    }

    fn place(&mut self, number: u32) -> anyhow::Result<()> {
        let (now, media) = (self.now(), self.wire.address(number));
        let media = media.context("no RTP socket")?;
        let kind = self.plan.kind(number as usize);
        let call = self.outbound(media, kind)?;
        let tokens = self.tokens.fork();
        let login = kind.and_then(|kind| kind.login.as_deref());
        let dialog = Dialog::uac(
            now,
            manners::dialog_config(self.flow.local, self.codec, login),
            tokens,
            &call,
        );
        let id = dialog.id().clone();
        self.endpoint.handle(now, EndpointInput::Adopt(id.clone()));
        let at = self.lines.len();
        self.by_id.insert(id, at);
        self.lines.push(Line {
            dialog: Some(dialog),
            placed: now,
            ..Line::default()
        });
        self.drain(at);
        Ok(())
    }

    fn outbound(&self, media: SocketAddr, kind: Option<&Kind>) -> anyhow::Result<OutboundCall> {
        let host = self.flow.local.ip().to_string();
        let from = Uri::sip(Some(&self.plan.call.from), &host, None)?;
        Ok(OutboundCall {
            target: kind.map_or_else(|| Ok(self.target.clone()), Kind::target)?,
            from: NameAddr::new(None, &from)?,
            to: None,
            flow: self
                .flow
                .towards(kind.map_or(Ok(self.flow.remote), Kind::address)?),
            route: Vec::new(),
            media: MediaAddress {
                ip: media.ip(),
                port: media.port(),
            },
            delayed_offer: false,
            headers: Vec::new(),
            ring_timeout: Some(RING),
            max_forwards: 70,
        })
    }

    fn timers(&mut self) {
        let now = self.now();
        while let Some((due, at)) = self.wakes.first().copied() {
            if due > now {
                break;
            }
            self.wakes.pop_first();
            if let Some(line) = self.lines.get_mut(at) {
                line.wake = None;
                if let Some(dialog) = &mut line.dialog {
                    dialog.handle_timeout(now);
                }
            }
            self.drain(at);
        }
    }

    fn follow_cues(&mut self) {
        while let Some((due, at, cue)) = self.cues.first().copied() {
            if due > self.now() {
                break;
            }
            self.cues.pop_first();
            match cue {
                Cue::HangUp => self.hang_up(at),
                Cue::Hold => self.reoffer(at, Direction::SendOnly),
                Cue::Resume => self.reoffer(at, Direction::SendRecv),
            }
        }
    }

    fn reoffer(&mut self, at: usize, direction: Direction) {
        let media = None;
        self.input(at, DialogInput::Reoffer { direction, media });
    }

    fn hang_up(&mut self, at: usize) {
        if let Some(line) = self.lines.get_mut(at) {
            line.leaving = true;
        }
        self.input(at, DialogInput::Hangup { reason: None });
    }

    fn input(&mut self, at: usize, input: DialogInput) {
        let now = self.now();
        let dialog = self.lines.get_mut(at).and_then(|line| line.dialog.as_mut());
        if let Some(dialog) = dialog {
            dialog.handle(now, input);
            self.drain(at);
        }
    }

    /// Carries out what the dialog wants and notes when it wants to be woken.
    fn drain(&mut self, at: usize) {
        while let Some(effect) = self.effect(at) {
            match effect {
                DialogEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                DialogEffect::Event(event) => self.event(at, event),
                // One address is measured; there is no other.
                DialogEffect::WantTarget => {}
            }
        }
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        let wake = line.dialog.as_ref().and_then(Dialog::poll_timeout);
        if wake != line.wake {
            if let Some(old) = line.wake {
                self.wakes.remove(&(old, at));
            }
            self.wakes.extend(wake.map(|due| (due, at)));
            line.wake = wake;
        }
    }

    fn effect(&mut self, at: usize) -> Option<DialogEffect> {
        self.lines.get_mut(at)?.dialog.as_mut()?.poll_effect()
    }

    /// A datagram that cannot be sent is a lost one: SIP's timers deal with it.
    fn send(&self, flow: Flow, bytes: &[u8]) {
        let _ = self.socket.send_to(bytes, flow.remote);
    }

    fn event(&mut self, at: usize, event: DialogEvent) {
        match event {
            DialogEvent::Media(agreed) => self.sound(at, &agreed),
            DialogEvent::Answered => self.answered(at),
            DialogEvent::Ended(ended) => self.ended(at, &ended),
            DialogEvent::Finished => self.forget(at),
            DialogEvent::Ringing { .. } => self.rings(at),
            DialogEvent::Referred(_) => self.handed_on(at),
            DialogEvent::Invited { .. }
            | DialogEvent::EarlyMedia(_)
            | DialogEvent::Confirmed
            | DialogEvent::Info { .. }
            | DialogEvent::InfoDone { .. }
            | DialogEvent::ReofferDone
            | DialogEvent::ReofferFailed { .. }
            | DialogEvent::ReferAnswered { .. }
            | DialogEvent::ReferProgress { .. }
            | DialogEvent::AckTimeout => {}
        }
    }

    fn sound(&mut self, at: usize, agreed: &AgreedMedia) {
        let (now, call) = (self.now(), u32::try_from(at).unwrap_or(u32::MAX));
        let (Some(line), Some(to)) = (self.lines.get_mut(at), agreed.remote) else {
            return;
        };
        if line.remote.replace(to).is_some() {
            return;
        }
        self.wire.shared().ears.claim(to, call, now);
        self.wire.start(Voice {
            call,
            to,
            payload_type: agreed.codec.send_payload_type,
            ssrc: 0x10ad_0000 ^ call,
        });
    }

    fn answered(&mut self, at: usize) {
        let (now, hold) = (self.now(), self.plan.load.hold.0);
        if let Some(line) = self.lines.get_mut(at) {
            line.outcome.setup = Some(now.saturating_sub(line.placed));
            line.outcome.answered_at = Some(now);
        }
        self.settle(at);
        if self.plan.load.together {
            return;
        }
        if self.deed(at) == Deed::HandedOn {
            // The other side is to end it: what it leaves open counts as dropped.
            self.cues.insert((now + hold * 5, at, Cue::HangUp));
            return;
        }
        self.cues.insert((now + hold, at, Cue::HangUp));
        if self.deed(at) == Deed::Hold {
            self.cues.insert((now + hold / 4, at, Cue::Hold));
            self.cues.insert((now + hold / 2, at, Cue::Resume));
        }
    }

    /// Says that it has called whom it was handed on to; whoever asked ends this call then (RFC 5589 §6.1).
    fn handed_on(&mut self, at: usize) {
        let handed = self.deed(at) == Deed::HandedOn;
        let status = if handed { 202 } else { 603 };
        self.input(at, DialogInput::AnswerRefer { status });
        if handed {
            let (status, last) = (200, true);
            self.input(at, DialogInput::ReferNews { status, last });
        }
    }

    fn deed(&self, at: usize) -> Deed {
        self.plan.kind(at).map_or(Deed::Talk, |kind| kind.does)
    }

    /// Who gives up does so a moment after it has begun to ring.
    fn rings(&mut self, at: usize) {
        let leaving = self.lines.get(at).is_some_and(|line| line.leaving);
        if self.deed(at) == Deed::Cancel && !leaving {
            let soon = self.now() + self.plan.load.hold.0 / 4;
            self.cues.insert((soon, at, Cue::HangUp));
        }
    }

    fn settle(&mut self, at: usize) {
        if let Some(line) = self.lines.get_mut(at)
            && !std::mem::replace(&mut line.settled, true)
        {
            self.settled += 1;
        }
    }

    fn ended(&mut self, at: usize, ended: &Ended) {
        self.settle(at);
        let (now, handed) = (self.now(), self.deed(at) == Deed::HandedOn);
        let Some(line) = self.lines.get_mut(at) else {
            return;
        };
        line.over = true;
        let right = match handed {
            true => EndedBy::Remote,
            false => EndedBy::Local,
        };
        let meant = ended.by == right && ended.cause == EndCause::Bye;
        if line.outcome.answered_at.is_none() {
            line.outcome.refused = Some(ended.status.unwrap_or(0));
        } else {
            line.outcome.dropped = !(meant && line.leaving != handed);
        }
        if let Some(remote) = line.remote {
            self.wire.stop(u32::try_from(at).unwrap_or(u32::MAX));
            line.outcome.heard = self.wire.shared().ears.take(remote);
        }
        self.over += 1;
        self.last_end = now;
        if self.over == self.plan.load.calls as usize {
            self.look(Moment::HoldEnds);
        }
    }

    fn forget(&mut self, at: usize) {
        let now = self.now();
        let dialog = self.lines.get_mut(at).and_then(|line| line.dialog.take());
        if let Some(dialog) = dialog {
            self.by_id.remove(dialog.id());
            let finished = dialog.finished();
            let dialog_id = dialog.id().clone();
            let forget = EndpointInput::Forget {
                dialog_id,
                finished,
            };
            self.endpoint.handle(now, forget);
        }
    }

    /// Waits for a datagram, takes it and all that wait behind it.
    fn receive(&mut self) {
        for _ in 0..AT_ONCE {
            let Ok((length, remote)) = self.socket.recv_from(&mut self.buffer) else {
                return;
            };
            let bytes = Bytes::copy_from_slice(self.buffer.get(..length).unwrap_or_default());
            let flow = self.flow.towards(remote);
            let now = self.now();
            self.endpoint
                .handle(now, EndpointInput::Received { flow, bytes });
            self.route();
        }
    }

    fn route(&mut self) {
        let now = self.now();
        self.endpoint.handle_timeout(now);
        while let Some(effect) = self.endpoint.poll_effect() {
            match effect {
                EndpointEffect::Transmit { flow, bytes } => self.send(flow, &bytes),
                EndpointEffect::Deliver {
                    dialog_id,
                    flow,
                    message,
                } => {
                    if let Some(at) = self.by_id.get(&dialog_id).copied() {
                        self.input(at, DialogInput::Received { flow, message });
                    }
                }
                EndpointEffect::NewInvite(invite) => {
                    let refusal = Refusal::new(486);
                    self.endpoint
                        .handle(now, EndpointInput::Refuse { invite, refusal });
                }
                EndpointEffect::Register(_)
                | EndpointEffect::Close { .. }
                | EndpointEffect::Alias { .. }
                | EndpointEffect::Dropped { .. } => {}
            }
        }
    }

    fn finish(mut self) -> anyhow::Result<Run> {
        let mut sample = |moment| {
            let sample = self.samples.remove(&moment);
            sample.with_context(|| format!("{moment:?} was never reached"))
        };
        let idle = sample(Moment::Idle)?;
        let last = sample(Moment::Last)?;
        let end = sample(Moment::HoldEnds)?;
        // No call came up at all: then nothing was held.
        let start = sample(Moment::HoldBegins).unwrap_or_else(|_| end.clone());
        Ok(Run {
            outcomes: self.lines.into_iter().map(|line| line.outcome).collect(),
            idle,
            hold: (start, end),
            last,
        })
    }
}
