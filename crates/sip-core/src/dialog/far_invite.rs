//! INVITEs of the far side: the first one and re-INVITEs; CANCEL and ACK.

use std::time::Duration;

use bytes::Bytes;

use super::session_timer::Granted;
use super::{
    Dialog, DialogEvent, EndCause, Ended, EndedBy, MAX_FAR_INVITES, Phase, RINGING_REPEAT, Refusal,
    Stage,
};
use crate::answer::{self, response_flow};
use crate::flow::Flow;
use crate::message::{Draft, Method, Request};
use crate::offer_answer::{MediaAddress, OfferAnswerError};
use crate::timers::{Timers, earliest};
use crate::transaction::{Doubling, InviteServer, ServerEffect, ServerInput, TransactionKey};
use crate::value::Reason;

/// An INVITE of the far side, until its transaction is over and its 2xx acknowledged.
#[derive(Debug)]
pub(super) struct FarInvite {
    pub(super) key: TransactionKey,
    pub(super) cseq: u32,
    pub(super) flow: Flow,
    pub(super) tx: InviteServer,
    /// The INVITE that made the dialog.
    pub(super) initial: bool,
    /// Our 2xx carried the offer: the ACK brings the answer.
    pub(super) offered: bool,
    /// The 2xx until its ACK.
    pub(super) accepted: Option<Accepted>,
}

/// A 2xx that is re-sent until its ACK, at T1 doubling to T2, for 64·T1, also over reliable transports, since a later hop may not be one
/// (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) response: Bytes,
    resend: Doubling,
    give_up: Duration,
}

impl Accepted {
    pub(super) fn new(now: Duration, timers: Timers, response: Bytes) -> Self {
        Self {
            response,
            resend: Doubling::start(now, timers.t1),
            give_up: now + timers.sixty_four_t1(),
        }
    }
}

impl FarInvite {
    /// Whether something is still owed: a final response, or the far side's ACK.
    pub(super) fn is_open(&self) -> bool {
        self.tx.is_proceeding() || self.tx.awaits_ack() || self.accepted.is_some()
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let accepted = self.accepted.as_ref();
        earliest([
            self.tx.poll_timeout(),
            accepted.map(|accepted| accepted.resend.next().min(accepted.give_up)),
        ])
    }
}

impl Dialog {
    /// The INVITE that made the dialog (§13.3.1): 100 at once, then a look at its body.
    pub(super) fn invited(&mut self, flow: Flow, request: &Request) {
        self.open_invite(flow, request, true);
        let trying = answer::begin(request, flow, 100, None, None, self.config.style());
        self.respond_invite(0, 100, trying.finish(b""));
        if let Some(refusal) = self.timer_refusal(request) {
            return self.reject(&refusal);
        }
        let refused = if request.body().is_empty() {
            None
        } else if request.has_sdp() {
            let offer = self.session.examine(request.body());
            offer.err().map(|fault| fault.status())
        } else {
            Some(415)
        };
        match refused {
            Some(status) => self.reject(&Refusal::new(status)),
            None => self.event(DialogEvent::Invited {
                offer: request.has_sdp(),
            }),
        }
    }

    pub(super) fn open_invite(&mut self, flow: Flow, request: &Request, initial: bool) {
        let timers = self.config.timers;
        self.far_invites.push(FarInvite {
            key: TransactionKey::of(request),
            cseq: request.cseq(),
            flow: response_flow(flow, request.via(), self.config.way_back()),
            tx: InviteServer::new(timers, flow.transport.is_reliable()),
            initial,
            offered: false,
            accepted: None,
        });
    }

    pub(super) fn respond_invite(&mut self, at: usize, status: u16, bytes: Bytes) {
        let now = self.now;
        if let Some(far) = self.far_invites.get_mut(at) {
            if (200..300).contains(&status) {
                let accepted = Accepted::new(now, self.config.timers, bytes.clone());
                far.accepted = Some(accepted);
            }
            far.tx.handle(now, ServerInput::Respond { status, bytes });
        }
    }

    /// A response to an INVITE of this dialog, with our tag, Contact and Allow.
    pub(super) fn invite_response(
        &self,
        request: &Request,
        flow: Flow,
        status: u16,
        phrase: Option<&str>,
    ) -> Draft {
        let tag = self.ties.id.local_tag.clone();
        let style = self.config.style();
        let mut draft = answer::begin(request, flow, status, phrase, Some(&tag), style);
        if status < 300 {
            draft.header("Contact", self.ties.contact(&self.config));
            draft.header("Allow", answer::ALLOW);
            draft.header("Supported", answer::supported(self.config.reliable));
        }
        draft
    }

    /// 180.
    pub(super) fn ring(&mut self) {
        if self.rings_reliably() {
            return self.provisional(180, None);
        }
        if let Phase::Invited { invite, .. } = &self.phase {
            let draft = self.invite_response(invite, self.ties.flow, 180, None);
            self.respond_invite(0, 180, draft.finish(b""));
        }
    }

    /// 183; with SDP when there was an offer (unreliable provisionals cannot carry one, RFC 3261 §13.2.1).
    pub(super) fn progress(&mut self, media: MediaAddress) {
        if self.rings_reliably() {
            return self.provisional(183, Some(media));
        }
        let Phase::Invited { invite, .. } = &self.phase else {
            return;
        };
        let draft = self.invite_response(invite, self.ties.flow, 183, None);
        let body = invite.body().clone();
        if body.is_empty() {
            self.respond_invite(0, 183, draft.finish(b""));
            return;
        }
        match self.session.answer(&body, media) {
            Ok((sdp, agreed)) => {
                self.respond_invite(0, 183, draft.finish_with("application/sdp", &sdp));
                self.media_event(agreed);
            }
            Err(fault) => self.reject(&Refusal::new(fault.status())),
        }
    }

    /// 200, with the answer, or with our offer when the INVITE had none (§13.3.1.4).
    pub(super) fn answer(&mut self, media: MediaAddress) {
        let Phase::Invited { invite, .. } = &self.phase else {
            return;
        };
        if self.provisionals.holds_answer() {
            self.wishes.answer = Some(media);
            return;
        }
        let mut draft = self.invite_response(invite, self.ties.flow, 200, None);
        let granted = self.grant(invite);
        Granted::write(granted, &mut draft);
        let body = invite.body().clone();
        // RFC 3262 §5: what was exchanged reliably is not said again.
        let settled = self.provisionals.is_settled();
        let answered = match settled {
            true => Ok((Bytes::new(), None)),
            false => self.describe(&body, media),
        };
        match answered {
            Ok((sdp, agreed)) => {
                self.phase = Phase::Confirmed;
                self.granted(granted);
                if let Some(first) = self.far_invites.first_mut() {
                    first.offered = body.is_empty() && !settled;
                }
                let response = match settled {
                    true => draft.finish(b""),
                    false => draft.finish_with("application/sdp", &sdp),
                };
                self.respond_invite(0, 200, response);
                self.event(DialogEvent::Answered);
                self.media_event(agreed);
            }
            Err(fault) => self.reject(&Refusal::new(fault.status())),
        }
    }

    /// Our SDP for a 2xx: the answer to `offer`, or an offer when there is none.
    pub(super) fn describe(
        &mut self,
        offer: &[u8],
        media: MediaAddress,
    ) -> Result<(Bytes, Option<crate::offer_answer::AgreedMedia>), OfferAnswerError> {
        if offer.is_empty() {
            let direction = self.session.direction();
            return Ok((self.session.offer(media, direction), None));
        }
        self.session.answer(offer, media)
    }

    /// A final refusal of the call (§13.3.1.3).
    pub(super) fn reject(&mut self, refusal: &Refusal) {
        if self.refuse_first(refusal) {
            let ended = Ended::new(EndedBy::Local, EndCause::Refused(refusal.status));
            self.end(ended.because(refusal.reason.clone()));
        }
    }

    fn refuse_first(&mut self, refusal: &Refusal) -> bool {
        let Phase::Invited { invite, .. } = &self.phase else {
            return false;
        };
        let status = refusal.status;
        let flow = self.ties.flow;
        let mut draft = self.invite_response(invite, flow, status, refusal.phrase.as_deref());
        answer::owed_headers(&mut draft, invite, status, self.config.style());
        refusal.write(&mut draft);
        self.respond_invite(0, status, draft.finish(b""));
        true
    }

    pub(super) fn repeat_ringing(&mut self) {
        let now = self.now;
        let Phase::Invited { repeat_at, .. } = &mut self.phase else {
            return;
        };
        *repeat_at = now + RINGING_REPEAT;
        if self.rings_reliably() {
            // The same RSeq would be no news to anybody.
            return self.provisional(180, None);
        }
        let last = self.far_invites.first().and_then(|first| {
            let last = first.tx.last_response()?;
            (!last.starts_with(b"SIP/2.0 100")).then(|| (first.flow, last.clone()))
        });
        if let Some((flow, bytes)) = last {
            self.send(flow, bytes);
        }
    }

    /// A re-INVITE (§14.2); answered at once with what we have.
    pub(super) fn reinvited(&mut self, flow: Flow, request: &Request) {
        self.open_invite(flow, request, false);
        let at = self.far_invites.len() - 1;
        let refusal = self.reinvite_refusal(at, request);
        let outcome = match (refusal, self.session.address()) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(media)) => self
                .describe(request.body(), media)
                .map_err(|fault| Refusal::new(fault.status())),
            (None, None) => Err(Refusal::new(500)),
        };
        match outcome {
            Ok((sdp, agreed)) => {
                self.ties.refresh_target(request.contact());
                self.ties.note_allow(request.headers());
                let mut draft = self.invite_response(request, flow, 200, None);
                let granted = self.grant(request);
                Granted::write(granted, &mut draft);
                self.granted(granted);
                if let Some(far) = self.far_invites.get_mut(at) {
                    far.offered = request.body().is_empty();
                }
                self.respond_invite(at, 200, draft.finish_with("application/sdp", &sdp));
                self.media_event(agreed);
            }
            Err(refusal) => {
                let status = refusal.status;
                let mut draft = self.invite_response(request, flow, status, None);
                answer::owed_headers(&mut draft, request, status, self.config.style());
                refusal.write(&mut draft);
                self.respond_invite(at, status, draft.finish(b""));
            }
        }
    }

    /// A re-INVITE refused before it is looked into.
    pub(super) fn refuse_invite(
        &mut self,
        flow: Flow,
        request: &Request,
        status: u16,
        bytes: Bytes,
    ) {
        if self.far_invites.len() >= MAX_FAR_INVITES {
            return self.send(
                response_flow(flow, request.via(), self.config.way_back()),
                bytes,
            );
        }
        self.open_invite(flow, request, false);
        let at = self.far_invites.len() - 1;
        self.respond_invite(at, status, bytes);
    }

    /// §14.2: 491 while we offer ourselves, 500 while an earlier INVITE is not answered.
    fn reinvite_refusal(&mut self, at: usize, request: &Request) -> Option<Refusal> {
        let earlier = |far: &FarInvite| far.tx.is_proceeding();
        if self.far_invites.iter().take(at).any(earlier) {
            let retry_after_s = u32::try_from(self.tokens.below(11)).ok();
            return Some(Refusal {
                retry_after_s,
                ..Refusal::new(500)
            });
        }
        if self.session.has_offered() || self.near_invites.iter().any(|near| near.tx.is_pending()) {
            return Some(Refusal::new(491));
        }
        if !request.body().is_empty() && !request.has_sdp() {
            return Some(Refusal::new(415));
        }
        self.timer_refusal(request)
    }

    /// An ACK: of a refusal by its key (§17.2.1), of a 2xx by its CSeq (§13.3.1.4).
    pub(super) fn ack(&mut self, request: &Request) {
        let now = self.now;
        let key = TransactionKey::of(request);
        let by_key = |far: &&mut FarInvite| far.key == key && far.tx.awaits_ack();
        if let Some(far) = self.far_invites.iter_mut().find(by_key) {
            far.tx.handle(now, ServerInput::Ack);
            return;
        }
        let by_cseq = |far: &&mut FarInvite| far.cseq == request.cseq() && far.accepted.is_some();
        let Some(far) = self.far_invites.iter_mut().find(by_cseq) else {
            return;
        };
        far.accepted = None;
        let (initial, offered) = (far.initial, far.offered);
        if initial {
            self.event(DialogEvent::Confirmed);
        }
        if offered && matches!(self.phase, Phase::Confirmed) {
            self.accept_in_ack(request);
        }
    }

    /// The answer to the offer in our 2xx. Without a usable one there is no session: BYE.
    fn accept_in_ack(&mut self, ack: &Request) {
        match self.session.accept(ack.body()) {
            Ok(agreed) => self.media_event(agreed),
            Err(_) => self.give_up_media(),
        }
    }

    pub(super) fn give_up_media(&mut self) {
        let reason = Reason::sip(488, "No media agreed");
        self.bye(Some(&reason));
        self.end(Ended::new(EndedBy::Local, EndCause::NoMedia).because(Some(reason)));
    }

    /// CANCEL (§9.2): 200 to itself, 487 to an INVITE without final response; after one it changes nothing.
    pub(super) fn cancelled(&mut self, flow: Flow, cancel: &Request) {
        let key = TransactionKey::of_cancelled(cancel);
        let meant = self.far_invites.iter().position(|far| far.key == key);
        let status = if meant.is_some() { 200 } else { 481 };
        self.respond_plain(flow, cancel, status);
        let pending = meant
            .and_then(|at| self.far_invites.get(at))
            .is_some_and(|far| far.initial && far.tx.is_proceeding());
        if pending && self.refuse_first(&Refusal::new(487)) {
            let reason = super::far_request::reason_of(cancel.headers());
            self.end(Ended::new(EndedBy::Remote, EndCause::Cancelled).because(reason));
        }
    }

    /// A BYE ends an INVITE that has no final response with 487, and an unacknowledged 2xx (§15.1.2).
    pub(super) fn close_far_invites(&mut self) {
        self.refuse_first(&Refusal::new(487));
        for far in &mut self.far_invites {
            far.accepted = None;
        }
    }

    /// Whether our 2xx to the first INVITE, or a later one, waits for its ACK.
    pub(super) fn awaits_first_ack(&self) -> bool {
        self.far_invites.iter().any(|far| far.accepted.is_some())
    }

    pub(super) fn far_invite_timeouts(&mut self) {
        let now = self.now;
        let timers = self.config.timers;
        let mut gave_up = false;
        for far in &mut self.far_invites {
            far.tx.handle_timeout(now);
            let Some(accepted) = &mut far.accepted else {
                continue;
            };
            if now >= accepted.give_up {
                far.accepted = None;
                gave_up = true;
            } else if accepted
                .resend
                .fire(now, |interval| timers.next_interval(interval))
            {
                let bytes = accepted.response.clone();
                self.effects.push_back(super::DialogEffect::Transmit {
                    flow: far.flow,
                    bytes,
                });
            }
        }
        if gave_up && matches!(self.phase, Phase::Confirmed) {
            self.event(DialogEvent::AckTimeout);
            let reason = Reason::sip(408, "No ACK");
            self.bye(Some(&reason));
            self.end(Ended::new(EndedBy::Timeout, EndCause::NoAck).because(Some(reason)));
        }
    }

    /// Carries out what the far side's transactions want.
    pub(super) fn pump_far(&mut self) -> bool {
        let mut wanted = Vec::new();
        // A CANCEL or BYE has its own answer before the 487 that it causes: some far sides insist on that order.
        for far in &mut self.far_requests {
            while let Some(effect) = far.tx.poll_effect() {
                wanted.push((far.flow, effect));
            }
        }
        for far in &mut self.far_invites {
            while let Some(effect) = far.tx.poll_effect() {
                wanted.push((far.flow, effect));
            }
        }
        let moved = !wanted.is_empty();
        for (flow, effect) in wanted {
            match effect {
                ServerEffect::Send(bytes) => self.send(flow, bytes),
                // A refusal nobody acknowledged changes nothing any more.
                ServerEffect::AckTimeout | ServerEffect::Terminated => {}
            }
        }
        moved
    }

    pub(super) fn stage(&self) -> Stage {
        match self.phase {
            Phase::Invited { .. } | Phase::Calling { .. } => Stage::Early,
            Phase::Confirmed => Stage::Confirmed,
            Phase::Ended => Stage::Ended,
        }
    }

    /// Gives an INVITE's transaction a copy of its request.
    pub(super) fn is_far_retransmission(&mut self, request: &Request) -> bool {
        let now = self.now;
        let key = TransactionKey::of(request);
        if *request.method() == Method::Invite {
            let far = self.far_invites.iter_mut().find(|far| far.key == key);
            return far
                .map(|far| far.tx.handle(now, ServerInput::Retransmission))
                .is_some();
        }
        let far = self.far_requests.iter_mut().find(|far| far.key == key);
        far.map(|far| far.tx.handle(now, ServerInput::Retransmission))
            .is_some()
    }
}

impl Refusal {
    /// The headers of the refusal itself.
    pub(crate) fn write(&self, draft: &mut Draft) {
        if let Some(seconds) = self.retry_after_s {
            draft.header("Retry-After", seconds.to_string());
        }
        if let Some(reason) = &self.reason {
            draft.header("Reason", reason.to_string());
        }
        for (name, value) in &self.headers {
            draft.header(name, value);
        }
    }
}
