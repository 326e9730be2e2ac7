//! SIP profiles and their gateways.

use std::net::IpAddr;

use super::{
    Output, Piece, quoted,
    report::Report,
    tree::{Element, Found, Tree},
};
use crate::Known;

/// Parameters without a counterpart that nothing is lost by: they name what is always so here, or
/// tune what does not exist here.
const NEEDLESS: &[&str] = &[
    "debug",
    "sip-trace",
    "sip-capture",
    "watchdog-enabled",
    "watchdog-step-timeout",
    "watchdog-event-timeout",
    "log-auth-failures",
    "forward-unsolicited-mwi-notify",
    "dialplan",
    "rtp-timer-name",
    "manage-presence",
    "inbound-late-negotiation",
    "inbound-zrtp-passthru",
    "tls-passphrase",
    "record-path",
    "record-template",
    "presence-hosts",
    "hold-music",
    "rfc2833-pt",
    "auth-all-packets",
    "nonce-ttl",
    "disable-transcoding",
];

/// The output files of all profiles.
pub(super) fn profiles(tree: &Tree, known: &Known<'_>, report: &mut Report) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for (profile, gateways) in &tree.profiles {
        let Some(name) = profile.element.get("name").filter(|name| is_name(name)) else {
            let line = profile.element.line;
            report.not(&profile.file, line, "profile", "it has no usable name");
            continue;
        };
        let path = std::path::PathBuf::from(format!("sip-profiles/{name}.toml"));
        if outputs.iter().any(|output| output.path == path) {
            let what = format!("profile {name}");
            report.not(
                &profile.file,
                profile.element.line,
                &what,
                "it is there twice",
            );
            continue;
        }
        let mut pieces = vec![one(name, profile, known, report)];
        for gateway in gateways {
            pieces.extend(trunk(gateway, report));
        }
        outputs.push(Output { path, pieces });
    }
    outputs
}

/// The context that a profile's calls go to, by our name.
pub(super) fn context(name: &str) -> &str {
    match name {
        "default" => "internal",
        other => other,
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits) && !name.starts_with('.')
}

/// The `<param>`s of a profile's settings, or of a gateway.
fn params(element: &Element) -> Vec<(&Element, &str, &str)> {
    let mut found = Vec::new();
    for child in &element.children {
        match (child.name.as_str(), child.get("name"), child.get("value")) {
            ("param", Some(name), Some(value)) => found.push((child, name, value)),
            ("settings", ..) => found.extend(params(child)),
            _ => {}
        }
    }
    found
}

/// What is known of a profile so far.
struct Fields {
    port: u16,
    transports: Vec<&'static str>,
    context: String,
    codecs: Vec<String>,
    negotiation: &'static str,
    dtmf: &'static str,
    timeout_s: u32,
    hold_timeout_s: u32,
    external_ip: Option<IpAddr>,
}

fn one(name: &str, profile: &Found, known: &Known<'_>, report: &mut Report) -> Piece {
    let mut fields = Fields {
        port: 5060,
        transports: vec!["udp", "tcp"],
        context: "public".into(),
        codecs: Vec::new(),
        negotiation: "offerer",
        dtmf: "rfc4733",
        timeout_s: 300,
        hold_timeout_s: 1_800,
        external_ip: None,
    };
    for (element, param, value) in params(&profile.element) {
        if let Err(why) = fields.take(param, value, known)
            && !NEEDLESS.contains(&param)
        {
            let what = format!("param {param} = {}", shown(param, value));
            report.not(&profile.file, element.line, &what, why);
        }
    }
    Piece {
        text: fields.text(name, known),
        file: profile.file.clone(),
        line: profile.element.line,
        name: format!("profile {name}"),
        optional: false,
    }
}

/// No secret leaves the file it stands in.
fn shown<'a>(param: &str, value: &'a str) -> &'a str {
    match param.contains("password") || param.contains("passphrase") || param.contains("key") {
        true => "(not shown)",
        false => value,
    }
}

impl Fields {
    /// Takes a parameter in, or says why not.
    fn take(&mut self, param: &str, value: &str, known: &Known<'_>) -> Result<(), String> {
        match param {
            "sip-port" => self.port = value.parse().map_err(|_| "it is no port".to_owned())?,
            "bind-params" => self.bind(value)?,
            "context" => value_of_name(value).map(|name| self.context = context(name).into())?,
            "inbound-codec-prefs" | "codec-prefs" => return self.prefer(value, known),
            "outbound-codec-prefs" => {
                return Err("a profile has one list of codecs, for both ways".into());
            }
            "inbound-codec-negotiation" => {
                self.negotiation = if value == "generous" {
                    "offerer"
                } else {
                    "local"
                };
            }
            "dtmf-type" => match value {
                "rfc2833" => self.dtmf = "rfc4733",
                "info" => self.dtmf = "info",
                _ => return Err("digits are always taken".into()),
            },
            "rtp-timeout-sec" => self.timeout_s = seconds(value)?,
            "rtp-hold-timeout-sec" => self.hold_timeout_s = seconds(value)?,
            "ext-sip-ip" | "ext-rtp-ip" => {
                let address = value.parse();
                let why = "name the address that others see in external_ip";
                self.external_ip = Some(address.map_err(|_| why.to_owned())?);
            }
            "sip-ip" | "rtp-ip" => return address(value),
            "auth-calls" | "accept-blind-auth" if value == "false" => {}
            "tls" | "tls-only" if value == "false" => {}
            other => return Err(elsewhere(other).to_owned()),
        }
        Ok(())
    }

    fn bind(&mut self, value: &str) -> Result<(), String> {
        let Some(transports) = value.strip_prefix("transport=") else {
            return Err("only transport=udp,tcp is understood".into());
        };
        let names = transports.split(',').map(str::trim);
        self.transports = ["udp", "tcp"]
            .into_iter()
            .filter(|name| names.clone().any(|wanted| wanted == *name))
            .collect();
        match self.transports.is_empty() {
            true => Err("it names neither udp nor tcp".into()),
            false => Ok(()),
        }
    }

    fn prefer(&mut self, value: &str, known: &Known<'_>) -> Result<(), String> {
        let mut left = Vec::new();
        for wanted in value.split(',').map(str::trim) {
            let plain = wanted.split('@').next().unwrap_or_default();
            let ours = known.codecs.iter();
            match ours.clone().find(|codec| codec.eq_ignore_ascii_case(plain)) {
                Some(codec) if !self.codecs.iter().any(|have| have == codec) => {
                    self.codecs.push((*codec).to_owned());
                }
                Some(_) => {}
                None => left.push(wanted),
            }
        }
        match left.is_empty() {
            true => Ok(()),
            false => Err(format!("there is no codec {}", left.join(", "))),
        }
    }

    fn text(&self, name: &str, known: &Known<'_>) -> String {
        let port = self.port;
        let sockets: Vec<String> = self
            .transports
            .iter()
            .map(|transport| format!("\"{transport}://127.0.0.1:{port}\""))
            .collect();
        let all = || known.codecs.iter().map(|codec| (*codec).to_owned());
        let codecs = match self.codecs.is_empty() {
            true => all().collect(),
            false => self.codecs.clone(),
        };
        let codecs: Vec<String> = codecs.iter().map(|codec| quoted(codec)).collect();
        let external = self
            .external_ip
            .map_or_else(String::new, |ip| format!("external_ip = \"{ip}\"\n"));
        format!(
            "# The FreeSWITCH profile {name}. It listens on loopback: name your address here, with auth and\n\
             # the carriers' sources beside it.\n\
             listen = [{}]\n{external}context = {}\nauth = \"none\"\ncodecs = [{}]\n\
             negotiation = \"{}\"\ndtmf = \"{}\"\n\
             rtp = {{ timeout = \"{}s\", hold_timeout = \"{}s\" }}\n",
            sockets.join(", "),
            quoted(&self.context),
            codecs.join(", "),
            self.negotiation,
            self.dtmf,
            self.timeout_s,
            self.hold_timeout_s,
        )
    }
}

fn value_of_name(value: &str) -> Result<&str, String> {
    match is_name(value) {
        true => Ok(value),
        false => Err("it is no usable name".into()),
    }
}

fn seconds(value: &str) -> Result<u32, String> {
    let seconds: Option<u32> = value.parse().ok();
    seconds
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| "it is no number of seconds".to_owned())
}

fn address(value: &str) -> Result<(), String> {
    match value.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() => Ok(()),
        Ok(_) | Err(_) => {
            Err("the profile listens on loopback until you name the address in listen".into())
        }
    }
}

/// What to do about a parameter of ours by another name, or of nobody's.
fn elsewhere(param: &str) -> &'static str {
    match param {
        "auth-calls" | "accept-blind-auth" | "challenge-realm" | "auth-subscriptions" => {
            "who may call is auth: a list of sources, or passwords"
        }
        "apply-inbound-acl" | "apply-register-acl" | "apply-proxy-acl" | "apply-nat-acl" => {
            "name the networks in the sources of a [[trunk]], with auth = \"acl\""
        }
        "local-network-acl" => "name the networks in local_nets",
        "tls"
        | "tls-only"
        | "tls-sip-port"
        | "tls-bind-params"
        | "tls-cert-dir"
        | "tls-version"
        | "tls-ciphers"
        | "tls-verify-policy"
        | "tls-verify-depth"
        | "tls-verify-date"
        | "tls-verify-in-subjects" => "add a tls:// socket to listen, with its certificate",
        "ws-binding" | "wss-binding" => "add a ws:// or wss:// socket to listen",
        "enable-timer" | "session-timeout" | "minimum-session-expires" => {
            "see session_timer of a profile"
        }
        "max-calls" | "max-proceeding" | "max-recv-requests-per-second" => {
            "see limits of a profile"
        }
        "caller-id-type" | "p-asserted-id-parse" | "pass-callee-id" => {
            "see identity_out of a profile"
        }
        _ => "there is no counterpart here",
    }
}

/// A gateway as a trunk.
fn trunk(gateway: &Found, report: &mut Report) -> Option<Piece> {
    let name = gateway.element.get("name")?;
    let what = format!("gateway {name}");
    let mut not = |line: usize, what: &str, why: &str| report.not(&gateway.file, line, what, why);
    if !is_name(name) {
        not(gateway.element.line, &what, "it has no usable name");
        return None;
    }
    let params = params(&gateway.element);
    let value = |wanted: &str| {
        let found = params.iter().find(|(_, name, _)| *name == wanted);
        found.map(|(_, _, value)| *value)
    };
    let proxy = value("proxy").or_else(|| value("realm"));
    let proxy = proxy.unwrap_or(name);
    let ping: Option<u32> = value("ping").and_then(|ping| ping.parse().ok());
    for (element, param, value) in &params {
        if !matches!(*param, "proxy" | "realm" | "ping") {
            let what = format!("gateway {name}, param {param} = {}", shown(param, value));
            not(element.line, &what, credentials(param));
        }
    }
    let mut text = format!(
        "\n[[trunk]]\nname = {}\nproxy = {}\n",
        quoted(name),
        quoted(proxy)
    );
    if let Ok(ip) = proxy.parse::<IpAddr>() {
        text += &format!(
            "sources = [\"{ip}/{}\"]\n",
            if ip.is_ipv4() { 32 } else { 128 }
        );
    }
    if let Some(seconds) = ping.filter(|seconds| *seconds > 0) {
        text += &format!("ping = \"{seconds}s\"\n");
    }
    Some(Piece {
        text,
        file: gateway.file.clone(),
        line: gateway.element.line,
        name: what,
        optional: true,
    })
}

fn credentials(param: &str) -> &'static str {
    match param {
        "username" | "password" | "auth-username" | "register" | "expire-seconds"
        | "retry-seconds" | "register-transport" | "register-proxy" => {
            "a trunk's account is not carried: give it the trunk by hand, its password from the environment"
        }
        _ => "there is no counterpart here",
    }
}
