//! What a dialog leaves for its successor, and for the endpoint once it is gone.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{DialogId, SessionInterval};
use crate::flow::Flow;
use crate::offer_answer::SessionSeed;
use crate::transaction::TransactionKey;
use crate::value::Replaces;
use crate::wire_text;

/// Our side of the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// We were called.
    Uas,
    /// We called.
    Uac,
}

/// How far it had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// No final response yet.
    Early,
    /// Answered.
    Confirmed,
    /// Over.
    Ended,
}

/// A dialog between two transitions, in a form to keep on disk. Deadlines are not in it: a new process has
/// a new clock, and everything owed is owed again for its full time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogSeed {
    /// Call-ID and our tag.
    pub id: DialogId,
    /// Our side.
    pub role: Role,
    /// How far it had come.
    pub stage: Stage,
    /// The far side's tag, once known.
    #[serde(with = "wire_text::option")]
    pub remote_tag: Option<Bytes>,
    /// Our name-addr, without tag.
    #[serde(with = "wire_text")]
    pub local: Bytes,
    /// The far side's name-addr, without tag.
    #[serde(with = "wire_text")]
    pub remote: Bytes,
    /// The remote target: Request-URI of what we send.
    #[serde(with = "wire_text")]
    pub target: Bytes,
    /// The route set, frozen at creation (RFC 3261 §12.1), each value verbatim.
    #[serde(with = "wire_text::list")]
    pub routes: Vec<Bytes>,
    /// The last CSeq we used.
    pub local_cseq: u32,
    /// The last CSeq the far side used.
    pub remote_cseq: Option<u32>,
    /// Socket and peer.
    pub flow: Flow,
    /// Offer/answer state: both descriptions' ids and versions, the agreed media.
    pub session: SessionSeed,
    /// The session timer as agreed.
    #[serde(default)]
    pub session_timer: Option<SessionInterval>,
    /// Whether the far side knows UPDATE.
    #[serde(default)]
    pub allows_update: bool,
    /// Whether our Contact is a `sips` URI.
    #[serde(default)]
    pub secure: bool,
    /// The INVITE, while it has no final response: received (UAS) or sent (UAC).
    #[serde(with = "wire_text::option")]
    pub invite: Option<Bytes>,
    /// The key of the INVITE that made this dialog (UAS), for its retransmissions, CANCEL and ACK.
    pub invite_key: Option<TransactionKey>,
    /// The key by which a merged copy of that INVITE is known.
    pub merge_key: Option<TransactionKey>,
    /// Requests of the far side that may still be retransmitted, with what they get.
    pub open: Vec<OpenTransaction>,
}

impl DialogSeed {
    /// This dialog as its far side must name it to have it replaced (RFC 3891 §4): to put into a REFER.
    pub fn replaces(&self) -> Option<Replaces> {
        Some(Replaces {
            call_id: self.id.call_id.clone(),
            to_tag: self.remote_tag.clone()?,
            from_tag: self.id.local_tag.clone(),
            early_only: false,
        })
    }

    /// Whether a Replaces header that we received means this dialog (RFC 3891 §3).
    pub fn is_meant_by(&self, replaces: &Replaces) -> bool {
        self.id == replaces.dialog_id() && self.remote_tag.as_ref() == Some(&replaces.from_tag)
    }
}

/// A server transaction in a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenTransaction {
    /// Its key.
    pub key: TransactionKey,
    /// Its CSeq number.
    pub cseq: u32,
    /// Where its response goes.
    pub flow: Flow,
    /// The last response.
    #[serde(with = "wire_text::option")]
    pub response: Option<Bytes>,
    /// What the far side still owes.
    pub kind: OpenKind,
}

/// The kinds of open server transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenKind {
    /// Not an INVITE: answered, retransmissions get the answer again.
    Plain,
    /// An INVITE refused, its ACK not seen.
    Refused,
    /// An INVITE answered 2xx, its ACK not seen: the 2xx is re-sent.
    Unacknowledged {
        /// The ACK must bring the SDP answer.
        offered: bool,
    },
    /// An INVITE answered 2xx and acknowledged: late copies of it are absorbed.
    Acknowledged,
}

/// What remains of a transaction when its dialog is gone: enough to treat retransmissions right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedTransaction {
    /// Its key.
    pub key: TransactionKey,
    /// What a retransmission gets; `None` absorbs it.
    pub response: Option<Bytes>,
    /// Where the response goes.
    pub flow: Flow,
    /// Node time until which it is kept.
    pub until: Duration,
}
