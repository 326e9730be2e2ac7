//! Responses: the headers every one of them repeats from its request (RFC 3261 §8.2.6.2), and where it goes (§18.2.2).

use crate::dialog::Reliable;
use crate::flow::{Flow, Network, Transport};
use crate::message::{Draft, Headers, Method, Request, option_tags, reason_phrase};
use crate::value::Via;
use crate::value::scan::split_list;

/// The methods we carry out, for Allow. What is listed is never answered 405.
pub(crate) const ALLOW: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK, REFER, NOTIFY";

/// The option tag of reliable provisional responses (RFC 3262).
pub(crate) const REL100: &[u8] = b"100rel";

/// The extensions we carry out, for Supported.
pub(crate) fn supported(reliable: Reliable) -> &'static str {
    match reliable {
        Reliable::Never => "timer, replaces",
        Reliable::WhenAsked | Reliable::Always => "timer, replaces, 100rel",
    }
}

/// What every answer of a listener has in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style<'a> {
    /// The Server header.
    pub(crate) server: &'a str,
    /// Answer to the source port even without `rport`.
    pub(crate) force_rport: bool,
    /// Whether we know 100rel.
    pub(crate) reliable: Reliable,
}

/// A response begun: Via, From, To, Call-ID, CSeq, Record-Route where a dialog is formed, Server.
pub(crate) fn begin(
    request: &Request,
    flow: Flow,
    status: u16,
    phrase: Option<&str>,
    to_tag: Option<&[u8]>,
    style: Style<'_>,
) -> Draft {
    let phrase = phrase.unwrap_or_else(|| reason_phrase(status));
    let mut draft = Draft::response(status, phrase.as_bytes());
    vias(&mut draft, request.headers(), request.via(), flow, style);
    if status > 100 && status < 300 && *request.method() == Method::Invite {
        for route in request.headers().all("Record-Route") {
            draft.header("Record-Route", route);
        }
    }
    draft.header("From", request.from().raw());
    match to_tag {
        Some(tag) if request.to().tag().is_none() => {
            draft.header("To", [request.to().raw().as_ref(), b";tag=", tag].concat());
        }
        _ => {
            draft.header("To", request.to().raw());
        }
    }
    draft.header("Call-ID", request.call_id());
    draft.header("CSeq", format!("{} {}", request.cseq(), request.method()));
    draft.header("Server", style.server);
    draft
}

/// All Via values in order, the top one stamped with where the request came from.
fn vias(draft: &mut Draft, headers: &Headers, top: &Via, flow: Flow, style: Style<'_>) {
    let stamped = top.stamped(flow.remote, style.force_rport);
    for (at, value) in headers.all("Via").enumerate() {
        if at > 0 {
            draft.header("Via", value);
            continue;
        }
        draft.header("Via", &stamped);
        for more in split_list(value).into_iter().flatten().skip(1) {
            draft.header("Via", more);
        }
    }
}

/// Who is answered where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WayBack<'a> {
    /// Answer to the source port even without `rport`.
    pub(crate) force_rport: bool,
    /// Whose `maddr` is obeyed: from anybody else it would make us send to whom he likes.
    pub(crate) maddr_from: &'a [Network],
}

/// Where the response to a request received on `flow` goes: the same connection, or by the top Via over UDP.
pub(crate) fn response_flow(flow: Flow, via: &Via, way: WayBack<'_>) -> Flow {
    let ip = flow.remote.ip();
    let obeyed = way.maddr_from.iter().any(|net| net.contains(ip));
    match flow.transport {
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => flow,
        Transport::Udp => match via.maddr().filter(|_| obeyed) {
            Some(maddr) => flow.towards(maddr),
            None => flow.towards(via.response_address(flow.remote, way.force_rport)),
        },
    }
}

/// What an unknown Require is answered with (§8.2.2.3): `None` when we know all that is required.
pub(crate) fn unsupported(request: &Request, reliable: Reliable) -> Option<Vec<u8>> {
    let known = |tag: &&[u8]| {
        let rings = reliable != Reliable::Never && tag.eq_ignore_ascii_case(REL100);
        let plain = [b"timer".as_ref(), b"replaces"];
        rings || plain.iter().any(|plain| tag.eq_ignore_ascii_case(plain))
    };
    let mut required = option_tags(request.headers(), "Require");
    required.retain(|tag| !known(tag));
    (!required.is_empty()).then(|| required.join(&b", "[..]))
}

/// The answer to an unlisted method: 405 for one we know, 501 for one we do not (§8.2.1, §21.5.2).
pub(crate) fn method_refusal(method: &Method) -> u16 {
    match method {
        Method::Other(_) => 501,
        Method::Invite
        | Method::Ack
        | Method::Bye
        | Method::Cancel
        | Method::Options
        | Method::Register
        | Method::Info
        | Method::Update
        | Method::Prack
        | Method::Refer
        | Method::Notify
        | Method::Subscribe
        | Method::Message
        | Method::Publish => 405,
    }
}

/// The headers a refusal of `status` owes beside the common ones.
pub(crate) fn owed_headers(draft: &mut Draft, request: &Request, status: u16, style: Style<'_>) {
    match status {
        405 | 501 => {
            draft.header("Allow", ALLOW);
        }
        415 | 406 => {
            draft.header("Accept", "application/sdp");
        }
        420 => {
            draft.header(
                "Unsupported",
                unsupported(request, style.reliable).unwrap_or_default(),
            );
        }
        _ => {}
    }
}
