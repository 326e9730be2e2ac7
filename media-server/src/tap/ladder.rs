//! The SIP messages of one call, for its timeline: who sent what when, headers without secrets, no
//! bodies. Bounded: a storm of retransmissions is counted, not kept.

use model::fact::{Rung, RungWay};
use settings::Ladder;
use sip_core::{
    flow::Flow,
    message::{Headers, Message},
};

use super::{Way, masked};

/// Bytes of text in one fact: far below what a journal record may have.
const FACT_BYTES: usize = 24 * 1024;
/// Rungs of one leg in all.
const MAX_RUNGS: usize = 256;
/// What is kept of a header's value.
const MAX_VALUE: usize = 256;
/// Headers kept of one message.
const MAX_HEADERS: usize = 48;

/// The messages of one leg that no fact has taken yet.
#[derive(Debug, Default)]
pub struct Rungs {
    waiting: Vec<Rung>,
    bytes: usize,
    seen: usize,
}

impl Rungs {
    /// Adds a message; the full fact's worth when it is time to write one.
    pub fn add(&mut self, rung: Rung) -> Option<Vec<Rung>> {
        self.seen += 1;
        if self.seen > MAX_RUNGS {
            return None;
        }
        self.bytes += rung.line.len() + rung.headers.iter().map(String::len).sum::<usize>();
        self.waiting.push(rung);
        (self.bytes >= FACT_BYTES).then(|| {
            self.bytes = 0;
            std::mem::take(&mut self.waiting)
        })
    }

    /// What waits, and how many were not kept: the leg is over.
    pub fn finish(&mut self) -> (Vec<Rung>, usize) {
        let omitted = self.seen.saturating_sub(MAX_RUNGS);
        (std::mem::take(&mut self.waiting), omitted)
    }
}

/// A message as a rung.
pub fn rung(detail: Ladder, offset_ms: u64, way: Way, flow: &Flow, message: &Message) -> Rung {
    let headers = message.headers();
    Rung {
        offset_ms,
        way: match way {
            Way::In => RungWay::In,
            Way::Out => RungWay::Out,
        },
        transport: flow.transport.via_name().to_owned(),
        peer: flow.remote.to_string(),
        line: line(message),
        headers: kept(detail, headers),
        body: body(message),
    }
}

fn line(message: &Message) -> String {
    match message {
        Message::Request(request) => {
            let uri = text(request.uri().raw());
            format!("{} {uri} SIP/2.0", request.method())
        }
        Message::Response(response) => {
            format!("SIP/2.0 {} {}", response.status(), text(response.reason()))
        }
    }
}

fn kept(detail: Ladder, headers: &Headers) -> Vec<String> {
    let wanted = |name: &[u8]| match detail {
        Ladder::Off => false,
        Ladder::Lines => [&b"CSeq"[..], b"Reason"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known)),
        Ladder::Headers => true,
    };
    let all = headers.iter().filter(|header| wanted(header.name.as_ref()));
    let lines = all.map(|header| match masked::is_secret(header.name.as_ref()) {
        true => format!("{}: ***", text(&header.name)),
        false => format!("{}: {}", text(&header.name), text(&header.value)),
    });
    lines.take(MAX_HEADERS).collect()
}

/// What kind and how long: never the body itself.
fn body(message: &Message) -> Option<String> {
    let (kind, body) = match message {
        Message::Request(request) => (request.content_type(), request.body()),
        Message::Response(response) => (response.content_type(), response.body()),
    };
    let kind = text(kind.unwrap_or(b"?"));
    (!body.is_empty()).then(|| format!("{kind}, {} bytes", body.len()))
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    let bytes = bytes.as_ref();
    String::from_utf8_lossy(bytes.get(..MAX_VALUE).unwrap_or(bytes)).into_owned()
}
