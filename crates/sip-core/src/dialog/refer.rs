//! REFER (RFC 3515) with its implicit subscription, in both roles.

use std::time::Duration;

use bytes::Bytes;

use super::{Dialog, DialogEvent, Phase, Refusal};
use crate::answer;
use crate::flow::Flow;
use crate::message::{Headers, Method, Request, reason_phrase};
use crate::transaction::TransactionKey;
use crate::value::scan::{split_list, trim};
use crate::value::{NameAddr, Replaces};

/// A REFER of the far side that nobody decides on is declined after this long.
const VERDICT: Duration = Duration::from_secs(10);

/// Seconds that our NOTIFYs call the subscription alive.
const SUBSCRIPTION_S: u32 = 180;

/// A transfer to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferOrder {
    /// The URI to call; `?Replaces=…` ([`Replaces::in_uri`]) makes it an attended transfer.
    pub to: String,
    /// Referred-By (RFC 3892): a name-addr.
    pub referred_by: Option<String>,
}

/// A transfer asked of us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferRequest {
    /// Refer-To.
    pub to: NameAddr,
    /// The dialog that the new call is to replace.
    pub replaces: Option<Replaces>,
    /// Referred-By as it came.
    pub referred_by: Option<Bytes>,
}

/// Both halves.
#[derive(Debug, Default)]
pub(super) struct Refers {
    /// We asked, and hear how it goes.
    asked: bool,
    /// They asked.
    theirs: Theirs,
    /// REFERs of theirs that were accepted so far.
    accepted: u32,
}

/// A REFER of the far side.
#[derive(Debug, Default)]
enum Theirs {
    #[default]
    None,
    /// Waits for a verdict.
    Open {
        request: Box<Request>,
        flow: Flow,
        until: Duration,
    },
    /// Accepted: they hear how it goes.
    Subscribed { event: String },
}

impl Refers {
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        match &self.theirs {
            Theirs::Open { until, .. } => Some(*until),
            Theirs::None | Theirs::Subscribed { .. } => None,
        }
    }
}

impl Dialog {
    /// Asks the far side to call somebody else (RFC 3515 §2.4.1). One at a time.
    pub(super) fn refer(&mut self, order: &ReferOrder) {
        let refused = match &self.phase {
            Phase::Confirmed if self.refers.asked => Some(491),
            Phase::Confirmed => None,
            Phase::Invited { .. } | Phase::Calling { .. } | Phase::Ended => Some(481),
        };
        if let Some(status) = refused {
            return self.event(DialogEvent::ReferAnswered { status });
        }
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let mut draft = self
            .ties
            .request(&Method::Refer, cseq, &branch, &self.config);
        draft.header("Contact", self.ties.contact(&self.config));
        draft.header("Refer-To", format!("<{}>", order.to));
        if let Some(who) = &order.referred_by {
            draft.header("Referred-By", who);
        }
        draft.header("Supported", answer::supported(self.config.reliable));
        let flow = self.ties.next_hop(self.config.next_hop);
        self.refers.asked = true;
        self.submit(Method::Refer, branch, flow, draft.finish(b""));
    }

    /// The answer to our REFER. Accepted, its news come with NOTIFY.
    pub(super) fn refer_answered(&mut self, status: u16) {
        if status >= 300 {
            self.refers.asked = false;
        }
        self.event(DialogEvent::ReferAnswered { status });
        if status == 481 {
            self.dialog_is_gone(status);
        }
    }

    /// NOTIFY of our REFER's subscription (RFC 3515 §2.4.4); it may overtake the 202.
    pub(super) fn notified(&mut self, flow: Flow, request: &Request) {
        let event = request.headers().get("Event");
        let package = event.and_then(|event| event.split(|byte| *byte == b';').next());
        let is_refer = package.is_some_and(|package| trim(package).eq_ignore_ascii_case(b"refer"));
        if !is_refer {
            let refusal = Refusal {
                headers: vec![("Allow-Events".into(), "refer".into())],
                ..Refusal::new(489)
            };
            return self.refuse(flow, request, &refusal);
        }
        if !self.refers.asked {
            return self.refuse(flow, request, &Refusal::new(481));
        }
        self.respond_plain(flow, request, 200);
        let status = sipfrag_status(request);
        let last = is_terminated(request.headers()) || status.is_some_and(|status| status >= 200);
        self.refers.asked = !last;
        self.event(DialogEvent::ReferProgress { status, last });
    }

    /// REFER of the far side (RFC 3515 §2.4.2): the call decides.
    pub(super) fn referred(&mut self, flow: Flow, request: &Request) {
        if !matches!(self.phase, Phase::Confirmed) {
            return self.refuse(flow, request, &Refusal::new(603));
        }
        if !matches!(self.refers.theirs, Theirs::None) {
            return self.refuse(flow, request, &Refusal::new(491));
        }
        let Some(asked) = refer_request(request.headers()) else {
            return self.refuse(flow, request, &Refusal::new(400));
        };
        self.hold_open(flow, request);
        self.refers.theirs = Theirs::Open {
            request: Box::new(request.clone()),
            flow,
            until: self.now + VERDICT,
        };
        self.event(DialogEvent::Referred(Box::new(asked)));
    }

    /// The verdict: 202 and a first NOTIFY at once, or a refusal.
    pub(super) fn answer_refer(&mut self, status: u16) {
        let (request, flow) = match std::mem::take(&mut self.refers.theirs) {
            Theirs::Open { request, flow, .. } => (request, flow),
            other @ (Theirs::None | Theirs::Subscribed { .. }) => {
                self.refers.theirs = other;
                return;
            }
        };
        let tag = self.ties.id.local_tag.clone();
        let accepted = (200..300).contains(&status);
        let status = if accepted {
            202
        } else {
            Refusal::new(status).status
        };
        let style = self.config.style();
        let mut draft = answer::begin(&request, flow, status, None, Some(&tag), style);
        let silent = wants_no_news(request.headers());
        if accepted {
            draft.header("Contact", self.ties.contact(&self.config));
            if silent {
                draft.header("Refer-Sub", "false");
            }
        }
        self.respond_open(TransactionKey::of(&request), status, draft.finish(b""));
        if accepted && !silent {
            // RFC 3515 §2.4.6: only the first one does without an id.
            let event = match self.refers.accepted {
                0 => "refer".to_owned(),
                _ => format!("refer;id={}", request.cseq()),
            };
            self.refers.accepted += 1;
            self.refers.theirs = Theirs::Subscribed { event };
            self.refer_news(100, false);
        }
    }

    /// NOTIFY with how far the transfer has come (RFC 3515 §2.4.5).
    pub(super) fn refer_news(&mut self, status: u16, last: bool) {
        let Theirs::Subscribed { event } = &self.refers.theirs else {
            return;
        };
        if !matches!(self.phase, Phase::Confirmed) {
            return;
        }
        let event = event.clone();
        let last = last || status >= 200;
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let mut draft = self
            .ties
            .request(&Method::Notify, cseq, &branch, &self.config);
        draft.header("Contact", self.ties.contact(&self.config));
        draft.header("Event", event);
        let state = match last {
            true => "terminated;reason=noresource".to_owned(),
            false => format!("active;expires={SUBSCRIPTION_S}"),
        };
        draft.header("Subscription-State", state);
        let fragment = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
        let bytes = draft.finish_with("message/sipfrag;version=2.0", fragment.as_bytes());
        let flow = self.ties.next_hop(self.config.next_hop);
        if last {
            self.refers.theirs = Theirs::None;
        }
        self.submit(Method::Notify, branch, flow, bytes);
    }

    /// Our NOTIFY was answered: whoever does not know the subscription hears no more of it (RFC 6665 §4.2.2).
    pub(super) fn notify_answered(&mut self, status: u16) {
        if status >= 300 && matches!(self.refers.theirs, Theirs::Subscribed { .. }) {
            self.refers.theirs = Theirs::None;
        }
    }

    pub(super) fn refer_timeouts(&mut self) {
        if self.refers.poll_timeout().is_some_and(|at| self.now >= at) {
            self.answer_refer(603);
        }
    }
}

/// Exactly one Refer-To (RFC 3515 §2.1).
fn refer_request(headers: &Headers) -> Option<ReferRequest> {
    let mut all = headers.all("Refer-To");
    let (value, None) = (all.next()?, all.next()) else {
        return None;
    };
    let elements = split_list(value).ok()?;
    let [_] = elements[..] else { return None };
    let to = NameAddr::parse(value).ok()?;
    let replaces = match to.uri().headers() {
        Some(fields) => Replaces::in_uri_headers(fields),
        None => None,
    };
    Some(ReferRequest {
        to,
        replaces,
        referred_by: headers.get("Referred-By").cloned(),
    })
}

/// RFC 4488.
fn wants_no_news(headers: &Headers) -> bool {
    let value = headers.get("Refer-Sub");
    value.is_some_and(|value| trim(value).eq_ignore_ascii_case(b"false"))
}

/// `SIP/2.0 180 Ringing` at the start of a message/sipfrag body.
fn sipfrag_status(request: &Request) -> Option<u16> {
    let kind = request.content_type()?;
    if !kind.eq_ignore_ascii_case(b"message/sipfrag") {
        return None;
    }
    let mut words = request.body().split(|byte| byte.is_ascii_whitespace());
    if !words.next()?.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let status = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    (100..700).contains(&status).then_some(status)
}

fn is_terminated(headers: &Headers) -> bool {
    let value = headers.get("Subscription-State");
    let state = value.and_then(|value| value.split(|byte| *byte == b';').next());
    state.is_some_and(|state| trim(state).eq_ignore_ascii_case(b"terminated"))
}
