//! Challenges to our own requests (RFC 3261 §22): answered once for each realm, with the next CSeq.

use bytes::Bytes;

use super::near_invite::{Kind, NearInvite};
use super::{Dialog, Phase};
use crate::digest::{Answered, Refused};
use crate::message::{Draft, Framing, Message, Method, Request, Response, parse};
use crate::value::Reason;

/// A request that goes out once more.
pub(super) struct Again {
    pub(super) branch: Bytes,
    pub(super) cseq: u32,
    pub(super) request: Bytes,
}

/// Where our credentials stand.
const HEADERS: [&str; 2] = ["Authorization", "Proxy-Authorization"];

impl Dialog {
    /// A request with the answers to the challenges we know already: most peers take them without asking again
    /// (§22.3). CANCEL and ACK cannot be challenged (§22.1) and stay as they are.
    pub(super) fn signed(&mut self, method: &Method, request: Bytes) -> Bytes {
        let known = self
            .asker
            .as_ref()
            .is_some_and(|asker| !asker.realms().is_empty());
        if !known || matches!(method, Method::Ack | Method::Cancel) {
            return request;
        }
        let Some(read) = read(&request) else {
            return request;
        };
        let (branch, cseq) = (read.via().branch().unwrap_or_default(), read.cseq());
        let credentials = self.credentials(&read);
        rewrite(&read, branch, cseq, &credentials)
    }

    /// What a 401 or 407 is answered with: the request again with a new branch, the next CSeq (§22.2) and
    /// credentials. The error says why it is not answered; none when there is nothing to answer with.
    pub(super) fn again(
        &mut self,
        request: &Bytes,
        response: &Response,
        answered: &mut Answered,
    ) -> Result<Option<Again>, Refused> {
        let Some(asker) = &mut self.asker else {
            return Ok(None);
        };
        asker.challenged(response.status(), response.headers(), answered)?;
        let Some(read) = read(request) else {
            return Ok(None);
        };
        let cseq = self.number_after(&read);
        let branch = self.tokens.branch();
        let credentials = self.credentials(&read);
        Ok(Some(Again {
            request: rewrite(&read, &branch, cseq, &credentials),
            branch,
            cseq,
        }))
    }

    /// The number that follows in the dialog of this request: a fork that rings counts for itself (RFC 3262 §4), and in one
    /// that lost there is no other request.
    fn number_after(&mut self, request: &Request) -> u32 {
        let tag = request.to().tag().unwrap_or_default();
        if let Some((early, _)) = self.early_tagged(tag) {
            return early.ties.next_cseq();
        }
        let ours = tag.is_empty() || self.ties.remote_tag.as_deref() == Some(tag);
        match ours {
            true => self.ties.next_cseq(),
            false => (request.cseq() + 1) & 0x7fff_ffff,
        }
    }

    fn credentials(&mut self, request: &Request) -> Vec<(&'static str, String)> {
        let cnonce = self.tokens.tag();
        let uri = request.uri().raw().clone();
        let asker = self.asker.as_mut();
        asker.map_or_else(Vec::new, |asker| {
            asker.headers(request.method(), &uri, &cnonce)
        })
    }

    /// The credentials of an INVITE go into the ACK of its 2xx unchanged (§22.1).
    pub(super) fn sign_ack(&self, invite: &Bytes, draft: &mut Draft) {
        let invite = self.asker.as_ref().and_then(|_| read(invite));
        for header in invite.iter().flat_map(|invite| invite.headers().iter()) {
            if HEADERS.iter().any(|name| header.is(name)) {
                draft.raw_header(&header.name, &header.value);
            }
        }
    }

    /// An INVITE of ours was challenged: its successor is on the way, or why there is none.
    pub(super) fn invite_challenged(
        &mut self,
        at: usize,
        response: &Response,
    ) -> Result<bool, Reason> {
        let given_up = self
            .near_invites
            .get(at)
            .is_some_and(NearInvite::is_given_up);
        let may = !given_up && matches!(self.phase, Phase::Calling { .. } | Phase::Confirmed);
        let challenge = matches!(response.status(), 401 | 407);
        let Some(near) = self.near_invites.get_mut(at).filter(|_| may && challenge) else {
            return Ok(false);
        };
        let mut answered = std::mem::take(&mut near.answered);
        let (request, flow) = (near.request.clone(), near.flow);
        let again = self.again(&request, response, &mut answered);
        let again = again.map_err(|why| Reason::sip(response.status(), &why.to_string()))?;
        let (Some(again), Some(near)) = (again, self.near_invites.get_mut(at)) else {
            return Ok(false);
        };
        let kind = std::mem::replace(&mut near.kind, Kind::Superseded);
        let names = (again.branch, again.cseq);
        let mut next = NearInvite::new(self, names, flow, again.request, kind);
        next.answered = answered;
        self.near_invites.push(next);
        Ok(true)
    }
}

fn read(request: &Bytes) -> Option<Request> {
    match parse(request, Framing::Datagram) {
        Ok(Message::Request(request)) => Some(request),
        Ok(Message::Response(_)) | Err(_) => None,
    }
}

/// Our Via ends with its branch.
fn our_via(raw: &Bytes, branch: &[u8]) -> Vec<u8> {
    const NAME: &[u8] = b"branch=";
    let at = raw.windows(NAME.len()).position(|part| part == NAME);
    let head = raw.get(..at.unwrap_or(raw.len())).unwrap_or_default();
    [head, NAME, branch].concat()
}

/// The request with another branch, CSeq and credentials; all else in its order.
fn rewrite(
    request: &Request,
    branch: &[u8],
    cseq: u32,
    credentials: &[(&'static str, String)],
) -> Bytes {
    let mut draft = Draft::request(request.method(), request.uri().raw());
    let mut top = true;
    for header in request.headers().iter() {
        if header.is("Via") && top {
            top = false;
            draft.header("Via", our_via(request.via().raw(), branch));
        } else if header.is("CSeq") {
            draft.header("CSeq", format!("{cseq} {}", request.method()));
            for (name, value) in credentials {
                draft.header(name, value);
            }
        } else if !header.is("Content-Length") && !HEADERS.iter().any(|name| header.is(name)) {
            draft.raw_header(&header.name, &header.value);
        }
    }
    draft.finish(request.body())
}
