//! SIP messages: a strict reader over bytes, and a writer.
//!
//! Bytes, never `str`: carriers send Latin-1 display names. What we do not understand is kept as it came.
//! [`parse`] checks what every later step relies on (framing, Via, From, To, Call-ID, CSeq, Contact, Max-Forwards), so
//! that a [`Request`] or [`Response`] in hand is sound; a fault carries what an answer needs.

mod draft;
mod fault;
mod headers;
mod method;
mod reader;
mod status;

use bytes::Bytes;

use crate::value::scan::{split_list, trim};
use crate::value::{CSeq, NameAddr, Uri, Via};

pub use draft::Draft;
pub use fault::{Answerable, Fault, ParseError};
pub use headers::{Header, Headers};
pub use method::Method;
pub use reader::{Framing, MAX_FOLDS, MAX_HEADER_BYTES, MAX_HEADERS, MAX_MESSAGE_BYTES, parse};
pub use status::reason_phrase;

/// The place of the empty line that ends a head.
pub(crate) fn find_in(bytes: &[u8]) -> Option<usize> {
    reader::find(bytes, b"\r\n\r\n")
}

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// A sound request. Cheap to clone: all parts share the received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: Method,
    uri: Uri,
    core: Core,
    body: Bytes,
}

/// A sound response. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    reason: Bytes,
    core: Core,
    body: Bytes,
}

/// The headers, and what the reader made of the essential ones.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Core {
    headers: Headers,
    via: Via,
    from: NameAddr,
    to: NameAddr,
    call_id: Bytes,
    cseq: CSeq,
    contact: Option<NameAddr>,
    max_forwards: Option<u8>,
}

macro_rules! core_accessors {
    ($kind:ty) => {
        impl $kind {
            /// All headers in order.
            pub fn headers(&self) -> &Headers {
                &self.core.headers
            }

            /// The top Via.
            pub fn via(&self) -> &Via {
                &self.core.via
            }

            /// From.
            pub fn from(&self) -> &NameAddr {
                &self.core.from
            }

            /// To.
            pub fn to(&self) -> &NameAddr {
                &self.core.to
            }

            /// Call-ID.
            pub fn call_id(&self) -> &Bytes {
                &self.core.call_id
            }

            /// The number in CSeq.
            pub fn cseq(&self) -> u32 {
                self.core.cseq.number
            }

            /// The first Contact; `*` does not count.
            pub fn contact(&self) -> Option<&NameAddr> {
                self.core.contact.as_ref()
            }

            /// The body, exactly as framed by Content-Length.
            pub fn body(&self) -> &Bytes {
                &self.body
            }

            /// The media type of Content-Type without parameters, e.g. `application/sdp`.
            pub fn content_type(&self) -> Option<&[u8]> {
                let value = self.core.headers.get("Content-Type")?;
                let end = value.iter().position(|byte| *byte == b';');
                Some(trim(value.get(..end.unwrap_or(value.len()))?))
            }

            /// Whether the body is an SDP (RFC 4566 §8.1).
            pub fn has_sdp(&self) -> bool {
                !self.body.is_empty()
                    && self
                        .content_type()
                        .is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/sdp"))
            }
        }
    };
}

core_accessors!(Request);
core_accessors!(Response);

impl Request {
    /// The method, also when we do not know it.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The Request-URI.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Max-Forwards; absent in messages of RFC 2543 times.
    pub fn max_forwards(&self) -> Option<u8> {
        self.core.max_forwards
    }

    /// The message in wire form; Content-Length always fits the body.
    pub fn to_bytes(&self) -> Bytes {
        let draft = Draft::request(&self.method, self.uri.raw());
        print(draft, &self.core.headers, &self.body)
    }
}

impl Response {
    /// The status code, 100–699.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase as it came.
    pub fn reason(&self) -> &Bytes {
        &self.reason
    }

    /// The method of the request this answers, from CSeq.
    pub fn method(&self) -> &Method {
        &self.core.cseq.method
    }

    /// The message in wire form; Content-Length always fits the body.
    pub fn to_bytes(&self) -> Bytes {
        let draft = Draft::response(self.status, &self.reason);
        print(draft, &self.core.headers, &self.body)
    }
}

impl Message {
    /// The message in wire form.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }

    /// All headers in order.
    pub fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => request.headers(),
            Self::Response(response) => response.headers(),
        }
    }
}

fn print(mut draft: Draft, headers: &Headers, body: &Bytes) -> Bytes {
    for header in headers.iter() {
        if !header.is("Content-Length") {
            draft.raw_header(&header.name, &header.value);
        }
    }
    draft.finish(body)
}

/// The option tags of all headers of that name (Require, Supported, …), in order.
pub fn option_tags<'a>(headers: &'a Headers, name: &'static str) -> Vec<&'a [u8]> {
    headers
        .all(name)
        .filter_map(|value| split_list(value).ok())
        .flatten()
        .filter(|tag| !tag.is_empty())
        .collect()
}
