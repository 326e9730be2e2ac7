//! What a listener counts.

/// Why bytes led to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// CRLF keep-alive.
    KeepAlive,
    /// STUN.
    Stun,
    /// HTTP.
    Http,
    /// TLS or noise.
    NotSip,
    /// A malformed message that cannot or must not be answered.
    Malformed,
    /// A response to nothing of ours.
    StrayResponse,
    /// An ACK to nothing of ours.
    StrayAck,
}

/// Totals since the endpoint was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Datagrams and frames taken.
    pub received: u64,
    /// Messages handed to dialogs.
    pub delivered: u64,
    /// INVITEs handed out as new calls.
    pub new_invites: u64,
    /// Requests answered without a dialog.
    pub answered: u64,
    /// INVITEs refused here.
    pub refused: u64,
    /// Refusals without a machine, because its table was full.
    pub refused_stateless: u64,
    /// 503 because admission was closed.
    pub refused_overload: u64,
    /// 503 because the dialog table was full.
    pub refused_full: u64,
    /// Copies answered or absorbed from memory.
    pub retransmissions: u64,
    /// Finished transactions forgotten before their time, because the table was full.
    pub forgotten_early: u64,
    /// Messages the reader refused.
    pub malformed: u64,
    /// Drops by reason.
    pub dropped_keep_alive: u64,
    /// STUN.
    pub dropped_stun: u64,
    /// HTTP.
    pub dropped_http: u64,
    /// TLS or noise.
    pub dropped_not_sip: u64,
    /// Malformed and not answerable.
    pub dropped_malformed: u64,
    /// Stray responses.
    pub dropped_responses: u64,
    /// Stray ACKs.
    pub dropped_acks: u64,
}

impl EndpointCounters {
    pub(super) fn count_drop(&mut self, why: DropReason) {
        let counter = match why {
            DropReason::KeepAlive => &mut self.dropped_keep_alive,
            DropReason::Stun => &mut self.dropped_stun,
            DropReason::Http => &mut self.dropped_http,
            DropReason::NotSip => &mut self.dropped_not_sip,
            DropReason::Malformed => &mut self.dropped_malformed,
            DropReason::StrayResponse => &mut self.dropped_responses,
            DropReason::StrayAck => &mut self.dropped_acks,
        };
        *counter += 1;
    }
}
