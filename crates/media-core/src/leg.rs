//! One media leg: both directions of one RTP session, as a machine.
//!
//! The owner feeds it datagrams, calls [`Leg::tick`] once in 20 ms and sends what it returns; after packets, ticks and
//! commands it drains [`Leg::poll_ear`] and [`Leg::poll_event`]. RTP never pauses but on hold: each tick sends exactly one packet.

mod keys;
mod line;
mod redundancy;
mod reports;
mod source;
mod speak;
mod terms;
mod watch;
mod window;

pub use line::{EventFormat, Negotiated, RtcpPath};
pub use reports::REPORT_EVERY;
pub use source::{Admission, SourceLock};
pub use terms::{
    Command, Digit, DigitBy, EarFrame, Fault, LegConfig, LegEvent, LegEventKind, LegStats, Mode,
    Stream, Tick, Wire,
};
pub use watch::{Silence, Timeouts};
pub use window::{Quality, QualityChange, WINDOW};

use crate::codec::Tuning;
use crate::dtmf::{DtmfReceiver, DtmfSender, ToneReader};
use crate::jitter::{EarPull, Heard, Jitter, Stamp};
use crate::noise::Comfort;
use crate::playout::{PauseBy, Playout, Position, Tag};
use crate::resample::Resampler;
use crate::rtp::{self, Packet};
use crate::vad::{Gate, Gauge, Reflex, ReflexAction};
use crate::{Frame, Rate};
use line::{Line, PayloadKind};
use reports::Reporter;
use speak::Speaker;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use watch::MediaWatch;
use window::QualityWatch;

/// Events kept until they are read; playout events have a queue of their own, so digits can never crowd them out.
const MAX_EVENTS: usize = 64;
/// Playout inside the machine. The owner tops it up each tick from its own ring.
pub const PLAYOUT_MS: u64 = 400;
/// Rate of what is pushed into the playout, in which `samples_sent` counts, whatever the line's: who speaks need not know
/// which codec was agreed on.
pub const VOICE_RATE: Rate = Rate::Hz8000;
/// The longest lost packet that a codec makes up: 60 ms at the highest rate.
const MAX_RECOVERED: usize = 3 * crate::MAX_FRAME_LEN;

/// The machine.
pub struct Leg {
    line: Line,
    source: SourceLock,
    /// Streams of former calls on this port, which may still be sent.
    formers: Vec<Stream>,
    ssrc: Option<u32>,
    jitter: Jitter,
    keys: DtmfReceiver,
    tones: Option<ToneReader>,
    gate: Gate,
    reflex: Reflex,
    ears: Ears,
    speaker: Speaker,
    watch: MediaWatch,
    quality: QualityWatch,
    reports: Reporter,
    rtcp: RtcpPath,
    voip_metrics: bool,
    sending: bool,
    events: VecDeque<LegEvent>,
    now: Duration,
    caller: Frame,
    comfort: Comfort,
    pcm: Box<[i16]>,
    /// Samples of the last packet: the one that is lost next was probably as long.
    packet_len: usize,
    tuning: Tuning,
    fault: FaultSeam,
    stats: LegStats,
    delay_sum_ms: u64,
    /// Ticks held by this machine.
    ticks: u64,
}

struct Ears {
    wanted: Option<Rate>,
    resampler: Option<Resampler>,
    newest: u64,
}

impl Ears {
    fn new(line: Rate, wanted: Option<Rate>) -> Self {
        let resampler = wanted
            .filter(|rate| *rate != line)
            .and_then(|r| Resampler::new(line.hz(), r.hz()).ok());
        Self {
            wanted,
            resampler,
            newest: 0,
        }
    }
}

#[derive(Debug, Default)]
struct FaultSeam(Option<Fault>);

impl FaultSeam {
    #[allow(
        clippy::panic,
        reason = "this is the seam through which tests of supervision make a leg panic"
    )]
    fn strike(&mut self, here: Fault) {
        if self.0 == Some(here) {
            self.0 = None;
            panic!("injected fault: {here:?}");
        }
    }
}

impl Leg {
    /// A leg that starts sending with the next tick. All its memory is taken here.
    pub fn new(config: LegConfig, wire: Wire, now: Duration) -> Self {
        let LegConfig {
            negotiated,
            mode,
            ears,
            timeouts,
            reflex_armed,
            keys_in_band,
        } = config;
        let rate = negotiated.codec.rate;
        let line = Line::new(&negotiated, rate);
        let playout = Playout::new(VOICE_RATE.samples(PLAYOUT_MS), wire.position);
        Self {
            source: SourceLock::new(negotiated.remote),
            formers: Vec::new(),
            ssrc: None,
            jitter: Jitter::new(rate, line.rtp_clock(), ears.is_some() || reflex_armed),
            keys: DtmfReceiver::default(),
            tones: keys_in_band.then(ToneReader::default),
            gate: Gate::default(),
            reflex: Reflex::new(reflex_armed),
            ears: Ears::new(rate, ears),
            speaker: Speaker::new(rate, mode, playout, digits_on(&line), wire)
                .dialling(keys_in_band),
            watch: MediaWatch::new(now, timeouts),
            quality: QualityWatch::new(),
            reports: Reporter::new(now, &wire),
            rtcp: negotiated.rtcp,
            voip_metrics: negotiated.voip_metrics,
            sending: true,
            events: VecDeque::with_capacity(MAX_EVENTS),
            now,
            caller: Frame::silence(rate),
            comfort: Comfort::default(),
            packet_len: rate.frame_len(),
            tuning: Tuning::default(),
            pcm: vec![0; rate.samples(crate::codec::MAX_PACKET_MS)].into(),
            fault: FaultSeam::default(),
            stats: LegStats::default(),
            delay_sum_ms: 0,
            ticks: 0,
            line,
        }
    }

    /// A datagram. Whatever is in it, at most a counter moves.
    pub fn on_packet(&mut self, now: Duration, src: SocketAddr, bytes: &[u8]) {
        self.now = now;
        self.fault.strike(Fault::PanicInParse);
        if rtp::is_rtcp(bytes) {
            return self.on_rtcp(src, bytes);
        }
        let Ok(packet) = rtp::parse(bytes) else {
            self.stats.malformed += 1;
            return;
        };
        let Some(kind) = self.line.kind(packet.payload_type) else {
            self.stats.foreign_type += 1;
            return;
        };
        let stream = Stream {
            source: src,
            ssrc: packet.ssrc,
        };
        if self.is_former(stream) {
            self.stats.refused_former += 1;
        } else if self.admit(src) {
            self.ssrc = Some(packet.ssrc);
            self.on_rtp(kind, &packet);
        }
    }

    /// Never hear these: calls before this one on the same port, whose far ends may not have stopped. An address that
    /// signalling names for this call is heard all the same.
    pub fn shun(&mut self, formers: Vec<Stream>) {
        self.formers = formers;
    }

    /// Ours goes to where signalling said, wherever RTP comes from.
    pub const fn send_as_signalled(&mut self) {
        self.source.send_as_signalled();
    }

    fn is_former(&self, stream: Stream) -> bool {
        self.formers.contains(&stream) && !self.source.is_signalled(stream.source)
    }

    /// The stream that is heard.
    fn heard(&self) -> Option<Stream> {
        let (source, ssrc) = (self.source.source()?, self.ssrc?);
        Some(Stream { source, ssrc })
    }

    /// One tick: exactly one packet.
    pub fn tick(&mut self, now: Duration) -> Tick<'_> {
        self.now = now;
        self.expire();
        let pulled = self.jitter.pull(now, &mut self.caller);
        if pulled.missing == self.caller.samples().len() {
            self.comfort.fill(&mut self.caller);
        }
        self.read_tones();
        self.fault.strike(Fault::PanicInPlayout);
        let keys_before = self.speaker.is_sending_digits();
        let tick = self.speaker.tick();
        self.speaker.speak(&self.caller, &mut self.line);
        if self.sending {
            let sent = [self.speaker.packet(), self.speaker.second_packet()];
            for packet in sent.into_iter().filter(|packet| !packet.is_empty()) {
                self.stats.packets_out += 1;
                self.reports
                    .on_sent(packet.len().saturating_sub(rtp::HEADER_LEN));
            }
            self.ticks += 1;
            self.delay_sum_ms += self.jitter.buffered_ms() as u64;
        }
        if keys_before && !self.speaker.is_sending_digits() {
            self.tell(LegEventKind::DigitsSent);
        }
        Tick {
            packet: self.speaker.packet(),
            second_packet: self.speaker.second_packet(),
            to: self.source.target().filter(|_| self.sending),
            caller: &self.caller,
            agent: self.speaker.frame(),
            tick,
            position: self.speaker.playout.position(),
        }
    }

    /// The next recogniser frame. To be drained after packets and ticks: gate and reflex work here.
    pub fn poll_ear(&mut self, now: Duration) -> Option<EarFrame> {
        self.now = now;
        loop {
            let pull = self.jitter.pull_ear(now)?;
            let gauge = self.gate.judge(pull.heard.frame.level_dbov());
            self.flinch(gauge);
            if let Some(frame) = self.for_ears(&pull.heard) {
                return Some(self.ear_frame(frame, &pull, gauge));
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<LegEvent> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        let kind = LegEventKind::Playout(self.speaker.playout.poll_event()?);
        Some(LegEvent {
            at: self.now,
            tick: self.speaker.tick(),
            kind,
        })
    }

    /// An order.
    pub fn handle(&mut self, now: Duration, command: Command) {
        self.now = now;
        match command {
            Command::SetMode(mode) => self.speaker.set_mode(mode),
            Command::Listen(wanted) => self.listen(wanted),
            Command::ArmReflex(armed) => self.arm(armed),
            Command::ConfirmPause => self.confirm_pause(),
            Command::Pause => self.pause(),
            Command::Resume => self.resume(),
            Command::CutThrough(tag) => self.cut_through(tag),
            Command::SendDigits(digits) => self.speaker.send_digits(&digits),
            Command::Renegotiate(negotiated) => self.renegotiate(&negotiated),
            Command::SetSending(sending) => self.set_sending(sending),
            Command::SetTimeouts(timeouts) => self.watch.set(now, timeouts),
            Command::SetComplexity(complexity) => self.tune(Tuning {
                complexity,
                ..self.tuning
            }),
            Command::Fault(fault) => self.fault.0 = Some(fault),
        }
    }

    /// Rate of the sound on this line: of the caller's frames, of what the recorder gets. It stays for the leg's life, whatever
    /// codec is agreed on later.
    pub const fn rate(&self) -> Rate {
        self.line.rate()
    }

    /// The playout queue, for pushing.
    pub const fn playout(&mut self) -> &mut Playout {
        &mut self.speaker.playout
    }

    /// The peer leg's next frame, in [`Mode::Bridge`].
    pub fn push_bridge(&mut self, frame: &Frame) {
        self.speaker.push_bridge(frame);
    }

    /// Ticks that could not be held: timestamp and call timeline go on without packets.
    pub fn skip_ticks(&mut self, ticks: u64) {
        self.speaker.skip(ticks, self.line.ticks_per_frame());
    }

    /// What must survive this machine.
    pub const fn wire(&self) -> Wire {
        self.speaker.wire()
    }

    /// The utterance under way and its samples sent.
    pub const fn position(&self) -> Position {
        self.speaker.playout.position()
    }

    /// Figures so far.
    pub fn stats(&self) -> LegStats {
        LegStats {
            jitter: self.jitter.counters(),
            buffered_ms: self.jitter.buffered_ms(),
            target_ms: self.jitter.target_ms(),
            mean_delay_ms: self.delay_sum_ms / self.ticks.max(1),
            starved_samples: self.speaker.playout.starved(),
            discarded_samples: self.speaker.playout.discarded(),
            refused_source: self.source.refused(),
            heard: self.heard(),
            remote_report: self.reports.remote(),
            remote_voip: self.reports.told_voip(),
            jitter_us: self.reports.jitter_us(self.line.rtp_clock()),
            round_trip_us: self.reports.round_trip_us(),
            mos_centi: self.mos_centi(),
            tuning: self.tuning,
            ..self.stats
        }
    }

    // ── in ──────────────────────────────────────────────────────────────────

    fn admit(&mut self, src: SocketAddr) -> bool {
        match self.source.admit(self.now, src) {
            Admission::Same => {}
            Admission::First => self.tell(LegEventKind::FirstPacket { source: src }),
            Admission::Changed { from } => self.tell(LegEventKind::SourceChanged { from, to: src }),
            Admission::Refused => return false,
        }
        if self.watch.on_packet(self.now) {
            self.tell(LegEventKind::MediaBack);
        }
        true
    }

    fn on_rtp(&mut self, kind: PayloadKind, packet: &Packet<'_>) {
        let stamp = Stamp {
            ssrc: packet.ssrc,
            seq: packet.seq,
            timestamp: packet.timestamp,
        };
        match kind {
            PayloadKind::Audio(index) => {
                self.reports
                    .on_heard(self.now, packet, self.line.rtp_clock());
                self.on_audio(index, stamp, packet.payload);
            }
            PayloadKind::Event => self.on_event(stamp, packet.payload),
            PayloadKind::ComfortNoise => {
                self.jitter.note(self.now, stamp);
                self.comfort.hear(packet.payload);
            }
        }
    }

    fn on_audio(&mut self, index: usize, stamp: Stamp, payload: &[u8]) {
        self.fault.strike(Fault::PanicInDecode);
        self.comfort.stop();
        if self.line.spec().recovers {
            return self.on_recovering_audio(index, stamp, payload);
        }
        self.decode(index, stamp, payload);
    }

    fn decode(&mut self, index: usize, stamp: Stamp, payload: &[u8]) {
        match self.line.decode(index, payload, &mut self.pcm) {
            Ok(samples) => {
                self.packet_len = samples;
                let pcm = self.pcm.get(..samples).unwrap_or(&[]);
                self.jitter.put(self.now, stamp, pcm);
            }
            Err(_) => self.stats.malformed += 1,
        }
    }

    /// A codec with a memory takes its packets in order: what was lost right before this one is made up first, and what was
    /// made up is not decoded when it comes after all.
    fn on_recovering_audio(&mut self, index: usize, stamp: Stamp, payload: &[u8]) {
        let ahead = self.jitter.ahead(stamp);
        if ahead.is_some_and(|ahead| ahead < 1) {
            self.jitter.note(self.now, stamp);
            return;
        }
        let mut lost = [0; MAX_RECOVERED];
        let lost = lost.get_mut(..self.packet_len.min(MAX_RECOVERED));
        let lost = lost.filter(|_| ahead.is_some_and(|ahead| ahead > 1));
        let made_up = lost.and_then(|lost| {
            let samples = self.line.recover(index, payload, lost)?;
            lost.get(..samples)
        });
        self.decode(index, stamp, payload);
        if let Some(made_up) = made_up {
            self.jitter.put_before(stamp, made_up);
        }
    }

    fn for_ears(&mut self, heard: &Heard) -> Option<Frame> {
        self.ears.wanted?;
        Some(match &mut self.ears.resampler {
            Some(resampler) => resampler.frame(&heard.frame),
            None => heard.frame,
        })
    }

    fn ear_frame(&mut self, frame: Frame, pull: &EarPull, gauge: Gauge) -> EarFrame {
        let tick = self
            .speaker
            .tick()
            .saturating_sub(pull.age_frames)
            .max(self.ears.newest);
        self.ears.newest = tick;
        let Gauge {
            level_dbov,
            floor_dbov,
            candidate,
            ..
        } = gauge;
        let (rtp_time, heard) = (pull.rtp_time, pull.heard.heard);
        EarFrame {
            frame,
            rtp_time,
            tick,
            heard,
            candidate,
            level_dbov,
            floor_dbov,
        }
    }

    // ── reflex and orders ───────────────────────────────────────────────────

    fn flinch(&mut self, gauge: Gauge) {
        let speaking = self.speaker.playout.speaking();
        if let Some(ReflexAction::Pause { onset_frames }) =
            self.reflex.on_frame(self.now, &gauge, speaking)
        {
            self.tell(LegEventKind::Onset);
            self.speaker.playout.pause(PauseBy::Reflex { onset_frames });
        }
    }

    fn expire(&mut self) {
        if self.reflex.handle_timeout(self.now) == Some(ReflexAction::Resume) {
            self.speaker.playout.resume();
        }
        if let Some(silence) = self.watch.handle_timeout(self.now) {
            self.tell(LegEventKind::MediaTimeout(silence));
        }
        self.judge_quality();
    }

    fn listen(&mut self, wanted: Option<Rate>) {
        self.ears = Ears::new(self.line.rate(), wanted);
        self.jitter.tap(wanted.is_some() || self.reflex.is_armed());
    }

    fn arm(&mut self, armed: bool) {
        self.reflex.arm(armed);
        self.jitter.tap(armed || self.ears.wanted.is_some());
    }

    fn confirm_pause(&mut self) {
        if self.reflex.confirm() {
            self.speaker.playout.pause(PauseBy::Owner);
        }
    }

    fn pause(&mut self) {
        self.reflex.hold();
        self.speaker.playout.pause(PauseBy::Owner);
    }

    fn resume(&mut self) {
        self.reflex.release();
        self.speaker.playout.resume();
    }

    fn cut_through(&mut self, tag: Tag) {
        self.reflex.release();
        self.speaker.playout.cut_through(tag);
    }

    /// Timestamps go on meanwhile (RFC 3550 §5.1): what is heard again begins where the clock is.
    fn set_sending(&mut self, sending: bool) {
        self.sending = sending;
        self.speaker.mark();
    }

    /// RFC 3264 §8: another codec, other types, another address. The leg keeps its rate; a codec of another one is bent to it.
    fn renegotiate(&mut self, negotiated: &Negotiated) {
        let line = Line::new(negotiated, self.line.rate());
        if line.rtp_clock() != self.line.rtp_clock() {
            self.rebuild(&line);
        }
        if line.event_ticks_per_frame() != self.line.event_ticks_per_frame() {
            self.speaker.set_digits(digits_on(&line));
        }
        self.line = line;
        self.line.tune(self.tuning);
        self.source.renegotiate(negotiated.remote);
        self.rtcp = negotiated.rtcp;
        self.voip_metrics = negotiated.voip_metrics;
        self.speaker.mark();
    }

    /// Another RTP clock: what is buffered on the old one is given up.
    fn rebuild(&mut self, line: &Line) {
        let tapped = self.ears.wanted.is_some() || self.reflex.is_armed();
        self.jitter = Jitter::new(line.rate(), line.rtp_clock(), tapped);
        self.speaker.set_digits(digits_on(line));
    }

    fn tune(&mut self, tuning: Tuning) {
        self.tuning = tuning;
        self.line.tune(tuning);
    }

    fn tell(&mut self, kind: LegEventKind) {
        if self.events.len() >= MAX_EVENTS {
            self.stats.events_dropped += 1;
            return;
        }
        self.events.push_back(LegEvent {
            at: self.now,
            tick: self.speaker.tick(),
            kind,
        });
    }
}

fn digits_on(line: &Line) -> DtmfSender {
    DtmfSender::new(line.ticks_per_frame(), line.event_ticks_per_frame())
}
