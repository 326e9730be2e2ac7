//! How good a leg sounds, as a number: the E-model (ITU-T G.107) with what a telephone leg can know.

mod bursts;

pub use bursts::{BurstFigures, Bursts};

use crate::codec::Impairment;

/// R of a perfect narrowband line with all other parameters at their defaults (ITU-T G.107 §7.8).
const PERFECT: f32 = 93.2;
/// One-way delay from which conversation suffers more than a little (ITU-T G.107 annex B).
const COMFORTABLE_MS: f32 = 177.3;

/// What the model is told of one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heard {
    /// Packets that did not come, or too late to be played, in percent.
    pub loss_percent: f32,
    /// From mouth to ear: half the round trip, the buffer, the codec's own.
    pub delay_ms: f32,
    /// The codec's.
    pub impairment: Impairment,
}

/// Mean opinion score, 1.0 to 4.5, in hundredths.
pub fn mos_centi(heard: Heard) -> u16 {
    mos_of(rating(heard))
}

/// The same of a rating, in hundredths (G.107 annex B).
pub fn mos_of(rating: f32) -> u16 {
    (100.0 * opinion(rating)) as u16
}

/// The rating R, 0 to 100.
pub fn rating(heard: Heard) -> f32 {
    let Impairment {
        equipment,
        robustness,
    } = heard.impairment;
    let loss = heard.loss_percent.clamp(0.0, 100.0);
    // G.107 eq. 7-29 with random loss.
    let effective = equipment + (95.0 - equipment) * loss / (loss + robustness);
    let delay = heard.delay_ms.max(0.0);
    let late = (delay - COMFORTABLE_MS).max(0.0);
    (PERFECT - effective - 0.024 * delay - 0.11 * late).clamp(0.0, 100.0)
}

/// G.107 annex B.
fn opinion(r: f32) -> f32 {
    if r <= 0.0 {
        return 1.0;
    }
    let r = r.min(100.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7.0e-6;
    mos.max(1.0)
}
