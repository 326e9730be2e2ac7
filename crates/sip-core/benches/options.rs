//! What signalling costs without sockets: an OPTIONS is parsed, matched and answered, beside a thousand live dialogs;
//! an INVITE is parsed, matched and handed out, then turned away.

#[path = "../tests/support/letters.rs"]
mod letters;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use letters::{OFFER, endpoint, request, udp};
use sip_core::dialog::Refusal;
use sip_core::endpoint::{Endpoint, EndpointConfig, EndpointEffect, EndpointInput};
use sip_core::message::{Framing, parse};

const PEER: &str = "192.0.2.7:5060";
const LIVE: u32 = 1_000;

/// Headers as a carrier's proxy puts them on.
const CARRIER: [&str; 6] = [
    "Via: SIP/2.0/UDP 192.0.2.7:5060;rport;branch=z9hG4bK8f2c1d7e5a6b4c3d",
    "From: \"Edge 7\" <sip:ping@edge7.carrier.example>;tag=7c1f6a3e",
    "User-Agent: carrier-edge/5.8.2",
    "Supported: timer, replaces, path",
    "P-Asserted-Identity: <sip:ping@edge7.carrier.example>",
    "X-Carrier-Account: AC0123456789abcdef0123456789abcdef",
];

/// An endpoint in the middle of a day: a thousand calls are up.
fn busy() -> Endpoint {
    let mut endpoint = endpoint(EndpointConfig::default());
    for call in 0..LIVE {
        let id = format!("Call-ID: live-{call}@192.0.2.7");
        let via = format!("Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKlive{call}");
        let bytes = request("INVITE", "sip:1000@192.0.2.200", &[&id, &via], OFFER);
        receive(&mut endpoint, bytes);
        while let Some(effect) = endpoint.poll_effect() {
            assert!(matches!(effect, EndpointEffect::NewInvite(_)));
        }
    }
    assert_eq!(endpoint.dialogs(), LIVE as usize);
    endpoint
}

fn receive(endpoint: &mut Endpoint, bytes: Bytes) {
    let flow = udp(PEER);
    let input = EndpointInput::Received { flow, bytes };
    endpoint.handle(Duration::from_secs(1), input);
}

fn options(c: &mut Criterion) {
    let bytes = request("OPTIONS", "sip:192.0.2.200:5060", &CARRIER, "");
    let mut endpoint = busy();
    let mut group = c.benchmark_group("sip");
    group.throughput(Throughput::Elements(1));
    group.bench_function("OPTIONS: parse, match, answer", |b| {
        b.iter(|| {
            receive(&mut endpoint, black_box(bytes.clone()));
            let effect = endpoint.poll_effect();
            assert!(matches!(effect, Some(EndpointEffect::Transmit { .. })));
            black_box(effect)
        });
    });
    let bytes = request("INVITE", "sip:1000@192.0.2.200", &CARRIER, OFFER);
    group.bench_function("INVITE: parse", |b| {
        b.iter(|| parse(black_box(&bytes), Framing::Datagram).is_ok());
    });
    group.bench_function("INVITE: parse, match, hand out, turn away", |b| {
        b.iter(|| turn_away(&mut endpoint, black_box(bytes.clone())));
    });
    group.finish();
}

fn turn_away(endpoint: &mut Endpoint, bytes: Bytes) {
    receive(endpoint, bytes);
    let Some(EndpointEffect::NewInvite(invite)) = endpoint.poll_effect() else {
        panic!("no new call");
    };
    let refusal = Refusal::new(503);
    endpoint.handle(
        Duration::from_secs(1),
        EndpointInput::TurnAway { invite, refusal },
    );
    assert!(endpoint.poll_effect().is_some());
}

criterion_group!(benches, options);
criterion_main!(benches);
