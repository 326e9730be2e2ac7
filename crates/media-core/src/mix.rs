//! Adding two voices.

use crate::Frame;

/// Adds `other` onto `frame`, saturating; frames of different rates are left unmixed (the caller resamples first).
pub fn mix(frame: &mut Frame, other: &Frame) {
    if frame.rate() != other.rate() {
        return;
    }
    for (to, from) in frame.samples_mut().iter_mut().zip(other.samples()) {
        *to = to.saturating_add(*from);
    }
}
