//! What a trunk and an outbound policy must say beyond their shape. The forms are those of the
//! switch's own files.

use serde_json::Value;
use settings::complaint;

use crate::error::{FaultCode, Faults};

/// Header names an inbound trunk may be told apart by are tokens (RFC 3261 §25.1).
const TOKEN: &[u8] = b"-.!%*_+`'~";
/// Most headers a trunk may ask for.
const MOST_HEADERS: usize = 8;
/// The longest header value.
const LONGEST_VALUE: usize = 256;

/// Checks the configuration that stands at `at`.
pub fn check(config: &Value, at: &str, faults: &mut Faults) {
    form(
        &config["proxy"],
        "host-port",
        &format!("{at}/proxy"),
        faults,
    );
    form(
        &config["country"],
        "country",
        &format!("{at}/country"),
        faults,
    );
    form(&config["caller"], "e164", &format!("{at}/caller"), faults);
    let template = &config["numbers"]["template"];
    form(
        template,
        "number-template",
        &format!("{at}/numbers/template"),
        faults,
    );
    each(&config["sources"], "cidr", &format!("{at}/sources"), faults);
    hosts(&config["hosts"], &format!("{at}/hosts"), faults);
    headers(&config["headers"], &format!("{at}/headers"), faults);
    transport(&config["transport"], &format!("{at}/transport"), faults);
    credentials(config, at, faults);
}

/// Checks an outbound policy.
pub fn check_outbound(policy: &Value, at: &str, faults: &mut Faults) {
    each(
        &policy["prefixes"],
        "prefix",
        &format!("{at}/prefixes"),
        faults,
    );
    each(
        &policy["forward_to"],
        "e164",
        &format!("{at}/forward_to"),
        faults,
    );
    form(
        &policy["country"],
        "country",
        &format!("{at}/country"),
        faults,
    );
    let place = format!("{at}/emergency");
    form(&policy["emergency"], "emergency", &place, faults);
    let prefixes = policy["prefixes"].as_array();
    let mut allowed = prefixes.into_iter().flatten().filter_map(Value::as_str);
    if allowed.any(|prefix| !prefix.starts_with('!')) && policy["emergency"].as_str().is_none() {
        let message = "is required where calls are allowed: \"reject\" or \"route:TRUNK\"";
        faults.add(FaultCode::Required, place, message);
    }
}

fn form(value: &Value, format: &str, at: &str, faults: &mut Faults) {
    if let Some(message) = value.as_str().and_then(|text| complaint(format, text)) {
        faults.add(FaultCode::InvalidFormat, at, message);
    }
}

fn each(values: &Value, format: &str, at: &str, faults: &mut Faults) {
    for (index, value) in values.as_array().into_iter().flatten().enumerate() {
        form(value, format, &format!("{at}/{index}"), faults);
    }
}

fn hosts(values: &Value, at: &str, faults: &mut Faults) {
    for (index, value) in values.as_array().into_iter().flatten().enumerate() {
        let Some(host) = value.as_str() else { continue };
        if host.contains(':') || complaint("host-port", host).is_some() {
            let message = "must be a host without a port, such as pbx.example.com";
            faults.add(FaultCode::InvalidFormat, format!("{at}/{index}"), message);
        }
    }
}

fn headers(values: &Value, at: &str, faults: &mut Faults) {
    let Some(members) = values.as_object() else {
        return;
    };
    if members.len() > MOST_HEADERS {
        let message = format!("must have at most {MOST_HEADERS} members");
        faults.add(FaultCode::OutOfRange, at, message);
    }
    for (name, value) in members {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || TOKEN.contains(&byte);
        let value = value.as_str().unwrap_or_default();
        let good = !name.is_empty() && name.len() <= 64 && name.bytes().all(token);
        let plain = value.len() <= LONGEST_VALUE && !value.chars().any(char::is_control);
        if !good || !plain {
            let message = "must be a header's name and its value";
            faults.add(FaultCode::InvalidFormat, at, message);
        }
    }
}

fn transport(value: &Value, at: &str, faults: &mut Faults) {
    if value
        .as_str()
        .is_some_and(|text| !matches!(text, "udp" | "tcp" | "tls"))
    {
        faults.add(FaultCode::UnknownValue, at, "must be one of udp, tcp, tls");
    }
}

/// Who registers or answers challenges needs a name and a place.
fn credentials(config: &Value, at: &str, faults: &mut Faults) {
    let mode = config["mode"].as_str().unwrap_or("ip");
    if mode == "ip" {
        return;
    }
    for name in ["username", "proxy"] {
        if config[name].as_str().is_none() && !(name == "proxy" && config["carrier"].is_string()) {
            let message = format!("is required with mode {mode}");
            faults.add(FaultCode::Required, format!("{at}/{name}"), message);
        }
    }
}
