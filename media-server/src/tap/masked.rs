//! Secrets out of a SIP message: credentials, media keys, digits. The length of what was there is
//! not kept.

use bytes::Bytes;

const MASK: &[u8] = b"***";

/// Headers whose value is a credential.
const CREDENTIALS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "authentication-info",
    "proxy-authentication-info",
];

/// Whether a header's value is not for other eyes.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let secret = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    CREDENTIALS.iter().any(secret)
}

/// A copy of a message that may be shown. One without an end of its head is head to the end.
pub(super) fn message(bytes: &[u8]) -> Bytes {
    let end = find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let (head, body) = bytes.split_at(end);
    let mut out = Vec::with_capacity(bytes.len());
    let mut hiding = false;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        // A continuation belongs to the header above it.
        let folded = matches!(line, [b' ' | b'\t', ..]);
        if folded && hiding {
            continue;
        }
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        hiding = is_secret(name.trim_ascii());
        match hiding {
            true => out.extend([name, b": ", MASK, b"\r\n"].concat()),
            false => out.extend_from_slice(line),
        }
    }
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(&body_line(line));
    }
    if is_bare_digit(head) {
        out.truncate(out.len().saturating_sub(body.len()));
        out.extend_from_slice(MASK);
    }
    out.into()
}

/// `a=crypto` carries a key (RFC 4568), `Signal=` a digit.
fn body_line(line: &[u8]) -> Vec<u8> {
    let lower = line.to_ascii_lowercase();
    let keep = if lower.starts_with(b"a=crypto:") {
        find(&lower, b"inline:").map(|at| at + 7)
    } else if lower.starts_with(b"signal") {
        find(line, b"=").map(|at| at + 1)
    } else {
        None
    };
    match keep.and_then(|at| line.get(..at)) {
        Some(kept) => [kept, MASK, b"\r\n"].concat(),
        None => line.to_vec(),
    }
}

/// The whole body is a digit (`application/dtmf`).
fn is_bare_digit(head: &[u8]) -> bool {
    let lower = head.to_ascii_lowercase();
    let line = lower.split(|byte| *byte == b'\n').find(|line| {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        matches!(name.trim_ascii(), b"content-type" | b"c")
    });
    line.is_some_and(|line| line.trim_ascii().ends_with(b"application/dtmf"))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        String::from_utf8(message(text.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn credentials_keys_and_digits_do_not_show_and_all_else_does() {
        let invite = "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nAuthorization: Digest username=\"u\",\r\n \
                      response=\"5ccc069c403ebaf9f0171e9517f40e41\"\r\nSubject: hi\r\n\r\nv=0\r\n\
                      a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQ==\r\na=x\r\n";
        assert_eq!(
            shown(invite),
            "INVITE sip:a@b SIP/2.0\r\nCall-ID: 1\r\nAuthorization: ***\r\nSubject: hi\r\n\r\nv=0\r\n\
             a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***\r\na=x\r\n"
        );
        let relay = "INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=7\r\nDuration=160\r\n";
        assert!(shown(relay).ends_with("\r\n\r\nSignal=***\r\nDuration=160\r\n"));
        let bare = "INFO sip:a@b SIP/2.0\r\nc: application/dtmf\r\n\r\n7";
        assert!(shown(bare).ends_with("\r\n\r\n***"));
        let plain = "OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n";
        assert_eq!(shown(plain), plain);
    }
}
