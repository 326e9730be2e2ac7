//! Bytes of a datagram and of a stream, through the reader and the endpoint. What is read prints and
//! reads the same; nothing panics.
#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sip_core::{
    endpoint::{Endpoint, EndpointConfig, EndpointInput},
    flow::{Flow, Transport},
    framing::{Frame, StreamFramer},
    message::{Framing, parse},
    tokens::TokenSource,
};

fn flow(transport: Transport) -> Flow {
    Flow {
        transport,
        local: ([192, 0, 2, 200], 5060).into(),
        remote: ([192, 0, 2, 7], 5060).into(),
        connection: u64::from(transport == Transport::Tcp),
    }
}

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = parse(&Bytes::copy_from_slice(data), Framing::Datagram) {
        let printed = message.to_bytes();
        let again = parse(&printed, Framing::Stream).expect("what we print we can read");
        assert_eq!(printed, again.to_bytes());
    }
    let mut endpoint = Endpoint::new(EndpointConfig::default(), TokenSource::new([1; 32]));
    let mut receive = |transport, bytes| {
        let flow = flow(transport);
        endpoint.handle(Duration::ZERO, EndpointInput::Received { flow, bytes });
        while endpoint.poll_effect().is_some() {}
    };
    receive(Transport::Udp, Bytes::copy_from_slice(data));
    let mut framer = StreamFramer::new();
    framer.push(data);
    while let Some(frame) = framer.next_frame() {
        if let Frame::Message(bytes) = frame {
            receive(Transport::Tcp, bytes);
        }
    }
    endpoint.handle_timeout(Duration::from_secs(64));
    while endpoint.poll_effect().is_some() {}
});
