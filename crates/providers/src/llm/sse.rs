//! Server-sent events (WHATWG HTML §9.2): bytes in, the data of events out.
//!
//! Lines end in CR, LF or CRLF, and bytes arrive cut anywhere, within a character too: nothing is
//! read as text before its line is whole.

/// Longest line or event that is kept, bytes.
const LIMIT: usize = 256 * 1_024;

/// A stream that does not follow the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {LIMIT} bytes")]
pub struct TooLong;

/// The reader.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
    ready: Vec<String>,
}

impl Reader {
    /// Reads more bytes; the data of every event that is whole now.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLong> {
        for &byte in bytes {
            let line_feed_of_crlf = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                b'\n' if line_feed_of_crlf => {}
                b'\n' | b'\r' => self.end_line()?,
                _ if self.line.len() >= LIMIT => return Err(TooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(std::mem::take(&mut self.ready))
    }

    /// The stream is over: what servers leave unfinished is taken as finished.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish(&mut self) -> Result<Vec<String>, TooLong> {
        if !self.line.is_empty() {
            self.end_line()?;
        }
        self.ready.extend(self.data.take());
        Ok(std::mem::take(&mut self.ready))
    }

    fn end_line(&mut self) -> Result<(), TooLong> {
        let bytes = std::mem::take(&mut self.line);
        if bytes.is_empty() {
            self.ready.extend(self.data.take());
            return Ok(());
        }
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_start_matches('\u{feff}');
        let Some(value) = line
            .strip_prefix("data:")
            .or((line == "data").then_some(""))
        else {
            return Ok(());
        };
        let value = value.strip_prefix(' ').unwrap_or(value);
        match &mut self.data {
            Some(data) if data.len() + value.len() > LIMIT => return Err(TooLong),
            Some(data) => {
                data.push('\n');
                data.push_str(value);
            }
            None => self.data = Some(value.to_owned()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STREAM: &str = ": keep-alive\r\ndata: {\"a\":\"naïve café\"}\r\n\r\nevent: x\rdata: one\rdata:two\r\rdata: 😀\n\nid: 7\ndata: last";

    fn whole(pieces: &[&[u8]]) -> Vec<String> {
        let mut reader = Reader::default();
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(reader.push(piece).expect("short"));
        }
        out.extend(reader.finish().expect("short"));
        out
    }

    #[test]
    fn events_come_out_whole_with_every_line_ending() {
        let events = whole(&[STREAM.as_bytes()]);
        assert_eq!(events, ["{\"a\":\"naïve café\"}", "one\ntwo", "😀", "last"]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut reader = Reader::default();
        assert_eq!(reader.push(&vec![b'x'; LIMIT + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_bytes_are_cut_changes_nothing(cuts in prop::collection::vec(0usize..STREAM.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.sort_unstable();
            let bytes = STREAM.as_bytes();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&bytes[from..cut]);
                from = cut;
            }
            pieces.push(&bytes[from..]);
            prop_assert_eq!(whole(&pieces), whole(&[bytes]));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            whole(&[&bytes]);
        }
    }
}
