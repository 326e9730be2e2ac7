//! The checks of a request outside any dialog, in the order of RFC 3261 §8.2.

use super::{Endpoint, EndpointEffect};
use crate::answer;
use crate::dialog::session_timer::too_short;
use crate::dialog::{Refusal, Reliable};
use crate::flow::Flow;
use crate::message::{Method, Request, option_tags};
use crate::transaction::TransactionKey;
use crate::value::scan::{split_list, trim};
use crate::value::uri::Scheme;
use crate::value::{Replaces, Via};

impl Endpoint {
    /// The status to refuse with; `None` for an INVITE or OPTIONS that may go on.
    pub(super) fn inspect(&self, request: &Request, key: TransactionKey) -> Option<u16> {
        let invite = *request.method() == Method::Invite;
        let checks = [
            in_lost_dialog(request),
            self.method(request),
            scheme(request),
            // §8.1.1.6: a call may go on to another leg, and then must not turn for ever. OPTIONS ends here (RFC 4475 §3.3.11).
            (invite && request.max_forwards() == Some(0)).then_some(483),
            self.merged(request, key),
            required(request, self.config.reliable),
        ];
        let content = || {
            let checks = [
                contact(request),
                body(request),
                accept(request),
                replaces(request),
            ];
            checks.into_iter().flatten().next()
        };
        let first = checks.into_iter().flatten().next();
        first.or_else(|| invite.then(content).flatten())
    }

    /// §8.2.1. Methods that live inside dialogs are refused 481 outside of them.
    fn method(&self, request: &Request) -> Option<u16> {
        match request.method() {
            Method::Invite | Method::Options => None,
            Method::Register if self.config.registrar => None,
            Method::Info | Method::Update | Method::Prack | Method::Notify => Some(481),
            // RFC 3515 §2.4.2: a transfer belongs to a call; we place none for strangers.
            Method::Refer => Some(603),
            method => Some(answer::method_refusal(method)),
        }
    }

    /// RFC 4028 §9: who asks again with a longer interval makes the call; what was too short made none.
    pub(super) fn session_too_short(&self, request: &Request) -> Option<Refusal> {
        let invite = *request.method() == Method::Invite;
        let refusal = too_short(request.headers(), self.config.min_session_s);
        refusal.filter(|_| invite)
    }

    /// RFC 5923 §5.1: `alias` in the top Via, from the host that sent-by names (else it would be somebody else's name).
    pub(super) fn note_alias(&mut self, flow: Flow, via: &Via) {
        let own = via.host().ip() == Some(flow.remote.ip());
        if flow.transport.is_stream() && own && via.has_param("alias") {
            let port = via.port().unwrap_or(flow.transport.default_port());
            self.effects.push_back(EndpointEffect::Alias { flow, port });
        }
    }

    /// §8.2.2.2: the same request over another path, without our tag.
    fn merged(&self, request: &Request, key: TransactionKey) -> Option<u16> {
        let merge = TransactionKey::of_merge(request);
        let known = self.merges.get(&merge)?;
        (*known != key).then_some(482)
    }
}

/// §12.2.2: a To tag that names no dialog of ours; CANCEL and BYE belong to something that is gone.
fn in_lost_dialog(request: &Request) -> Option<u16> {
    let gone =
        request.to().tag().is_some() || matches!(request.method(), Method::Cancel | Method::Bye);
    gone.then_some(481)
}

/// §8.2.2.3. A registrar knows what RFC 3327 and RFC 5626 require.
fn required(request: &Request, reliable: Reliable) -> Option<u16> {
    let unsupported = answer::unsupported(request, reliable);
    if *request.method() != Method::Register {
        return unsupported.map(|_| 420);
    }
    let known = |tag: &&[u8]| [b"path".as_ref(), b"outbound"].contains(tag);
    let mut tags = option_tags(request.headers(), "Require").into_iter();
    tags.any(|tag| !known(&tag)).then_some(420)
}

/// §8.2.2.1.
fn scheme(request: &Request) -> Option<u16> {
    match request.uri().scheme() {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => None,
        Scheme::Other(_) => Some(416),
    }
}

/// §8.1.1.8: exactly one Contact, a SIP URI; only senders of RFC 2543 times (no cookie in their branch) may go without.
fn contact(request: &Request) -> Option<u16> {
    match request.contact() {
        None => request.via().unique_branch().map(|_| 400),
        Some(contact) => match contact.uri().scheme() {
            Scheme::Sip | Scheme::Sips => None,
            Scheme::Tel | Scheme::Other(_) => Some(400),
        },
    }
}

/// RFC 3891 §3: at most one Replaces, and a sound one.
fn replaces(request: &Request) -> Option<u16> {
    let mut all = request.headers().all("Replaces");
    let first = all.next()?;
    (all.next().is_some() || Replaces::parse(first).is_err()).then_some(400)
}

/// §8.2.3: a body must be SDP, unencoded.
fn body(request: &Request) -> Option<u16> {
    if request.body().is_empty() {
        return None;
    }
    let headers = request.headers();
    let encoded = headers
        .get("Content-Encoding")
        .is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    (!request.has_sdp() || encoded).then_some(415)
}

/// §20.1: our answer is SDP; a caller that does not accept it gets 406.
fn accept(request: &Request) -> Option<u16> {
    let mut accepts = request.headers().all("Accept").peekable();
    accepts.peek()?;
    let taken = accepts
        .filter_map(|value| split_list(value).ok())
        .flatten()
        .map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default())
        .any(|range| {
            [b"application/sdp".as_ref(), b"application/*", b"*/*"]
                .iter()
                .any(|known| trim(range).eq_ignore_ascii_case(known))
        });
    (!taken).then_some(406)
}
