//! Our own INVITEs: the call we place and our re-INVITEs; forks, CANCEL, ACK.

use std::time::Duration;

use bytes::Bytes;

use super::early::{Early, MAX_FORKS};
use super::ties::{Ties, via};
use super::{Dialog, DialogEvent, EndCause, Ended, EndedBy, OutboundCall, Phase};
use crate::answer;
use crate::digest::Answered;
use crate::flow::Flow;
use crate::message::{Draft, Method, Response};
use crate::offer_answer::{AgreedMedia, Direction, MediaAddress};
use crate::transaction::{ClientEffect, ClientInput, InviteClient, cancel_of};
use crate::value::Reason;

/// An INVITE of ours.
#[derive(Debug)]
pub(super) struct NearInvite {
    pub(super) branch: Bytes,
    pub(super) cseq: u32,
    pub(super) flow: Flow,
    pub(super) request: Bytes,
    pub(super) tx: InviteClient,
    pub(super) kind: Kind,
    /// Every 2xx seen: its To tag and the ACK it gets, again and again (§13.2.2.4).
    acks: Vec<Ack>,
    /// The response being handled.
    current: Option<Response>,
    /// The challenges answered for this INVITE so far.
    pub(super) answered: Answered,
}

#[derive(Debug)]
struct Ack {
    tag: Bytes,
    flow: Flow,
    bytes: Bytes,
}

/// What an INVITE is for.
#[derive(Debug)]
pub(super) enum Kind {
    /// The call itself.
    Call {
        cancel: Cancel,
        media: MediaAddress,
        /// The forks that ring.
        early: Vec<Early>,
    },
    /// A re-INVITE.
    Reoffer {
        direction: Direction,
        media: Option<MediaAddress>,
    },
    /// A re-INVITE that keeps the session alive (RFC 4028) and says what the last one said.
    Refresh,
    /// Refused; another INVITE went out in its place.
    Superseded,
}

/// CANCEL may only go after a provisional response (§9.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cancel {
    /// Not wanted.
    No,
    /// Wanted, waits for a provisional response.
    Wanted(Option<Reason>),
    /// On the wire.
    Sent,
}

/// The To of a call, without tag.
pub(super) fn to_of(call: &OutboundCall) -> Bytes {
    match &call.to {
        Some(to) => to.without_tag(),
        None => Bytes::from([b"<".as_ref(), call.target.raw(), b">"].concat()),
    }
}

impl NearInvite {
    /// The early dialogs of a call that rings.
    pub(super) fn forks(&self) -> &[Early] {
        match &self.kind {
            Kind::Call { early, .. } => early,
            Kind::Reoffer { .. } | Kind::Refresh | Kind::Superseded => &[],
        }
    }

    pub(super) fn new(
        dialog: &Dialog,
        (branch, cseq): (Bytes, u32),
        flow: Flow,
        request: Bytes,
        kind: Kind,
    ) -> Self {
        let reliable = flow.transport.is_reliable();
        Self {
            tx: InviteClient::new(dialog.now, dialog.config.timers, reliable, request.clone()),
            branch,
            cseq,
            flow,
            request,
            kind,
            acks: Vec::new(),
            current: None,
            answered: Answered::default(),
        }
    }

    /// The call's INVITE after a crash; its branch is read back from it.
    pub(super) fn resumed(
        tx: InviteClient,
        (branch, cseq): (Bytes, u32),
        flow: Flow,
        request: Bytes,
        media: MediaAddress,
    ) -> Self {
        Self {
            branch,
            cseq,
            flow,
            request,
            tx,
            kind: Kind::Call {
                cancel: Cancel::No,
                media,
                early: Vec::new(),
            },
            acks: Vec::new(),
            current: None,
            answered: Answered::default(),
        }
    }
}

impl Dialog {
    /// The INVITE of a new call.
    pub(super) fn place(&mut self, call: &OutboundCall) {
        let cseq = self.ties.local_cseq;
        let branch = self.tokens.branch();
        let flow = call.flow;
        let mut draft = Draft::request(&Method::Invite, call.target.raw());
        draft.header("Via", via(flow.transport, &self.config, &branch));
        draft.header("Max-Forwards", call.max_forwards.to_string());
        for route in &call.route {
            draft.header("Route", route);
        }
        let tag = &self.ties.id.local_tag;
        draft.header("From", [self.ties.local.as_ref(), b";tag=", tag].concat());
        draft.header("To", &self.ties.remote);
        draft.header("Call-ID", &self.ties.id.call_id);
        draft.header("CSeq", format!("{cseq} INVITE"));
        self.invite_headers(&mut draft);
        for (name, value) in &call.headers {
            draft.header(name, value);
        }
        let request = if call.delayed_offer {
            self.session.receive_at(call.media);
            draft.finish(b"")
        } else {
            let sdp = self.session.offer(call.media, Direction::SendRecv);
            draft.finish_with("application/sdp", &sdp)
        };
        let kind = Kind::Call {
            cancel: Cancel::No,
            media: call.media,
            early: Vec::new(),
        };
        let near = NearInvite::new(self, (branch, cseq), flow, request, kind);
        self.near_invites.push(near);
    }

    fn invite_headers(&self, draft: &mut Draft) {
        draft.header("Contact", self.ties.contact(&self.config));
        draft.header("Allow", answer::ALLOW);
        draft.header("User-Agent", &self.config.user_agent);
        self.timer_headers(draft);
    }

    /// Hold, resume, move: at once when possible, else when the way is free.
    pub(super) fn reoffer(&mut self, direction: Direction, media: Option<MediaAddress>) {
        match self.phase {
            Phase::Confirmed => self.wishes.reoffer = Some((direction, media)),
            Phase::Invited { .. } | Phase::Calling { .. } | Phase::Ended => {
                self.event(DialogEvent::ReofferFailed { status: 481 });
            }
        }
    }

    /// §14.1: no re-INVITE while another INVITE is under way in either direction.
    pub(super) fn may_reoffer(&self) -> bool {
        let ours = |near: &NearInvite| near.tx.is_pending() && !near.is_given_up();
        let ours = self.near_invites.iter().any(ours);
        let theirs = self
            .far_invites
            .iter()
            .any(|far| far.tx.is_proceeding() || far.accepted.is_some());
        !ours && !theirs && !self.session.has_offered()
    }

    pub(super) fn send_reoffer(&mut self, direction: Direction, media: Option<MediaAddress>) {
        let Some(address) = media.or(self.session.address()) else {
            return self.event(DialogEvent::ReofferFailed { status: 500 });
        };
        self.reinvite(direction, address, Kind::Reoffer { direction, media });
    }

    /// The same description again: its version stays, the media is not touched.
    pub(super) fn send_reinvite_refresh(&mut self) {
        if let Some(address) = self.session.address() {
            self.reinvite(self.session.direction(), address, Kind::Refresh);
        }
    }

    fn reinvite(&mut self, direction: Direction, address: MediaAddress, kind: Kind) {
        let cseq = self.ties.next_cseq();
        let branch = self.tokens.branch();
        let sdp = self.session.offer(address, direction);
        let mut draft = self
            .ties
            .request(&Method::Invite, cseq, &branch, &self.config);
        draft.header("Contact", self.ties.contact(&self.config));
        draft.header("Allow", answer::ALLOW);
        self.timer_headers(&mut draft);
        let request = draft.finish_with("application/sdp", &sdp);
        let request = self.signed(&Method::Invite, request);
        let flow = self.ties.next_hop(self.config.next_hop);
        let near = NearInvite::new(self, (branch, cseq), flow, request, kind);
        self.near_invites.push(near);
    }

    /// Hangs up before an answer. The call hears of its end at once; a 2xx that crosses is acknowledged and ended (§9.1).
    pub(super) fn cancel(&mut self, reason: Option<Reason>) {
        for near in &mut self.near_invites {
            if let Kind::Call { cancel, .. } = &mut near.kind {
                *cancel = Cancel::Wanted(reason.clone());
            }
        }
        self.end(Ended::new(EndedBy::Local, EndCause::Cancelled).because(reason));
        self.send_cancels();
    }

    pub(super) fn stop_ringing(&mut self) {
        let reason = Some(Reason::sip(480, "No answer"));
        for near in &mut self.near_invites {
            if let Kind::Call { cancel, .. } = &mut near.kind {
                *cancel = Cancel::Wanted(reason.clone());
            }
        }
        self.end(Ended::new(EndedBy::Timeout, EndCause::NoResponse).because(reason));
        self.send_cancels();
    }

    fn send_cancels(&mut self) {
        let now = self.now;
        let mut cancels = Vec::new();
        for near in &mut self.near_invites {
            let Kind::Call { cancel, .. } = &mut near.kind else {
                continue;
            };
            let Cancel::Wanted(reason) = cancel else {
                continue;
            };
            if !near.tx.is_proceeding() {
                continue;
            }
            near.tx.cancelled(now);
            let request = cancel_of(&near.request, reason.as_ref());
            *cancel = Cancel::Sent;
            if let Some(request) = request {
                cancels.push((near.branch.clone(), near.flow, request));
            }
        }
        for (branch, flow, request) in cancels {
            self.submit(Method::Cancel, branch, flow, request);
        }
    }

    /// A response to an INVITE of ours.
    pub(super) fn invite_answered(&mut self, response: &Response) {
        let now = self.now;
        let branch = response.via().branch().unwrap_or_default();
        let ours = |near: &&mut NearInvite| near.branch == branch && near.cseq == response.cseq();
        if let Some(near) = self.near_invites.iter_mut().find(ours) {
            near.current = Some(response.clone());
            let input = ClientInput::Response {
                status: response.status(),
                to: response.to().raw().clone(),
            };
            near.tx.handle(now, input);
        }
    }

    pub(super) fn near_invite_transport_failed(&mut self, flow: Flow) {
        let now = self.now;
        for near in &mut self.near_invites {
            if near.flow == flow {
                near.tx.handle(now, ClientInput::TransportFailed);
            }
        }
    }

    pub(super) fn pump_near_invites(&mut self) -> bool {
        let mut wanted = Vec::new();
        for (at, near) in self.near_invites.iter_mut().enumerate() {
            while let Some(effect) = near.tx.poll_effect() {
                wanted.push((at, effect));
            }
        }
        let moved = !wanted.is_empty();
        for (at, effect) in wanted {
            let Some(near) = self.near_invites.get_mut(at) else {
                continue;
            };
            let flow = near.flow;
            match effect {
                ClientEffect::Send(bytes) => self.send(flow, bytes),
                ClientEffect::PassUp => {
                    if let Some(response) = near.current.take() {
                        self.invite_news(at, &response);
                    }
                }
                ClientEffect::TimedOut => self.invite_failed(at, 408, None),
                ClientEffect::TransportFailed => self.invite_failed(at, 503, None),
                ClientEffect::Terminated => {}
            }
        }
        moved
    }

    fn invite_news(&mut self, at: usize, response: &Response) {
        match response.status() {
            0..=199 => self.ringing(at, response),
            200..=299 => self.accepted(at, response),
            status => self.invite_failed(at, status, Some(response)),
        }
    }

    fn ringing(&mut self, at: usize, response: &Response) {
        self.send_cancels();
        let given_up = self
            .near_invites
            .get(at)
            .is_some_and(NearInvite::is_given_up);
        let calling = matches!(self.phase, Phase::Calling { .. }) && !given_up;
        if calling && response.status() != 100 {
            self.rang(at, response);
        }
    }

    /// A 2xx: a repetition, another fork, or the news itself.
    fn accepted(&mut self, at: usize, response: &Response) {
        let tag = tag_of(response);
        let Some(near) = self.near_invites.get(at) else {
            return;
        };
        if let Some(ack) = near.acks.iter().find(|ack| ack.tag == tag) {
            let (flow, bytes) = (ack.flow, ack.bytes.clone());
            return self.send(flow, bytes);
        }
        let is_call = matches!(near.kind, Kind::Call { .. });
        match (&self.phase, is_call, near.acks.is_empty()) {
            (Phase::Calling { .. }, true, true) if !near.is_given_up() => {
                self.call_answered(at, response);
            }
            // §13.2.2.4: another fork, or an answer that crossed our CANCEL.
            (_, true, _) => self.lose_fork(at, response),
            (_, false, true) => self.reoffer_answered(at, response),
            (_, false, false) => {}
        }
    }

    fn call_answered(&mut self, at: usize, response: &Response) {
        self.ties.confirm(response);
        self.phase = Phase::Confirmed;
        let early = self.take_early(at, &tag_of(response));
        if let Some(early) = &early {
            self.ties.local_cseq = early.ties.local_cseq.max(self.ties.local_cseq);
            self.ties.remote_cseq = early.ties.remote_cseq;
        }
        self.timer_answered(response);
        let outcome = self.agree_on_answer(at, early, response);
        let (sdp, agreed) = match outcome {
            Some((sdp, agreed)) => (sdp, Some(agreed)),
            None => (Bytes::new(), None),
        };
        let ties = self.ties.clone();
        self.acknowledge(at, &ties, tag_of(response), &sdp);
        let Some(agreed) = agreed else {
            return self.give_up_media();
        };
        self.event(DialogEvent::Answered);
        self.event(DialogEvent::Media(Box::new(agreed)));
    }

    /// The SDP for the ACK (empty unless the offer came in the 2xx) and what is agreed; `None` when nothing is.
    fn agree_on_answer(
        &mut self,
        at: usize,
        early: Option<Early>,
        response: &Response,
    ) -> Option<(Bytes, AgreedMedia)> {
        let Kind::Call { media, .. } = &self.near_invites.get(at)?.kind else {
            return None;
        };
        let (spoken, settled) = early.map_or((None, None), |early| (early.sdp, early.session));
        if let Some(session) = settled {
            // RFC 3262 §5: what was exchanged with PRACK is not exchanged again.
            self.session = session;
            return Some((Bytes::new(), self.session.agreed()?.clone()));
        }
        if !self.session.has_offered() {
            let offer = response.has_sdp().then(|| response.body())?;
            let (sdp, _) = self.session.answer(offer, *media).ok()?;
            return Some((sdp, self.session.agreed()?.clone()));
        }
        let body = match spoken {
            Some(body) if !response.has_sdp() => body,
            _ => response.body().clone(),
        };
        self.session.accept(&body).ok()?;
        Some((Bytes::new(), self.session.agreed()?.clone()))
    }

    /// Sends the ACK of a 2xx (§13.2.2.4) and keeps it for repetitions.
    fn acknowledge(&mut self, at: usize, ties: &Ties, tag: Bytes, sdp: &[u8]) {
        let Some(cseq) = self.near_invites.get(at).map(|near| near.cseq) else {
            return;
        };
        let branch = self.tokens.branch();
        let mut draft = ties.request(&Method::Ack, cseq, &branch, &self.config);
        if let Some(near) = self.near_invites.get(at) {
            self.sign_ack(&near.request, &mut draft);
        }
        let bytes = if sdp.is_empty() {
            draft.finish(b"")
        } else {
            draft.finish_with("application/sdp", sdp)
        };
        let flow = ties.next_hop(self.config.next_hop);
        self.send(flow, bytes.clone());
        if let Some(near) = self.near_invites.get_mut(at) {
            near.acks.push(Ack { tag, flow, bytes });
        }
    }

    /// A fork that answered too late: acknowledged and ended, in a dialog of its own (§13.2.2.4).
    fn lose_fork(&mut self, at: usize, response: &Response) {
        let known = self.near_invites.get(at).map_or(0, |near| near.acks.len());
        if known >= MAX_FORKS {
            return;
        }
        let mut ties = self.ties.clone();
        ties.confirm(response);
        let early = self.take_early(at, &tag_of(response));
        if let Some(near) = self.near_invites.get(at) {
            // A fork that was acknowledged while it rang has counted on (RFC 3262 §4).
            ties.local_cseq = early.map_or(near.cseq, |early| early.ties.local_cseq);
            ties.flow = near.flow;
        }
        self.acknowledge(at, &ties, tag_of(response), b"");
        let cseq = ties.next_cseq();
        let branch = self.tokens.branch();
        let draft = ties.request(&Method::Bye, cseq, &branch, &self.config);
        let flow = ties.next_hop(self.config.next_hop);
        self.submit(Method::Bye, branch, flow, draft.finish(b""));
    }

    fn reoffer_answered(&mut self, at: usize, response: &Response) {
        self.ties.refresh_target(response.contact());
        let ties = self.ties.clone();
        self.acknowledge(at, &ties, tag_of(response), b"");
        self.timer_answered(response);
        let refresh = self
            .near_invites
            .get(at)
            .is_some_and(|near| matches!(near.kind, Kind::Refresh));
        match self.session.accept(response.body()) {
            Ok(agreed) => {
                self.media_event(agreed);
                if !refresh {
                    self.event(DialogEvent::ReofferDone);
                }
            }
            Err(_) => {
                self.session.withdraw();
                if !refresh {
                    self.event(DialogEvent::ReofferFailed { status: 488 });
                }
            }
        }
    }

    /// A final refusal, or none at all.
    fn invite_failed(&mut self, at: usize, status: u16, response: Option<&Response>) {
        let mut why = None;
        match response.map(|response| self.invite_challenged(at, response)) {
            Some(Ok(true)) => return,
            Some(Err(reason)) => why = Some(reason),
            Some(Ok(false)) | None => {}
        }
        if status == 422
            && let Some(response) = response
            && self.try_longer(at, response)
        {
            return;
        }
        let Some(near) = self.near_invites.get(at) else {
            return;
        };
        match &near.kind {
            Kind::Call { .. } if near.is_given_up() => {}
            Kind::Call { .. } => self.call_refused(at, status, response, why),
            Kind::Superseded => {}
            Kind::Refresh => {
                self.session.withdraw();
                self.refresh_failed(status, response);
            }
            Kind::Reoffer { direction, media } => {
                let again = (*direction, *media);
                self.session.withdraw();
                match status {
                    // §14.1: glare.
                    491 if matches!(self.phase, Phase::Confirmed) => self.retry_later(again),
                    // §12.2.1.2: the far side has no such dialog, or is gone.
                    408 | 481 => {
                        self.event(DialogEvent::ReofferFailed { status });
                        self.dialog_is_gone(status);
                    }
                    _ => self.event(DialogEvent::ReofferFailed { status }),
                }
            }
        }
    }

    fn call_refused(
        &mut self,
        at: usize,
        status: u16,
        response: Option<&Response>,
        why: Option<Reason>,
    ) {
        let ended = match response {
            Some(response) => Ended {
                reason: why.or_else(|| super::far_request::reason_of(response.headers())),
                response: Some(response.clone()),
                ..Ended::new(EndedBy::Remote, EndCause::Refused(status))
            },
            None if status == 408 => Ended::new(EndedBy::Timeout, EndCause::NoResponse),
            None => Ended::new(EndedBy::Transport, EndCause::Unreachable),
        };
        if !self.target_failed(at, status, &ended) {
            self.end(ended);
        }
    }

    /// §14.1: 2.1–4 s for the owner of the Call-ID, 0–2 s for the other side, in steps of 10 ms.
    pub(super) fn glare_wait(&mut self) -> Duration {
        Duration::from_millis(if self.owns_call_id() {
            2_100 + 10 * self.tokens.below(191)
        } else {
            10 * self.tokens.below(201)
        })
    }

    fn retry_later(&mut self, again: (Direction, Option<MediaAddress>)) {
        let wait = self.glare_wait();
        self.wishes.reoffer.get_or_insert(again);
        self.wishes.reoffer_at = Some(self.now + wait);
    }

    /// §12.2.1.2: 408 or 481 to a request inside the dialog ends it.
    pub(super) fn dialog_is_gone(&mut self, status: u16) {
        if matches!(self.phase, Phase::Confirmed) {
            let reason = Reason::sip(status, "Dialog gone");
            self.bye(Some(&reason));
            let by = if status == 408 {
                EndedBy::Timeout
            } else {
                EndedBy::Remote
            };
            self.end(Ended::new(by, EndCause::Bye).because(Some(reason)));
        }
    }
}

pub(super) fn tag_of(response: &Response) -> Bytes {
    Bytes::copy_from_slice(response.to().tag().unwrap_or_default())
}
