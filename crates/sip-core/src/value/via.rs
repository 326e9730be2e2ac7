//! Via (RFC 3261 §20.42) with rport (RFC 3581).

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::scan::{decimal, is_token, offset_in, share, trim};
use super::{Host, Params, ValueError};

/// One Via element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    raw: Bytes,
    version: Bytes,
    transport: Bytes,
    host: Host,
    port: Option<u16>,
    params: Params,
}

impl Via {
    /// Reads one element, as in `SIP / 2.0 / UDP host:port ; branch=…`.
    pub fn parse(raw: &Bytes) -> Result<Self, ValueError> {
        let at = |part: &[u8]| offset_in(raw, part);
        let end = raw
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(raw.len());
        let (head, params) = raw.split_at(end);
        let (name, rest) = piece(head, b'/', raw)?;
        let (version, rest) = piece(rest, b'/', raw)?;
        let rest = trim(rest);
        let gap = rest
            .iter()
            .position(|byte| *byte == b' ' || *byte == b'\t')
            .ok_or(ValueError::new("a Via without a host", at(rest)))?;
        let (transport, sent_by) = rest.split_at(gap);
        if !is_token(name) || !is_token(version) || !is_token(transport) {
            return Err(ValueError::new("a malformed Via protocol", 0));
        }
        let sent_by = without_spaces_at_colon(raw, trim(sent_by));
        let (host, port) = Host::read_with_port(&sent_by, &sent_by, at(rest) + gap)?;
        Ok(Self {
            raw: raw.clone(),
            version: share(raw, version),
            transport: share(raw, transport),
            host,
            port,
            params: Params::read(raw, params)?,
        })
    }

    /// The bytes as they came.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The protocol version, `2.0`.
    pub fn version(&self) -> &[u8] {
        &self.version
    }

    /// The transport as written: `UDP`, `TCP`, `TLS`, or what we do not know.
    pub fn transport(&self) -> &[u8] {
        &self.transport
    }

    /// The host part of sent-by.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port part of sent-by, when written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The value of a parameter.
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        self.params.value(name)
    }

    /// Whether a parameter is there, with or without a value.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }

    /// The branch, when there is one.
    pub fn branch(&self) -> Option<&[u8]> {
        self.param("branch")
    }

    /// The branch if it carries the cookie and something after it (RFC 3261 §8.1.1.7): then it names the transaction.
    pub fn unique_branch(&self) -> Option<&[u8]> {
        self.branch().filter(|branch| {
            branch.len() > 7
                && branch
                    .get(..7)
                    .is_some_and(|head| head.eq_ignore_ascii_case(b"z9hG4bK"))
        })
    }

    /// Whether the sender asks for the answer at the port it sent from (RFC 3581 §3).
    pub fn wants_rport(&self) -> bool {
        self.params.has("rport")
    }

    /// Whether the answer goes to the source port: the sender asks for it, or (`behind_nat` allowing it) sent-by is an address
    /// that is not the source's, so its port cannot be reached either. A sender that merely uses a throw-away port and listens
    /// where its sent-by says (Cisco gateways do) gets its answer there (RFC 3261 §18.2.2).
    fn to_source_port(&self, source: SocketAddr, behind_nat: bool) -> bool {
        let translated = self.host.ip().is_some_and(|ip| ip != source.ip());
        self.wants_rport() || (behind_nat && translated)
    }

    /// The top Via of a response: this one with `received` and `rport` filled in (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn stamped(&self, source: SocketAddr, behind_nat: bool) -> Bytes {
        let rport = self.to_source_port(source, behind_nat);
        if !rport && self.host.ip() == Some(source.ip()) {
            return self.raw.clone();
        }
        let end = self
            .raw
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(self.raw.len());
        let mut out = trim(self.raw.get(..end).unwrap_or_default()).to_vec();
        for (name, value) in self.params.iter() {
            let ours = name.eq_ignore_ascii_case(b"received")
                || (rport && name.eq_ignore_ascii_case(b"rport"));
            if !ours {
                out.push(b';');
                out.extend_from_slice(name);
                if let Some(value) = value {
                    out.push(b'=');
                    out.extend_from_slice(value);
                }
            }
        }
        out.extend_from_slice(format!(";received={}", source.ip()).as_bytes());
        if rport {
            out.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
        }
        Bytes::from(out)
    }

    /// Where `maddr` wants the response, if it names an address (RFC 3261 §18.2.2).
    pub fn maddr(&self) -> Option<SocketAddr> {
        let ip = self.param("maddr").and_then(ip_of)?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(5060)))
    }

    /// Where a response to a request with this top Via goes over UDP (RFC 3261 §18.2.2, RFC 3581 §4):
    /// back to the source, to its port if rport is wanted, else to sent-by's. ([`Self::maddr`] is for those who trust the sender.)
    pub fn response_address(&self, source: SocketAddr, behind_nat: bool) -> SocketAddr {
        let sent_by_port = self.port.unwrap_or(5060);
        if self.to_source_port(source, behind_nat) {
            return source;
        }
        SocketAddr::new(source.ip(), sent_by_port)
    }
}

fn piece<'a>(
    bytes: &'a [u8],
    separator: u8,
    raw: &Bytes,
) -> Result<(&'a [u8], &'a [u8]), ValueError> {
    let at = bytes
        .iter()
        .position(|byte| *byte == separator)
        .ok_or(ValueError::new(
            "a Via without its protocol",
            offset_in(raw, bytes),
        ))?;
    let (head, tail) = bytes.split_at(at);
    Ok((trim(head), tail.get(1..).unwrap_or_default()))
}

/// RFC 3261 §25.1 allows white space around the colon of sent-by.
fn without_spaces_at_colon(raw: &Bytes, sent_by: &[u8]) -> Bytes {
    let spaced = |at: usize| sent_by.get(at).is_some_and(|byte| b" \t".contains(byte));
    let colon = sent_by.iter().rposition(|byte| *byte == b':');
    match colon {
        Some(colon) if spaced(colon + 1) || (colon > 0 && spaced(colon - 1)) => {
            let (host, port) = sent_by.split_at(colon);
            let mut out = trim(host).to_vec();
            out.push(b':');
            out.extend_from_slice(trim(port.get(1..).unwrap_or_default()));
            Bytes::from(out)
        }
        _ => share(raw, sent_by),
    }
}

fn ip_of(text: &[u8]) -> Option<IpAddr> {
    let text = match text {
        [b'[', inner @ .., b']'] => inner,
        _ => text,
    };
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The port the far side saw us at, from a response's top Via.
pub fn rport_of(via: &Via) -> Option<u16> {
    via.param("rport")
        .and_then(|port| decimal(port, 65_535))
        .and_then(|port| u16::try_from(port).ok())
}
