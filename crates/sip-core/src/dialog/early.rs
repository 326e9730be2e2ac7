//! Early dialogs of a call we place (RFC 3261 §12.1.2): one for each fork that rings, with its own route set, numbers and,
//! once offer and answer were exchanged reliably (RFC 3262 §5), its own media.

use bytes::Bytes;

use super::near_invite::{Kind, tag_of};
use super::reliable::has_100rel;
use super::ties::Ties;
use super::{Dialog, DialogEvent, Phase, Refusal};
use crate::flow::Flow;
use crate::message::{Method, Request, Response};
use crate::offer_answer::{AgreedMedia, MediaAddress, Session};
use crate::value::scan::{decimal, trim};

/// Forks remembered at once.
pub(super) const MAX_FORKS: usize = 16;

/// A fork that rings.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) tag: Bytes,
    pub(super) ties: Ties,
    /// The RSeq of its last reliable response.
    rseq: Option<u32>,
    /// SDP of an unreliable response: it stands for a 2xx without any.
    pub(super) sdp: Option<Bytes>,
    /// Offer and answer, exchanged for good.
    pub(super) session: Option<Session>,
}

impl Dialog {
    /// A provisional response other than 100 to the call we place.
    pub(super) fn rang(&mut self, at: usize, response: &Response) {
        let Some(fork) = self.fork_of(at, response) else {
            // Without a tag there is no dialog yet (RFC 2543 times), but it rings.
            return self.rings(response, None);
        };
        let reliable = rseq_of(response);
        if let Some(rseq) = reliable
            && !self.is_next(at, fork, rseq)
        {
            return;
        }
        let agreed = match reliable {
            Some(rseq) => self.acknowledge_ringing(at, fork, rseq, response),
            None => self.preview(at, fork, response),
        };
        self.rings(response, agreed);
    }

    fn rings(&mut self, response: &Response, agreed: Option<AgreedMedia>) {
        let status = response.status();
        self.event(DialogEvent::Ringing { status });
        if let Some(agreed) = agreed {
            self.event(DialogEvent::EarlyMedia(Box::new(agreed)));
        }
    }

    /// The place of this response's fork; `None` without a tag, or with too many forks.
    fn fork_of(&mut self, at: usize, response: &Response) -> Option<usize> {
        let tag = tag_of(response);
        let mut ties = self.ties.clone();
        let near = self.near_invites.get_mut(at)?;
        let Kind::Call { early, .. } = &mut near.kind else {
            return None;
        };
        if let Some(known) = early.iter().position(|known| known.tag == tag) {
            return Some(known);
        }
        if tag.is_empty() || early.len() >= MAX_FORKS {
            return None;
        }
        ties.confirm(response);
        // After a crash the numbers of the forks that were are known as the highest of them.
        ties.local_cseq = near.cseq.max(ties.local_cseq);
        ties.flow = near.flow;
        early.push(Early {
            tag,
            ties,
            rseq: None,
            sdp: None,
            session: None,
        });
        Some(early.len() - 1)
    }

    fn early(&mut self, at: usize, fork: usize) -> Option<(&mut Early, MediaAddress)> {
        let near = self.near_invites.get_mut(at)?;
        match &mut near.kind {
            Kind::Call { early, media, .. } => Some((early.get_mut(fork)?, *media)),
            Kind::Reoffer { .. } | Kind::Refresh | Kind::Superseded => None,
        }
    }

    /// RFC 3262 §4: repetitions and what comes out of order are not acknowledged.
    fn is_next(&mut self, at: usize, fork: usize, rseq: u32) -> bool {
        let Some((early, _)) = self.early(at, fork) else {
            return false;
        };
        let next = early.rseq.is_none_or(|last| rseq == last.wrapping_add(1));
        if next {
            early.rseq = Some(rseq);
        }
        next
    }

    /// Unreliable SDP: what would be agreed if the 2xx says the same.
    fn preview(&mut self, at: usize, fork: usize, response: &Response) -> Option<AgreedMedia> {
        if !response.has_sdp() || !self.session.has_offered() {
            return None;
        }
        let agreed = self.session.preview(response.body()).ok()?;
        let (early, _) = self.early(at, fork)?;
        early.sdp = Some(response.body().clone());
        Some(agreed)
    }

    /// PRACK (RFC 3262 §4, §5), with the answer when the response brought the offer.
    fn acknowledge_ringing(
        &mut self,
        at: usize,
        fork: usize,
        rseq: u32,
        response: &Response,
    ) -> Option<AgreedMedia> {
        let sdp = self.exchange(at, fork, response);
        let branch = self.tokens.branch();
        let near_cseq = self.near_invites.get(at)?.cseq;
        let (early, _) = self.early(at, fork)?;
        let cseq = early.ties.next_cseq();
        let ties = early.ties.clone();
        let agreed = early.session.as_ref().and_then(Session::agreed).cloned();
        let mut draft = ties.request(&Method::Prack, cseq, &branch, &self.config);
        draft.header("RAck", format!("{rseq} {near_cseq} INVITE"));
        let bytes = match &sdp {
            Some(sdp) => draft.finish_with("application/sdp", sdp),
            None => draft.finish(b""),
        };
        let flow = ties.next_hop(self.config.next_hop);
        self.submit(Method::Prack, branch, flow, bytes);
        agreed.filter(|_| response.has_sdp())
    }

    /// Offer or answer in a reliable response; gives our answer when it was an offer. What does not fit is left for the 2xx to fail on.
    fn exchange(&mut self, at: usize, fork: usize, response: &Response) -> Option<Bytes> {
        if !response.has_sdp() {
            return None;
        }
        let mut session = self.session.clone();
        let (early, media) = self.early(at, fork)?;
        if early.session.is_some() {
            return None;
        }
        let answer = if session.has_offered() {
            session.accept(response.body()).ok()?;
            None
        } else {
            Some(session.answer(response.body(), media).ok()?.0)
        };
        early.session = Some(session);
        answer
    }

    /// A request on an early dialog of ours; `false` when it belongs to none.
    pub(super) fn early_request(&mut self, flow: Flow, request: &Request) -> bool {
        if !matches!(self.phase, Phase::Calling { .. }) {
            return false;
        }
        let tag = request.from().tag().unwrap_or_default();
        let Some((early, media)) = self.early_tagged(tag) else {
            return false;
        };
        let stale = early
            .ties
            .remote_cseq
            .is_some_and(|last| request.cseq() <= last);
        if !stale {
            early.ties.remote_cseq = Some(request.cseq());
        }
        match request.method() {
            _ if stale => self.refuse(flow, request, &Refusal::new(500)),
            Method::Update => self.early_update(flow, request, media),
            Method::Info => self.informed(flow, request),
            _ => return false,
        }
        true
    }

    pub(super) fn early_tagged(&mut self, tag: &[u8]) -> Option<(&mut Early, MediaAddress)> {
        self.near_invites
            .iter_mut()
            .find_map(|near| match &mut near.kind {
                Kind::Call { early, media, .. } => {
                    let early = early.iter_mut().find(|early| early.tag == tag)?;
                    Some((early, *media))
                }
                Kind::Reoffer { .. } | Kind::Refresh | Kind::Superseded => None,
            })
    }

    /// UPDATE before the answer (RFC 3311 §5.2): an offer only after the first one was answered for good.
    fn early_update(&mut self, flow: Flow, request: &Request, media: MediaAddress) {
        let tag = request.from().tag().unwrap_or_default();
        let Some((early, _)) = self.early_tagged(tag) else {
            return;
        };
        if request.body().is_empty() {
            early.ties.refresh_target(request.contact());
            return self.respond_with(flow, request, 200, b"");
        }
        let answered = match &mut early.session {
            None => Err(491),
            Some(session) => session
                .answer(request.body(), media)
                .map_err(|fault| fault.status()),
        };
        match answered {
            Ok((sdp, agreed)) => {
                early.ties.refresh_target(request.contact());
                self.respond_with(flow, request, 200, &sdp);
                if let Some(agreed) = agreed {
                    self.event(DialogEvent::EarlyMedia(Box::new(agreed)));
                }
            }
            Err(status) => self.refuse(flow, request, &Refusal::new(status)),
        }
    }

    /// The early dialog that a 2xx confirms, taken out: its numbers go on, and its media if that is settled.
    pub(super) fn take_early(&mut self, at: usize, tag: &[u8]) -> Option<Early> {
        let near = self.near_invites.get_mut(at)?;
        let Kind::Call { early, .. } = &mut near.kind else {
            return None;
        };
        let found = early.iter().position(|early| early.tag == tag)?;
        Some(early.swap_remove(found))
    }
}

/// The RSeq of a response that wants a PRACK.
fn rseq_of(response: &Response) -> Option<u32> {
    if !has_100rel(response.headers(), "Require") {
        return None;
    }
    let value = response.headers().get("RSeq")?;
    u32::try_from(decimal(trim(value), u64::from(u32::MAX))?).ok()
}
