//! What goes into a dialog and what comes out.

use bytes::Bytes;

use super::{ReferOrder, ReferRequest, Refusal};
use crate::flow::Flow;
use crate::message::{Message, Response};
use crate::offer_answer::{AgreedMedia, Direction, MediaAddress};
use crate::value::Reason;

/// Inputs: from the wire and from the call.
#[derive(Clone, Debug)]
pub enum DialogInput {
    /// A message the endpoint delivered.
    Received {
        /// Where it came in.
        flow: Flow,
        /// The message.
        message: Box<Message>,
    },
    /// UAS: say 180.
    Ring,
    /// UAS: say 183 with SDP, early media starts.
    Progress {
        /// Where we receive.
        media: MediaAddress,
    },
    /// UAS: say 200.
    Answer {
        /// Where we receive.
        media: MediaAddress,
    },
    /// UAS: refuse the call.
    Reject(Refusal),
    /// End it, whatever that takes now: 480, CANCEL or BYE.
    Hangup {
        /// For the Reason header.
        reason: Option<Reason>,
    },
    /// Hold, resume or move our media with a re-INVITE. 491 is retried by itself; while another one is under way it waits.
    Reoffer {
        /// What we want to do with the media.
        direction: Direction,
        /// A new address, if it moved.
        media: Option<MediaAddress>,
    },
    /// Send an INFO.
    SendInfo {
        /// Its Content-Type.
        content_type: String,
        /// Its body.
        body: Bytes,
    },
    /// Ask the far side to call somebody else (RFC 3515); one at a time. `ReferAnswered` follows.
    Refer(Box<ReferOrder>),
    /// The verdict on a REFER of the far side: 202 accepts it, from 300 on it is refused.
    AnswerRefer {
        /// The status.
        status: u16,
    },
    /// Tell whoever asked us how far the transfer has come; a final status is the last word.
    ReferNews {
        /// The status of the call that the REFER asked for.
        status: u16,
        /// No more will come.
        last: bool,
    },
    /// The transport could not deliver on this flow.
    TransportFailed {
        /// The flow.
        flow: Flow,
    },
    /// UAC: the target that [`DialogEffect::WantTarget`] asked for.
    NextTarget {
        /// Socket and address.
        flow: Flow,
        /// Host and port of our Contact and Via on that flow.
        contact: (String, u16),
        /// Whether there are more behind it.
        more: bool,
    },
    /// UAC: there is no other target.
    NoTarget,
}

/// Outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEffect {
    /// Put these bytes on the wire.
    Transmit {
        /// Socket and address; a stream flow with connection 0 wants a new connection.
        flow: Flow,
        /// One message.
        bytes: Bytes,
    },
    /// Tell the call.
    Event(DialogEvent),
    /// UAC: this target cannot take the call (RFC 3263 §4.3). Answer with [`DialogInput::NextTarget`] or
    /// [`DialogInput::NoTarget`]; only asked when [`super::DialogConfig::more_targets`] said that there are some.
    WantTarget,
}

/// News for the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogEvent {
    /// UAS: an INVITE that can be answered, and whether it carried an offer.
    Invited {
        /// Whether an SDP offer was in it.
        offer: bool,
    },
    /// UAC: a provisional response other than 100.
    Ringing {
        /// 180–199.
        status: u16,
    },
    /// UAC: SDP in a provisional response; the answer may still change.
    EarlyMedia(Box<AgreedMedia>),
    /// The media is agreed, for the first time or anew. Not sent when a refresh changed nothing.
    Media(Box<AgreedMedia>),
    /// The call is answered: our 2xx is on its way (UAS), or the 2xx came and its ACK is on its way (UAC).
    Answered,
    /// UAS: the ACK has come.
    Confirmed,
    /// An INFO, already answered 200.
    Info {
        /// Its Content-Type without parameters.
        content_type: Bytes,
        /// Its body.
        body: Bytes,
    },
    /// Our INFO was answered; 408 when it was not.
    InfoDone {
        /// The final status.
        status: u16,
    },
    /// Our re-INVITE was accepted.
    ReofferDone,
    /// Our re-INVITE was refused; the media is as before.
    ReofferFailed {
        /// The final status; 408 when there was none.
        status: u16,
    },
    /// Our REFER was answered (2xx: news follow as `ReferProgress`); 408 when it was not.
    ReferAnswered {
        /// The final status.
        status: u16,
    },
    /// How the call that our REFER asked for goes (NOTIFY with a sipfrag).
    ReferProgress {
        /// Its status, when it could be read.
        status: Option<u16>,
        /// No more will come.
        last: bool,
    },
    /// The far side wants us to call somebody: to be decided on with `AnswerRefer` within 10 s.
    Referred(Box<ReferRequest>),
    /// No ACK within 64·T1: a BYE goes out, `Ended` follows (RFC 3261 §13.3.1.4).
    AckTimeout,
    /// The call is over; exactly once.
    Ended(Box<Ended>),
    /// Nothing is left to do: forget it at the endpoint with `finished()`, drop it. The last event.
    Finished,
}

/// Who ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// We did.
    Local,
    /// The far side did.
    Remote,
    /// A timer did.
    Timeout,
    /// The transport did.
    Transport,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// With a BYE.
    Bye,
    /// Before it was answered, by CANCEL or our hang-up.
    Cancelled,
    /// With a final status.
    Refused(u16),
    /// Our 2xx was never acknowledged.
    NoAck,
    /// Our INVITE was never answered.
    NoResponse,
    /// It could not be sent.
    Unreachable,
    /// The media could not be agreed after the call was answered.
    NoMedia,
    /// The session timer ran out, or its refresh found nobody (RFC 4028).
    SessionExpired,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub by: EndedBy,
    /// How.
    pub cause: EndCause,
    /// The final SIP status, where there is one.
    pub status: Option<u16>,
    /// The Reason header the far side gave, or ours.
    pub reason: Option<Reason>,
    /// The far side's final response, where it refused: for redirects, Retry-After, challenges.
    pub response: Option<Response>,
}

impl Ended {
    pub(crate) fn new(by: EndedBy, cause: EndCause) -> Self {
        Self {
            by,
            cause,
            status: match cause {
                EndCause::Refused(status) => Some(status),
                EndCause::Cancelled => Some(487),
                EndCause::NoResponse => Some(408),
                EndCause::Unreachable => Some(503),
                EndCause::Bye | EndCause::NoAck | EndCause::NoMedia | EndCause::SessionExpired => {
                    None
                }
            },
            reason: None,
            response: None,
        }
    }

    pub(crate) fn because(mut self, reason: Option<Reason>) -> Self {
        self.reason = reason;
        self
    }
}
