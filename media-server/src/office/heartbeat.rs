//! "I am alive, and these are my calls."

use model::{
    CallId, NodeId,
    internal::{Heartbeat, Leased},
};
use tokio::sync::watch;

use super::Office;

/// What a heartbeat says of this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Live conversations.
    pub live: Vec<CallId>,
    /// Whether new calls are taken.
    pub accepting: bool,
    /// The snapshot revision in force.
    pub revision: u64,
    /// The profiles there are.
    pub profiles: Vec<String>,
}

/// Beats for ever: every [`super::OfficeTiming::heartbeat`], and at once when `changes` tells of a
/// new revision (a publish may be waiting for it). A beat that fails is not made up for; what the
/// last one that was answered brought stays.
pub async fn heartbeats(
    office: Office,
    node: NodeId,
    boot: u64,
    mut changes: watch::Receiver<u64>,
    mut pulse: impl FnMut() -> Pulse + Send,
    leased: impl Fn(Leased) + Send,
) {
    let mut every = tokio::time::interval(office.timing().heartbeat);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watching = true;
    loop {
        tokio::select! {
            _ = every.tick() => {}
            changed = changes.changed(), if watching => {
                watching = changed.is_ok();
                // The next beat is a whole interval away from this extra one.
                every.reset();
            }
        }
        let Pulse {
            live,
            accepting,
            revision,
            profiles,
        } = pulse();
        let beat = Heartbeat {
            node,
            boot,
            revision,
            live,
            accepting,
            profiles,
        };
        match office.heartbeat(&beat).await {
            Ok(ours) => leased(ours),
            Err(error) => tracing::debug!(%error, "a heartbeat was not heard"),
        }
    }
}
