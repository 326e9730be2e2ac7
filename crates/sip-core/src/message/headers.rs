//! Header fields in order, looked up without regard to case or compact form.

use bytes::Bytes;

/// The compact names of RFC 3261 §7.3.3 and its extensions, with the names they stand for.
const COMPACT: [(u8, &str); 20] = [
    (b'a', "Accept-Contact"),
    (b'b', "Referred-By"),
    (b'c', "Content-Type"),
    (b'd', "Request-Disposition"),
    (b'e', "Content-Encoding"),
    (b'f', "From"),
    (b'i', "Call-ID"),
    (b'j', "Reject-Contact"),
    (b'k', "Supported"),
    (b'l', "Content-Length"),
    (b'm', "Contact"),
    (b'n', "Identity-Info"),
    (b'o', "Event"),
    (b'r', "Refer-To"),
    (b's', "Subject"),
    (b't', "To"),
    (b'u', "Allow-Events"),
    (b'v', "Via"),
    (b'x', "Session-Expires"),
    (b'y', "Identity"),
];

/// One header field; the value is unfolded and trimmed, otherwise as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as written, compact names in their long form.
    pub name: Bytes,
    /// The value.
    pub value: Bytes,
}

impl Header {
    /// A header as read: compact names become long ones.
    pub(crate) fn read(name: Bytes, value: Bytes) -> Self {
        let long = match name.as_ref() {
            [letter] => COMPACT
                .iter()
                .find(|(compact, _)| *compact == letter.to_ascii_lowercase())
                .map(|(_, long)| Bytes::from_static(long.as_bytes())),
            _ => None,
        };
        Self {
            name: long.unwrap_or(name),
            value,
        }
    }

    /// Whether this is the header `name` (long form).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// All headers of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    pub(crate) fn push(&mut self, header: Header) {
        self.0.push(header);
    }

    /// The first value of `name` (long form, any case).
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .find(|header| header.is(name))
            .map(|header| &header.value)
    }

    /// All values of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Bytes> {
        self.0
            .iter()
            .filter(move |header| header.is(name))
            .map(|header| &header.value)
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = &Header> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
