//! How well the caller is heard while the call lasts: a fact when it changes, and a gauge over all calls.

use media_core::leg::{Quality, QualityChange};
use model::FactKind;

use super::State;

/// The leg judged a window of five seconds otherwise than the one before. A call that begins well is no news.
pub(super) fn changed(state: &mut State, change: QualityChange) {
    state.media.quality = Some(state.services().metrics.sounds(change.to));
    if change.from.is_none() && change.to == Quality::Excellent {
        return;
    }
    state.dossier().write(FactKind::QualityChanged {
        quality: change.to.as_str().to_owned(),
        loss_percent: f32::from(change.missing_permille) / 10.0,
    });
}
