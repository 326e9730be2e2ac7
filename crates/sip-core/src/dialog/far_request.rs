//! Requests of the far side inside the dialog, other than INVITE and ACK.

use bytes::Bytes;

use super::session_timer::Granted;
use super::{
    Dialog, DialogEvent, EndCause, Ended, EndedBy, MAX_FAR_INVITES, MAX_FAR_REQUESTS, Phase,
    Refusal, Role,
};
use crate::answer::{self, response_flow};
use crate::flow::Flow;
use crate::message::{Headers, Method, Request};
use crate::transaction::{ServerInput, ServerTransaction, TransactionKey};
use crate::value::Reason;

/// A request of the far side, kept to answer its retransmissions.
#[derive(Debug)]
pub(super) struct FarRequest {
    pub(super) key: TransactionKey,
    pub(super) cseq: u32,
    pub(super) flow: Flow,
    pub(super) tx: ServerTransaction,
}

impl Dialog {
    /// A request the endpoint delivered (§12.2.2).
    pub(super) fn far_request(&mut self, flow: Flow, request: &Request) {
        match request.method() {
            Method::Ack => return self.ack(request),
            _ if self.is_far_retransmission(request) => return,
            Method::Cancel => return self.cancelled(flow, request),
            _ => {}
        }
        if self.early_request(flow, request) {
            return;
        }
        if let Some(refusal) = self.order_refusal(request) {
            return self.refuse(flow, request, &refusal);
        }
        self.ties.remote_cseq = Some(request.cseq());
        if flow.transport.is_stream() {
            // The far side may have opened a new connection: that one is alive.
            self.ties.flow = flow;
        }
        if answer::unsupported(request, self.config.reliable).is_some() {
            return self.refuse(flow, request, &Refusal::new(420));
        }
        self.dispatch(flow, request);
    }

    /// §12.2.2: another dialog's tag, a number out of order, a merged copy.
    fn order_refusal(&mut self, request: &Request) -> Option<Refusal> {
        let known = self.ties.remote_tag.as_deref().unwrap_or_default();
        let stranger = request.from().tag().unwrap_or_default() != known;
        let calling = matches!(self.phase, Phase::Calling { .. });
        if stranger || calling || request.to().tag().is_none() {
            return Some(Refusal::new(481));
        }
        if *request.method() == Method::Invite && self.far_invites.len() >= MAX_FAR_INVITES {
            return Some(Refusal::overload(32));
        }
        match self.ties.remote_cseq {
            Some(last) if request.cseq() < last => Some(Refusal::new(500)),
            Some(last) if request.cseq() == last => Some(Refusal::new(482)),
            Some(_) | None => None,
        }
    }

    fn dispatch(&mut self, flow: Flow, request: &Request) {
        match (&self.phase, request.method()) {
            // §15.1.2; crossing BYEs are both answered 200.
            (_, Method::Bye) => self.byed(flow, request),
            (Phase::Ended, _) => self.refuse(flow, request, &Refusal::new(481)),
            (_, Method::Invite) => self.reinvited(flow, request),
            (_, Method::Update) => self.updated(flow, request),
            (_, Method::Info) => self.informed(flow, request),
            (_, Method::Prack) => self.pracked(flow, request),
            (_, Method::Refer) => self.referred(flow, request),
            (_, Method::Notify) => self.notified(flow, request),
            (_, Method::Options) => self.respond_plain(flow, request, 200),
            (Phase::Invited { .. } | Phase::Calling { .. } | Phase::Confirmed, method) => {
                let refusal = Refusal::new(answer::method_refusal(method));
                self.refuse(flow, request, &refusal);
            }
        }
    }

    fn byed(&mut self, flow: Flow, request: &Request) {
        self.respond_plain(flow, request, 200);
        self.close_far_invites();
        let reason = reason_of(request.headers());
        self.end(Ended::new(EndedBy::Remote, EndCause::Bye).because(reason));
    }

    /// UPDATE (RFC 3311 §5.2): a target refresh, and an offer when it has a body.
    fn updated(&mut self, flow: Flow, request: &Request) {
        if let Some(refusal) = self.update_refusal(request) {
            return self.refuse(flow, request, &refusal);
        }
        self.ties.note_allow(request.headers());
        if request.body().is_empty() {
            self.ties.refresh_target(request.contact());
            return self.respond_with(flow, request, 200, b"");
        }
        let Some(media) = self.session.address() else {
            return self.refuse(flow, request, &Refusal::new(500));
        };
        match self.session.answer(request.body(), media) {
            Ok((sdp, agreed)) => {
                self.ties.refresh_target(request.contact());
                self.respond_with(flow, request, 200, &sdp);
                self.media_event(agreed);
            }
            Err(fault) => self.refuse(flow, request, &Refusal::new(fault.status())),
        }
    }

    fn update_refusal(&mut self, request: &Request) -> Option<Refusal> {
        if let Some(refusal) = self.timer_refusal(request) {
            return Some(refusal);
        }
        if request.body().is_empty() {
            return None;
        }
        if !request.has_sdp() {
            return Some(Refusal::new(415));
        }
        if self.session.has_offered() {
            return Some(Refusal::new(491));
        }
        // RFC 3311 §5.2: before the answer only when offer and answer were exchanged reliably.
        let unanswered = self.far_invites.iter().any(|far| far.tx.is_proceeding());
        let settled = self.provisionals.is_settled() && !self.provisionals.holds_answer();
        (unanswered && !settled).then(|| Refusal {
            retry_after_s: u32::try_from(self.tokens.below(11)).ok(),
            ..Refusal::new(500)
        })
    }

    /// INFO without a package (RFC 6086 §4.2.2): digits and empty ones are understood, the rest is 415.
    pub(super) fn informed(&mut self, flow: Flow, request: &Request) {
        const UNDERSTOOD: [&[u8]; 2] = [b"application/dtmf-relay", b"application/dtmf"];
        let kind = request.content_type().unwrap_or_default();
        let understood = request.body().is_empty()
            || UNDERSTOOD
                .iter()
                .any(|known| kind.eq_ignore_ascii_case(known));
        if !understood {
            let refusal = Refusal {
                headers: vec![(
                    "Accept".into(),
                    "application/dtmf-relay, application/dtmf".into(),
                )],
                ..Refusal::new(415)
            };
            return self.refuse(flow, request, &refusal);
        }
        self.respond_plain(flow, request, 200);
        if !request.body().is_empty() {
            self.event(DialogEvent::Info {
                content_type: Bytes::copy_from_slice(kind),
                body: request.body().clone(),
            });
        }
    }

    /// A refusal of any in-dialog request; an INVITE gets its own machine, since it will be acknowledged.
    pub(super) fn refuse(&mut self, flow: Flow, request: &Request, refusal: &Refusal) {
        let tag = self.ties.id.local_tag.clone();
        let status = refusal.status;
        let style = self.config.style();
        let mut draft = answer::begin(request, flow, status, None, Some(&tag), style);
        if status != 415 || refusal.headers.is_empty() {
            answer::owed_headers(&mut draft, request, status, style);
        }
        refusal.write(&mut draft);
        let bytes = draft.finish(b"");
        if *request.method() == Method::Invite {
            self.refuse_invite(flow, request, status, bytes);
        } else {
            self.answered(flow, request, status, bytes);
        }
    }

    pub(super) fn respond_plain(&mut self, flow: Flow, request: &Request, status: u16) {
        let tag = self.ties.id.local_tag.clone();
        let style = self.config.style();
        let mut draft = answer::begin(request, flow, status, None, Some(&tag), style);
        if *request.method() == Method::Options {
            draft.header("Allow", answer::ALLOW);
            draft.header("Accept", "application/sdp");
            draft.header("Supported", answer::supported(self.config.reliable));
        }
        self.answered(flow, request, status, draft.finish(b""));
    }

    /// A response to a target refresh: it carries our Contact.
    pub(super) fn respond_with(&mut self, flow: Flow, request: &Request, status: u16, sdp: &[u8]) {
        let tag = self.ties.id.local_tag.clone();
        let style = self.config.style();
        let mut draft = answer::begin(request, flow, status, None, Some(&tag), style);
        draft.header("Contact", self.ties.contact(&self.config));
        if *request.method() == Method::Update {
            draft.header("Allow", answer::ALLOW);
            draft.header("Supported", answer::supported(self.config.reliable));
            if matches!(self.phase, Phase::Confirmed) {
                let granted = self.grant(request);
                Granted::write(granted, &mut draft);
                self.granted(granted);
            }
        }
        let bytes = if sdp.is_empty() {
            draft.finish(b"")
        } else {
            draft.finish_with("application/sdp", sdp)
        };
        self.answered(flow, request, status, bytes);
    }

    fn answered(&mut self, flow: Flow, request: &Request, status: u16, bytes: Bytes) {
        self.hold_open(flow, request);
        self.respond_open(TransactionKey::of(request), status, bytes);
    }

    /// The answer to a request that was kept open.
    pub(super) fn respond_open(&mut self, key: TransactionKey, status: u16, bytes: Bytes) {
        if let Some(far) = self.far_requests.iter_mut().find(|far| far.key == key) {
            far.tx
                .handle(self.now, ServerInput::Respond { status, bytes });
        }
    }

    /// Keeps a request whose answer may come later; its copies are absorbed until then.
    pub(super) fn hold_open(&mut self, flow: Flow, request: &Request) {
        let reliable = flow.transport.is_reliable();
        let tx = ServerTransaction::new(self.config.timers, reliable);
        if self.far_requests.len() == MAX_FAR_REQUESTS {
            self.far_requests.pop_front();
        }
        self.far_requests.push_back(FarRequest {
            key: TransactionKey::of(request),
            cseq: request.cseq(),
            flow: response_flow(flow, request.via(), self.config.way_back()),
            tx,
        });
    }

    /// Whether 491 should be retried at the longer interval: by the owner of the Call-ID (§14.1).
    pub(super) fn owns_call_id(&self) -> bool {
        self.ties.role == Role::Uac
    }
}

/// The Q.850 value of the Reason headers, else the first (RFC 3326 §2): the cause says more than a status that is known anyway.
pub(super) fn reason_of(headers: &Headers) -> Option<Reason> {
    let mut all: Vec<Reason> = headers.all("Reason").flat_map(Reason::parse_list).collect();
    let q850 = |reason: &Reason| reason.protocol.eq_ignore_ascii_case("Q.850");
    let at = all.iter().position(q850).unwrap_or(0);
    (at < all.len()).then(|| all.swap_remove(at))
}
