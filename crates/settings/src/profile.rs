//! `sip-profiles/*.toml`: one SIP identity of the node – sockets, context, who may call, media.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use call_core::length::Length;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::carrier::optional_length;
use crate::{
    Cidr, Digest, ExternalIp, Guard, IdentityIn, IdentityOut, Listen, Numbers, Opus, Pace,
    PortRange, Prack, Secret, SessionTimer, StirPolicy, Streams, Tls, Transport,
};

/// A profile. Its name is the file's.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "sip-profiles/NAME.toml")]
pub struct Profile {
    /// The file's name without its ending.
    #[serde(skip)]
    pub name: String,
    /// Sockets: `udp://127.0.0.1:5060`, `tcp://…`, `tls://…`, `ws://…`, `wss://…`.
    #[schemars(length(min = 1))]
    pub listen: Vec<Listen>,
    /// The address that others see, when it is not the one we listen on.
    pub external_ip: Option<ExternalIp>,
    /// Networks that reach us without `external_ip`.
    #[serde(default)]
    pub local_nets: Vec<Cidr>,
    /// The dialplan context of its calls.
    #[schemars(length(min = 1))]
    pub context: String,
    /// Who may call.
    #[serde(default)]
    pub auth: Auth,
    /// How passwords are asked for.
    #[serde(default)]
    pub digest: Digest,
    /// Codecs in order of preference.
    #[serde(default = "g711")]
    #[schemars(length(min = 1))]
    pub codecs: Vec<String>,
    /// How Opus is spoken.
    #[serde(default)]
    pub opus: Opus,
    /// Whose order of codecs counts.
    #[serde(default)]
    pub negotiation: Negotiation,
    /// Media sockets and their timeouts.
    #[serde(default)]
    pub rtp: Rtp,
    /// How digits are offered.
    #[serde(default)]
    pub dtmf: Dtmf,
    /// Encryption of media: SRTP with keys in SDP (SDES).
    #[serde(default)]
    pub srtp: Srtp,
    /// How soon a far side that is gone is noticed.
    #[serde(default)]
    pub session_timer: SessionTimer,
    /// When ringing is acknowledged.
    #[serde(default)]
    pub prack: Prack,
    /// Admission.
    #[serde(default)]
    pub limits: ProfileLimits,
    /// How our caller is named to trunks that say nothing else.
    pub identity_out: Option<IdentityOut>,
    /// What a source may cost before anything of it is parsed.
    #[serde(default)]
    pub guard: Guard,
    /// Certificates, for `tls://` and `wss://` and for what we connect to.
    #[serde(default)]
    pub tls: Tls,
    /// Bounds of the connections.
    #[serde(default)]
    pub streams: Streams,
    /// Carriers and other known peers.
    #[serde(default, rename = "trunk")]
    pub trunks: Vec<Trunk>,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Everybody who reaches the socket. On loopback only.
    #[default]
    None,
    /// The sources of the trunks.
    Acl,
    /// Extensions with their password, and the sources of the trunks.
    Digest,
}

/// Whose order of codecs counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Negotiation {
    /// The offerer's (RFC 3264 §6.1).
    #[default]
    Offerer,
    /// Ours.
    Local,
}

/// How digits are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dtmf {
    /// telephone-event in RTP; SIP INFO is taken too.
    #[default]
    Rfc4733,
    /// SIP INFO only; telephone-event is not offered.
    Info,
    /// Tones in the sound, read and sent; telephone-event is not offered. SIP INFO is taken too.
    Inband,
}

/// Encryption of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Srtp {
    /// Plain RTP.
    #[default]
    Off,
    /// SRTP with whoever offers it; offered beside plain RTP in calls that we place.
    Optional,
    /// SRTP or no call: an offer without it is refused (488).
    Required,
}

/// Media sockets.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(from = "RtpFields")]
pub struct Rtp {
    /// First UDP port.
    pub first_port: u16,
    /// Last UDP port.
    pub last_port: u16,
    /// Silence of the far side (no RTP at all) that ends a call.
    pub timeout: Duration,
    /// The same while the call is on hold.
    pub hold_timeout: Duration,
    /// Send to where RTP comes from, not to where SDP says.
    pub symmetric: bool,
}

/// Media sockets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RtpFields {
    /// UDP ports, `16384-32767`.
    ports: PortRange,
    /// Silence of the far side (no RTP at all) that ends a call.
    timeout: Length,
    /// The same while the call is on hold.
    hold_timeout: Length,
    /// Send to where RTP comes from, not to where SDP says.
    symmetric: bool,
}

/// Admission of a profile or trunk; 0 = no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileLimits {
    /// Calls at the same time.
    pub calls: u32,
    /// New calls per second.
    pub cps: u32,
    /// New calls at once beyond `cps`.
    pub burst: u32,
}

/// A carrier or another known peer.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// Its name in routes and records.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Networks its calls come from.
    #[serde(default)]
    pub sources: Vec<Cidr>,
    /// Where it is reached: `sip.example.com` or `203.0.113.9:5060`.
    #[schemars(with = "Option<String>", extend("format" = "host-port"))]
    pub proxy: Option<String>,
    /// What it is reached over, when its name (RFC 3263) is not to decide.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// The name its certificate shows, when that is not the host of `proxy`.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub tls_server_name: Option<String>,
    /// Our user name there.
    #[schemars(length(min = 1))]
    pub username: Option<String>,
    /// The user name for the digest, when it is another one.
    pub auth_user: Option<String>,
    /// Our password there: answers its challenges.
    pub password: Option<Secret>,
    /// The realm that the password is for; without it the domain of `proxy`. No other realm gets an answer.
    pub realm: Option<String>,
    /// Register there.
    #[serde(default)]
    pub register: bool,
    /// The life of a registration that we ask for; an hour without it.
    #[serde(default, deserialize_with = "optional_length")]
    #[schemars(with = "Option<Length>")]
    pub expires: Option<Duration>,
    /// The first pause after a registration that failed for a reason that may pass; 30 s without it.
    #[serde(default, deserialize_with = "optional_length")]
    #[schemars(with = "Option<Length>")]
    pub retry: Option<Duration>,
    /// How often it is asked whether it is there (OPTIONS).
    #[serde(default, deserialize_with = "optional_length")]
    #[schemars(with = "Option<Length>")]
    pub ping: Option<Duration>,
    /// A carrier of `sip-profiles/carriers`: gives what is not said here.
    pub carrier: Option<String>,
    /// The slug of the tenant it belongs to; without one it is the operator's, for every number.
    pub tenant: Option<String>,
    /// Hosts one of which its calls must name in their Request-URI.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Headers its calls must carry: `{ X-Twilio-AccountSid = "AC…" }`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// ISO 3166 code of its country: national numbers and emergency numbers.
    #[schemars(extend("format" = "country"))]
    pub country: Option<String>,
    /// How it writes numbers.
    pub numbers: Option<Numbers>,
    /// Which header names the caller; the first that is there counts.
    pub identity_in: Option<Vec<IdentityIn>>,
    /// How our caller is named to it.
    pub identity_out: Option<IdentityOut>,
    /// Whether its calls must prove who calls; without it as [stir] of the server file says.
    pub stir: Option<StirPolicy>,
    /// Our number as caller, where a call brings none that may be shown.
    #[schemars(extend("format" = "e164"))]
    pub caller: Option<String>,
    /// Lower is tried first.
    #[serde(default)]
    pub priority: u16,
    /// Its share among trunks of the same priority.
    #[serde(default = "ten")]
    pub weight: u16,
    /// How fast and how many calls it takes from us.
    pub pace: Option<Pace>,
    /// Admission of its calls to us.
    #[serde(default)]
    pub limits: ProfileLimits,
}

impl Default for RtpFields {
    fn default() -> RtpFields {
        RtpFields {
            ports: PortRange {
                first: 16384,
                last: 32767,
            },
            timeout: Length::seconds(30),
            hold_timeout: Length::seconds(30 * 60),
            symmetric: true,
        }
    }
}

impl From<RtpFields> for Rtp {
    fn from(fields: RtpFields) -> Rtp {
        Rtp {
            first_port: fields.ports.first,
            last_port: fields.ports.last,
            timeout: fields.timeout.0,
            hold_timeout: fields.hold_timeout.0,
            symmetric: fields.symmetric,
        }
    }
}

impl Default for Rtp {
    fn default() -> Rtp {
        RtpFields::default().into()
    }
}

impl Trunk {
    /// A trunk of which only the name is known.
    pub fn named(name: String) -> Trunk {
        Trunk {
            name,
            weight: ten(),
            ..Trunk::default()
        }
    }
}

impl Profile {
    /// The trunk that a source address belongs to; the most specific network wins.
    pub fn trunk_of(&self, source: IpAddr) -> Option<&Trunk> {
        let specific = |trunk: &&Trunk| {
            let fitting = trunk.sources.iter().filter(|net| net.contains(source));
            fitting.map(Cidr::length).max()
        };
        self.trunks
            .iter()
            .filter(|trunk| specific(trunk).is_some())
            .max_by_key(specific)
    }

    /// True when every socket is on loopback.
    pub fn is_loopback(&self) -> bool {
        self.listen
            .iter()
            .all(|listen| listen.addr.ip().is_loopback())
    }
}

fn ten() -> u16 {
    10
}

fn g711() -> Vec<String> {
    vec!["PCMA".to_owned(), "PCMU".to_owned()]
}
