//! A far side that challenges our requests: INVITE, re-INVITE, INFO and BYE go out once more, and no further.

use std::time::Duration;

use bytes::Bytes;
use sip_core::dialog::{
    Dialog, DialogConfig, DialogEffect, DialogEvent, DialogInput, EndCause, OutboundCall,
};
use sip_core::digest::{Algorithm, Credentials, DigestServer, Ha1, Login, Verdict};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Draft, Framing, Message, Method, Request, parse};
use sip_core::offer_answer::{
    CodecCapability, Direction, MediaAddress, MediaPolicy, Negotiation, SrtpPolicy,
};
use sip_core::tokens::TokenSource;
use sip_core::value::{NameAddr, Uri};
use zeroize::Zeroizing;

const REALM: &str = "carrier.example";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.200:5060".parse().unwrap(),
        remote: "192.0.2.7:5060".parse().unwrap(),
        connection: 0,
    }
}

fn media() -> MediaAddress {
    MediaAddress {
        ip: "192.0.2.200".parse().unwrap(),
        port: 20_000,
    }
}

fn call(realms: &[&str]) -> Dialog {
    let codec = CodecCapability {
        name: "PCMU".into(),
        payload_type: 0,
        clock_rate_hz: 8000,
        channels: 1,
        fmtp: None,
    };
    let policy = MediaPolicy {
        codecs: vec![codec],
        telephone_event: None,
        negotiation: Negotiation::Offerer,
        ptime_ms: 20,
        rtcp_mux: false,
        srtp: SrtpPolicy::Off,
    };
    let config = DialogConfig {
        login: Some(Login {
            user: "trunk-7".into(),
            password: Zeroizing::new("secret".into()),
            realms: realms.iter().map(|realm| (*realm).to_owned()).collect(),
        }),
        ..DialogConfig::new("192.0.2.200", 5060, policy)
    };
    let from: Uri = "sip:+15550100@192.0.2.200".parse().unwrap();
    let outbound = OutboundCall {
        target: "sip:+15550199@192.0.2.7".parse().unwrap(),
        from: NameAddr::new(None, &from).unwrap(),
        to: None,
        flow: flow(),
        route: Vec::new(),
        media: media(),
        delayed_offer: false,
        headers: vec![("X-Account".into(), "7".into())],
        ring_timeout: None,
        max_forwards: 70,
    };
    Dialog::uac(Duration::ZERO, config, TokenSource::new([3; 32]), &outbound)
}

/// A carrier with digest: what it got and how it judges.
struct Carrier {
    digest: DigestServer,
    password: &'static str,
    /// Each nonce is good for one request.
    once: bool,
    seen: Vec<Request>,
    branch: u32,
}

impl Carrier {
    fn new(password: &'static str) -> Self {
        let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
        Self {
            digest: DigestServer::new([1; 32], Duration::from_secs(60), 10, algorithms),
            password,
            once: false,
            seen: Vec::new(),
            branch: 0,
        }
    }

    /// Runs until the dialog wants nothing more; its events.
    fn talk(&mut self, dialog: &mut Dialog) -> Vec<DialogEvent> {
        let mut events = Vec::new();
        while let Some(effect) = dialog.poll_effect() {
            match effect {
                DialogEffect::Event(event) => events.push(event),
                DialogEffect::WantTarget => panic!("it has one target"),
                DialogEffect::Transmit { bytes, .. } => {
                    let Ok(Message::Request(request)) = parse(&bytes, Framing::Datagram) else {
                        panic!("not a request");
                    };
                    if let Some(answer) = self.answer(&request) {
                        let message = Box::new(parse(&answer, Framing::Datagram).unwrap());
                        let input = DialogInput::Received {
                            flow: flow(),
                            message,
                        };
                        dialog.handle(Duration::ZERO, input);
                    }
                    self.seen.push(request);
                }
            }
        }
        events
    }

    fn answer(&mut self, request: &Request) -> Option<Bytes> {
        if *request.method() == Method::Ack {
            return None;
        }
        let given = Credentials::find(request.headers(), "Proxy-Authorization", REALM);
        let verdict = given.as_ref().map_or(Verdict::Bad, |given| {
            let secret = Ha1::of(given.algorithm, "trunk-7", REALM, self.password);
            let now = Duration::ZERO;
            self.digest
                .judge(now, request.method(), given, Some(&secret))
        });
        let good = verdict == Verdict::Good || *request.method() == Method::Cancel;
        let values = (!good).then(|| self.challenge(verdict == Verdict::Stale));
        if good && self.once {
            let algorithms = vec![Algorithm::Sha256, Algorithm::Md5];
            self.branch += 1;
            let key = [100 + self.branch as u8; 32];
            self.digest = DigestServer::new(key, Duration::from_secs(60), 10, algorithms);
        }
        Some(respond(request, values.as_deref()))
    }

    fn challenge(&mut self, stale: bool) -> Vec<String> {
        self.digest.challenges(Duration::ZERO, REALM, stale)
    }

    fn methods(&self) -> Vec<String> {
        let seen = self.seen.iter();
        seen.map(|request| request.method().to_string()).collect()
    }

    fn last(&self, method: &Method) -> &Request {
        let found = self.seen.iter().rev().find(|seen| seen.method() == method);
        found.expect("such a request")
    }
}

fn respond(request: &Request, challenges: Option<&[String]>) -> Bytes {
    let mut draft = match challenges {
        Some(_) => Draft::response(407, b"Proxy Authentication Required"),
        None => Draft::response(200, b"OK"),
    };
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        draft.header(name, request.headers().get(name).unwrap());
    }
    let tagged = [request.to().without_tag().as_ref(), b";tag=carrier"].concat();
    draft
        .header("To", tagged)
        .header("Contact", "<sip:gw@192.0.2.7:5060>");
    for value in challenges.into_iter().flatten() {
        draft.header("Proxy-Authenticate", value);
    }
    match (challenges, request.method()) {
        (None, Method::Invite) => draft.finish_with("application/sdp", SDP.as_bytes()),
        _ => draft.finish(b""),
    }
}

fn names(events: &[DialogEvent]) -> Vec<String> {
    let name = |event| {
        format!("{event:?}")
            .split([' ', '(', '{'])
            .next()
            .map(str::to_owned)
    };
    events.iter().filter_map(name).collect()
}

#[test]
fn a_challenged_invite_goes_out_with_the_next_cseq_after_the_ack_of_its_refusal() {
    let (mut dialog, mut carrier) = (call(&[REALM]), Carrier::new("secret"));
    let events = carrier.talk(&mut dialog);
    assert_eq!(carrier.methods(), ["INVITE", "ACK", "INVITE", "ACK"]);
    assert_eq!(names(&events), ["Answered", "Media"]);
    let [first, ack, second, last] = &carrier.seen[..] else {
        panic!("four requests");
    };
    assert_eq!(ack.cseq(), first.cseq());
    assert_eq!(second.cseq(), first.cseq() + 1);
    assert_eq!(last.cseq(), second.cseq());
    assert_ne!(second.via().branch(), first.via().branch());
    assert_eq!(ack.via().branch(), first.via().branch());
    assert_eq!(
        (second.call_id(), second.body()),
        (first.call_id(), first.body())
    );
    assert_eq!(second.from().tag(), first.from().tag());
    assert_eq!(
        second.headers().get("X-Account"),
        first.headers().get("X-Account")
    );
    // RFC 3261 §22.1: the ACK of the 2xx repeats the credentials of its INVITE.
    let credentials = |request: &Request| request.headers().get("Proxy-Authorization").cloned();
    assert!(credentials(first).is_none() && credentials(ack).is_none());
    assert_eq!(credentials(last), credentials(second));
}

#[test]
fn requests_in_the_dialog_are_signed_at_once_and_answer_a_challenge_of_their_own() {
    for once in [false, true] {
        let (mut dialog, mut carrier) = (call(&[REALM]), Carrier::new("secret"));
        carrier.once = once;
        carrier.talk(&mut dialog);
        let content_type = "application/dtmf-relay".to_owned();
        let info = DialogInput::SendInfo {
            content_type,
            body: Bytes::from_static(b"Signal=1"),
        };
        let hold = DialogInput::Reoffer {
            direction: Direction::SendOnly,
            media: None,
        };
        let mut heard = Vec::new();
        for input in [info, hold, DialogInput::Hangup { reason: None }] {
            dialog.handle(Duration::ZERO, input);
            heard.extend(carrier.talk(&mut dialog));
        }
        assert!(
            heard.contains(&DialogEvent::InfoDone { status: 200 }),
            "{heard:?}"
        );
        assert!(heard.contains(&DialogEvent::ReofferDone), "{heard:?}");
        let sent = carrier.methods().join(" ");
        let expected = match once {
            false => "INVITE ACK INVITE ACK INFO INVITE ACK BYE",
            true => "INVITE ACK INVITE ACK INFO INFO INVITE ACK INVITE ACK BYE BYE",
        };
        assert_eq!(sent, expected);
        let cseqs: Vec<_> = carrier
            .seen
            .iter()
            .filter(|seen| *seen.method() != Method::Ack)
            .map(Request::cseq)
            .collect();
        assert!(
            cseqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{cseqs:?}"
        );
        let info = carrier.last(&Method::Info);
        assert_eq!(info.body().as_ref(), b"Signal=1");
        dialog.handle_timeout(Duration::from_secs(60));
        assert!(carrier.talk(&mut dialog).contains(&DialogEvent::Finished));
    }
}

#[test]
fn a_wrong_password_ends_the_call_after_one_more_try() {
    let (mut dialog, mut carrier) = (call(&[REALM]), Carrier::new("other"));
    let events = carrier.talk(&mut dialog);
    assert_eq!(carrier.methods(), ["INVITE", "ACK", "INVITE", "ACK"]);
    let [DialogEvent::Ended(ended)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(ended.cause, EndCause::Refused(407));
    let why = ended.reason.as_ref().and_then(|reason| reason.text.clone());
    assert!(why.is_some_and(|why| why.contains("password is wrong")));
}

#[test]
fn another_realm_gets_no_credentials_and_the_reason_names_it() {
    let (mut dialog, mut carrier) = (call(&["mine.example"]), Carrier::new("secret"));
    let events = carrier.talk(&mut dialog);
    assert_eq!(carrier.methods(), ["INVITE", "ACK"]);
    assert!(
        carrier
            .seen
            .iter()
            .all(|seen| seen.headers().get("Proxy-Authorization").is_none())
    );
    let [DialogEvent::Ended(ended)] = &events[..] else {
        panic!("{events:?}");
    };
    let why = ended.reason.as_ref().and_then(|reason| reason.text.clone());
    assert!(why.is_some_and(|why| why.contains(REALM)), "{ended:?}");
}

#[test]
fn a_call_given_up_while_it_is_challenged_is_not_placed_again() {
    let (mut dialog, mut carrier) = (call(&[REALM]), Carrier::new("secret"));
    let Some(DialogEffect::Transmit { bytes, .. }) = dialog.poll_effect() else {
        panic!("an INVITE");
    };
    let Ok(Message::Request(invite)) = parse(&bytes, Framing::Datagram) else {
        panic!("an INVITE");
    };
    dialog.handle(Duration::ZERO, DialogInput::Hangup { reason: None });
    let challenge = carrier.answer(&invite).unwrap();
    let message = Box::new(parse(&challenge, Framing::Datagram).unwrap());
    dialog.handle(
        Duration::ZERO,
        DialogInput::Received {
            flow: flow(),
            message,
        },
    );
    carrier.talk(&mut dialog);
    assert_eq!(carrier.methods(), ["ACK"]);
}

#[test]
fn a_seed_taken_between_challenge_and_answer_holds_the_new_invite() {
    let mut dialog = call(&[REALM]);
    let mut carrier = Carrier::new("secret");
    let Some(DialogEffect::Transmit { bytes, .. }) = dialog.poll_effect() else {
        panic!("an INVITE");
    };
    let Ok(Message::Request(invite)) = parse(&bytes, Framing::Datagram) else {
        panic!("an INVITE");
    };
    let challenge = carrier.answer(&invite).unwrap();
    let message = Box::new(parse(&challenge, Framing::Datagram).unwrap());
    dialog.handle(
        Duration::ZERO,
        DialogInput::Received {
            flow: flow(),
            message,
        },
    );
    let kept = dialog.seed().invite.expect("an open INVITE");
    let Ok(Message::Request(kept)) = parse(&kept, Framing::Datagram) else {
        panic!("an INVITE");
    };
    assert_eq!(kept.cseq(), invite.cseq() + 1);
}

/// The requests a dialog wants sent, without carrying on.
fn sent(dialog: &mut Dialog) -> Vec<Request> {
    let effects = std::iter::from_fn(|| dialog.poll_effect());
    let bytes = effects.filter_map(|effect| match effect {
        DialogEffect::Transmit { bytes, .. } => Some(bytes),
        DialogEffect::Event(_) | DialogEffect::WantTarget => None,
    });
    let read = bytes.map(|bytes| match parse(&bytes, Framing::Datagram) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    });
    read.collect()
}

/// A response to one of them from a fork.
fn say(dialog: &mut Dialog, request: &Request, status: u16, fork: &str, lines: &[String]) {
    let mut draft = Draft::response(status, b"Said");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        draft.header(name, request.headers().get(name).unwrap());
    }
    let tag = format!(";tag={fork}");
    draft
        .header(
            "To",
            [request.to().without_tag().as_ref(), tag.as_bytes()].concat(),
        )
        .header("Contact", format!("<sip:{fork}@192.0.2.7:5060>"));
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        draft.header(name, value);
    }
    let bytes = match (status, request.method()) {
        (200, Method::Invite) => draft.finish_with("application/sdp", SDP.as_bytes()),
        _ => draft.finish(b""),
    };
    let message = Box::new(parse(&bytes, Framing::Datagram).unwrap());
    let flow = flow();
    dialog.handle(Duration::ZERO, DialogInput::Received { flow, message });
}

/// RFC 3262 §4: each fork counts for itself, also when its PRACK is challenged.
#[test]
fn a_challenged_prack_goes_out_with_the_next_number_of_its_fork() {
    let (mut dialog, mut carrier) = (call(&[REALM]), Carrier::new("secret"));
    let invite = sent(&mut dialog).pop().unwrap();
    let rings = |rseq: u32| vec!["Require: 100rel".to_owned(), format!("RSeq: {rseq}")];
    let first = invite.cseq() + 1;
    for fork in ["one", "two"] {
        say(&mut dialog, &invite, 180, fork, &rings(7));
        let prack = sent(&mut dialog).pop().unwrap();
        assert_eq!(prack.cseq(), first, "{fork}");
        let challenge = carrier.challenge(false);
        let lines = challenge.iter().map(|v| format!("Proxy-Authenticate: {v}"));
        say(&mut dialog, &prack, 407, fork, &lines.collect::<Vec<_>>());
        let again = sent(&mut dialog).pop().unwrap();
        assert_eq!(*again.method(), Method::Prack);
        assert_eq!(again.cseq(), first + 1, "{fork}: a new request (§22.2)");
        assert!(again.headers().get("Proxy-Authorization").is_some());
        assert_eq!(again.headers().get("RAck"), prack.headers().get("RAck"));
        say(&mut dialog, &again, 200, fork, &[]);
        say(&mut dialog, &invite, 183, fork, &rings(8));
        let next = sent(&mut dialog).pop().unwrap();
        assert_eq!(next.cseq(), first + 2, "{fork}");
        say(&mut dialog, &next, 200, fork, &[]);
    }
    say(&mut dialog, &invite, 200, "two", &[]);
    sent(&mut dialog);
    dialog.handle(Duration::ZERO, DialogInput::Hangup { reason: None });
    assert_eq!(sent(&mut dialog).pop().unwrap().cseq(), first + 3);
    // A fork that lost is ended, also when it asks for a password first.
    say(&mut dialog, &invite, 200, "three", &[]);
    let bye = sent(&mut dialog).pop().unwrap();
    assert_eq!((bye.method(), bye.cseq()), (&Method::Bye, first));
    let challenge = carrier.challenge(false);
    let lines = challenge.iter().map(|v| format!("Proxy-Authenticate: {v}"));
    say(&mut dialog, &bye, 407, "three", &lines.collect::<Vec<_>>());
    let again = sent(&mut dialog).pop().unwrap();
    assert_eq!((again.method(), again.cseq()), (&Method::Bye, first + 1));
}
