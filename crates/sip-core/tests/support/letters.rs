//! Requests and responses written by hand, and an endpoint to send them to.

#![allow(dead_code)]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sip_core::endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Framing, Message, Response, parse};
use sip_core::tokens::TokenSource;

pub const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
     m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n";

pub fn address(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

pub fn udp(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        local: address("192.0.2.200:5060"),
        remote: address(remote),
        connection: 0,
    }
}

pub fn tcp(remote: &str) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection: 7,
        ..udp(remote)
    }
}

/// A request with the usual headers; `extra` are whole lines without line ends, replacing those of the same name.
pub fn request(method: &str, uri: &str, extra: &[&str], body: &str) -> Bytes {
    let mut lines = vec![
        "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKone".to_owned(),
        "Max-Forwards: 70".to_owned(),
        "From: <sip:caller@192.0.2.7>;tag=far".to_owned(),
        "To: <sip:1000@192.0.2.200>".to_owned(),
        "Call-ID: letters@192.0.2.7".to_owned(),
        format!("CSeq: 1 {method}"),
        "Contact: <sip:caller@192.0.2.7:5060>".to_owned(),
    ];
    if !body.is_empty() {
        lines.push("Content-Type: application/sdp".to_owned());
    }
    for line in extra {
        let name = line.split(':').next().expect("name");
        match lines
            .iter()
            .position(|known| known.split(':').next() == Some(name))
        {
            Some(at) => lines[at] = (*line).to_owned(),
            None => lines.push((*line).to_owned()),
        }
    }
    lines.retain(|line| !line.ends_with(": -"));
    let head = lines.join("\r\n");
    let length = body.len();
    Bytes::from(format!(
        "{method} {uri} SIP/2.0\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

pub fn invite(extra: &[&str]) -> Bytes {
    request("INVITE", "sip:1000@192.0.2.200", extra, OFFER)
}

pub fn endpoint(config: EndpointConfig) -> Endpoint {
    Endpoint::new(config, TokenSource::new([5; 32]))
}

pub fn receive(
    endpoint: &mut Endpoint,
    now_ms: u64,
    flow: Flow,
    bytes: Bytes,
) -> Vec<EndpointEffect> {
    let input = EndpointInput::Received { flow, bytes };
    endpoint.handle(Duration::from_millis(now_ms), input);
    std::iter::from_fn(|| endpoint.poll_effect()).collect()
}

pub fn response(bytes: &Bytes) -> Response {
    match parse(bytes, Framing::Datagram).expect("a sound message") {
        Message::Response(response) => response,
        Message::Request(_) => panic!("a request"),
    }
}

/// The one response among the effects, and where it goes.
pub fn answered(effects: &[EndpointEffect]) -> (Flow, Response) {
    match effects {
        [EndpointEffect::Transmit { flow, bytes }, ..] => (*flow, response(bytes)),
        other => panic!("no answer: {other:?}"),
    }
}

pub fn header(response: &Response, name: &str) -> String {
    let value = response
        .headers()
        .get(name)
        .unwrap_or_else(|| panic!("no {name}"));
    String::from_utf8_lossy(value).into_owned()
}
