//! How long each part of a call may take.

use std::time::Duration;

/// Limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For the number's lookup; then the call is routed without it.
    pub lookup: Duration,
    /// For the journal to take `started`; then the call is refused.
    pub journal: Duration,
    /// For the proof of who calls (issued by the caller's carrier); then it counts as failed.
    pub attest: Duration,
    /// For the agent to be ready before the answer; then the fallback answers.
    pub prepare: Duration,
    /// From INVITE to answer (RFC 3261 §16.6 gives proxies 3 minutes).
    pub ringing: Duration,
    /// From 200 to ACK before the plan goes on without it.
    pub ack: Duration,
    /// From answer to the end.
    pub duration: Duration,
    /// From the end to the last counters of media and recording.
    pub closing: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            lookup: Duration::from_secs(1),
            journal: Duration::from_secs(2),
            attest: Duration::from_millis(500),
            prepare: Duration::from_secs(3),
            ringing: Duration::from_secs(180),
            ack: Duration::from_secs(1),
            duration: Duration::from_secs(4 * 3600),
            closing: Duration::from_secs(1),
        }
    }
}
