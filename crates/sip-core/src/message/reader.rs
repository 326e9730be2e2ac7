//! The strict reader: bytes to a sound [`Message`], or a [`ParseError`] that says where.

use bytes::Bytes;

use super::fault::{Answerable, Fault, ParseError};
use super::{Core, Header, Headers, Message, Method, Request, Response};
use crate::value::scan::{decimal, is_token, offset_in, share, split_list, trim};
use crate::value::{CSeq, NameAddr, Uri, ValueError, Via};

/// Longest message.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;
/// Longest header, name and continuation lines included.
pub const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Most headers in a message.
pub const MAX_HEADERS: usize = 256;
/// Most continuation lines in a message.
pub const MAX_FOLDS: usize = 32;

/// How the end of a message is known (RFC 3261 §18.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A datagram: without Content-Length the body is the rest of it.
    Datagram,
    /// A stream: Content-Length is required.
    Stream,
}

/// Reads one message. Empty lines before it are skipped (RFC 3261 §7.5); in a datagram, bytes after the body are ignored (§18.3).
pub fn parse(bytes: &Bytes, framing: Framing) -> Result<Message, ParseError> {
    let mut reader = Reader::new(bytes, framing);
    let start = reader.read_head();
    let headers = std::mem::take(&mut reader.headers);
    match start {
        Some(StartLine::Request(method, uri)) => {
            let core = reader.core(&headers, Some(&method));
            let body = reader.body(&headers);
            let Some((core, body)) = reader.sound(core.zip(body)) else {
                return Err(reader.into_error(answerable(&method, &headers)));
            };
            Ok(Message::Request(Request {
                method,
                uri: *uri,
                core: core.with(headers),
                body,
            }))
        }
        Some(StartLine::Response(status, reason)) => {
            let core = reader.core(&headers, None);
            let body = reader.body(&headers);
            let Some((core, body)) = reader.sound(core.zip(body)) else {
                return Err(reader.into_error(None));
            };
            Ok(Message::Response(Response {
                status,
                reason,
                core: core.with(headers),
                body,
            }))
        }
        None => {
            let method = reader.method.take();
            let answer = || answerable(method.as_ref()?, &headers);
            Err(reader.into_error(answer()))
        }
    }
}

enum StartLine {
    Request(Method, Box<Uri>),
    Response(u16, Bytes),
}

/// [`Core`] before the headers are moved in.
struct Essentials {
    via: Via,
    from: NameAddr,
    to: NameAddr,
    call_id: Bytes,
    cseq: CSeq,
    contact: Option<NameAddr>,
    max_forwards: Option<u8>,
}

impl Essentials {
    fn with(self, headers: Headers) -> Core {
        Core {
            headers,
            via: self.via,
            from: self.from,
            to: self.to,
            call_id: self.call_id,
            cseq: self.cseq,
            contact: self.contact,
            max_forwards: self.max_forwards,
        }
    }
}

struct Reader<'a> {
    bytes: &'a Bytes,
    framing: Framing,
    headers: Headers,
    /// Where each header's value starts: byte offset and line.
    places: Vec<(usize, usize)>,
    /// The request's method, once known, even if the rest of the line is bad.
    method: Option<Method>,
    body_start: usize,
    error: Option<ParseError>,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a Bytes, framing: Framing) -> Self {
        Self {
            bytes,
            framing,
            headers: Headers::default(),
            places: Vec::new(),
            method: None,
            body_start: bytes.len(),
            error: None,
        }
    }

    /// The first fault is the one reported; reading goes on, to know what an answer needs.
    fn note(&mut self, fault: Fault, field: &str, (offset, line): (usize, usize)) {
        self.error.get_or_insert_with(|| ParseError {
            fault,
            field: field.to_owned(),
            line,
            offset,
            answer: None,
        });
    }

    fn into_error(self, answer: Option<Box<Answerable>>) -> ParseError {
        let error = self.error.unwrap_or(ParseError {
            fault: Fault::StartLine("nothing to read"),
            field: "start line".into(),
            line: 1,
            offset: 0,
            answer: None,
        });
        ParseError { answer, ..error }
    }

    /// What was read, when nothing was wrong.
    fn sound<T>(&self, read: Option<T>) -> Option<T> {
        read.filter(|_| self.error.is_none())
    }

    /// Start line and headers.
    fn read_head(&mut self) -> Option<StartLine> {
        if self.bytes.len() > MAX_MESSAGE_BYTES {
            self.note(Fault::TooLong, "message", (MAX_MESSAGE_BYTES, 1));
        }
        let whole = self.bytes.get(..MAX_MESSAGE_BYTES).unwrap_or(self.bytes);
        let skipped = leading_line_ends(whole);
        let text = whole.get(skipped..).unwrap_or_default();
        let end = find(text, b"\r\n\r\n");
        if end.is_none() {
            self.note(Fault::NoHeaderEnd, "message", (whole.len(), 1));
        }
        let head = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        self.body_start = end.map_or(whole.len(), |end| skipped + end + 4);
        let mut lines = Lines {
            rest: Some(head),
            line: 1 + skipped / 2,
        };
        let first = lines.next().unwrap_or_default();
        let start = self.start_line(first, skipped, 1 + skipped / 2);
        self.read_headers(lines);
        start
    }

    fn start_line(&mut self, text: &[u8], offset: usize, line: usize) -> Option<StartLine> {
        let at = (offset, line);
        if has_bare_line_end(text) {
            self.note(Fault::BareLineEnd, "start line", at);
            return None;
        }
        if text.len() > MAX_HEADER_BYTES {
            self.note(Fault::HeaderTooLong, "start line", at);
            return None;
        }
        let is_response = text
            .get(..4)
            .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"));
        let read = if is_response {
            status_line(self.bytes, text)
        } else {
            self.request_line(text)
        };
        read.map_err(|fault| self.note(fault, "start line", at))
            .ok()
    }

    /// RFC 3261 §25.1: exactly one space between the parts, none at the end.
    fn request_line(&mut self, text: &[u8]) -> Result<StartLine, Fault> {
        let mut parts = text.split(|byte| *byte == b' ');
        let method = parts.next().filter(|method| is_token(method));
        let method = method.ok_or(Fault::StartLine("the method is not a token"))?;
        let method = Method::from_bytes(&share(self.bytes, method));
        self.method = Some(method.clone());
        let (Some(uri), Some(version), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Fault::StartLine(
                "not `METHOD URI SIP/2.0` with single spaces",
            ));
        };
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            return Err(version_fault(version));
        }
        let uri =
            Uri::parse(&share(self.bytes, uri)).map_err(|fault| Fault::StartLine(fault.what))?;
        if uri.headers().is_some() {
            return Err(Fault::StartLine("the Request-URI holds headers"));
        }
        Ok(StartLine::Request(method, Box::new(uri)))
    }

    fn read_headers(&mut self, mut lines: Lines<'_>) {
        let mut folds = 0;
        while let Some((line_number, text)) = lines.next_numbered() {
            let at = (offset_in(self.bytes, text), line_number);
            let mut raw = Folded::One(text);
            while lines.next_is_folded() {
                folds += 1;
                if let Some(more) = lines.next() {
                    raw.push(more);
                }
            }
            if folds > MAX_FOLDS {
                self.note(Fault::TooManyFolds, "message", at);
                return;
            }
            if self.headers.len() == MAX_HEADERS {
                self.note(Fault::TooManyHeaders, "message", at);
                return;
            }
            self.read_header(&raw.into_bytes(self.bytes), at);
        }
    }

    fn read_header(&mut self, text: &Bytes, at: (usize, usize)) {
        let colon = text.iter().position(|byte| *byte == b':');
        let (name, value) = text.split_at(colon.unwrap_or(0));
        let name = trim(name);
        let field = String::from_utf8_lossy(name.get(..64).unwrap_or(name));
        if text.len() > MAX_HEADER_BYTES {
            self.note(Fault::HeaderTooLong, &field, at);
        } else if has_bare_line_end(text) {
            self.note(Fault::BareLineEnd, &field, at);
        } else if colon.is_none() || !is_token(name) {
            self.note(Fault::Value("a line that is no header"), "header", at);
        } else {
            let value = trim(value.get(1..).unwrap_or_default());
            let header = Header::read(share(text, name), share(text, value));
            self.headers.push(header);
            self.places.push(at);
        }
    }

    fn place(&self, headers: &Headers, name: &str) -> (usize, usize) {
        headers
            .iter()
            .position(|header| header.is(name))
            .and_then(|at| self.places.get(at).copied())
            .unwrap_or((0, 1))
    }

    /// The essential headers; all of them are looked at, the first fault is kept.
    fn core(&mut self, headers: &Headers, method: Option<&Method>) -> Option<Essentials> {
        let via = self.first(headers, "Via", first_via);
        let from = self.only(headers, "From", NameAddr::parse);
        let to = self.only(headers, "To", NameAddr::parse);
        let call_id = self.only(headers, "Call-ID", call_id);
        let cseq = self.only(headers, "CSeq", CSeq::parse);
        let contact = self.contact(headers);
        let max_forwards = self.max_forwards(headers);
        let cseq = cseq?;
        if method.is_some_and(|method| *method != cseq.method) {
            let at = self.place(headers, "CSeq");
            self.note(
                Fault::Value("the method differs from the request line's"),
                "CSeq",
                at,
            );
        }
        Some(Essentials {
            via: via?,
            from: from?,
            to: to?,
            call_id: call_id?,
            cseq,
            contact: contact?,
            max_forwards: max_forwards?,
        })
    }

    fn only<T>(
        &mut self,
        headers: &Headers,
        name: &'static str,
        read: impl FnOnce(&Bytes) -> Result<T, ValueError>,
    ) -> Option<T> {
        if headers.all(name).nth(1).is_some() {
            let at = self.place(headers, name);
            self.note(Fault::Repeated, name, at);
        }
        self.first(headers, name, read)
    }

    fn first<T>(
        &mut self,
        headers: &Headers,
        name: &'static str,
        read: impl FnOnce(&Bytes) -> Result<T, ValueError>,
    ) -> Option<T> {
        let at = self.place(headers, name);
        let Some(value) = headers.get(name) else {
            self.note(Fault::Missing, name, at);
            return None;
        };
        read(value)
            .map_err(|fault| {
                let at = (at.0 + fault.at, at.1);
                self.note(Fault::Value(fault.what), name, at);
            })
            .ok()
    }

    /// The outer `None` is a fault, the inner one no Contact (or `*`).
    fn contact(&mut self, headers: &Headers) -> Option<Option<NameAddr>> {
        let mut first = None;
        for value in headers.all("Contact") {
            if value.as_ref() == b"*" {
                continue;
            }
            match NameAddr::parse_list(value) {
                Ok(list) => first = first.or_else(|| list.into_iter().next()),
                Err(fault) => {
                    let at = self.place(headers, "Contact");
                    self.note(Fault::Value(fault.what), "Contact", at);
                    return None;
                }
            }
        }
        Some(first)
    }

    fn max_forwards(&mut self, headers: &Headers) -> Option<Option<u8>> {
        if headers.get("Max-Forwards").is_none() {
            return Some(None);
        }
        let read = |value: &Bytes| {
            decimal(value, 255)
                .and_then(|hops| u8::try_from(hops).ok())
                .ok_or(ValueError::new("not a number up to 255", 0))
        };
        self.only(headers, "Max-Forwards", read).map(Some)
    }

    /// The body by exactly one consistent Content-Length (RFC 3261 §18.3, §20.14).
    fn body(&mut self, headers: &Headers) -> Option<Bytes> {
        let available = self.bytes.get(self.body_start..).unwrap_or_default();
        let length = match (content_length(headers), self.framing) {
            (Ok(Some(length)), _) if length <= available.len() => Ok(length),
            (Ok(Some(_)), _) => Err("more than the bytes there"),
            (Ok(None), Framing::Datagram) => Ok(available.len()),
            (Ok(None), Framing::Stream) => Err("a stream needs it"),
            (Err(what), _) => Err(what),
        };
        match length {
            Ok(length) => Some(share(
                self.bytes,
                available.get(..length).unwrap_or_default(),
            )),
            Err(what) => {
                let at = self.place(headers, "Content-Length");
                self.note(Fault::Length(what), "Content-Length", at);
                None
            }
        }
    }
}

/// The one consistent Content-Length, if any.
pub(crate) fn content_length(headers: &Headers) -> Result<Option<usize>, &'static str> {
    let mut length = None;
    for value in headers.all("Content-Length") {
        let read = decimal(value, u64::from(u32::MAX)).ok_or("not a number")?;
        let read = usize::try_from(read).map_err(|_| "not a number")?;
        if length.is_some_and(|length| length != read) {
            return Err("two different values");
        }
        length = Some(read);
    }
    Ok(length)
}

fn status_line(whole: &Bytes, text: &[u8]) -> Result<StartLine, Fault> {
    let mut parts = text.splitn(3, |byte| *byte == b' ');
    let version = parts.next().unwrap_or_default();
    if !version.eq_ignore_ascii_case(b"SIP/2.0") {
        return Err(version_fault(version));
    }
    let status = parts
        .next()
        .filter(|status| status.len() == 3)
        .and_then(|status| decimal(status, 699))
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| *status >= 100)
        .ok_or(Fault::StartLine("the status is not 100 to 699"))?;
    let reason = share(whole, parts.next().unwrap_or_default());
    Ok(StartLine::Response(status, reason))
}

fn version_fault(version: &[u8]) -> Fault {
    let is_sip = version
        .get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"));
    if is_sip {
        Fault::Version
    } else {
        Fault::StartLine("no SIP version")
    }
}

fn first_via(value: &Bytes) -> Result<Via, ValueError> {
    let elements = split_list(value)?;
    let mut vias = elements
        .into_iter()
        .map(|element| Via::parse(&share(value, element)));
    let first = vias.next().ok_or(ValueError::new("an empty Via", 0))??;
    vias.try_for_each(|via| via.map(|_| ()))?;
    Ok(first)
}

fn call_id(value: &Bytes) -> Result<Bytes, ValueError> {
    let fits = !value.is_empty() && value.iter().all(|byte| *byte > 0x20 && *byte != 0x7f);
    if fits {
        Ok(value.clone())
    } else {
        Err(ValueError::new("empty, or with white space", 0))
    }
}

/// ACK is never answered; for the rest Via and CSeq must be there, since the sender matches by them (RFC 3261 §17.1.3).
fn answerable(method: &Method, headers: &Headers) -> Option<Box<Answerable>> {
    if *method == Method::Ack {
        return None;
    }
    Some(Box::new(Answerable {
        vias: headers
            .get("Via")
            .map(|_| headers.all("Via").cloned().collect())?,
        from: headers.get("From").cloned(),
        to: headers.get("To").cloned(),
        call_id: headers.get("Call-ID").cloned(),
        cseq: headers.get("CSeq").cloned()?,
    }))
}

/// Lines cut at CRLF, with a look at the next one for folding.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
    line: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        self.line += 1;
        let Some(end) = find(rest, b"\r\n") else {
            self.rest = None;
            return Some(rest);
        };
        self.rest = rest.get(end + 2..);
        rest.get(..end)
    }

    fn next_numbered(&mut self) -> Option<(usize, &'a [u8])> {
        let number = self.line;
        self.next()
            .filter(|text| !text.is_empty())
            .map(|text| (number, text))
    }

    fn next_is_folded(&self) -> bool {
        matches!(self.rest, Some([b' ' | b'\t', ..]))
    }
}

/// A header's line, and its continuations joined by one space (RFC 3261 §7.3.1).
enum Folded<'a> {
    One(&'a [u8]),
    Many(Vec<u8>),
}

impl Folded<'_> {
    fn push(&mut self, more: &[u8]) {
        let mut joined = match self {
            Self::One(text) => text.to_vec(),
            Self::Many(text) => std::mem::take(text),
        };
        joined.push(b' ');
        joined.extend_from_slice(trim(more));
        *self = Self::Many(joined);
    }

    fn into_bytes(self, whole: &Bytes) -> Bytes {
        match self {
            Self::One(text) => share(whole, text),
            Self::Many(text) => Bytes::from(text),
        }
    }
}

fn leading_line_ends(bytes: &[u8]) -> usize {
    bytes
        .chunks_exact(2)
        .take_while(|pair| *pair == b"\r\n")
        .count()
        * 2
}

/// The place of `needle`, which ends in LF and holds at least a CR before it. Looking for LF first is what makes it quick.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line_end = bytes.get(from..)?.iter().position(|byte| *byte == b'\n')?;
        let end = from + line_end + 1;
        let start = end.checked_sub(needle.len());
        if let Some(start) = start
            && bytes.get(start..end) == Some(needle)
        {
            return Some(start);
        }
        from = end;
    }
}

fn has_bare_line_end(text: &[u8]) -> bool {
    text.contains(&b'\r') || text.contains(&b'\n')
}
