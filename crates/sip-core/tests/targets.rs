//! RFC 3263 §4.3: a call goes on to its next target when one cannot take it, and to one of them only.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use sip_core::dialog::{
    Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, EndCause, OutboundCall,
};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Draft, Framing, Message, Request, parse};
use sip_core::offer_answer::{CodecCapability, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy};
use sip_core::tokens::TokenSource;
use sip_core::value::{NameAddr, Uri};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
     m=audio 40000 RTP/AVP 0\r\n";

fn flow(remote: &str, transport: Transport) -> Flow {
    Flow {
        transport,
        local: "192.0.2.200:5060".parse().unwrap(),
        remote: remote.parse::<SocketAddr>().unwrap(),
        connection: u64::from(transport.is_stream()),
    }
}

fn first() -> Flow {
    flow("192.0.2.1:5060", Transport::Udp)
}

fn second() -> Flow {
    flow("192.0.2.2:5061", Transport::Tls)
}

struct Rig {
    dialog: Dialog,
    sent: Vec<(Flow, Request)>,
    events: Vec<DialogEvent>,
    wanted: usize,
}

impl Rig {
    /// A call with more targets than one.
    fn call() -> Self {
        let policy = MediaPolicy {
            codecs: vec![CodecCapability {
                name: "PCMU".into(),
                payload_type: 0,
                clock_rate_hz: 8000,
                channels: 1,
                fmtp: None,
            }],
            telephone_event: None,
            negotiation: Negotiation::Offerer,
            ptime_ms: 20,
            rtcp_mux: false,
            srtp: SrtpPolicy::Off,
        };
        let config = DialogConfig {
            more_targets: true,
            ..DialogConfig::new("192.0.2.200", 5060, policy)
        };
        let uri = |text: &'static str| Uri::parse(&Bytes::from_static(text.as_bytes())).unwrap();
        let call = OutboundCall {
            target: uri("sip:1@example.com"),
            from: NameAddr::new(None, &uri("sip:2@192.0.2.200")).unwrap(),
            to: None,
            flow: first(),
            route: Vec::new(),
            media: MediaAddress {
                ip: "192.0.2.200".parse().unwrap(),
                port: 20_000,
            },
            delayed_offer: false,
            headers: vec![("X-Kept".into(), "yes".into())],
            ring_timeout: Some(Duration::from_secs(60)),
            max_forwards: 70,
        };
        let dialog = Dialog::uac(Duration::ZERO, config, TokenSource::new([9; 32]), &call);
        let mut rig = Self {
            dialog,
            sent: Vec::new(),
            events: Vec::new(),
            wanted: 0,
        };
        rig.drain();
        rig
    }

    fn drain(&mut self) {
        while let Some(effect) = self.dialog.poll_effect() {
            match effect {
                DialogEffect::Transmit { flow, bytes } => {
                    match parse(&bytes, Framing::Stream).unwrap() {
                        Message::Request(request) => self.sent.push((flow, request)),
                        Message::Response(_) => panic!("nobody asked"),
                    }
                }
                DialogEffect::Event(event) => self.events.push(event),
                DialogEffect::WantTarget => self.wanted += 1,
            }
        }
    }

    fn input(&mut self, at_ms: u64, input: DialogInput) {
        self.dialog.handle(Duration::from_millis(at_ms), input);
        self.drain();
    }

    fn next(&mut self, at_ms: u64) {
        let input = DialogInput::NextTarget {
            flow: second(),
            contact: ("192.0.2.200".into(), 5061),
            more: false,
        };
        self.input(at_ms, input);
    }

    /// The INVITEs, each once.
    fn invites(&self) -> Vec<&(Flow, Request)> {
        let mut invites: Vec<&(Flow, Request)> = Vec::new();
        for sent in &self.sent {
            let known = |other: &&(Flow, Request)| other.1.via().branch() == sent.1.via().branch();
            if sent.1.method().to_string() == "INVITE" && !invites.iter().any(known) {
                invites.push(sent);
            }
        }
        invites
    }

    /// What the target of the `nth` INVITE answers.
    fn answer(&mut self, at_ms: u64, nth: usize, status: u16, tag: &str) {
        let (flow, invite) = self.invites()[nth].clone();
        let mut draft = Draft::response(status, b"Said");
        draft
            .header("Via", invite.via().raw())
            .header("From", invite.from().raw())
            .header(
                "To",
                [invite.to().raw().as_ref(), b";tag=", tag.as_bytes()].concat(),
            )
            .header("Call-ID", invite.call_id())
            .header("CSeq", format!("{} INVITE", invite.cseq()))
            .header("Contact", format!("<sip:1@{}>", flow.remote));
        let bytes = if status == 200 {
            draft.finish_with("application/sdp", SDP.as_bytes())
        } else {
            draft.finish(b"")
        };
        let message = Box::new(parse(&bytes, Framing::Stream).unwrap());
        self.input(at_ms, DialogInput::Received { flow, message });
    }

    fn timeouts_until(&mut self, until_ms: u64) {
        let until = Duration::from_millis(until_ms);
        while let Some(at) = self.dialog.poll_timeout().filter(|at| *at <= until) {
            self.dialog.handle_timeout(at);
            self.drain();
        }
    }

    fn ended(&self) -> Option<EndCause> {
        self.events.iter().find_map(|event| match event {
            DialogEvent::Ended(ended) => Some(ended.cause),
            _ => None,
        })
    }

    fn methods_to(&self, flow: Flow) -> Vec<String> {
        let there = self.sent.iter().filter(|(to, _)| to.remote == flow.remote);
        there
            .map(|(_, request)| request.method().to_string())
            .collect()
    }
}

#[test]
fn a_503_leads_to_the_next_target_with_the_same_call() {
    let mut rig = Rig::call();
    rig.answer(10, 0, 503, "a");
    assert_eq!(rig.wanted, 1);
    assert!(rig.events.is_empty(), "the call has not ended");
    assert_eq!(rig.methods_to(first()), ["INVITE", "ACK"]);
    rig.next(20);
    let invites = rig.invites();
    let (old, new) = (&invites[0].1, &invites[1].1);
    assert_eq!(invites[1].0, second());
    assert_eq!(old.call_id(), new.call_id());
    assert_eq!(old.from().raw(), new.from().raw());
    assert_eq!(old.cseq(), new.cseq());
    assert_eq!(old.body(), new.body());
    assert_eq!(new.headers().get("X-Kept").unwrap().as_ref(), b"yes");
    assert_ne!(old.via().branch(), new.via().branch());
    assert_eq!(new.via().transport(), b"TLS");
    assert_eq!(new.via().port(), Some(5061));
    let contact = new.headers().get("Contact").unwrap();
    assert_eq!(
        contact.as_ref(),
        b"<sip:2@192.0.2.200:5061;transport=tls>".as_slice()
    );
    rig.answer(50, 1, 200, "b");
    assert!(rig.events.contains(&DialogEvent::Answered));
    assert_eq!(rig.methods_to(second()), ["INVITE", "ACK"]);
}

#[test]
fn silence_is_borne_for_three_seconds_and_a_target_that_wakes_up_is_cancelled() {
    let mut rig = Rig::call();
    rig.timeouts_until(2_999);
    assert_eq!(rig.wanted, 0);
    rig.timeouts_until(3_000);
    assert_eq!(rig.wanted, 1);
    rig.next(3_010);
    rig.answer(3_050, 1, 180, "b");
    rig.timeouts_until(9_000);
    // Nothing more went to the silent one; now it wakes up.
    assert_eq!(rig.methods_to(first()), ["INVITE", "INVITE", "INVITE"]);
    rig.answer(9_000, 0, 180, "a");
    assert_eq!(rig.methods_to(first()).last().unwrap(), "CANCEL");
    let rings = |event: &&DialogEvent| matches!(event, DialogEvent::Ringing { .. });
    assert_eq!(rig.events.iter().filter(rings).count(), 1, "the second's");
    // Its 200 crosses the CANCEL: acknowledged and ended, and no answer of the call.
    rig.answer(9_100, 0, 200, "a");
    assert!(!rig.events.contains(&DialogEvent::Answered));
    assert_eq!(rig.methods_to(first())[4..], ["ACK", "BYE"]);
    // The call is answered once, by the second.
    rig.answer(9_200, 1, 200, "b");
    assert!(rig.events.contains(&DialogEvent::Answered));
    assert_eq!(rig.ended(), None);
}

#[test]
fn a_transport_that_fails_leads_to_the_next_target() {
    let mut rig = Rig::call();
    rig.input(5, DialogInput::TransportFailed { flow: first() });
    assert_eq!(rig.wanted, 1);
    rig.next(6);
    assert_eq!(rig.invites()[1].0, second());
}

#[test]
fn the_last_target_and_a_refusal_that_means_it_end_the_call() {
    for (status, tries) in [(486, 1), (404, 1), (500, 1), (603, 1), (503, 2)] {
        let mut rig = Rig::call();
        rig.answer(10, 0, status, "a");
        if tries == 2 {
            rig.next(20);
            rig.answer(30, 1, status, "b");
        }
        assert_eq!(rig.ended(), Some(EndCause::Refused(status)));
        assert_eq!(rig.invites().len(), tries);
    }
}

#[test]
fn without_another_target_the_first_failure_is_the_calls() {
    let mut rig = Rig::call();
    rig.answer(10, 0, 503, "a");
    rig.input(20, DialogInput::NoTarget);
    assert_eq!(rig.ended(), Some(EndCause::Refused(503)));
}

#[test]
fn who_hangs_up_between_two_targets_gets_no_second_call() {
    let mut rig = Rig::call();
    rig.answer(10, 0, 503, "a");
    rig.input(15, DialogInput::Hangup { reason: None });
    rig.next(20);
    assert_eq!(rig.ended(), Some(EndCause::Cancelled));
    assert_eq!(rig.invites().len(), 1);
    rig.timeouts_until(120_000);
    assert!(rig.dialog.is_finished());
}
