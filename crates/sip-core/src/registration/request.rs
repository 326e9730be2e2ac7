//! The REGISTER itself (RFC 3261 §10.2), and what its answer says.

use std::time::Duration;

use bytes::Bytes;

use super::Registration;
use crate::flow::Flow;
use crate::message::{Draft, Method, Response};
use crate::value::NameAddr;
use crate::value::scan::{decimal, trim};

/// The longest Retry-After that is honoured, seconds.
const MOST_RETRY_S: u64 = 86_400;

impl Registration {
    pub(super) fn register(&mut self, flow: Flow, branch: &Bytes, leave: bool) -> Bytes {
        let expires_s = if leave { 0 } else { self.expires_s };
        let cnonce = self.tokens.tag();
        let registrar = self.config.registrar.raw().clone();
        let asker = self.asker.as_mut();
        let credentials = asker.map(|asker| asker.headers(&Method::Register, &registrar, &cnonce));
        let config = &self.config;
        let via = format!(
            "SIP/2.0/{} {};rport;branch=",
            flow.transport.via_name(),
            config.sent_by
        );
        let from = [config.aor.as_bytes(), b";tag=", &self.tag].concat();
        let mut draft = Draft::request(&Method::Register, &registrar);
        draft
            .header("Via", [via.as_bytes(), branch].concat())
            .header("Max-Forwards", "70")
            .header("From", from)
            .header("To", &config.aor)
            .header("Call-ID", &self.call_id)
            .header("CSeq", format!("{} REGISTER", self.cseq));
        for (name, value) in credentials.into_iter().flatten() {
            draft.header(name, value);
        }
        draft
            .header("Contact", format!("{};expires={expires_s}", config.contact))
            .header("Expires", expires_s.to_string())
            .header("Supported", "path")
            .header("User-Agent", &config.user_agent);
        draft.finish(b"")
    }
}

/// The life granted to our Contact (§10.2.4), seconds.
pub(super) fn granted(response: &Response, ours: &str, asked_s: u32) -> u32 {
    let ours = NameAddr::parse(&Bytes::copy_from_slice(ours.as_bytes())).ok();
    let key = |contact: &NameAddr| {
        let uri = contact.uri();
        let host = uri.host().map(ToString::to_string);
        (uri.user(), host, uri.port())
    };
    let contacts = response.headers().all("Contact");
    let contacts: Vec<_> = contacts
        .filter_map(|value| NameAddr::parse_list(value).ok())
        .flatten()
        .collect();
    let same = |contact: &&NameAddr| ours.as_ref().map(key) == Some(key(contact));
    // A registrar behind a NAT may show our Contact rewritten: a single one is ours all the same.
    let found = contacts.iter().find(same);
    let found = found.or_else(|| contacts.first().filter(|_| contacts.len() == 1));
    let own = found.and_then(|contact| contact.params().value("expires").map(<[u8]>::to_vec));
    let common = response
        .headers()
        .get("Expires")
        .map(|value| value.to_vec());
    let seconds = own.or(common).and_then(|value| number(&value));
    seconds.unwrap_or(asked_s)
}

/// Min-Expires of a 423.
pub(super) fn min_expires(response: &Response) -> Option<u32> {
    number(response.headers().get("Min-Expires")?)
}

/// Retry-After, at most a day (§20.33: comments and parameters may follow).
pub(super) fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get("Retry-After")?;
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let seconds = decimal(value.get(..digits)?, MOST_RETRY_S)?;
    Some(Duration::from_secs(seconds))
}

fn number(value: &[u8]) -> Option<u32> {
    decimal(trim(value), u64::from(u32::MAX)).and_then(|seconds| u32::try_from(seconds).ok())
}
