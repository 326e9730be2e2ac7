//! What a dialog is told once.

use std::sync::Arc;
use std::time::Duration;

use super::{Reliable, SessionTimer};
use crate::answer::{Style, WayBack};
use crate::digest::Login;
use crate::flow::{Flow, Network, Transport};
use crate::offer_answer::{MediaAddress, MediaPolicy};
use crate::timers::Timers;
use crate::value::{NameAddr, Reason, Uri};

/// Settings of a profile that a dialog needs.
#[derive(Clone, Debug)]
pub struct DialogConfig {
    /// The host in our Contact and Via: what the far side can reach.
    pub contact_host: String,
    /// The port beside it.
    pub contact_port: u16,
    /// Server and User-Agent.
    pub user_agent: String,
    /// Codecs and the like.
    pub media: MediaPolicy,
    /// T1, T2, T4.
    pub timers: Timers,
    /// Answer to the source port even without `rport` when sent-by is plainly behind a NAT (an address that is not the source's).
    pub force_rport: bool,
    /// Networks whose `maddr` in Via is obeyed.
    pub maddr_from: Arc<[Network]>,
    /// Where our in-dialog requests go.
    pub next_hop: NextHop,
    /// Who we are at the far side: answers its 401 and 407, for every request of ours in the dialog.
    pub login: Option<Login>,
    /// UAC: whether there are other targets, should the first one not take the call (RFC 3263 §4.3).
    pub more_targets: bool,
    /// How soon a far side that is gone is noticed (RFC 4028).
    pub session_timer: SessionTimer,
    /// When ringing is acknowledged (RFC 3262).
    pub reliable: Reliable,
}

impl DialogConfig {
    /// Defaults for a listener at `host:port`.
    pub fn new(host: impl Into<String>, port: u16, media: MediaPolicy) -> Self {
        Self {
            contact_host: host.into(),
            contact_port: port,
            user_agent: "sidetone".into(),
            media,
            timers: Timers::default(),
            force_rport: false,
            maddr_from: Arc::from([]),
            next_hop: NextHop::WhenRoutable,
            login: None,
            more_targets: false,
            session_timer: SessionTimer::default(),
            reliable: Reliable::default(),
        }
    }

    pub(crate) fn way_back(&self) -> WayBack<'_> {
        WayBack {
            force_rport: self.force_rport,
            maddr_from: &self.maddr_from,
        }
    }

    pub(crate) fn style(&self) -> Style<'_> {
        Style {
            server: &self.user_agent,
            force_rport: self.force_rport,
            reliable: self.reliable,
        }
    }

    /// `host:port`, brackets around IPv6.
    pub(crate) fn sent_by(&self) -> String {
        if self.contact_host.contains(':') && !self.contact_host.starts_with('[') {
            format!("[{}]:{}", self.contact_host, self.contact_port)
        } else {
            format!("{}:{}", self.contact_host, self.contact_port)
        }
    }

    /// Our Contact on a transport, with the user part of our own URI. A `sips` URI means TLS by itself: it names no
    /// transport but a WebSocket (RFC 3261 §26.2.2).
    pub(crate) fn contact(
        &self,
        user: Option<&[u8]>,
        transport: Transport,
        secure: bool,
    ) -> Vec<u8> {
        let scheme: &[u8] = if secure { b"<sips:" } else { b"<sip:" };
        let mut out = scheme.to_vec();
        if let Some(user) = user {
            out.extend_from_slice(user);
            out.push(b'@');
        }
        out.extend_from_slice(self.sent_by().as_bytes());
        let goes_without_saying = secure && !transport.is_websocket();
        if let Some(name) = transport.uri_param().filter(|_| !goes_without_saying) {
            out.extend_from_slice(format!(";transport={name}").as_bytes());
        }
        out.push(b'>');
        out
    }
}

/// Where a request inside a dialog is sent: the first route or the remote target says one thing (RFC 3261 §12.2.1.1), the
/// address the far side was last heard from often another, and behind a NAT only that one works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextHop {
    /// Always where the dialog was set up from.
    Flow,
    /// The URI's address when it is one and can be reached from there (not a private address behind a public peer);
    /// the flow for host names, which were resolved when the flow was made.
    #[default]
    WhenRoutable,
}

/// A call to place.
#[derive(Clone, Debug)]
pub struct OutboundCall {
    /// The Request-URI and To.
    pub target: Uri,
    /// From, without tag.
    pub from: NameAddr,
    /// To, when it differs from the target.
    pub to: Option<NameAddr>,
    /// The socket and the resolved address.
    pub flow: Flow,
    /// Values of Route headers, loose routes, in order.
    pub route: Vec<String>,
    /// Where we receive.
    pub media: MediaAddress,
    /// Leave the offer to the far side: the INVITE carries no SDP, the answer goes in the ACK.
    pub delayed_offer: bool,
    /// Further headers, e.g. P-Asserted-Identity.
    pub headers: Vec<(String, String)>,
    /// How long to wait for a final response before giving up with CANCEL.
    pub ring_timeout: Option<Duration>,
    /// Hops left; a bridged call passes on its caller's, less one.
    pub max_forwards: u8,
}

/// A final answer other than yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 300–699.
    pub status: u16,
    /// Another reason phrase than the usual.
    pub phrase: Option<String>,
    /// Seconds for Retry-After (503, 500).
    pub retry_after_s: Option<u32>,
    /// A Reason header (RFC 3326).
    pub reason: Option<Reason>,
    /// Further headers, e.g. Contact of a 302.
    pub headers: Vec<(String, String)>,
}

impl Refusal {
    /// A plain refusal; statuses outside 300–699 become 500.
    pub fn new(status: u16) -> Self {
        Self {
            status: if (300..700).contains(&status) {
                status
            } else {
                500
            },
            phrase: None,
            retry_after_s: None,
            reason: None,
            headers: Vec::new(),
        }
    }

    /// 503 with Retry-After: a carrier tries its next route (RFC 3261 §21.5.4).
    pub fn overload(retry_after_s: u32) -> Self {
        Self {
            retry_after_s: Some(retry_after_s),
            ..Self::new(503)
        }
    }

    /// With a Reason header.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = Some(reason);
        self
    }
}
