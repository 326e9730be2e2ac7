//! Byte-level steps shared by the value readers.

use bytes::Bytes;

use super::ValueError;

/// A `token` character of RFC 3261 §25.1.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Whether `bytes` is a non-empty token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Linear white space once lines are unfolded.
pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `bytes` without white space at both ends.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        if !is_space(*first) {
            break;
        }
        rest = tail;
    }
    while let [head @ .., last] = rest {
        if !is_space(*last) {
            break;
        }
        rest = head;
    }
    rest
}

/// The offset of `part` inside `whole`; 0 when it is not a part of it.
pub(crate) fn offset_in(whole: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize)
        .checked_sub(whole.as_ptr() as usize)
        .filter(|at| *at <= whole.len())
        .unwrap_or(0)
}

/// `part`, which lies inside `whole`, sharing its storage.
pub(crate) fn share(whole: &Bytes, part: &[u8]) -> Bytes {
    let at = offset_in(whole, part);
    let end = at.saturating_add(part.len());
    if end <= whole.len() {
        whole.slice(at..end)
    } else {
        Bytes::copy_from_slice(part)
    }
}

/// `bytes` cut at the first `separator` that is outside quotes (and, with `angles`, outside `<…>`).
/// The second half starts after the separator; `None` when there is no separator.
pub(crate) fn cut(
    bytes: &[u8],
    separator: u8,
    angles: bool,
) -> Result<(&[u8], Option<&[u8]>), ValueError> {
    let mut quoted = false;
    let mut escaped = false;
    let mut depth = false;
    for (at, byte) in bytes.iter().copied().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !depth => quoted = !quoted,
            _ if quoted => {}
            b'<' if angles => depth = true,
            b'>' if angles => depth = false,
            _ if byte == separator && !depth => {
                let (head, tail) = bytes.split_at(at);
                return Ok((head, tail.get(1..)));
            }
            _ => {}
        }
    }
    if quoted {
        return Err(ValueError::new("a quote is not closed", bytes.len()));
    }
    if depth {
        return Err(ValueError::new(
            "an angle bracket is not closed",
            bytes.len(),
        ));
    }
    Ok((bytes, None))
}

/// The elements of a comma-separated header value, trimmed; quotes and angle brackets protect commas.
pub(crate) fn split_list(value: &[u8]) -> Result<Vec<&[u8]>, ValueError> {
    let mut elements = Vec::new();
    let mut rest = Some(value);
    while let Some(bytes) = rest {
        let (head, tail) = cut(bytes, b',', true).map_err(|fault| ValueError {
            at: fault.at + offset_in(value, bytes),
            ..fault
        })?;
        elements.push(trim(head));
        rest = tail;
    }
    Ok(elements)
}

/// A decimal number of at most `limit`; no sign, no white space.
pub(crate) fn decimal(bytes: &[u8], limit: u64) -> Option<u64> {
    if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    bytes.iter().try_fold(0u64, |sum, digit| {
        sum.checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))
            .filter(|sum| *sum <= limit)
    })
}

/// Every `%` is followed by two hex digits.
pub(crate) fn escapes_are_whole(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        match rest.get(at + 1..at + 3) {
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => {
                rest = rest.get(at + 3..).unwrap_or_default();
            }
            _ => return false,
        }
    }
    true
}

/// `%41` → `A`; a broken escape stays as it is.
pub(crate) fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        let hex = match (first, tail) {
            (b'%', [high, low, ..]) => hex_pair(*high, *low),
            _ => None,
        };
        out.push(hex.unwrap_or(*first));
        rest = if hex.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    out
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let high = char::from(high).to_digit(16)?;
    let low = char::from(low).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

/// The content of a quoted string without its quotes and escapes; unquoted text unchanged.
pub(crate) fn unquote(bytes: &[u8]) -> Vec<u8> {
    let [b'"', inner @ .., b'"'] = bytes else {
        return bytes.to_vec();
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut escaped = false;
    for byte in inner {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            out.push(*byte);
            escaped = false;
        }
    }
    out
}
