//! The words of a leg: what it is made of, told, and tells.

use super::{Negotiated, QualityChange, Silence, Timeouts};
use crate::codec::Tuning;
use crate::dtmf::Digits;
use crate::jitter::JitterCounters;
use crate::playout::{PlayoutEvent, Position, Tag};
use crate::rtcp::{ReportBlock, VoipMetrics};
use crate::tone::Tone;
use crate::{Frame, Rate};
use std::net::SocketAddr;
use std::time::Duration;

/// Where the sound we send comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Mode {
    /// Silence.
    Mute,
    /// The playout queue.
    Agent,
    /// The caller's own sound, through jitter buffer and codec.
    Echo,
    /// A tone.
    Tone(Tone),
    /// The peer leg's frames, playout mixed in.
    Bridge,
}

/// What a leg is made of.
#[derive(Debug, Clone)]
pub struct LegConfig {
    /// Outcome of offer/answer.
    pub negotiated: Negotiated,
    /// Source of the sound we send.
    pub mode: Mode,
    /// Rate of the recogniser's frames; none switches the tap off.
    pub ears: Option<Rate>,
    /// When missing RTP is reported.
    pub timeouts: Timeouts,
    /// Whether speech onset pauses the playout.
    pub reflex_armed: bool,
    /// Whether keys are read from the sound, and sent in it, where no telephone events are agreed on.
    pub keys_in_band: bool,
}

/// What the far side sees continue, whatever happens to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wire {
    /// Ours, random, for the whole call.
    pub ssrc: u32,
    /// Of the next packet.
    pub seq: u16,
    /// Of the next packet.
    pub timestamp: u32,
    /// Ticks since the call began: the call timeline in units of 20 ms.
    pub tick: u64,
    /// What was being said, so that a new machine goes on counting; default for a new call.
    pub position: Position,
}

/// Orders to a leg.
#[derive(Debug, Clone)]
pub enum Command {
    /// Another source of sound.
    SetMode(Mode),
    /// Recogniser frames on (at a rate) or off.
    Listen(Option<Rate>),
    /// Reflex on or off.
    ArmReflex(bool),
    /// The reflex was right: keep the pause beyond 300 ms.
    ConfirmPause,
    /// Pause the playout.
    Pause,
    /// Go on at the very sample.
    Resume,
    /// Throw away this utterance and all before it.
    CutThrough(Tag),
    /// Send keys.
    SendDigits(Digits),
    /// Offer/answer was done again; the source may change once.
    Renegotiate(Negotiated),
    /// Whether packets go out at all: not while the far side holds us (RFC 3264 §8.4). On by itself.
    SetSending(bool),
    /// Other limits for missing RTP.
    SetTimeouts(Timeouts),
    /// How much work the encoder may put into a packet, 0–10.
    SetComplexity(u8),
    /// Panic at the next such step (tests of supervision).
    Fault(Fault),
}

/// Where an injected panic strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// While reading the RTP header.
    PanicInParse,
    /// While decoding a payload.
    PanicInDecode,
    /// While reading the playout queue.
    PanicInPlayout,
}

/// Something happened on the leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegEvent {
    /// Monotonic time.
    pub at: Duration,
    /// Call timeline.
    pub tick: u64,
    /// What.
    pub kind: LegEventKind,
}

/// A key of the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digit {
    /// 0–9, `*`, `#`, A–D.
    pub key: char,
    /// How it came.
    pub by: DigitBy,
}

/// How a key came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigitBy {
    /// As telephone events (RFC 4733).
    Event,
    /// As tones in the sound.
    Tones,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegEventKind {
    /// Media flows for the first time.
    FirstPacket {
        /// From here.
        source: SocketAddr,
    },
    /// Media now comes from elsewhere, and ours goes there.
    SourceChanged {
        /// Before.
        from: SocketAddr,
        /// Now.
        to: SocketAddr,
    },
    /// RTP is missing for too long; said once.
    MediaTimeout(Silence),
    /// RTP came after a timeout.
    MediaBack,
    /// A key, once.
    Digit(Digit),
    /// All digits ordered were sent.
    DigitsSent,
    /// Speech onset by the reflex's criterion while it is armed and the agent speaks.
    Onset,
    /// What became of an utterance.
    Playout(PlayoutEvent),
    /// How well the far side is heard has changed class.
    Quality(QualityChange),
    /// RTCP BYE from the far side.
    RemoteBye,
}

/// 20 ms for the recogniser.
#[derive(Debug, Clone, Copy)]
pub struct EarFrame {
    /// The sound, at the rate asked for.
    pub frame: Frame,
    /// RTP timestamp of its first sample.
    pub rtp_time: u32,
    /// Call timeline: the send tick it would have come before without delay; `call_ms = tick × 20`, never falling.
    pub tick: u64,
    /// False where at least half was filled in (a hole, or the far side is silent).
    pub heard: bool,
    /// The gate's word: maybe speech, or within 300 ms after it. Worth the neural detector's time.
    pub candidate: bool,
    /// Power of the frame.
    pub level_dbov: f32,
    /// The leg's noise floor.
    pub floor_dbov: f32,
}

/// What one tick yields.
#[derive(Debug)]
pub struct Tick<'a> {
    /// The datagram to send.
    pub packet: &'a [u8],
    /// Another one, where the far side takes no more than 10 ms in each; else empty.
    pub second_packet: &'a [u8],
    /// Where to; none while no address is known.
    pub to: Option<SocketAddr>,
    /// The caller on the call timeline.
    pub caller: &'a Frame,
    /// What we sent.
    pub agent: &'a Frame,
    /// The tick's number.
    pub tick: u64,
    /// Playout after this tick.
    pub position: Position,
}

/// A stream of RTP: who sends it and what it calls itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Its address.
    pub source: SocketAddr,
    /// Its synchronisation source (RFC 3550 §8).
    pub ssrc: u32,
}

/// Figures of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LegStats {
    /// Of the receive buffer.
    pub jitter: JitterCounters,
    /// Sound in the buffer.
    pub buffered_ms: i64,
    /// Delay aimed at.
    pub target_ms: i64,
    /// Mean of the sound in the buffer over all ticks.
    pub mean_delay_ms: u64,
    /// Frames and events that the owner's rings had no room for; counted by the owner.
    pub ring_drops: u64,
    /// Packets sent.
    pub packets_out: u64,
    /// Datagrams that are no RTP, or whose payload cannot be decoded.
    pub malformed: u64,
    /// Packets of a payload type that was not negotiated.
    pub foreign_type: u64,
    /// Packets of a former call on the same port.
    pub refused_former: u64,
    /// The stream that is heard.
    pub heard: Option<Stream>,
    /// Packets from an address that is not the leg's source.
    pub refused_source: u64,
    /// Datagrams that failed the SRTP check; counted by the owner of the socket.
    pub not_authentic: u64,
    /// Samples of silence in the middle of an utterance.
    pub starved_samples: u64,
    /// Samples pushed for utterances already cut.
    pub discarded_samples: u64,
    /// Events dropped because nobody read them.
    pub events_dropped: u64,
    /// What the far side last reported about our stream.
    pub remote_report: Option<ReportBlock>,
    /// What the far side last told of how it hears us (RFC 3611 §4.7), if it tells it.
    pub remote_voip: Option<VoipMetrics>,
    /// Interarrival jitter of what we hear (RFC 3550 §6.4.1), microseconds.
    pub jitter_us: u32,
    /// To the far side and back, as its reports tell, microseconds.
    pub round_trip_us: Option<u32>,
    /// How the far side sounds to us: mean opinion score by the E-model, 100 to 450; 0 before anything was heard.
    pub mos_centi: u16,
    /// How our encoder is set now.
    pub tuning: Tuning,
}
