//! 100,000 mutated messages and SDPs through reader, endpoint, dialogs and offer/answer: nothing panics, nothing is sent that
//! cannot be read back, no table grows beyond its limit.

#[path = "support/letters.rs"]
mod letters;

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use letters::{OFFER, endpoint, invite, request, tcp, udp};
use sip_core::dialog::{Dialog, DialogConfig, DialogEffect, DialogInput};
use sip_core::endpoint::{EndpointConfig, EndpointCounters, EndpointEffect, EndpointInput};
use sip_core::message::{Framing, parse};
use sip_core::offer_answer::{
    CodecCapability, Direction, MediaAddress, MediaPolicy, Negotiation, Session, SrtpPolicy,
};
use sip_core::sdp::Sdp;
use sip_core::tokens::TokenSource;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// One to four small damages.
    fn mutate(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        const SPICE: [&[u8]; 14] = [
            b"\r\n",
            b"\r\n ",
            b"\0",
            b"\xff",
            b";",
            b",",
            b"<",
            b">",
            b"\"",
            b"%",
            b"@",
            b":",
            b"99999999999999999999",
            b"=",
        ];
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(2) {
            let at = self.below(bytes.len() + 1);
            let end = (at + 1 + self.below(6)).min(bytes.len());
            match self.below(40) {
                0..8 => drop(bytes.drain(at.min(end)..end)),
                8..16 => drop(bytes.splice(at..at, SPICE[self.below(SPICE.len())].iter().copied())),
                16..24 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                24..31 => {
                    let copy = bytes[at.min(end)..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    drop(bytes.splice(to..to, copy));
                }
                31..39 => {
                    let from = self.below(other.len());
                    let part = other[from..(from + 10).min(other.len())].to_vec();
                    drop(bytes.splice(at..at, part));
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }
}

fn policy() -> MediaPolicy {
    MediaPolicy {
        codecs: vec![CodecCapability {
            name: "PCMU".into(),
            payload_type: 0,
            clock_rate_hz: 8000,
            channels: 1,
            fmtp: None,
        }],
        telephone_event: Some(101),
        negotiation: Negotiation::Local,
        ptime_ms: 20,
        rtcp_mux: true,
        srtp: SrtpPolicy::Off,
    }
}

fn media() -> MediaAddress {
    MediaAddress {
        ip: "192.0.2.200".parse().expect("ip"),
        port: 20_000,
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let sip = "sip:1000@192.0.2.200";
    let mut corpus = vec![
        invite(&[]).to_vec(),
        invite(&["Record-Route: <sip:a;lr>, <sip:b;lr>", "Require: 100rel"]).to_vec(),
        request("OPTIONS", sip, &[], "").to_vec(),
        request("BYE", sip, &["To: <sip:x@y>;tag=z", "Reason: Q.850;cause=16;text=\"bye\""], "").to_vec(),
        request("CANCEL", sip, &[], "").to_vec(),
        request("ACK", sip, &[], OFFER).to_vec(),
        b"SIP/2.0 180 Ringing\r\nv: SIP/2.0/UDP a;branch=z9hG4bKx\r\nf: <sip:a@b>;tag=t\r\nt: <sip:c@d>;tag=u\r\ni: x\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n".to_vec(),
    ];
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/rfc4475"
    );
    match fs::read_dir(folder) {
        Ok(files) => {
            let mut paths: Vec<_> = files.map(|file| file.expect("file").path()).collect();
            paths.sort();
            corpus.extend(paths.iter().map(|path| fs::read(path).expect("vector")));
        }
        Err(_) => println!("SKIP part of mutation: the RFC 4475 vectors are not there"),
    }
    corpus
}

fn new_call(round: u64) -> Bytes {
    let via = format!("Via: SIP/2.0/UDP 192.0.2.7;rport;branch=z9hG4bK{round}");
    let record = "Record-Route: <sip:192.0.2.8;lr>, <sip:edge.example.com;lr;r2=on>";
    invite(&[&via, &format!("Call-ID: {round}"), record])
}

/// A request of the far side inside one of the live dialogs.
fn in_dialog(random: &mut Random, dialogs: &[Dialog], round: u64) -> Bytes {
    const METHODS: [&str; 8] = [
        "ACK", "INVITE", "UPDATE", "INFO", "BYE", "OPTIONS", "PRACK", "CANCEL",
    ];
    let Some(dialog) = dialogs.get(random.below(dialogs.len())) else {
        return new_call(round);
    };
    let method = METHODS[random.below(METHODS.len())];
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let id = dialog.id();
    let cseq = if method == "ACK" {
        1
    } else {
        2 + round % 90_000
    };
    let lines = [
        format!("Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKin{round}"),
        format!("To: <sip:1000@192.0.2.200>;tag={}", text(&id.local_tag)),
        format!("Call-ID: {}", text(&id.call_id)),
        format!("CSeq: {cseq} {method}"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let body = if random.below(2) == 0 { OFFER } else { "" };
    request(method, "sip:1000@192.0.2.200:5060", &lines, body)
}

/// Everything a dialog wants to send must be sound.
fn drain(dialog: &mut Dialog) {
    while let Some(effect) = dialog.poll_effect() {
        if let DialogEffect::Transmit { bytes, .. } = effect {
            parse(&bytes, Framing::Stream).expect("a dialog sends sound messages");
        }
    }
}

/// So many mutated messages, from this seed on; what the endpoint made of them.
fn messages(seed: u64, rounds: u64, corpus: &[Vec<u8>]) -> EndpointCounters {
    let mut random = Random(seed);
    let mut endpoint = endpoint(EndpointConfig {
        max_dialogs: 50,
        max_refusals: 50,
        max_finished: 50,
        ..EndpointConfig::default()
    });
    let mut tokens = TokenSource::new([1; 32]);
    let mut dialogs: Vec<Dialog> = Vec::new();
    for round in 0..rounds {
        let now = Duration::from_millis(round);
        let seed = match random.below(3) {
            0 => corpus[random.below(corpus.len())].clone(),
            1 => new_call(round).to_vec(),
            _ => in_dialog(&mut random, &dialogs, round).to_vec(),
        };
        let other = &corpus[random.below(corpus.len())];
        let bytes = Bytes::from(random.mutate(&seed, other));
        let flow = if round % 8 == 0 {
            tcp("192.0.2.7:5060")
        } else {
            udp("192.0.2.7:5060")
        };
        endpoint.handle(now, EndpointInput::Received { flow, bytes });
        while let Some(effect) = endpoint.poll_effect() {
            match effect {
                EndpointEffect::NewInvite(invite) => {
                    let config = DialogConfig::new("192.0.2.200", 5060, policy());
                    let mut dialog = Dialog::uas(now, config, tokens.fork(), *invite);
                    match random.below(3) {
                        0 => dialog.handle(now, DialogInput::Answer { media: media() }),
                        1 => dialog.handle(now, DialogInput::Progress { media: media() }),
                        _ => {}
                    }
                    drain(&mut dialog);
                    dialogs.push(dialog);
                }
                EndpointEffect::Deliver {
                    dialog_id,
                    flow,
                    message,
                } => {
                    if let Some(dialog) = dialogs.iter_mut().find(|d| *d.id() == dialog_id) {
                        dialog.handle(now, DialogInput::Received { flow, message });
                        drain(dialog);
                    }
                }
                EndpointEffect::Transmit { .. }
                | EndpointEffect::Register(_)
                | EndpointEffect::Close { .. }
                | EndpointEffect::Alias { .. }
                | EndpointEffect::Dropped { .. } => {}
            }
        }
        if dialogs.len() >= 20 {
            for mut dialog in dialogs.drain(..) {
                dialog.handle(now, DialogInput::Hangup { reason: None });
                drain(&mut dialog);
                let seed = dialog.seed();
                let again = Dialog::resume(
                    now,
                    DialogConfig::new("x", 1, policy()),
                    tokens.fork(),
                    &seed,
                );
                drain(&mut again.expect("a seed can be resumed"));
                let input = EndpointInput::Forget {
                    dialog_id: dialog.id().clone(),
                    finished: dialog.finished(),
                };
                endpoint.handle(now, input);
            }
        }
        endpoint.handle_timeout(now);
        assert!(endpoint.dialogs() <= 50 && endpoint.remembered() <= 100);
    }
    endpoint.counters().clone()
}

#[test]
fn mutated_messages_through_reader_endpoint_and_dialogs() {
    let counters = messages(0x51de_704e, 70_000, &corpus());
    assert!(
        counters.new_invites > 3_000 && counters.malformed > 10_000 && counters.delivered > 3_000,
        "{counters:?}"
    );
}

/// So many mutated descriptions, from this seed on; how many of them could be answered.
fn descriptions(seed: u64, rounds: u64) -> u32 {
    let corpus: Vec<String> = vec![
        OFFER.to_owned(),
        OFFER.replace("m=audio 40000 RTP/AVP 0 8 101", "m=image 9 udptl t38\r\nm=audio 1/2 RTP/AVP 8 0"),
        "v=0\r\no=root 106751991168 1 IN IP4 host.example\r\ns=x\r\nc=IN IP6 ::1\r\nb=AS:1\r\nt=0 0\r\nr=106751991168d 1h 0 25h\r\n\
         a=sendonly\r\nm=audio 1 RTP/SAVP 0\r\na=crypto:1 X inline:y\r\nm=audio 2 RTP/AVPF 96\r\na=rtpmap:96 PCMU/8000\r\na=rtcp-mux\r\na=maxptime:10\r\n".to_owned(),
    ];
    let mut random = Random(seed);
    let mut agreed = 0;
    for _ in 0..rounds {
        let seed = &corpus[random.below(corpus.len())];
        let other = &corpus[random.below(corpus.len())];
        let body = random.mutate(seed.as_bytes(), other.as_bytes());
        let mut session = Session::new(policy(), 1);
        if let Ok((answer, _)) = session.answer(&body, media()) {
            agreed += 1;
            let answer = Sdp::parse(&answer).expect("our answer is sound");
            let offer = Sdp::parse(&body).expect("it was taken");
            assert_eq!(answer.media.len(), offer.media.len());
            assert_eq!(
                answer.media.iter().filter(|media| media.port != 0).count(),
                1
            );
        }
        let mut session = Session::new(policy(), 1);
        session.offer(media(), Direction::SendRecv);
        let _either_way = session.accept(&body);
    }
    agreed
}

#[test]
fn mutated_sdp_through_offer_and_answer() {
    let agreed = descriptions(77, 30_000);
    assert!(
        agreed > 5_000,
        "only {agreed} offers survived: the mutations are too coarse"
    );
}

/// Seed after seed, for as long as `MUTATION_SECONDS` says: `./test` gives it a minute, a night
/// finds more. The seed of the round that broke is the last one printed.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "how long the test goes on is its own affair, no machine's"
)]
fn seed_after_seed_for_as_long_as_there_is_time() {
    let seconds = std::env::var("MUTATION_SECONDS").ok();
    let seconds: u64 = seconds.and_then(|text| text.parse().ok()).unwrap_or(1);
    let (begun, corpus) = (Instant::now(), corpus());
    let mut seeds = 0;
    while seeds == 0 || begun.elapsed() < Duration::from_secs(seconds) {
        seeds += 1;
        println!("seed {seeds}");
        messages(seeds, 2_000, &corpus);
        descriptions(seeds, 2_000);
    }
}
