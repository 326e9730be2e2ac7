//! Why a conversation ended: one closed list for records, metrics and webhooks.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a conversation ended. A call ending is data, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The caller hung up an answered call.
    CallerHangup,
    /// The agent said goodbye and hung up.
    AgentHangup,
    /// The dialplan came to its end or to `hangup`.
    DialplanHangup,
    /// Somebody ended it over REST or the server's socket.
    OperatorHangup,
    /// The caller gave up before the answer (CANCEL).
    Cancelled,
    /// The dialplan refused the call.
    Rejected,
    /// Nothing proves who calls, and the trunk's calls need a proof (STIR/SHAKEN).
    CallerUnverified,
    /// No route, number or agent matched.
    NoRoute,
    /// The far side was busy.
    Busy,
    /// The far side did not answer in time.
    NoAnswer,
    /// No codec in common.
    NoCommonCodec,
    /// The offer or another part of the request could not be used.
    BadRequest,
    /// The caller never confirmed our 200 (no ACK within 64·T1).
    AckTimeout,
    /// No RTP arrived, or it stopped.
    MediaTimeout,
    /// The caller stayed silent through every prompt.
    IdleTimeout,
    /// The maximum duration was reached.
    MaxDuration,
    /// The agent could not go on and no fallback was left.
    AgentFailed,
    /// Admission, ports or journal space were exhausted.
    Capacity,
    /// The signalling connection was lost and the far side could not be reached.
    TransportFailed,
    /// The session timer ran out: the far side was gone (RFC 4028).
    SessionExpired,
    /// The far side wanted credentials that we do not have (401, 407).
    AuthFailed,
    /// The far side does not let us call there (403).
    Forbidden,
    /// Nobody has that number or address (404, 410, 484, 604).
    NotFound,
    /// The far side cannot be reached at this time (480).
    Unavailable,
    /// Something beyond the far side's first hop failed (5xx).
    Upstream,
    /// The bridged leg ended the call.
    BridgeEnded,
    /// The switch died during the call.
    NodeLost,
    /// The switch was drained and the call outlived the limit.
    NodeDrained,
    /// A fault of ours; the log has it.
    InternalError,
    /// No switch took the order to call before it expired; nothing was dialled.
    NotPlaced,
    /// The caller was handed to somebody else, who has the call now (REFER).
    Transferred,
}

impl EndReason {
    /// Every reason, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::CallerHangup,
        Self::AgentHangup,
        Self::DialplanHangup,
        Self::OperatorHangup,
        Self::Cancelled,
        Self::Rejected,
        Self::CallerUnverified,
        Self::NoRoute,
        Self::Busy,
        Self::NoAnswer,
        Self::NoCommonCodec,
        Self::BadRequest,
        Self::AckTimeout,
        Self::MediaTimeout,
        Self::IdleTimeout,
        Self::MaxDuration,
        Self::AgentFailed,
        Self::Capacity,
        Self::TransportFailed,
        Self::SessionExpired,
        Self::AuthFailed,
        Self::Forbidden,
        Self::NotFound,
        Self::Unavailable,
        Self::Upstream,
        Self::BridgeEnded,
        Self::NodeLost,
        Self::NodeDrained,
        Self::InternalError,
        Self::NotPlaced,
        Self::Transferred,
    ];

    /// The wire name, as in JSON (`caller_hangup`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CallerHangup => "caller_hangup",
            Self::AgentHangup => "agent_hangup",
            Self::DialplanHangup => "dialplan_hangup",
            Self::OperatorHangup => "operator_hangup",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::CallerUnverified => "caller_unverified",
            Self::NoRoute => "no_route",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::NoCommonCodec => "no_common_codec",
            Self::BadRequest => "bad_request",
            Self::AckTimeout => "ack_timeout",
            Self::MediaTimeout => "media_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::MaxDuration => "max_duration",
            Self::AgentFailed => "agent_failed",
            Self::Capacity => "capacity",
            Self::TransportFailed => "transport_failed",
            Self::SessionExpired => "session_expired",
            Self::AuthFailed => "auth_failed",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Upstream => "upstream",
            Self::BridgeEnded => "bridge_ended",
            Self::NodeLost => "node_lost",
            Self::NodeDrained => "node_drained",
            Self::InternalError => "internal_error",
            Self::NotPlaced => "not_placed",
            Self::Transferred => "transferred",
        }
    }

    /// The reason with this wire name.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_agree_with_json() {
        for reason in EndReason::ALL {
            let json = serde_json::to_value(reason).unwrap();
            assert_eq!(json, reason.as_str());
            assert_eq!(EndReason::from_wire(reason.as_str()), Some(*reason));
        }
    }
}
