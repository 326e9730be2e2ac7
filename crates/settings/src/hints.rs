//! What we say about names that we do not take: FreeSWITCH's, and our own that do not work yet.

use call_core::document::{Complaint, FormatCheck, Hint};
use call_core::length;

use crate::server::{collector_address, stub_address};
use crate::{Cidr, ExternalIp, Listen, PortRange};

/// Hints for `sidetone.toml`.
pub(crate) const SERVER: [Hint; 10] = [
    Hint::later(
        "audiosocket",
        "the separate stub agent is set with [loadtest] stub",
    ),
    Hint::renamed(
        "tls",
        "certificates are `tls = { certificate, key }` of a profile",
    ),
    Hint::later("otlp", "metrics are at [ops] bind, /metrics"),
    Hint::later("s3", "recordings lie below data.dir"),
    Hint::renamed("database", "the database is `database` in [http]"),
    Hint::renamed("database_url", "the database is `database` in [http]"),
    Hint::renamed(
        "max-sessions",
        "FreeSWITCH's max-sessions is `calls` in [limits]",
    ),
    Hint::renamed(
        "sessions-per-second",
        "FreeSWITCH's sessions-per-second is `cps` in [limits]",
    ),
    Hint::renamed(
        "rtp-start-port",
        "FreeSWITCH's rtp-start-port is `rtp = { ports = \"16384-32767\" }` of a profile",
    ),
    Hint::renamed(
        "rtp-end-port",
        "FreeSWITCH's rtp-end-port is `rtp = { ports = \"16384-32767\" }` of a profile",
    ),
];

/// Hints for profiles.
pub(crate) const PROFILE: &[Hint] = &[
    Hint::renamed(
        "sip-ip",
        "FreeSWITCH's sip-ip and sip-port are `listen = [\"udp://127.0.0.1:5060\"]`",
    ),
    Hint::renamed(
        "sip-port",
        "FreeSWITCH's sip-ip and sip-port are `listen = [\"udp://127.0.0.1:5060\"]`",
    ),
    Hint::renamed(
        "bind-params",
        "FreeSWITCH's bind-params is `listen = [\"tcp://127.0.0.1:5060\"]`",
    ),
    Hint::renamed("rtp-ip", "RTP uses the address that the profile listens on"),
    Hint::renamed(
        "ext-sip-ip",
        "FreeSWITCH's ext-sip-ip and ext-rtp-ip are `external_ip`",
    ),
    Hint::renamed(
        "ext-rtp-ip",
        "FreeSWITCH's ext-sip-ip and ext-rtp-ip are `external_ip`",
    ),
    Hint::renamed(
        "local-network-acl",
        "FreeSWITCH's local-network-acl is `local_nets`",
    ),
    Hint::renamed("dialplan", "a profile's calls go to its `context`"),
    Hint::renamed(
        "apply-inbound-acl",
        "FreeSWITCH's apply-inbound-acl is `auth = \"acl\"` with `sources` of the [[trunk]]s",
    ),
    Hint::renamed("auth-calls", "FreeSWITCH's auth-calls is `auth`"),
    Hint::renamed(
        "inbound-codec-prefs",
        "FreeSWITCH's codec-prefs are `codecs = [\"PCMA\", \"PCMU\"]`",
    ),
    Hint::renamed(
        "outbound-codec-prefs",
        "FreeSWITCH's codec-prefs are `codecs = [\"PCMA\", \"PCMU\"]`",
    ),
    Hint::renamed(
        "codec-prefs",
        "FreeSWITCH's codec-prefs are `codecs = [\"PCMA\", \"PCMU\"]`",
    ),
    Hint::renamed(
        "inbound-codec-negotiation",
        "FreeSWITCH's generous is `negotiation = \"offerer\"`, greedy is \"local\"",
    ),
    Hint::renamed(
        "negotiation=generous",
        "FreeSWITCH's generous is \"offerer\"",
    ),
    Hint::renamed("negotiation=greedy", "FreeSWITCH's greedy is \"local\""),
    Hint::renamed("negotiation=scrooge", "FreeSWITCH's scrooge is \"local\""),
    Hint::renamed("dtmf-type", "FreeSWITCH's dtmf-type is `dtmf`"),
    Hint::renamed(
        "dtmf=rfc2833",
        "RFC 4733 has taken the place of RFC 2833: \"rfc4733\"",
    ),
    Hint::renamed(
        "rtp-timeout-sec",
        "FreeSWITCH's rtp-timeout-sec is `rtp = { timeout = \"30s\" }`",
    ),
    Hint::renamed(
        "rtp-hold-timeout-sec",
        "FreeSWITCH's rtp-hold-timeout-sec is `rtp = { hold_timeout = \"30m\" }`",
    ),
    Hint::renamed(
        "disable-rtp-auto-adjust",
        "FreeSWITCH's disable-rtp-auto-adjust is `rtp = { symmetric = false }`",
    ),
    Hint::renamed(
        "rtp-start-port",
        "FreeSWITCH's rtp-start-port is `rtp = { ports = \"16384-32767\" }`",
    ),
    Hint::renamed(
        "rtp-end-port",
        "FreeSWITCH's rtp-end-port is `rtp = { ports = \"16384-32767\" }`",
    ),
    Hint::renamed(
        "max-calls",
        "FreeSWITCH's max-calls is `limits = { calls = 1000 }`",
    ),
    Hint::renamed("gateway", "FreeSWITCH's gateway is a [[trunk]]"),
    Hint::renamed("trunks", "each trunk is a [[trunk]]"),
    Hint::renamed(
        "require-secure-rtp",
        "FreeSWITCH's require-secure-rtp is `srtp`",
    ),
    Hint::renamed(
        "rtp_secure_media",
        "FreeSWITCH's rtp_secure_media is `srtp`",
    ),
    Hint::renamed(
        "session-timeout",
        "FreeSWITCH's session-timeout is `session_timer = { expires = 1800 }`",
    ),
    Hint::renamed(
        "minimum-session-expires",
        "FreeSWITCH's minimum-session-expires is `session_timer = { min = 90 }`",
    ),
    Hint::renamed(
        "enable-timer",
        "FreeSWITCH's enable-timer is `session_timer`; `{ expires = 0 }` asks for none",
    ),
    Hint::renamed(
        "enable-100rel",
        "FreeSWITCH's enable-100rel is `prack = \"always\"`",
    ),
    Hint::renamed(
        "caller-id-type",
        "FreeSWITCH's caller-id-type is `identity_out`",
    ),
    Hint::renamed(
        "sip-trace",
        "FreeSWITCH's sip-trace is `media-server trace on`",
    ),
    Hint::renamed(
        "sip-capture",
        "FreeSWITCH's sip-capture is `collector` in [hep] of the server file",
    ),
    Hint::renamed(
        "stir-shaken-vs-ca-dir",
        "FreeSWITCH's stir-shaken-vs-ca-dir is `roots` in [stir] of the server file",
    ),
    Hint::later("jitter", "the jitter buffer adapts by itself"),
];

/// String formats of the server file and the profiles.
pub(crate) const FORMATS: [FormatCheck; 16] = [
    (length::FORMAT, length::check),
    ("socket-addr", check_socket),
    ("http-url", check_url),
    ("database-url", check_database),
    ("stub-url", check_stub),
    ("listen", |text| text.parse::<Listen>().map(|_| ())),
    ("external-ip", check_external),
    ("collector", check_collector),
    ("cidr", |text| text.parse::<Cidr>().map(|_| ())),
    ("port-range", |text| text.parse::<PortRange>().map(|_| ())),
    ("host-port", check_host),
    ("country", check_country),
    ("prefix", call_core::dialing::check_prefix),
    ("e164", check_e164),
    ("emergency", check_emergency),
    ("number-template", call_core::trunk::check_template),
];

fn good(good: bool, expected: &str) -> Result<(), Complaint> {
    if good { Ok(()) } else { Err(expected.into()) }
}

fn check_socket(text: &str) -> Result<(), Complaint> {
    good(
        text.parse::<std::net::SocketAddr>().is_ok(),
        "expected an address and a port such as \"127.0.0.1:8080\"",
    )
}

fn check_url(text: &str) -> Result<(), Complaint> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let host = rest.and_then(|rest| rest.split('/').next());
    let plain = host.is_some_and(|host| !host.is_empty() && !host.contains(['@', ' ', '?', '#']));
    good(plain, "expected a URL such as \"https://office.example\"")
}

fn check_database(text: &str) -> Result<(), Complaint> {
    let known = ["sqlite:", "postgres://", "postgresql://"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    good(
        known,
        "expected \"sqlite://PATH\" or \"postgres://USER@HOST/NAME\"",
    )
}

fn check_stub(text: &str) -> Result<(), Complaint> {
    good(
        stub_address(text).is_some(),
        "expected an address such as \"tcp://127.0.0.1:9092\"",
    )
}

fn check_external(text: &str) -> Result<(), Complaint> {
    text.parse::<ExternalIp>().map(|_| ())
}

fn check_collector(text: &str) -> Result<(), Complaint> {
    good(
        collector_address(text).is_some(),
        "expected an address such as \"udp://127.0.0.1:9060\"",
    )
}

pub(crate) fn check_host(text: &str) -> Result<(), Complaint> {
    if text.parse::<std::net::SocketAddr>().is_ok() || text.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "5060"));
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let named = host.split('.').all(label) && port.parse::<u16>().is_ok_and(|port| port > 0);
    good(
        named,
        "expected a host such as \"sip.example.com\" or \"203.0.113.9:5060\"",
    )
}

fn check_country(text: &str) -> Result<(), Complaint> {
    if call_core::country::by_code(text).is_some() {
        return Ok(());
    }
    let known: Vec<&str> = call_core::country::codes().collect();
    Err(Complaint {
        message: "expected a country such as \"FR\"".to_owned(),
        hint: Some(format!("known are {}", known.join(", "))),
    })
}

fn check_e164(text: &str) -> Result<(), Complaint> {
    good(
        call_core::dialplan::e164(text).as_deref() == Some(text),
        "expected a number such as \"+33100000001\"",
    )
}

fn check_emergency(text: &str) -> Result<(), Complaint> {
    let route = text.strip_prefix("route:");
    good(
        text == "reject" || route.is_some_and(|trunk| !trunk.is_empty()),
        "expected \"reject\" or \"route:TRUNK\"",
    )
}

/// What is wrong with a text of one of the formats that files and office share (`cidr`, `host-port`,
/// `country`, `prefix`, `e164`, `emergency`, `number-template`); `None` when nothing is.
pub fn complaint(format: &str, text: &str) -> Option<String> {
    let (_, check) = FORMATS.iter().find(|(name, _)| *name == format)?;
    check(text).err().map(|complaint| complaint.message)
}
