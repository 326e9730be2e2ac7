//! Session descriptions (RFC 8866): a tolerant reader with limits and a writer.
//!
//! The grammar is `rtc-sdp`'s; this is the only file that names it. It refuses a whole SDP for one line it dislikes, so a pass
//! before it caps size and lines, keeps what the media needs (o, s, c, m, a), adds a missing `t=` and mends what it would choke on.

use std::fmt::Write as _;
use std::io::Cursor;

use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;
use serde::{Deserialize, Serialize};

/// Longest SDP read.
pub const MAX_SDP_BYTES: usize = 16 * 1024;
/// Most lines read.
pub const MAX_SDP_LINES: usize = 512;
/// Longest line read.
pub const MAX_SDP_LINE_BYTES: usize = 2 * 1024;
/// Most `m=` lines read.
pub const MAX_MEDIA_LINES: usize = 16;

/// Why an SDP was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Over one of the limits above.
    #[error("the SDP is too long: {0}")]
    TooLong(&'static str),
    /// A line without which nothing can be agreed.
    #[error("SDP line {line}: {what}")]
    Line {
        /// Line in the body, from 1.
        line: usize,
        /// The rule broken.
        what: &'static str,
    },
    /// The grammar refused it.
    #[error("malformed SDP: {0}")]
    Malformed(String),
}

/// An SDP, reduced to what offer/answer looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sdp {
    /// The origin line after `o=`, as it came.
    pub origin: String,
    /// The session-level connection address or host name.
    pub connection: Option<String>,
    /// Session-level attributes.
    pub attributes: Vec<Attribute>,
    /// Media in order.
    pub media: Vec<Media>,
}

/// `a=key` or `a=key:value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// The part before the colon.
    pub key: String,
    /// The part after it.
    pub value: Option<String>,
}

/// An `m=` line with what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// `audio`, `video`, `image`, …
    pub kind: String,
    /// UDP port; 0 means declined.
    pub port: u16,
    /// `RTP/AVP`, `RTP/SAVP`, `udptl`, …
    pub proto: String,
    /// Payload types or formats in order of preference.
    pub formats: Vec<String>,
    /// The connection address or host name of this line.
    pub connection: Option<String>,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
}

impl Media {
    /// The value of the first attribute `key`; `Some("")` for one without value.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }

    /// Adds an attribute.
    pub fn add(&mut self, key: &str, value: Option<String>) {
        self.attributes.push(Attribute {
            key: key.to_owned(),
            value,
        });
    }
}

impl Sdp {
    /// The value of the first session-level attribute `key`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.attributes, key)
    }

    /// Reads an SDP body.
    pub fn parse(body: &[u8]) -> Result<Self, SdpError> {
        let prepared = Prepared::read(body)?;
        let description = SessionDescription::unmarshal(&mut Cursor::new(prepared.text.as_bytes()))
            .map_err(|error| SdpError::Malformed(error.to_string()))?;
        let media = description
            .media_descriptions
            .iter()
            .zip(prepared.kinds)
            .map(|(media, kind)| read_media(media, kind))
            .collect();
        Ok(Self {
            origin: prepared.origin,
            connection: description
                .connection_information
                .and_then(|connection| connection.address)
                .map(|address| host_of(&address.address)),
            attributes: description.attributes.iter().map(read_attribute).collect(),
            media,
        })
    }

    /// The wire form, with CRLF line ends.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(512);
        let _ = write!(text, "v=0\r\no={}\r\ns=-\r\n", self.origin);
        if let Some(connection) = &self.connection {
            let _ = write!(text, "c={}\r\n", connection_line(connection));
        }
        text.push_str("t=0 0\r\n");
        write_attributes(&mut text, &self.attributes);
        for media in &self.media {
            let formats = media.formats.join(" ");
            let _ = write!(
                text,
                "m={} {} {} {formats}\r\n",
                media.kind, media.port, media.proto
            );
            if let Some(connection) = &media.connection {
                let _ = write!(text, "c={}\r\n", connection_line(connection));
            }
            write_attributes(&mut text, &media.attributes);
        }
        text
    }
}

fn find<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a str> {
    attributes
        .iter()
        .find(|attribute| attribute.key.eq_ignore_ascii_case(key))
        .map(|attribute| attribute.value.as_deref().unwrap_or_default())
}

fn write_attributes(text: &mut String, attributes: &[Attribute]) {
    for attribute in attributes {
        let _ = match &attribute.value {
            Some(value) => write!(text, "a={}:{value}\r\n", attribute.key),
            None => write!(text, "a={}\r\n", attribute.key),
        };
    }
}

fn connection_line(host: &str) -> String {
    let family = if host.contains(':') { "IP6" } else { "IP4" };
    format!("IN {family} {host}")
}

fn read_media(media: &MediaDescription, kind: String) -> Media {
    Media {
        kind,
        port: u16::try_from(media.media_name.port.value).unwrap_or(0),
        proto: media.media_name.protos.join("/"),
        formats: media.media_name.formats.clone(),
        connection: media
            .connection_information
            .as_ref()
            .and_then(|connection| connection.address.as_ref())
            .map(|address| host_of(&address.address)),
        attributes: media.attributes.iter().map(read_attribute).collect(),
    }
}

fn read_attribute(attribute: &rtc_sdp::description::common::Attribute) -> Attribute {
    Attribute {
        key: attribute.key.trim().to_owned(),
        value: attribute
            .value
            .as_ref()
            .map(|value| value.trim().to_owned()),
    }
}

/// Without a multicast TTL or range.
fn host_of(address: &str) -> String {
    address.split('/').next().unwrap_or_default().to_owned()
}

/// The text handed to the grammar, and what it would have lost.
struct Prepared {
    text: String,
    origin: String,
    /// The media names as they came: the grammar knows only registered ones.
    kinds: Vec<String>,
}

impl Prepared {
    fn read(body: &[u8]) -> Result<Self, SdpError> {
        if body.len() > MAX_SDP_BYTES {
            return Err(SdpError::TooLong("more than 16 KB"));
        }
        let text = String::from_utf8_lossy(body);
        let mut sorter = Sorter::default();
        for (index, line) in text.split('\n').enumerate() {
            if index >= MAX_SDP_LINES {
                return Err(SdpError::TooLong("more than 512 lines"));
            }
            sorter.take(index + 1, line.trim_end_matches('\r'))?;
        }
        sorter.finish()
    }
}

#[derive(Default)]
struct Sorter {
    version_seen: bool,
    origin: String,
    connection: String,
    attributes: String,
    media: String,
    kinds: Vec<String>,
    media_connection_seen: bool,
}

impl Sorter {
    fn take(&mut self, line: usize, text: &str) -> Result<(), SdpError> {
        let fault = |what| Err(SdpError::Line { line, what });
        if text.len() > MAX_SDP_LINE_BYTES {
            return Err(SdpError::TooLong("a line of more than 2 KB"));
        }
        let Some((key, value)) = text.split_once('=') else {
            return if text.trim_start().starts_with('m') {
                fault("not an m= line")
            } else {
                Ok(())
            };
        };
        let value = value.trim();
        match key {
            "v" if value != "0" => return fault("the version is not 0"),
            "v" => self.version_seen = true,
            "o" => self.origin = value.to_owned(),
            "c" => self.connection(value),
            "a" => self.attribute(value),
            "m" => return self.media_line(line, value),
            // Words and schedules mean nothing to a call.
            "s" | "t" | "i" | "u" | "e" | "p" | "b" | "r" | "z" | "k" => {}
            _ if key.trim() == "m" => return fault("not an m= line"),
            _ => {}
        }
        Ok(())
    }

    /// The first one of each level counts; one that the grammar would refuse is left out.
    fn connection(&mut self, value: &str) {
        let mut fields = value.split_whitespace();
        let (Some(net), Some(family), Some(host)) = (fields.next(), fields.next(), fields.next())
        else {
            return;
        };
        if !net.eq_ignore_ascii_case("IN") || !["IP4", "IP6"].contains(&family) {
            return;
        }
        let line = format!("c=IN {family} {host}\r\n");
        if self.kinds.is_empty() {
            if self.connection.is_empty() {
                self.connection = line;
            }
        } else if !self.media_connection_seen {
            self.media_connection_seen = true;
            self.media.push_str(&line);
        }
    }

    fn attribute(&mut self, value: &str) {
        if value.is_empty() || value.starts_with(':') {
            return;
        }
        let target = if self.kinds.is_empty() {
            &mut self.attributes
        } else {
            &mut self.media
        };
        let _ = write!(target, "a={value}\r\n");
    }

    fn media_line(&mut self, line: usize, value: &str) -> Result<(), SdpError> {
        if self.kinds.len() == MAX_MEDIA_LINES {
            return Err(SdpError::TooLong("more than 16 m= lines"));
        }
        let mut fields = value.split_whitespace();
        let (Some(kind), Some(port), Some(proto)) = (fields.next(), fields.next(), fields.next())
        else {
            return Err(SdpError::Line {
                line,
                what: "not an m= line",
            });
        };
        let known = ["audio", "video", "text", "application", "message", "image"];
        let name = if known.contains(&kind) {
            kind
        } else {
            "application"
        };
        let formats: Vec<&str> = fields.collect();
        let formats = if formats.is_empty() {
            "-".to_owned()
        } else {
            formats.join(" ")
        };
        let _ = write!(self.media, "m={name} {port} {proto} {formats}\r\n");
        self.kinds.push(kind.to_owned());
        self.media_connection_seen = false;
        Ok(())
    }

    /// The origin goes through as a stand-in: real ones carry ids beyond 64 bits.
    fn finish(self) -> Result<Prepared, SdpError> {
        if !self.version_seen {
            return Err(SdpError::Line {
                line: 1,
                what: "no v=0 line",
            });
        }
        Ok(Prepared {
            text: format!(
                "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\n{}t=0 0\r\n{}{}",
                self.connection, self.attributes, self.media
            ),
            origin: self.origin,
            kinds: self.kinds,
        })
    }
}
