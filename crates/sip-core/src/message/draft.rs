//! Writing messages. No value can start a new header: CR and LF become spaces.

use bytes::Bytes;

use super::Method;

/// A message being written.
#[derive(Clone, Debug)]
pub struct Draft {
    out: Vec<u8>,
}

impl Draft {
    /// Starts a request.
    pub fn request(method: &Method, uri: &[u8]) -> Self {
        let mut draft = Self {
            out: Vec::with_capacity(1024),
        };
        draft.out.extend_from_slice(method.as_bytes());
        draft.out.push(b' ');
        draft.text(uri);
        draft.out.extend_from_slice(b" SIP/2.0\r\n");
        draft
    }

    /// Starts a response.
    pub fn response(status: u16, reason: &[u8]) -> Self {
        let mut draft = Self {
            out: Vec::with_capacity(1024),
        };
        draft
            .out
            .extend_from_slice(format!("SIP/2.0 {status} ").as_bytes());
        draft.text(reason);
        draft.out.extend_from_slice(b"\r\n");
        draft
    }

    /// Adds a header.
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.raw_header(name.as_bytes(), value.as_ref());
        self
    }

    /// Adds a header whose name came from the wire.
    pub(crate) fn raw_header(&mut self, name: &[u8], value: &[u8]) {
        self.text(name);
        self.out.extend_from_slice(b": ");
        self.text(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the message with a typed body.
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Bytes {
        self.header("Content-Type", content_type);
        self.finish(body)
    }

    /// Ends the message: Content-Length, the empty line, the body.
    pub fn finish(mut self, body: &[u8]) -> Bytes {
        self.header("Content-Length", body.len().to_string());
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
        Bytes::from(self.out)
    }

    fn text(&mut self, bytes: &[u8]) {
        if !bytes.contains(&b'\r') && !bytes.contains(&b'\n') {
            return self.out.extend_from_slice(bytes);
        }
        self.out.extend(bytes.iter().map(|byte| match byte {
            b'\r' | b'\n' => b' ',
            _ => *byte,
        }));
    }
}
