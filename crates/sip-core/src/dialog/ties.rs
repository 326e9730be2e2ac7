//! The dialog state of RFC 3261 §12: ids, sequence numbers, route set, remote target; and the requests made from it.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::{DialogConfig, DialogId, NextHop, OutboundCall, Role};
use crate::flow::{Flow, Transport};
use crate::message::{Draft, Headers, Method, Request, Response};
use crate::value::scan::{split_list, trim};
use crate::value::uri::Scheme;
use crate::value::{NameAddr, Uri};

/// Identity, sequence and routing of one dialog.
#[derive(Clone, Debug)]
pub(super) struct Ties {
    pub(super) id: DialogId,
    pub(super) role: Role,
    pub(super) remote_tag: Option<Bytes>,
    /// Name-addr values without tags.
    pub(super) local: Bytes,
    pub(super) remote: Bytes,
    pub(super) target: Uri,
    /// Frozen at creation: later Record-Routes change nothing (§12.2).
    pub(super) routes: Vec<Bytes>,
    pub(super) local_cseq: u32,
    pub(super) remote_cseq: Option<u32>,
    pub(super) flow: Flow,
    /// The far side knows UPDATE (RFC 3311 §4).
    pub(super) allows_update: bool,
    /// It was asked for by a `sips` URI: so is our Contact (§8.1.1.8, §12.1.1).
    pub(super) secure: bool,
}

impl Ties {
    /// The UAS side (§12.1.1): Record-Route in its order. An INVITE of RFC 2543 times without Contact is reached at its From.
    pub(super) fn of_invite(id: DialogId, flow: Flow, invite: &Request, cseq_start: u32) -> Self {
        let target = invite.contact().unwrap_or(invite.from()).uri().clone();
        let routes = route_set(invite.headers());
        let next = routes.first().and_then(|raw| NameAddr::parse(raw).ok());
        let next = next.map_or_else(|| target.clone(), |first| first.uri().clone());
        Self {
            secure: is_sips(invite.uri()) || is_sips(&next),
            id,
            role: Role::Uas,
            remote_tag: invite.from().tag().map(Bytes::copy_from_slice),
            local: invite.to().without_tag(),
            remote: invite.from().without_tag(),
            target,
            routes,
            local_cseq: cseq_start,
            remote_cseq: Some(invite.cseq()),
            flow,
            allows_update: allows_update(invite.headers()).unwrap_or(false),
        }
    }

    /// The UAC side, on the 2xx that makes the dialog (§12.1.2): Record-Route reversed.
    pub(super) fn confirm(&mut self, response: &Response) {
        self.remote_tag = response.to().tag().map(Bytes::copy_from_slice);
        self.routes = route_set(response.headers());
        self.routes.reverse();
        self.note_allow(response.headers());
        self.refresh_target(response.contact());
    }

    /// The Contact of a target refresh (§12.2.1.2, §12.2.2).
    pub(super) fn refresh_target(&mut self, contact: Option<&NameAddr>) {
        if let Some(contact) = contact {
            self.target = contact.uri().clone();
        }
    }

    /// An Allow header says what the far side knows from now on (RFC 3261 §20.5).
    pub(super) fn note_allow(&mut self, headers: &Headers) {
        self.allows_update = allows_update(headers).unwrap_or(self.allows_update);
    }

    /// The next CSeq number of our direction.
    pub(super) fn next_cseq(&mut self) -> u32 {
        self.local_cseq = (self.local_cseq + 1) & 0x7fff_ffff;
        self.local_cseq
    }

    /// A request inside the dialog, without body and the headers of its method (§12.2.1.1).
    pub(super) fn request(
        &self,
        method: &Method,
        cseq: u32,
        branch: &[u8],
        config: &DialogConfig,
    ) -> Draft {
        let (uri, routes) = self.request_uri();
        let mut draft = Draft::request(method, &uri);
        draft.header("Via", via(self.flow.transport, config, branch));
        draft.header("Max-Forwards", "70");
        for route in &routes {
            draft.header("Route", route);
        }
        draft.header(
            "From",
            [self.local.as_ref(), b";tag=", &self.id.local_tag].concat(),
        );
        match self.remote_tag.as_ref().filter(|tag| !tag.is_empty()) {
            Some(tag) => draft.header("To", [self.remote.as_ref(), b";tag=", tag].concat()),
            None => draft.header("To", &self.remote),
        };
        draft.header("Call-ID", &self.id.call_id);
        draft.header("CSeq", format!("{cseq} {method}"));
        draft.header("User-Agent", &config.user_agent);
        draft
    }

    /// Our Contact, with the user part of our URI.
    pub(super) fn contact(&self, config: &DialogConfig) -> Vec<u8> {
        let local = NameAddr::parse(&self.local).ok();
        let user = local.as_ref().and_then(|local| local.uri().user_raw());
        let transport = self.flow.transport;
        let secure = self.secure && transport.is_secure();
        config.contact(user.map(|user| user.as_ref()), transport, secure)
    }

    /// Request-URI and Route values (§12.2.1.1): a strict router as first route takes the target's place.
    fn request_uri(&self) -> (Bytes, Vec<Bytes>) {
        let first = self
            .routes
            .first()
            .and_then(|raw| NameAddr::parse(raw).ok());
        match first {
            Some(first) if !first.uri().has_param("lr") => {
                let target = [b"<".as_ref(), self.target.raw(), b">"].concat();
                let rest = self.routes.iter().skip(1).cloned();
                let routes = rest.chain([Bytes::from(target)]).collect();
                (first.uri().raw().clone(), routes)
            }
            _ => (self.target.raw().clone(), self.routes.clone()),
        }
    }

    /// The first route, else the remote target.
    pub(super) fn next_uri(&self) -> Uri {
        let first = self
            .routes
            .first()
            .and_then(|raw| NameAddr::parse(raw).ok());
        first.map_or_else(|| self.target.clone(), |first| first.uri().clone())
    }

    /// Socket and address of the next request.
    pub(super) fn next_hop(&self, rule: NextHop) -> Flow {
        let uri = self.next_uri();
        let hop = uri.host().and_then(|host| {
            let ip = host.ip()?;
            Some(SocketAddr::new(
                ip,
                uri.port().unwrap_or(self.flow.transport.default_port()),
            ))
        });
        match (rule, self.flow.transport, hop) {
            (NextHop::WhenRoutable, Transport::Udp, Some(hop))
                if can_reach(self.flow, hop.ip()) =>
            {
                self.flow.towards(hop)
            }
            _ => self.flow,
        }
    }
}

/// Whether a URI wants nobody on the way to read along (§19.1.1).
fn is_sips(uri: &Uri) -> bool {
    matches!(uri.scheme(), Scheme::Sips)
}

/// Whether a call is placed to a `sips` URI, or by way of one (§8.1.1.8).
pub(super) fn is_secure(call: &OutboundCall) -> bool {
    let first = call.route.first().cloned().map(Bytes::from);
    let first = first.and_then(|raw| NameAddr::parse(&raw).ok());
    is_sips(&call.target) || first.is_some_and(|first| is_sips(first.uri()))
}

/// Whether UPDATE is among the methods of Allow; `None` without that header.
fn allows_update(headers: &Headers) -> Option<bool> {
    headers.get("Allow")?;
    let methods = headers
        .all("Allow")
        .filter_map(|value| split_list(value).ok());
    Some(methods.flatten().any(|method| trim(method) == b"UPDATE"))
}

/// A peer that we see at a public address cannot be reached at a private one, nor across address families.
fn can_reach(flow: Flow, ip: IpAddr) -> bool {
    let family = ip.is_ipv4() == flow.local.is_ipv4();
    let known = ip == flow.remote.ip();
    family && !ip.is_unspecified() && (known || !is_private(ip) || is_private(flow.remote.ip()))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            let shared = first == 100 && (64..128).contains(&second);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared
        }
        IpAddr::V6(ip) => {
            let [first, ..] = ip.segments();
            ip.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

/// Our Via (RFC 3261 §8.1.1.7) asking for rport (RFC 3581 §3).
pub(super) fn via(transport: Transport, config: &DialogConfig, branch: &[u8]) -> Vec<u8> {
    let head = format!(
        "SIP/2.0/{} {};rport;branch=",
        transport.via_name(),
        config.sent_by()
    );
    [head.as_bytes(), branch].concat()
}

/// The elements of all Record-Route headers, each verbatim.
fn route_set(headers: &Headers) -> Vec<Bytes> {
    headers
        .all("Record-Route")
        .filter_map(|value| NameAddr::parse_list(value).ok())
        .flatten()
        .map(|route| route.raw().clone())
        .collect()
}
