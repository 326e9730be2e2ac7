//! Before the parser: what kind of bytes arrived, and where one message in a stream ends.

use bytes::{Bytes, BytesMut};

use crate::message::{MAX_HEADER_BYTES, MAX_MESSAGE_BYTES};
use crate::value::scan::{decimal, trim};

/// What the bytes on a SIP port turn out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or only CR and LF: a keep-alive (RFC 5626 §4.4.1).
    KeepAlive,
    /// A STUN message (RFC 5626 §4.4.2, RFC 8489 §5).
    Stun,
    /// An HTTP request or response.
    Http,
    /// A TLS record on a plain port.
    Tls,
    /// To be read as SIP.
    Sip,
    /// None of these: no message starts with such a byte.
    Noise,
}

/// The answer to a keep-alive ping on a stream (RFC 5626 §4.4.1).
pub const PONG: &[u8] = b"\r\n";

/// Tells the kind of a datagram or of a stream's first bytes, without parsing.
pub fn classify(bytes: &[u8]) -> Kind {
    let text = skip_line_ends(bytes);
    let Some(first) = text.first() else {
        return Kind::KeepAlive;
    };
    if first >> 6 == 0 && bytes.get(4..8) == Some(&[0x21, 0x12, 0xa4, 0x42]) {
        return Kind::Stun;
    }
    if matches!(text, [0x16, 0x03, ..]) {
        return Kind::Tls;
    }
    if !first.is_ascii_graphic() {
        return Kind::Noise;
    }
    if is_http(text) {
        return Kind::Http;
    }
    Kind::Sip
}

fn skip_line_ends(bytes: &[u8]) -> &[u8] {
    let end = bytes
        .iter()
        .position(|byte| *byte != b'\r' && *byte != b'\n')
        .unwrap_or(bytes.len());
    bytes.get(end..).unwrap_or_default()
}

fn is_http(text: &[u8]) -> bool {
    let end = text
        .iter()
        .position(|byte| *byte == b'\r' || *byte == b'\n')
        .unwrap_or(text.len());
    let line = text.get(..end).unwrap_or_default();
    line.starts_with(b"HTTP/")
        || line.windows(7).any(|part| part == b" HTTP/1")
        || line.starts_with(b"PRI * HTTP/2")
}

/// What a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A keep-alive ping (CRLF CRLF): answer with [`PONG`].
    Ping,
    /// A keep-alive pong (a single CRLF).
    Pong,
    /// One message, or, once [`StreamFramer::is_broken`], the head of a message whose end cannot be known:
    /// the endpoint answers it 400 and asks for the connection to be closed.
    Message(Bytes),
}

/// Why a stream cannot be cut into messages any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// No end of headers within the limits.
    #[error("a message head longer than the limit")]
    HeadTooLong,
    /// Content-Length missing, malformed, contradictory or beyond 64 KB.
    #[error("a message whose length cannot be known")]
    NoLength,
    /// STUN, HTTP, TLS or noise instead of SIP.
    #[error("the stream does not speak SIP")]
    NotSip,
}

/// Cuts one TCP connection's bytes into messages. Holds at most one message and what was pushed at once.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: BytesMut,
    /// How far the search for the end of the head has come.
    scanned: usize,
    broken: Option<FramingError>,
}

impl StreamFramer {
    /// A framer for a new connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they arrived; after a fault they are ignored.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.broken.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Why no further message will come.
    pub fn is_broken(&self) -> Option<FramingError> {
        self.broken
    }

    /// Bytes held back because a message is not complete: for idle timeouts.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Whether a message has begun to arrive and is not complete: for slow senders.
    pub fn is_within_message(&self) -> bool {
        !skip_line_ends(&self.buffer).is_empty()
    }

    /// Whether all there is is one CRLF: the answer to a ping, or half of one.
    pub fn is_lone_crlf(&self) -> bool {
        self.buffer.as_ref() == PONG
    }

    /// The next frame, if one is complete.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.broken.is_some() {
            return None;
        }
        if let Some(frame) = self.keep_alive() {
            return Some(frame);
        }
        match classify(&self.buffer) {
            Kind::Sip => self.message(),
            Kind::KeepAlive => None,
            // A STUN header is not complete before its eighth byte.
            Kind::Noise if self.buffer.len() < 8 && self.buffer.first() < Some(&0x40) => None,
            Kind::Stun | Kind::Http | Kind::Tls | Kind::Noise => {
                self.give_up(FramingError::NotSip, 0)
            }
        }
    }

    fn keep_alive(&mut self) -> Option<Frame> {
        let (frame, length) = match self.buffer.as_ref() {
            [b'\r', b'\n', b'\r', b'\n', ..] => (Frame::Ping, 4),
            // May be the start of a ping: a pong can wait, nothing is done about it.
            [b'\r', b'\n', b'\r'] | [b'\r', b'\n'] | [b'\r'] => return None,
            [b'\r', b'\n', ..] => (Frame::Pong, 2),
            _ => return None,
        };
        let _ = self.buffer.split_to(length);
        self.scanned = 0;
        Some(frame)
    }

    fn message(&mut self) -> Option<Frame> {
        let from = self.scanned.saturating_sub(3);
        let found = crate::message::find_in(self.buffer.get(from..).unwrap_or_default());
        let Some(head_end) = found.map(|at| from + at + 4) else {
            self.scanned = self.buffer.len();
            if self.buffer.len() > MAX_MESSAGE_BYTES {
                return self.give_up(FramingError::HeadTooLong, MAX_HEADER_BYTES);
            }
            return None;
        };
        let head = self.buffer.get(..head_end).unwrap_or_default();
        match stream_length(head).filter(|length| head_end + length <= MAX_MESSAGE_BYTES) {
            Some(length) if self.buffer.len() >= head_end + length => {
                self.scanned = 0;
                let message = self.buffer.split_to(head_end + length).freeze();
                Some(Frame::Message(message))
            }
            Some(_) => {
                self.scanned = head_end - 1;
                None
            }
            None => self.give_up(FramingError::NoLength, head_end),
        }
    }

    /// Hands out the first `head` bytes for an answer, if any, and takes nothing more.
    fn give_up(&mut self, why: FramingError, head: usize) -> Option<Frame> {
        self.broken = Some(why);
        let head = self.buffer.split_to(head.min(self.buffer.len())).freeze();
        self.buffer = BytesMut::new();
        (!head.is_empty()).then_some(Frame::Message(head))
    }
}

/// The one consistent Content-Length of a message head; the parser judges the rest.
fn stream_length(head: &[u8]) -> Option<usize> {
    let mut length = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let colon = line.iter().position(|byte| *byte == b':');
        // A continuation line is no header, whatever it looks like.
        let Some(colon) = colon.filter(|_| !matches!(line, [b' ' | b'\t', ..])) else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = trim(name);
        if !name.eq_ignore_ascii_case(b"Content-Length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = value.get(1..)?;
        let value = trim(value.strip_suffix(b"\r").unwrap_or(value));
        let value = usize::try_from(decimal(value, u64::from(u32::MAX))?).ok()?;
        if length.is_some_and(|length| length != value) {
            return None;
        }
        length = Some(value);
    }
    length
}
