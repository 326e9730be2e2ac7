//! Reliable provisional responses of ours (RFC 3262, as UAS): one at a time, re-sent until its PRACK.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::{Dialog, Phase, Refusal};
use crate::answer;
use crate::flow::Flow;
use crate::message::{Headers, Method, Request, option_tags};
use crate::offer_answer::MediaAddress;
use crate::transaction::Doubling;
use crate::value::Reason;
use crate::value::scan::decimal;

/// Provisional responses that wait for the PRACK of an earlier one; beyond, they are left out.
const MAX_WAITING: usize = 8;

/// When provisional responses are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// Never; an INVITE that requires it is refused 420, ours do not speak of it.
    Never,
    /// When the caller requires it; ours say that they can.
    #[default]
    WhenAsked,
    /// Whenever the other side can; ours say that they can.
    Always,
}

/// What our reliable responses said of the media.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Described {
    #[default]
    Nothing,
    /// They answered the INVITE's offer.
    Answered,
    /// They made the offer.
    Offered,
}

/// The reliable responses of the first INVITE.
#[derive(Debug, Default)]
pub(super) struct Provisionals {
    rseq: u32,
    pending: Option<Pending>,
    waiting: VecDeque<(u16, Option<MediaAddress>)>,
    described: Described,
}

#[derive(Debug)]
struct Pending {
    response: Bytes,
    resend: Doubling,
    give_up: Duration,
    has_sdp: bool,
}

impl Provisionals {
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let pending = self.pending.as_ref()?;
        Some(pending.resend.next().min(pending.give_up))
    }

    /// RFC 3262 §3: no 2xx while a description of ours is not acknowledged.
    pub(super) fn holds_answer(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.has_sdp)
    }

    /// Whether offer and answer have been exchanged: the 2xx says nothing of media any more.
    pub(super) fn is_settled(&self) -> bool {
        self.described != Described::Nothing
    }
}

impl Dialog {
    /// Whether ringing of this INVITE is acknowledged.
    pub(super) fn rings_reliably(&self) -> bool {
        let Phase::Invited { invite, .. } = &self.phase else {
            return false;
        };
        let has = |name| has_100rel(invite.headers(), name);
        match self.config.reliable {
            Reliable::Never => false,
            Reliable::WhenAsked => has("Require"),
            Reliable::Always => has("Require") || has("Supported"),
        }
    }

    /// A reliable 18x, now or after those before it. The first one to an INVITE without an offer has to bring one
    /// (RFC 3261 §13.2.1): without a place for media there is none, and it is left out.
    pub(super) fn provisional(&mut self, status: u16, media: Option<MediaAddress>) {
        let Phase::Invited { invite, .. } = &self.phase else {
            return;
        };
        let undescribed = self.provisionals.described == Described::Nothing;
        if invite.body().is_empty() && undescribed && media.is_none() {
            return;
        }
        if self.provisionals.pending.is_some() {
            if self.provisionals.waiting.len() < MAX_WAITING {
                self.provisionals.waiting.push_back((status, media));
            }
            return;
        }
        let invite = invite.clone();
        match self.describe_early(&invite, media) {
            Ok(sdp) => self.send_reliable(&invite, status, &sdp),
            Err(refusal) => self.reject(&refusal),
        }
    }

    /// The SDP of a reliable response; empty once that is settled.
    fn describe_early(
        &mut self,
        invite: &Request,
        media: Option<MediaAddress>,
    ) -> Result<Bytes, Refusal> {
        let Some(media) = media.filter(|_| !self.provisionals.is_settled()) else {
            return Ok(Bytes::new());
        };
        let (sdp, agreed) = self
            .describe(invite.body(), media)
            .map_err(|fault| Refusal::new(fault.status()))?;
        self.provisionals.described = match invite.body().is_empty() {
            true => Described::Offered,
            false => Described::Answered,
        };
        self.media_event(agreed);
        Ok(sdp)
    }

    fn send_reliable(&mut self, invite: &Request, status: u16, sdp: &[u8]) {
        let mut draft = self.invite_response(invite, self.ties.flow, status, None);
        self.provisionals.rseq = match self.provisionals.rseq {
            0 => u32::try_from(self.tokens.below(0xffff)).unwrap_or(0) + 1,
            last => last + 1,
        };
        draft.header("Require", "100rel");
        draft.header("RSeq", self.provisionals.rseq.to_string());
        let response = match sdp {
            [] => draft.finish(b""),
            sdp => draft.finish_with("application/sdp", sdp),
        };
        let timers = self.config.timers;
        self.provisionals.pending = Some(Pending {
            response: response.clone(),
            resend: Doubling::start(self.now, timers.t1),
            give_up: self.now + timers.sixty_four_t1(),
            has_sdp: !sdp.is_empty(),
        });
        self.respond_invite(0, status, response);
    }

    /// RFC 3262 §3: re-sent at T1, doubling without a cap; after 64·T1 the INVITE is refused.
    pub(super) fn reliable_timeouts(&mut self) {
        let Phase::Invited { .. } = &self.phase else {
            return;
        };
        let now = self.now;
        let Some(pending) = &mut self.provisionals.pending else {
            return;
        };
        if now >= pending.give_up {
            self.provisionals.pending = None;
            let reason = Reason::sip(504, "No PRACK");
            return self.reject(&Refusal::new(504).because(reason));
        }
        if pending.resend.fire(now, |interval| interval * 2) {
            let bytes = pending.response.clone();
            if let Some(first) = self.far_invites.first() {
                let flow = first.flow;
                self.send(flow, bytes);
            }
        }
    }

    /// PRACK (RFC 3262 §3, §5): it ends the repetition, and may bring an answer or the next offer.
    pub(super) fn pracked(&mut self, flow: Flow, prack: &Request) {
        let first = self.far_invites.first().filter(|far| far.initial);
        let meant = first.map(|far| (self.provisionals.rseq, far.cseq));
        let asked = rack_of(prack.headers());
        if asked.is_none() || asked != meant || self.provisionals.pending.is_none() {
            return self.refuse(flow, prack, &Refusal::new(481));
        }
        if !prack.body().is_empty() && !prack.has_sdp() {
            return self.refuse(flow, prack, &Refusal::new(415));
        }
        let described = self.provisionals.pending.take();
        let awaits_answer = described.is_some_and(|pending| pending.has_sdp)
            && self.provisionals.described == Described::Offered;
        if awaits_answer {
            return self.prack_answers(flow, prack);
        }
        let offer = prack.body().clone();
        let address = self.session.address().filter(|_| !offer.is_empty());
        match address.map(|media| self.session.answer(&offer, media)) {
            None => self.respond_plain(flow, prack, 200),
            Some(Ok((sdp, agreed))) => {
                self.respond_with(flow, prack, 200, &sdp);
                self.media_event(agreed);
            }
            Some(Err(fault)) => self.refuse(flow, prack, &Refusal::new(fault.status())),
        }
        self.next_provisional();
    }

    /// The answer to the offer in our provisional response; without a usable one there will be no session.
    fn prack_answers(&mut self, flow: Flow, prack: &Request) {
        self.respond_plain(flow, prack, 200);
        match self.session.accept(prack.body()) {
            Ok(agreed) => {
                self.media_event(agreed);
                self.next_provisional();
            }
            Err(fault) => self.reject(&Refusal::new(fault.status())),
        }
    }

    fn next_provisional(&mut self) {
        if let Some((status, media)) = self.provisionals.waiting.pop_front() {
            self.provisional(status, media);
        }
    }
}

/// Whether the option tag 100rel is in a header.
pub(super) fn has_100rel(headers: &Headers, name: &'static str) -> bool {
    let tags = option_tags(headers, name);
    tags.iter()
        .any(|tag| tag.eq_ignore_ascii_case(answer::REL100))
}

/// RAck: the RSeq it acknowledges and the INVITE's CSeq number.
fn rack_of(headers: &Headers) -> Option<(u32, u32)> {
    let value = headers.get("RAck")?;
    let mut parts = value
        .split(|byte| byte.is_ascii_whitespace())
        .filter(|part| !part.is_empty());
    let mut number = || u32::try_from(decimal(parts.next()?, u64::from(u32::MAX))?).ok();
    let (rseq, cseq) = (number()?, number()?);
    let method = parts.next().map(Bytes::copy_from_slice)?;
    (Method::from_bytes(&method) == Method::Invite).then_some((rseq, cseq))
}
