//! Packet loss concealment after ITU-T G.711 Appendix I, without its delay and with a slightly slower fade.
//!
//! The last pitch period is repeated, then the last two, then three, so that long bursts do not buzz; the gain holds for
//! 15 ms and is gone after 75. Where the sound behind the hole is known in time the repetition is led into it (`bridge`);
//! where it comes back unforeseen it is faded in.

mod bridge;

pub use bridge::LONGEST_MS as BRIDGED_MS;

use crate::Rate;
use bridge::Bridge;

const MIN_PITCH_MS: usize = 5;
const MAX_PITCH_MS: usize = 15;
const WINDOW_MS: usize = 20;
const HOLD_MS: usize = 15;
const FADE_MS: usize = 60;

/// One stream's memory of what was last heard.
#[derive(Debug)]
pub struct Concealer {
    rate: Rate,
    /// The last 50 ms of real sound, oldest first.
    history: Box<[i16]>,
    /// Samples made up since the last real one.
    lost: usize,
    pitch: usize,
    cursor: usize,
    heard_anything: bool,
    bridge: Bridge,
}

impl Concealer {
    /// A concealer that has heard nothing: until it does it makes silence.
    pub fn new(rate: Rate) -> Self {
        let history = vec![0; rate.samples(50)].into();
        Self {
            rate,
            history,
            lost: 0,
            pitch: rate.samples(10),
            cursor: 0,
            heard_anything: false,
            bridge: Bridge::new(rate),
        }
    }

    /// Whether the last samples out were made up.
    pub const fn is_active(&self) -> bool {
        self.lost > 0
    }

    /// Whether the fade is over, so that what comes out is silence.
    pub const fn is_silent(&self) -> bool {
        !self.heard_anything || self.lost >= self.rate.samples((HOLD_MS + FADE_MS) as u64)
    }

    /// Real sound went out: remember it. After a loss `pcm` is first faded in over the made-up sound.
    pub fn observe(&mut self, pcm: &mut [i16]) {
        if self.lost > 0 && !self.bridge.has_arrived() {
            self.fade_in(pcm);
        }
        self.bridge.clear();
        self.lost = 0;
        self.heard_anything = true;
        let len = self.history.len();
        let keep = len.saturating_sub(pcm.len());
        self.history.copy_within(len - keep.., 0);
        let tail = &pcm[pcm.len() - (len - keep)..];
        self.history[keep..].copy_from_slice(tail);
    }

    /// Makes up `out`.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            *sample = match self.bridge.next() {
                Some(planned) => {
                    self.lost = self.lost.saturating_add(1);
                    planned
                }
                None => self.extrapolate(),
            };
        }
    }

    /// The sound behind the hole is known already: what is made up next, `gap` samples, runs into it. Without effect where
    /// that cannot be done, or is being done.
    pub fn bridge(&mut self, gap: usize, after: &[i16]) {
        if self.is_silent() || self.bridge.is_planned() || !self.bridge.suits(gap, after) {
            return;
        }
        self.begin();
        let (lost, cursor) = (self.lost, self.cursor);
        let mut bridge = std::mem::take(&mut self.bridge);
        bridge.plan(gap, after, self.pitch, || self.next_sample());
        self.bridge = bridge;
        (self.lost, self.cursor) = (lost, cursor);
    }

    fn extrapolate(&mut self) -> i16 {
        self.bridge.clear();
        if self.is_silent() {
            self.lost = self.lost.saturating_add(1);
            return 0;
        }
        self.begin();
        self.next_sample()
    }

    /// A hole begins: what is to be repeated?
    fn begin(&mut self) {
        if self.lost == 0 {
            self.pitch = self.find_pitch();
            self.cursor = 0;
        }
    }

    fn next_sample(&mut self) -> i16 {
        let periods = match self.lost / self.rate.samples(HOLD_MS as u64) {
            0 => 1,
            1 => 2,
            _ => 3,
        };
        let len = (self.pitch * periods).min(self.history.len() - self.overlap());
        if self.cursor >= len {
            self.cursor = 0;
        }
        let sample = self.looped(len, self.cursor) * self.gain();
        self.cursor += 1;
        self.lost += 1;
        sample as i16
    }

    /// Sample `at` of a loop over the last `len` samples whose end is faded into its beginning.
    fn looped(&self, len: usize, at: usize) -> f32 {
        let start = self.history.len() - len;
        let here = f32::from(self.history[start + at]);
        let overlap = self.overlap();
        if at + overlap < len {
            return here;
        }
        let weight = (at + overlap - len + 1) as f32 / (overlap + 1) as f32;
        let before = f32::from(self.history[start + at - len.min(start + at)]);
        here * (1.0 - weight) + before * weight
    }

    const fn overlap(&self) -> usize {
        self.pitch / 4
    }

    fn gain(&self) -> f32 {
        let hold = self.rate.samples(HOLD_MS as u64);
        let fade = self.rate.samples(FADE_MS as u64) as f32;
        let x = 1.0 - self.lost.saturating_sub(hold) as f32 / fade;
        x.clamp(0.0, 1.0)
    }

    fn fade_in(&mut self, pcm: &mut [i16]) {
        let lost_ms = self.lost / self.rate.samples(1);
        let length = self
            .rate
            .samples((4 + lost_ms as u64 * 4 / 10).min(10))
            .min(pcm.len());
        let mut made_up = [0_i16; 160];
        let made_up = &mut made_up[..length.min(160)];
        self.fill(made_up);
        for (i, (real, made)) in pcm.iter_mut().zip(made_up.iter()).enumerate() {
            let weight = (i + 1) as f32 / (length + 1) as f32;
            *real = (f32::from(*real) * weight + f32::from(*made) * (1.0 - weight)) as i16;
        }
    }

    /// The lag of 5–15 ms at which the last 20 ms look most like what came before.
    fn find_pitch(&self) -> usize {
        let unit = self.rate.samples(1);
        let stride = unit / 8;
        let window = WINDOW_MS * unit;
        let target = &self.history[self.history.len() - window..];
        let score = |lag: usize| {
            let start = self.history.len() - window - lag;
            similarity(target, &self.history[start..start + window], stride.max(1))
        };
        let lags = (MIN_PITCH_MS * unit..=MAX_PITCH_MS * unit).step_by(stride.max(1));
        best(lags, score).map_or(10 * unit, |(lag, _)| lag)
    }
}

/// Normalised cross-correlation, −1 to 1; 0 when either side is silent.
pub(crate) fn similarity(a: &[i16], b: &[i16], stride: usize) -> f32 {
    let (mut cross, mut power_a, mut power_b) = (0.0_f32, 0.0_f32, 0.0_f32);
    for (x, y) in a.iter().step_by(stride).zip(b.iter().step_by(stride)) {
        let (x, y) = (f32::from(*x), f32::from(*y));
        cross += x * y;
        power_a += x * x;
        power_b += y * y;
    }
    let power = power_a * power_b;
    if power > 0.0 {
        cross / power.sqrt()
    } else {
        0.0
    }
}

/// The candidate with the highest score.
pub(crate) fn best(
    candidates: impl Iterator<Item = usize>,
    score: impl Fn(usize) -> f32,
) -> Option<(usize, f32)> {
    candidates
        .map(|c| (c, score(c)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}
