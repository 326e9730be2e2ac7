//! G.722 (ITU-T G.722, 11/1988 and later): 7 kHz of sound in two sub-bands at 64 kbit/s, bit for bit as the recommendation's
//! test sequences want it; the decoder in all three modes.
//!
//! Names follow the recommendation's blocks (§6.2) so that the two can be laid side by side.

use super::{Codec, CodecSpec, room};
use crate::{Error, Rate};

/// RFC 3551 §4.5.2, payload type 9. The RTP clock is 8 kHz by an old mistake; the sound has 16 kHz.
pub static SPEC: CodecSpec = CodecSpec {
    name: "G722",
    static_pt: Some(9),
    offered_pt: 9,
    rtp_clock: 8_000,
    rate: Rate::Hz16000,
    channels: 1,
    fmtp: None,
    // No value is published for G.722 with concealment: taken as G.711's.
    impairment: super::Impairment::G711,
    recovers: false,
    make: || Box::new(G722::default()),
};

#[derive(Default)]
struct G722 {
    encoder: Encoder,
    decoder: Decoder,
}

impl Codec for G722 {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        let refused = Error::Payload {
            codec: "G722",
            bytes: payload.len(),
        };
        let out = pcm.get_mut(..payload.len() * 2).ok_or(refused)?;
        for (pair, &code) in out.chunks_exact_mut(2).zip(payload) {
            pair.copy_from_slice(&self.decoder.step(code));
        }
        Ok(payload.len() * 2)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        let len = pcm.len() / 2;
        let (pairs, _) = pcm.as_chunks::<2>();
        for (code, pair) in room(len, payload)?.iter_mut().zip(pairs) {
            *code = self.encoder.step(*pair);
        }
        Ok(len)
    }
}

/// §1.4.4: how many of the codeword's lower bits belong to somebody else's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// 64 kbit/s: all bits are sound.
    #[default]
    One,
    /// 56 kbit/s: the last bit is data.
    Two,
    /// 48 kbit/s: the last two bits are data.
    Three,
}

/// §4: two samples in, one codeword out.
pub struct Encoder {
    qmf: Qmf,
    low: Band,
    high: Band,
}

impl Default for Encoder {
    fn default() -> Self {
        Self {
            qmf: Qmf::default(),
            low: Band::LOW,
            high: Band::HIGH,
        }
    }
}

impl Encoder {
    /// Two samples of 16 kHz sound.
    pub fn step(&mut self, pair: [i16; 2]) -> u8 {
        let [even, odd] = self.qmf.push(pair.map(i32::from));
        let low = limit((even + odd) >> 14);
        let high = limit((even - odd) >> 14);
        (self.high_code(high) << 6 | self.low_code(low)) as u8
    }

    fn low_code(&mut self, sample: i32) -> usize {
        let band = &mut self.low;
        let error = saturate(sample - band.signal);
        let magnitude = if error < 0 { -(error + 1) } else { error };
        let reached = |level: &i32| magnitude >= (level * band.scale) >> 12;
        let interval = LOW_LEVELS.iter().take_while(|level| reached(level)).count();
        let code = match (error < 0, interval) {
            (true, 0 | 1) => 63 - interval,
            (true, _) => 33 - interval,
            (false, _) => 61 - interval,
        };
        band.adapt_low(code >> 2);
        code
    }

    fn high_code(&mut self, sample: i32) -> usize {
        let band = &mut self.high;
        let error = saturate(sample - band.signal);
        let magnitude = if error < 0 { -(error + 1) } else { error };
        let outer = magnitude >= (HIGH_LEVEL * band.scale) >> 12;
        let code = match (error < 0, outer) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        band.adapt_high(code);
        code
    }
}

/// §5: one codeword in, two samples out.
pub struct Decoder {
    mode: Mode,
    qmf: Qmf,
    low: Band,
    high: Band,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(Mode::One)
    }
}

impl Decoder {
    /// A decoder of one mode.
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            qmf: Qmf::default(),
            low: Band::LOW,
            high: Band::HIGH,
        }
    }

    /// Two samples of 16 kHz sound.
    pub fn step(&mut self, codeword: u8) -> [i16; 2] {
        let code = usize::from(codeword & 0x3f);
        let value = match self.mode {
            Mode::One => INVERSE_6[code],
            Mode::Two => INVERSE_5[code >> 1],
            Mode::Three => INVERSE_4[code >> 2],
        };
        let low = limit(saturate(self.low.signal + self.low.scaled(value)));
        self.low.adapt_low(code >> 2);
        let code = usize::from(codeword >> 6);
        let high = limit(saturate(
            self.high.signal + self.high.scaled(INVERSE_2[code]),
        ));
        self.high.adapt_high(code);
        let [even, odd] = self.qmf.push([low + high, low - high]);
        [even >> 11, odd >> 11].map(|sample| saturate(sample) as i16)
    }
}

/// §3.1: the quadrature mirror filter, 24 taps, both polyphase branches.
#[derive(Default)]
struct Qmf {
    delay: [i32; 24],
}

const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3_876, -805, 362, -156, 53, -11];

impl Qmf {
    /// Shifts two values in; what the taps of even and of odd number make of the line.
    fn push(&mut self, pair: [i32; 2]) -> [i32; 2] {
        self.delay.copy_within(2.., 0);
        self.delay[22..].copy_from_slice(&pair);
        let (pairs, _) = self.delay.as_chunks::<2>();
        let mut sums = [0; 2];
        for (n, [first, second]) in pairs.iter().enumerate() {
            sums[1] += first * QMF[n];
            sums[0] += second * QMF[11 - n];
        }
        sums
    }
}

/// §3.5, §3.6: one sub-band's scale factor and predictor.
#[derive(Clone)]
struct Band {
    /// Predicted signal, and its part from the zeros.
    signal: i32,
    zeros_signal: i32,
    /// Second-order section: coefficients, past reconstructions, signs of past partial reconstructions.
    poles: [i32; 2],
    reconstructed: [i32; 2],
    partial: [i32; 2],
    /// Sixth-order section: coefficients and past differences.
    zeros: [i32; 6],
    differences: [i32; 6],
    log_scale: i32,
    scale: i32,
}

impl Band {
    const LOW: Self = Self::new(32);
    const HIGH: Self = Self::new(8);

    const fn new(scale: i32) -> Self {
        Self {
            signal: 0,
            zeros_signal: 0,
            poles: [0; 2],
            reconstructed: [0; 2],
            partial: [0; 2],
            zeros: [0; 6],
            differences: [0; 6],
            log_scale: 0,
            scale,
        }
    }

    const fn scaled(&self, value: i32) -> i32 {
        (self.scale * value) >> 15
    }

    /// Blocks 2L, 3L and 4L: `code` is the codeword without its two lowest bits.
    fn adapt_low(&mut self, code: usize) {
        let difference = self.scaled(INVERSE_4[code & 15]);
        let step = LOW_STEPS[LOW_STEP_OF[code & 15]];
        self.log_scale = (((self.log_scale * 127) >> 7) + step).clamp(0, 18_432);
        self.scale = linear(self.log_scale, 8);
        self.predict(difference);
    }

    /// Blocks 2H, 3H and 4H.
    fn adapt_high(&mut self, code: usize) {
        let difference = self.scaled(INVERSE_2[code & 3]);
        // RH2 and WH: an outer codeword widens the scale, an inner one narrows it.
        let step = if code & 1 == 0 { 798 } else { -214 };
        self.log_scale = (((self.log_scale * 127) >> 7) + step).clamp(0, 22_528);
        self.scale = linear(self.log_scale, 10);
        self.predict(difference);
    }

    /// Block 4 (§6.2.1.4, §6.2.2.4).
    fn predict(&mut self, difference: i32) {
        let reconstructed = saturate(self.signal + difference);
        let partial = saturate(self.zeros_signal + difference);
        self.poles = self.updated_poles(partial);
        self.update_zeros(difference);
        self.partial = [partial, self.partial[0]];
        self.reconstructed = [reconstructed, self.reconstructed[0]];
        self.differences.copy_within(..5, 1);
        self.differences[0] = difference;
        self.zeros_signal = self.filter_zeros();
        self.signal = saturate(self.filter_poles() + self.zeros_signal);
    }

    /// UPPOL2 and UPPOL1.
    fn updated_poles(&self, partial: i32) -> [i32; 2] {
        let [first, second] = self.poles;
        let alike = self.partial.map(|past| (past < 0) == (partial < 0));
        let lean = saturate(first << 2);
        let lean = if alike[0] { -lean } else { lean }.min(32_767) >> 7;
        let pull = if alike[1] { 128 } else { -128 };
        let new_second = (pull + lean + ((second * 32_512) >> 15)).clamp(-12_288, 12_288);
        let pull = if alike[0] { 192 } else { -192 };
        let most = saturate(15_360 - new_second);
        let new_first = saturate(pull + ((first * 32_640) >> 15)).clamp(-most, most);
        [new_first, new_second]
    }

    /// UPZERO.
    fn update_zeros(&mut self, difference: i32) {
        let pull = if difference == 0 { 0 } else { 128 };
        for (zero, past) in self.zeros.iter_mut().zip(self.differences) {
            let alike = (past < 0) == (difference < 0);
            let pull = if alike { pull } else { -pull };
            *zero = saturate(pull + ((*zero * 32_640) >> 15));
        }
    }

    /// FILTEZ: from the oldest on, saturated at each step.
    fn filter_zeros(&self) -> i32 {
        let pairs = self.zeros.iter().zip(self.differences).rev();
        pairs.fold(0, |sum, (zero, past)| {
            saturate(sum + ((zero * saturate(past + past)) >> 15))
        })
    }

    /// FILTEP.
    fn filter_poles(&self) -> i32 {
        let part = |n: usize| (self.poles[n] * saturate(self.reconstructed[n] * 2)) >> 15;
        saturate(part(0) + part(1))
    }
}

/// SCALEL and SCALEH: from logarithmic to linear.
fn linear(log_scale: i32, bias: i32) -> i32 {
    let mantissa = EXPONENTIALS[(log_scale >> 6 & 31) as usize];
    let shift = bias - (log_scale >> 11);
    let value = if shift < 0 {
        mantissa << -shift
    } else {
        mantissa >> shift
    };
    value << 2
}

const fn saturate(value: i32) -> i32 {
    if value > 32_767 {
        32_767
    } else if value < -32_768 {
        -32_768
    } else {
        value
    }
}

/// LIMIT: the range of a sub-band sample.
fn limit(value: i32) -> i32 {
    value.clamp(-16_384, 16_383)
}

/// Q6: decision levels of the lower band.
const LOW_LEVELS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1_023,
    1_121, 1_219, 1_339, 1_458, 1_612, 1_765, 1_980, 2_195, 2_557, 2_919,
];
/// The decision level of the higher band.
const HIGH_LEVEL: i32 = 564;
/// WL, and by codeword which of them (RIL4, IL4).
const LOW_STEPS: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1_198, 3_042];
const LOW_STEP_OF: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
/// ILB: 2048 · 2^(n/32).
const EXPONENTIALS: [i32; 32] = [
    2_048, 2_093, 2_139, 2_186, 2_233, 2_282, 2_332, 2_383, 2_435, 2_489, 2_543, 2_599, 2_656,
    2_714, 2_774, 2_834, 2_896, 2_960, 3_025, 3_091, 3_158, 3_228, 3_298, 3_371, 3_444, 3_520,
    3_597, 3_676, 3_756, 3_838, 3_922, 4_008,
];
/// QM2.
const INVERSE_2: [i32; 4] = [-7_408, -1_616, 7_408, 1_616];
/// QM4.
const INVERSE_4: [i32; 16] = [
    0, -20_456, -12_896, -8_968, -6_288, -4_240, -2_584, -1_200, 20_456, 12_896, 8_968, 6_288,
    4_240, 2_584, 1_200, 0,
];
/// QM5.
const INVERSE_5: [i32; 32] = [
    -280, -280, -23_352, -17_560, -14_120, -11_664, -9_752, -8_184, -6_864, -5_712, -4_696, -3_784,
    -2_960, -2_208, -1_520, -880, 23_352, 17_560, 14_120, 11_664, 9_752, 8_184, 6_864, 5_712,
    4_696, 3_784, 2_960, 2_208, 1_520, 880, 280, -280,
];
/// QM6.
const INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192,
    -10_232, -9_360, -8_576, -7_856, -7_192, -6_576, -6_000, -5_456, -4_944, -4_464, -4_008,
    -3_576, -3_168, -2_776, -2_400, -2_032, -1_688, -1_360, -1_040, -728, 24_808, 21_904, 19_008,
    16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9_360, 8_576, 7_856, 7_192, 6_576, 6_000,
    5_456, 4_944, 4_464, 4_008, 3_576, 3_168, 2_776, 2_400, 2_032, 1_688, 1_360, 1_040, 728, 432,
    136, -432, -136,
];
