//! What a reader says of bytes that are no sound message: where, why, and what an answer needs.

use bytes::Bytes;

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Longer than [`super::MAX_MESSAGE_BYTES`].
    #[error("the message is longer than 64 KB")]
    TooLong,
    /// A header of more than [`super::MAX_HEADER_BYTES`].
    #[error("a header is longer than 8 KB")]
    HeaderTooLong,
    /// More than [`super::MAX_HEADERS`].
    #[error("more than 256 headers")]
    TooManyHeaders,
    /// More than [`super::MAX_FOLDS`] continuation lines.
    #[error("more than 32 folded lines")]
    TooManyFolds,
    /// No empty line after the headers.
    #[error("no empty line ends the headers")]
    NoHeaderEnd,
    /// A CR or LF that is not part of a CRLF.
    #[error("a bare CR or LF")]
    BareLineEnd,
    /// The first line is neither a request line nor a status line.
    #[error("the first line is malformed: {0}")]
    StartLine(&'static str),
    /// Not SIP/2.0 (answered 505).
    #[error("not SIP version 2.0")]
    Version,
    /// A header that is missing.
    #[error("the header is missing")]
    Missing,
    /// A header that may occur once and occurs more often.
    #[error("the header occurs more than once")]
    Repeated,
    /// A header value that breaks a rule.
    #[error("{0}")]
    Value(&'static str),
    /// Content-Length that is no number, contradicts itself or exceeds the bytes there.
    #[error("Content-Length does not fit: {0}")]
    Length(&'static str),
}

/// A refused message. The text names the field and the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}, line {line} (byte {offset}): {fault}")]
pub struct ParseError {
    /// What is wrong.
    pub fault: Fault,
    /// The header, `start line` or `message`.
    pub field: String,
    /// Line in the message, from 1.
    pub line: usize,
    /// Byte offset in the message.
    pub offset: usize,
    /// What an answer needs, when enough of it could be read; never for responses and ACK.
    pub answer: Option<Box<Answerable>>,
}

impl ParseError {
    /// 505 for another SIP version, else 400 (RFC 3261 §21.5.6, §21.4.1).
    pub fn status(&self) -> u16 {
        match self.fault {
            Fault::Version => 505,
            Fault::TooLong => 513,
            Fault::HeaderTooLong
            | Fault::TooManyHeaders
            | Fault::TooManyFolds
            | Fault::NoHeaderEnd
            | Fault::BareLineEnd
            | Fault::StartLine(_)
            | Fault::Missing
            | Fault::Repeated
            | Fault::Value(_)
            | Fault::Length(_) => 400,
        }
    }

    /// The reason phrase for the answer: it names the field (RFC 3261 §21.4.1 recommends so).
    pub fn phrase(&self) -> String {
        format!("{} ({})", self.fault, self.field)
    }
}

/// The raw headers an answer repeats (RFC 3261 §8.2.6.2); at least Via and CSeq were there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answerable {
    /// All Via values in order.
    pub vias: Vec<Bytes>,
    /// The first From.
    pub from: Option<Bytes>,
    /// The first To.
    pub to: Option<Bytes>,
    /// The first Call-ID.
    pub call_id: Option<Bytes>,
    /// The first CSeq.
    pub cseq: Bytes,
}
