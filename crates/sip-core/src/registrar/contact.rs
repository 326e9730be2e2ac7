//! What a REGISTER asks for, and how a binding is shown in the answer.

use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Binding, RegistrarConfig, supports};
use crate::message::Request;
use crate::value::scan::{decimal, split_list, trim};
use crate::value::uri::Scheme;
use crate::value::{NameAddr, Uri};

/// Contacts in one request.
const MAX_CONTACTS: usize = 16;
/// Bytes of a Contact's URI, an instance, or all Path values together.
const MAX_BYTES: usize = 2_048;
/// §10.3 step 7: what a malformed `expires` counts as.
const MALFORMED_S: u64 = 3_600;

/// What is wanted.
pub(super) enum Wish {
    /// No Contact: which bindings are there?
    Query,
    /// `*`: none any more.
    Clear,
    /// These.
    Set(Vec<Contact>),
}

/// A Contact that can be bound.
pub(super) struct Contact {
    pub(super) uri: Bytes,
    pub(super) name: String,
    pub(super) instance: Option<Bytes>,
    pub(super) reg_id: Option<u32>,
    pub(super) q: u16,
    pub(super) expires_s: u32,
}

/// Reads the Contacts of a REGISTER (§10.3 steps 6 and 7).
pub(super) fn read(request: &Request, config: &RegistrarConfig) -> Result<Wish, Answer> {
    let bad = || Answer::plain(400);
    let headers = request.headers();
    let common = headers.get("Expires").map(|value| seconds(value));
    let values: Vec<_> = headers.all("Contact").collect();
    if values.iter().any(|value| trim(value) == b"*") {
        let alone = values.len() == 1 && common == Some(0);
        return if alone { Ok(Wish::Clear) } else { Err(bad()) };
    }
    let mut contacts = Vec::new();
    for value in values {
        for contact in NameAddr::parse_list(value).map_err(|_| bad())? {
            contacts.push(one(request, &contact, common, config)?);
        }
    }
    match contacts.len() {
        0 => Ok(Wish::Query),
        1..=MAX_CONTACTS => Ok(Wish::Set(contacts)),
        _ => Err(bad()),
    }
}

fn one(
    request: &Request,
    contact: &NameAddr,
    common: Option<u64>,
    config: &RegistrarConfig,
) -> Result<Contact, Answer> {
    let uri = contact.uri();
    let fits = matches!(uri.scheme(), Scheme::Sip | Scheme::Sips) && uri.raw().len() <= MAX_BYTES;
    if !fits {
        return Err(Answer::plain(400));
    }
    let (instance, reg_id) = managed(request, contact)?;
    let own = contact.params().value("expires").map(seconds);
    let asked = own.or(common);
    let name = match (&instance, reg_id) {
        (Some(instance), Some(reg_id)) => {
            format!("{};reg-id={reg_id}", String::from_utf8_lossy(instance))
        }
        _ => address(uri),
    };
    Ok(Contact {
        uri: Bytes::copy_from_slice(uri.raw()),
        name,
        instance,
        reg_id,
        q: contact.param("q").map_or(1_000, thousandths),
        expires_s: granted(asked, config)?,
    })
}

/// Instance and flow number (RFC 5626 §6): used when the phone supports outbound, and the REGISTER came straight from it
/// or over a first hop that keeps flows; else 439.
fn managed(request: &Request, contact: &NameAddr) -> Result<(Option<Bytes>, Option<u32>), Answer> {
    let instance = contact.param("+sip.instance");
    let instance = instance.filter(|text| text.len() <= MAX_BYTES);
    let instance = instance.map(Bytes::copy_from_slice);
    let reg_id = contact
        .param("reg-id")
        .and_then(|id| decimal(id, u64::from(u32::MAX)));
    let reg_id = reg_id.and_then(|id| u32::try_from(id).ok());
    if instance.is_none() || reg_id.is_none() || !supports(request, "outbound") {
        return Ok((instance, None));
    }
    let vias = request.headers().all("Via");
    let hops: usize = vias
        .filter_map(|value| split_list(value).ok())
        .map(|hops| hops.len())
        .sum();
    let first = path(request)?.into_iter().next_back();
    let keeps = first.and_then(|raw| NameAddr::parse(&raw).ok());
    let keeps = keeps.is_some_and(|first| first.uri().has_param("ob"));
    if hops > 1 && !keeps {
        return Err(Answer::plain(439));
    }
    Ok((instance, reg_id))
}

/// The Path values, each verbatim (RFC 3327 §5.3).
pub(super) fn path(request: &Request) -> Result<Vec<Bytes>, Answer> {
    let mut path = Vec::new();
    for value in request.headers().all("Path") {
        let hops = NameAddr::parse_list(value).map_err(|_| Answer::plain(400))?;
        path.extend(hops.iter().map(|hop| Bytes::copy_from_slice(hop.raw())));
    }
    let bytes: usize = path.iter().map(Bytes::len).sum();
    if bytes > MAX_BYTES {
        return Err(Answer::plain(400));
    }
    Ok(path)
}

pub(super) fn user_agent(request: &Request) -> String {
    let value = request.headers().get("User-Agent");
    let text = value.map(|value| String::from_utf8_lossy(value).into_owned());
    text.unwrap_or_default().chars().take(120).collect()
}

/// §10.3 step 7: nothing asked for gets the default, too little 423 (§21.4.17), too much the most.
fn granted(asked: Option<u64>, config: &RegistrarConfig) -> Result<u32, Answer> {
    let Some(asked) = asked else {
        return Ok(config.default_expires_s);
    };
    let asked = u32::try_from(asked).unwrap_or(u32::MAX);
    if asked > 0 && asked < config.min_expires_s {
        let least = config.min_expires_s.to_string();
        return Err(Answer::plain(423).with("Min-Expires", least));
    }
    Ok(asked.min(config.max_expires_s))
}

fn seconds(value: &[u8]) -> u64 {
    let value = trim(value);
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // More than 2³²−1 is still a number (RFC 3261 §20.19).
    let most = if digits {
        u64::from(u32::MAX)
    } else {
        MALFORMED_S
    };
    decimal(value, u64::from(u32::MAX)).unwrap_or(most)
}

/// `0.5` as 500; what is not a qvalue counts as 1.
fn thousandths(text: &[u8]) -> u16 {
    let Some((whole, rest)) = text.split_first() else {
        return 1_000;
    };
    let digits = rest.strip_prefix(b".").unwrap_or_default();
    let mut padded = digits.to_vec();
    padded.resize(3, b'0');
    match (whole, decimal(&padded, 999)) {
        (b'0', Some(fraction)) => u16::try_from(fraction).unwrap_or(1_000),
        _ => 1_000,
    }
}

/// What makes two Contacts the same (§19.1.4, as far as it matters for reaching somebody): user, host, port, transport.
fn address(uri: &Uri) -> String {
    let user = uri.user().unwrap_or_default();
    let host = uri.host().map(ToString::to_string).unwrap_or_default();
    let port = uri.port().map(|port| port.to_string()).unwrap_or_default();
    let transport = uri.param("transport").unwrap_or_default();
    let transport = String::from_utf8_lossy(transport).to_ascii_lowercase();
    format!("{user}@{}:{port};{transport}", host.to_ascii_lowercase())
}

/// A binding as a Contact of the answer.
pub(super) fn printed(binding: &Binding, now: Duration) -> Vec<u8> {
    let mut out = [b"<".as_ref(), &binding.contact, b">"].concat();
    out.extend_from_slice(format!(";expires={}", binding.left_s(now)).as_bytes());
    if binding.q < 1_000 {
        out.extend_from_slice(format!(";q=0.{:03}", binding.q).as_bytes());
    }
    if let Some(instance) = &binding.instance {
        out.extend_from_slice(b";+sip.instance=\"");
        out.extend_from_slice(instance);
        out.push(b'"');
    }
    if let Some(reg_id) = binding.reg_id {
        out.extend_from_slice(format!(";reg-id={reg_id}").as_bytes());
    }
    out
}
