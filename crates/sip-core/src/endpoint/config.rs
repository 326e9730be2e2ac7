//! What a listener is told.

use std::sync::Arc;

use crate::answer::WayBack;
use crate::dialog::Reliable;
use crate::flow::Network;
use crate::timers::Timers;

/// Settings of a listener.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Dialogs at once; beyond, new INVITEs get 503.
    pub max_dialogs: usize,
    /// Refused INVITEs waiting for their ACK; beyond, refusals are stateless.
    pub max_refusals: usize,
    /// Finished transactions remembered for retransmissions; beyond, the oldest are forgotten.
    pub max_finished: usize,
    /// The Server header.
    pub server: String,
    /// Answer to the source port even without `rport` when sent-by is plainly behind a NAT (an address that is not the source's).
    pub force_rport: bool,
    /// Networks whose `maddr` in Via is obeyed.
    pub maddr_from: Arc<[Network]>,
    /// When ringing is acknowledged (RFC 3262).
    pub reliable: Reliable,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Retry-After when a table is full, in seconds.
    pub retry_after_s: u32,
    /// An INVITE for a shorter session, in seconds, gets 422 without a dialog (RFC 4028 §9); 0 leaves that to the dialog.
    pub min_session_s: u32,
    /// Hand out REGISTER as [`super::EndpointEffect::Register`]; else it gets 405.
    pub registrar: bool,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_dialogs: 10_000,
            max_refusals: 4_096,
            max_finished: 65_536,
            server: "sidetone".into(),
            force_rport: false,
            maddr_from: Arc::from([]),
            reliable: Reliable::default(),
            timers: Timers::default(),
            retry_after_s: 5,
            min_session_s: 0,
            registrar: false,
        }
    }
}

impl EndpointConfig {
    pub(super) fn way_back(&self) -> WayBack<'_> {
        WayBack {
            force_rport: self.force_rport,
            maddr_from: &self.maddr_from,
        }
    }
}
