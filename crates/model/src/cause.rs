//! Why a call failed, in three languages: SIP statuses, Q.850 causes and our own classes.
//!
//! The maps are RFC 4497 §8.4 and RFC 3398 §7.2 with FreeSWITCH's choices where those leave one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::EndReason;

/// The class of a failed attempt to reach somebody: what policies and people look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// Credentials are missing or wrong (401, 407).
    Auth,
    /// We may not call there (403).
    Forbidden,
    /// Nobody has that number (404, 410, 484, 604).
    NotFound,
    /// It rang and nobody came (408, Q.850 18 and 19).
    NoAnswer,
    /// Not to be reached now (480).
    Unavailable,
    /// Busy (486, 600).
    Busy,
    /// Declined by a person or a policy (603, 607, 608).
    Rejected,
    /// Something beyond the first hop failed (5xx but 503, 6xx).
    Upstream,
    /// The trunk has no room (503, Q.850 34, 38, 42, 44).
    TrunkCapacity,
    /// It could not be sent, or nothing came back.
    Network,
    /// Given up before an answer (487).
    Cancelled,
    /// No codec in common (488, 606, 415, Q.850 88).
    Media,
    /// The request was not understood, or a fault of ours (other 4xx).
    Application,
}

impl FailureClass {
    /// Every class, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::Auth,
        Self::Forbidden,
        Self::NotFound,
        Self::NoAnswer,
        Self::Unavailable,
        Self::Busy,
        Self::Rejected,
        Self::Upstream,
        Self::TrunkCapacity,
        Self::Network,
        Self::Cancelled,
        Self::Media,
        Self::Application,
    ];

    /// The class of a final status (300–699). A Q.850 cause given with it (RFC 3326) says more than a 480 or 500 does.
    pub fn of(status: u16, q850: Option<u8>) -> Self {
        match status {
            401 | 407 => Self::Auth,
            403 | 428..=438 => Self::Forbidden,
            404 | 410 | 484 | 604 => Self::NotFound,
            408 => Self::NoAnswer,
            480 => Self::of_vague(q850, Self::Unavailable),
            486 | 600 => Self::Busy,
            487 => Self::Cancelled,
            415 | 488 | 606 => Self::Media,
            503 => Self::TrunkCapacity,
            500 | 502 | 504 => Self::of_vague(q850, Self::Upstream),
            603 | 607 | 608 => Self::of_vague(q850, Self::Rejected),
            501..=699 => Self::Upstream,
            _ => Self::Application,
        }
    }

    fn of_vague(q850: Option<u8>, otherwise: Self) -> Self {
        match q850 {
            Some(1..=3 | 22 | 28) => Self::NotFound,
            Some(17) => Self::Busy,
            Some(18 | 19) => Self::NoAnswer,
            Some(21) => Self::Rejected,
            Some(34 | 38 | 42 | 44) => Self::TrunkCapacity,
            Some(65 | 88) => Self::Media,
            _ => otherwise,
        }
    }

    /// What the record of a call that ends for it says.
    pub fn end_reason(self) -> EndReason {
        match self {
            Self::Auth => EndReason::AuthFailed,
            Self::Forbidden => EndReason::Forbidden,
            Self::NotFound => EndReason::NotFound,
            Self::NoAnswer => EndReason::NoAnswer,
            Self::Unavailable => EndReason::Unavailable,
            Self::Busy => EndReason::Busy,
            Self::Rejected => EndReason::Rejected,
            Self::Upstream => EndReason::Upstream,
            Self::TrunkCapacity => EndReason::Capacity,
            Self::Network => EndReason::TransportFailed,
            Self::Cancelled => EndReason::Cancelled,
            Self::Media => EndReason::NoCommonCodec,
            Self::Application => EndReason::BadRequest,
        }
    }

    /// The wire name, as in JSON (`trunk_capacity`).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::NoAnswer => "no_answer",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::Rejected => "rejected",
            Self::Upstream => "upstream",
            Self::TrunkCapacity => "trunk_capacity",
            Self::Network => "network",
            Self::Cancelled => "cancelled",
            Self::Media => "media",
            Self::Application => "application",
        }
    }
}

/// The status a call is refused with for a Q.850 cause (RFC 3398 §7.2.4.1).
pub fn sip_of_q850(cause: u8) -> u16 {
    match cause {
        1..=3 => 404,
        17 => 486,
        18 => 408,
        21 => 603,
        22 | 23 => 410,
        25 => 483,
        27 => 502,
        28 => 484,
        29 | 69 | 79 => 501,
        34 | 38 | 41 | 42 | 44 | 58 => 503,
        52 | 54 | 55 | 57 => 403,
        65 | 88 => 488,
        102 => 504,
        111 => 400,
        _ => 480,
    }
}

/// The Q.850 cause that says the same as a final status (RFC 3398 §8.2.6.1).
pub fn q850_of_sip(status: u16) -> u8 {
    match status {
        200 | 487 => 16,
        401 | 403 | 407 | 603 => 21,
        404 | 485 | 604 => 1,
        410 => 22,
        408 => 102,
        482 | 483 => 25,
        484 => 28,
        486 | 600 => 17,
        415 | 488 | 606 => 88,
        501 => 79,
        502 => 38,
        500 | 503 => 41,
        504 => 102,
        505..=599 => 127,
        400..=499 => match status {
            480 => 18,
            481 => 41,
            405 => 63,
            413 | 414 | 416 | 420 | 421 => 127,
            _ => 31,
        },
        _ => 31,
    }
}

/// Words for a Q.850 cause (ITU-T Q.850 table 1), for Reason headers and people.
pub fn q850_text(cause: u8) -> &'static str {
    match cause {
        1 => "unallocated number",
        2 | 3 => "no route to destination",
        16 => "normal call clearing",
        17 => "user busy",
        18 => "no user responding",
        19 => "no answer",
        20 => "subscriber absent",
        21 => "call rejected",
        22 => "number changed",
        25 => "exchange routing error",
        27 => "destination out of order",
        28 => "invalid number format",
        29 => "facility rejected",
        31 => "normal, unspecified",
        34 | 42 => "congestion",
        38 => "network out of order",
        41 => "temporary failure",
        44 => "requested circuit not available",
        57 => "bearer capability not authorized",
        63 => "service not available",
        65 => "bearer capability not implemented",
        79 => "service not implemented",
        88 => "incompatible destination",
        102 => "recovery on timer expiry",
        111 => "protocol error",
        127 => "interworking, unspecified",
        _ => "unspecified",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_names_agree_with_json() {
        for class in FailureClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
    }

    #[test]
    fn each_status_of_the_outbound_matrix_has_its_class() {
        use FailureClass::*;
        let matrix = [
            (401, Auth),
            (403, Forbidden),
            (404, NotFound),
            (408, NoAnswer),
            (480, Unavailable),
            (486, Busy),
            (487, Cancelled),
            (488, Media),
            (500, Upstream),
            (503, TrunkCapacity),
            (600, Busy),
            (603, Rejected),
            (604, NotFound),
            (606, Media),
            (400, Application),
        ];
        for (status, class) in matrix {
            assert_eq!(FailureClass::of(status, None), class, "{status}");
        }
    }

    #[test]
    fn a_cause_says_more_than_a_vague_status() {
        assert_eq!(FailureClass::of(480, Some(19)), FailureClass::NoAnswer);
        assert_eq!(FailureClass::of(480, Some(17)), FailureClass::Busy);
        assert_eq!(FailureClass::of(500, Some(34)), FailureClass::TrunkCapacity);
        assert_eq!(FailureClass::of(404, Some(34)), FailureClass::NotFound);
    }

    #[test]
    fn a_cause_that_becomes_a_status_comes_back_in_the_same_class() {
        for cause in [1, 17, 21, 22, 28, 34, 42, 88] {
            let status = sip_of_q850(cause);
            let there = FailureClass::of(status, Some(cause));
            let back = FailureClass::of(status, Some(q850_of_sip(status)));
            assert_eq!(there, back, "{cause} as {status}");
        }
    }

    #[test]
    fn every_class_ends_a_record_under_a_reason_of_its_own() {
        let mut reasons: Vec<_> = FailureClass::ALL.iter().map(|c| c.end_reason()).collect();
        reasons.sort_by_key(|reason| reason.as_str());
        reasons.dedup();
        assert_eq!(reasons.len(), FailureClass::ALL.len());
    }
}
