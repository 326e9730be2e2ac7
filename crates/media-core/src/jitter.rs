//! The jitter buffer: packets in at any time, exactly one frame out per tick, in order, at an adaptive delay.
//!
//! Sound is kept by *position*, a sample count on a line of its own onto which every stream (SSRC, timestamp epoch) is
//! mapped. The play head should stand at `now − base − target` ([`delay`]); where it stands otherwise it is brought there:
//! behind by a frame or more → a pitch period is removed; ahead → one is inserted, or the head waits at once. Drift between
//! the two clocks is absorbed here and nowhere else.

mod counters;
mod delay;
mod ears;
mod seq;
mod store;

pub use counters::JitterCounters;
pub use delay::DelayEstimator;
pub use ears::Heard;
pub use seq::{SeqTracker, SeqVerdict};

use crate::conceal::{BRIDGED_MS, Concealer};
use crate::rtp::timestamp_distance;
use crate::stretch::{self, Urgency};
use crate::{Frame, Rate};
use ears::EarCursor;
use std::time::Duration;
use store::{Run, Store};

/// The buffer never holds more than this.
pub const CAP_MS: u64 = 200;
/// The target leaves room below the cap for the frame being read and the one arriving.
const MAX_TARGET_MS: u64 = 160;
const STORE_MS: u64 = 500;
/// A packet further than this from where its timestamp should be means that the sender's clock was set anew.
const JUMP_MS: u64 = 400;
const RESYNC_LOST: u32 = 25;
const RESYNC_LATE: u32 = 5;
/// Stragglers of the source before an SSRC change are ignored this long.
const STRAGGLER_MS: u64 = 200;

/// Where a packet says it belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Sequence number.
    pub seq: u16,
    /// RTP timestamp.
    pub timestamp: u32,
}

/// What one tick read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulled {
    /// Position of the head before the tick.
    pub position: i64,
    /// How far the head moved, in samples.
    pub advanced: usize,
    /// Samples of the frame that were made up or silent.
    pub missing: usize,
}

/// A frame for the recogniser and where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct EarPull {
    /// The frame.
    pub heard: Heard,
    /// RTP timestamp of its first sample.
    pub rtp_time: u32,
    /// How many frames ago it would have come without delay: 0 in the usual case.
    pub age_frames: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    /// Nothing ever came.
    Idle,
    /// The first packets wait until the target delay has passed.
    Filling(i64),
    Playing(i64),
}

impl Head {
    const fn position(self) -> Option<i64> {
        match self {
            Self::Idle => None,
            Self::Filling(at) | Self::Playing(at) => Some(at),
        }
    }
}

/// Ties a stream's timestamps to positions.
#[derive(Debug, Clone, Copy)]
struct Mapping {
    ssrc: u32,
    timestamp: u32,
    position: i64,
    since: i64,
    previous_ssrc: Option<u32>,
}

/// One leg's receive buffer.
#[derive(Debug)]
pub struct Jitter {
    rate: Rate,
    rtp_clock: i64,
    seq: SeqTracker,
    delay: DelayEstimator,
    store: Store,
    ears: Option<EarCursor>,
    concealer: Concealer,
    head: Head,
    mapping: Option<Mapping>,
    /// End of the newest sound up to which no sequence number is missing.
    unbroken: Option<i64>,
    /// End of the last real sound that went out.
    played_until: i64,
    late_run: u32,
    counters: JitterCounters,
}

impl Jitter {
    /// An empty buffer for PCM at `rate` whose RTP timestamps run at `rtp_clock` Hz; `ears` taps frames before smoothing.
    pub fn new(rate: Rate, rtp_clock: u32, ears: bool) -> Self {
        Self {
            rate,
            rtp_clock: i64::from(rtp_clock.max(1)),
            seq: SeqTracker::default(),
            delay: DelayEstimator::new(rate, rate.samples(MAX_TARGET_MS) as i64),
            store: Store::new(rate.samples(STORE_MS)),
            ears: ears.then(|| EarCursor::new(rate)),
            concealer: Concealer::new(rate),
            head: Head::Idle,
            mapping: None,
            unbroken: None,
            played_until: i64::MIN,
            late_run: 0,
            counters: JitterCounters::default(),
        }
    }

    /// Totals.
    pub fn counters(&self) -> JitterCounters {
        JitterCounters {
            lost: self.seq.lost(),
            ..self.counters
        }
    }

    /// Sound waiting to be played, in ms.
    pub fn buffered_ms(&self) -> i64 {
        self.rate.ms(self.buffered())
    }

    /// The delay aimed at, in ms.
    pub const fn target_ms(&self) -> i64 {
        self.rate.ms(self.delay.target())
    }

    /// Whether the stream has begun.
    pub const fn has_started(&self) -> bool {
        self.mapping.is_some()
    }

    /// Switches the recogniser's tap; switched on in mid-stream it begins with the next packet.
    pub fn tap(&mut self, on: bool) {
        match (on, self.ears.is_some()) {
            (true, false) => self.ears = Some(EarCursor::new(self.rate)),
            (false, true) => self.ears = None,
            (true, true) | (false, false) => {}
        }
    }

    /// Forgets the mapping: the next packet is placed anew, what is buffered is still played.
    pub fn resync(&mut self) {
        self.seq.forget();
        self.mapping = None;
        self.unbroken = None;
    }

    /// A packet that carries no sound (an event, comfort noise): only its number counts. False when it is a repetition.
    pub fn note(&mut self, now: Duration, stamp: Stamp) -> bool {
        self.accept(self.rate.samples_at(now), stamp).is_some()
    }

    /// A packet's sound. Never blocks, never allocates.
    pub fn put(&mut self, now: Duration, stamp: Stamp, pcm: &[i16]) {
        let now = self.rate.samples_at(now);
        let Some(verdict) = self.accept(now, stamp) else {
            return;
        };
        let position = self.place(now, stamp, verdict);
        self.delay.observe(now, now - position);
        self.bridge_pause(position, verdict);
        self.keep(position, pcm);
    }

    /// How far a packet lies ahead of the newest one of its stream: see [`SeqTracker::ahead`].
    pub fn ahead(&self, stamp: Stamp) -> Option<i32> {
        let _known = self.mapping.filter(|m| m.ssrc == stamp.ssrc)?;
        self.seq.ahead(stamp.seq)
    }

    /// Sound of the packet lost right before this one, which was put already. What comes too late for everybody is dropped.
    pub fn put_before(&mut self, stamp: Stamp, pcm: &[i16]) {
        let Some(mapping) = self.mapping.filter(|m| m.ssrc == stamp.ssrc) else {
            return;
        };
        let position = self.mapped(&mapping, stamp) - pcm.len() as i64;
        let ears = self.ears.as_ref().and_then(EarCursor::position);
        let needed = self.head.position().into_iter().chain(ears).min();
        if needed.is_some_and(|from| position >= from) {
            self.store.insert(position, pcm);
            self.counters.recovered += 1;
        }
    }

    /// The sound of this tick.
    pub fn pull(&mut self, now: Duration, out: &mut Frame) -> Pulled {
        let due = self.due(self.rate.samples_at(now));
        let pulled = match self.head {
            Head::Playing(at) => self.play(at, due, out),
            Head::Filling(at) if due >= at => self.play(at, due, out),
            Head::Filling(_) | Head::Idle => self.wait(out),
        };
        self.forget_played();
        pulled
    }

    /// The next frame for the recogniser, if one is due.
    pub fn pull_ear(&mut self, now: Duration) -> Option<EarPull> {
        let now = self.rate.samples_at(now);
        let heard = self.ears.as_mut()?.pull(now, &self.store)?;
        let ahead = self.mapping.map_or(0, |m| {
            (heard.position - m.position) * self.rtp_clock / self.hz()
        });
        let rtp_time = self
            .mapping
            .map_or(0, |m| m.timestamp)
            .wrapping_add(ahead as u32);
        let age = self.delay.relative(now - heard.position).max(0);
        Some(EarPull {
            heard,
            rtp_time,
            age_frames: (age / self.frame_len()) as u64,
        })
    }

    fn hz(&self) -> i64 {
        i64::from(self.rate.hz())
    }

    fn frame_len(&self) -> i64 {
        self.rate.frame_len() as i64
    }

    fn buffered(&self) -> i64 {
        match (self.head.position(), self.store.end()) {
            (Some(at), Some(end)) => (end - at).max(0),
            (None, _) | (_, None) => 0,
        }
    }

    /// Where the head should stand.
    fn due(&self, now: i64) -> i64 {
        now - self.delay.base() - self.delay.target()
    }

    // ── in ──────────────────────────────────────────────────────────────────

    /// Source and sequence number: none for what must not be looked at further.
    fn accept(&mut self, now: i64, stamp: Stamp) -> Option<SeqVerdict> {
        if !self.follow_source(now, stamp) {
            self.counters.stray += 1;
            return None;
        }
        let verdict = self.seq.judge(stamp.seq);
        match verdict {
            SeqVerdict::Duplicate => self.counters.duplicate += 1,
            SeqVerdict::Stray => self.counters.stray += 1,
            SeqVerdict::Reordered => self.counters.reordered += 1,
            SeqVerdict::Next { .. } | SeqVerdict::Restart => {}
        }
        if matches!(verdict, SeqVerdict::Duplicate | SeqVerdict::Stray) {
            return None;
        }
        self.counters.received += 1;
        Some(verdict)
    }

    /// RFC 3550 §8.2: a new SSRC is a new stream. The old one's stragglers are not.
    fn follow_source(&mut self, now: i64, stamp: Stamp) -> bool {
        let Some(mapping) = self.mapping else {
            return true;
        };
        if mapping.ssrc == stamp.ssrc {
            return true;
        }
        let fresh = now - mapping.since < self.rate.samples(STRAGGLER_MS) as i64;
        if fresh && mapping.previous_ssrc == Some(stamp.ssrc) {
            return false;
        }
        self.seq.forget();
        true
    }

    /// The packet's position, placing its stream anew where timestamps cannot be trusted.
    fn place(&mut self, now: i64, stamp: Stamp, verdict: SeqVerdict) -> i64 {
        let known = self.mapping.filter(|m| m.ssrc == stamp.ssrc);
        let torn = match verdict {
            SeqVerdict::Restart => true,
            SeqVerdict::Next { missing } => missing >= RESYNC_LOST,
            SeqVerdict::Reordered | SeqVerdict::Duplicate | SeqVerdict::Stray => false,
        };
        let mapped = known.map(|m| self.mapped(&m, stamp));
        match mapped {
            Some(position) if !torn && self.is_plausible(now, position) => {
                self.advance_mapping(stamp, position);
                position
            }
            Some(_) | None => self.place_anew(now, stamp),
        }
    }

    fn mapped(&self, mapping: &Mapping, stamp: Stamp) -> i64 {
        let ticks = timestamp_distance(stamp.timestamp, mapping.timestamp);
        mapping.position + ticks * self.hz() / self.rtp_clock
    }

    fn is_plausible(&self, now: i64, position: i64) -> bool {
        let jump = self.rate.samples(JUMP_MS) as i64;
        self.late_run < RESYNC_LATE && self.delay.relative(now - position).abs() <= jump
    }

    fn advance_mapping(&mut self, stamp: Stamp, position: i64) {
        if let Some(mapping) = &mut self.mapping
            && position > mapping.position
        {
            (mapping.timestamp, mapping.position) = (stamp.timestamp, position);
        }
    }

    /// As if the packet had come the fastest way, but after everything that is there already.
    fn place_anew(&mut self, now: i64, stamp: Stamp) -> i64 {
        self.counters.resync += u64::from(self.head != Head::Idle);
        let ears = self.ears.as_ref().and_then(EarCursor::position);
        let floor = [self.store.end(), self.head.position(), ears]
            .into_iter()
            .flatten()
            .max();
        let position = (now - self.delay.base()).max(floor.unwrap_or(i64::MIN));
        let previous = self
            .mapping
            .map(|m| m.ssrc)
            .filter(|ssrc| *ssrc != stamp.ssrc);
        self.mapping = Some(Mapping {
            ssrc: stamp.ssrc,
            timestamp: stamp.timestamp,
            position,
            since: now,
            previous_ssrc: previous,
        });
        self.unbroken = None;
        self.late_run = 0;
        position
    }

    /// A pause of the sender (no number missing, but time passed) is silence, not loss.
    fn bridge_pause(&mut self, position: i64, verdict: SeqVerdict) {
        if verdict != (SeqVerdict::Next { missing: 0 }) {
            return;
        }
        let cap = self.rate.samples(CAP_MS) as i64;
        let played = self.head.position().unwrap_or(position);
        let Some(from) = self
            .unbroken
            .map(|end| end.max(played))
            .filter(|from| *from < position)
        else {
            return;
        };
        let silence = [0_i16; crate::MAX_FRAME_LEN];
        let mut at = from.max(position - cap);
        while at < position {
            let len = (position - at).min(silence.len() as i64);
            self.store.insert(at, &silence[..len as usize]);
            at += len;
        }
    }

    fn keep(&mut self, position: i64, pcm: &[i16]) {
        let end = position + pcm.len() as i64;
        self.unbroken = Some(self.unbroken.map_or(end, |e| e.max(end)));
        let in_time = self.make_way(position, end);
        let for_ears = self.ears.as_ref().is_some_and(|ears| ears.wants(end));
        if !in_time {
            self.counters.late += 1;
            self.late_run += 1;
        } else {
            self.late_run = 0;
        }
        if in_time || for_ears {
            if let Some(ears) = &mut self.ears {
                ears.on_packet(position, pcm.len());
            }
            self.store.insert(position, pcm);
            self.hold_cap();
        }
    }

    /// Whether the packet's turn is still to come; moves the head back over made-up sound where nothing real is younger.
    fn make_way(&mut self, position: i64, end: i64) -> bool {
        match self.head {
            Head::Idle => self.head = Head::Filling(position),
            Head::Filling(at) => self.head = Head::Filling(at.min(position)),
            Head::Playing(at) if end > at => {}
            Head::Playing(at) => return self.go_back(position, at),
        }
        true
    }

    fn go_back(&mut self, position: i64, at: i64) -> bool {
        let room = (self.rate.samples(CAP_MS) as i64) - self.frame_len();
        let nothing_younger = self.store.end().is_none_or(|end| end <= at);
        let allowed = position >= self.played_until && nothing_younger && at - position <= room;
        if allowed {
            self.head = Head::Playing(position);
        }
        allowed
    }

    fn hold_cap(&mut self) {
        let cap = self.rate.samples(CAP_MS) as i64;
        let (Some(at), Some(end)) = (self.head.position(), self.store.end()) else {
            return;
        };
        if end - at > cap {
            self.counters.overflow += 1;
            self.head = match self.head {
                Head::Filling(_) => Head::Filling(end - cap),
                Head::Playing(_) | Head::Idle => Head::Playing(end - cap),
            };
        }
    }

    // ── out ─────────────────────────────────────────────────────────────────

    fn wait(&mut self, out: &mut Frame) -> Pulled {
        out.samples_mut().fill(0);
        let missing = out.samples().len();
        Pulled {
            position: self.head.position().unwrap_or(0),
            advanced: 0,
            missing,
        }
    }

    fn play(&mut self, at: i64, due: i64, out: &mut Frame) -> Pulled {
        let behind = due - at;
        let idle = self.store.run(at, 1) == Run::Empty && self.concealer.is_silent();
        let at = if idle {
            due.max(self.played_until).max(at - self.frame_len())
        } else {
            at
        };
        let (advanced, missing) = if idle {
            self.read(at, out)
        } else if behind <= -self.frame_len() {
            self.insert_frame(out)
        } else {
            self.stretch(at, behind, out)
                .unwrap_or_else(|| self.read(at, out))
        };
        self.head = Head::Playing(at + advanced as i64);
        Pulled {
            position: at,
            advanced,
            missing,
        }
    }

    /// Grows at once: the head waits for one frame.
    fn insert_frame(&mut self, out: &mut Frame) -> (usize, usize) {
        self.concealer.fill(out.samples_mut());
        self.counters.expanded += 1;
        (0, out.samples().len())
    }

    fn stretch(&mut self, at: i64, behind: i64, out: &mut Frame) -> Option<(usize, usize)> {
        let frame = self.rate.frame_len();
        let (shrink, grow) = (behind >= self.frame_len(), behind < -self.frame_len() / 4);
        if self.concealer.is_active() || !(shrink || grow) {
            return None;
        }
        let wanted = if shrink {
            frame + stretch::max_removed(self.rate)
        } else {
            frame
        };
        let Run::Known(known) = self.store.run(at, wanted) else {
            return None;
        };
        if known < frame {
            return None;
        }
        let mut input = [0_i16; stretch::MAX_INPUT];
        let input = input.get_mut(..known)?;
        self.store.copy(at, input);
        let consumed = self.rescale(behind, input, out)?;
        self.concealer.observe(out.samples_mut());
        self.played_until = self.played_until.max(at + consumed as i64);
        Some((consumed, 0))
    }

    fn rescale(&mut self, behind: i64, input: &[i16], out: &mut Frame) -> Option<usize> {
        let urgency = if behind >= 3 * self.frame_len() {
            Urgency::Firm
        } else {
            Urgency::Gentle
        };
        if behind > 0 {
            let consumed = stretch::accelerate(self.rate, input, out.samples_mut(), urgency)?;
            self.counters.accelerated += 1;
            return Some(consumed);
        }
        let consumed = stretch::expand(self.rate, input, out.samples_mut(), Urgency::Gentle)?;
        self.counters.expanded += 1;
        Some(consumed)
    }

    /// One frame as it stands, holes made up.
    fn read(&mut self, at: i64, out: &mut Frame) -> (usize, usize) {
        let len = self.rate.frame_len();
        let (mut done, mut missing) = (0, 0);
        while done < len {
            let position = at + done as i64;
            let run = match self.store.run(position, len - done) {
                Run::Known(n) => self.emit(position, n, &mut out.samples_mut()[done..done + n]),
                Run::Missing(n) => {
                    self.bridge(position);
                    self.make_up(n, &mut missing, &mut out.samples_mut()[done..done + n])
                }
                Run::Empty => {
                    self.make_up(len - done, &mut missing, &mut out.samples_mut()[done..])
                }
            };
            done += run;
        }
        (len, missing)
    }

    fn emit(&mut self, position: i64, n: usize, out: &mut [i16]) -> usize {
        self.store.copy(position, out);
        self.concealer.observe(out);
        self.played_until = self.played_until.max(position + n as i64);
        n
    }

    /// A hole whose other end is known is led over to it.
    fn bridge(&mut self, from: i64) {
        let longest = self.rate.samples(BRIDGED_MS);
        let Run::Missing(gap) = self.store.run(from, longest) else {
            return;
        };
        let mut after = [0_i16; crate::MAX_FRAME_LEN];
        let wanted = self.rate.frame_len();
        let Run::Known(known) = self.store.run(from + gap as i64, wanted) else {
            return;
        };
        if let Some(after) = after.get_mut(..known) {
            self.store.copy(from + gap as i64, after);
            self.concealer.bridge(gap, after);
        }
    }

    fn make_up(&mut self, n: usize, missing: &mut usize, out: &mut [i16]) -> usize {
        if *missing == 0 {
            let silent = self.concealer.is_silent();
            self.counters.filled += u64::from(silent);
            self.counters.concealed += u64::from(!silent);
        }
        self.concealer.fill(out);
        *missing += n;
        n
    }

    fn forget_played(&mut self) {
        let ears = self.ears.as_ref().and_then(EarCursor::position);
        if let Some(played) = self.head.position() {
            // Half a frame more is kept: the head may go back over made-up sound.
            let until = played.min(ears.unwrap_or(played));
            self.store.discard_before(until);
        }
    }
}
