//! Where a call is, for everybody to see.

use super::{Call, Phase};

/// The public state of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallState {
    /// Not answered yet.
    Ringing,
    /// Answered.
    InProgress,
    /// Answered, and held by the far side.
    OnHold,
    /// Over, or about to be.
    Ended,
}

impl Call {
    /// The public state.
    pub fn state(&self) -> CallState {
        match self.phase {
            Phase::New | Phase::Routing { .. } | Phase::Early { .. } | Phase::Calling { .. } => {
                CallState::Ringing
            }
            Phase::Answered { .. } if self.is_held() => CallState::OnHold,
            Phase::Answered { .. } => CallState::InProgress,
            Phase::Ending { .. } | Phase::Over => CallState::Ended,
        }
    }

    /// True once `Effect::Ended` has been put out.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }
}
