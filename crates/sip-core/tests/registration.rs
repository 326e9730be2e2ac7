//! A gateway's registration against a registrar with moods.

use std::time::Duration;

use bytes::Bytes;
use sip_core::digest::{Algorithm, Credentials, DigestServer, Ha1, Login, Verdict};
use sip_core::flow::{Flow, Transport};
use sip_core::message::{Draft, Framing, Message, Method, Request, parse};
use sip_core::registration::{
    FailureClass, Registration, RegistrationConfig, RegistrationEffect, RegistrationInput, Status,
};
use sip_core::timers::Timers;
use sip_core::tokens::TokenSource;
use zeroize::Zeroizing;

const REALM: &str = "sip.example.com";

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.200:5080".parse().unwrap(),
        remote: "192.0.2.7:5060".parse().unwrap(),
        connection: 0,
    }
}

fn gateway() -> Registration {
    let config = RegistrationConfig {
        registrar: "sip:sip.example.com".parse().unwrap(),
        aor: "<sip:user@sip.example.com>".into(),
        contact: "<sip:user@192.0.2.200:5080>".into(),
        sent_by: "192.0.2.200:5080".into(),
        user_agent: "test".into(),
        expires_s: 3_600,
        retry: Duration::from_secs(30),
        retry_max: Duration::from_secs(600),
        retry_refused: Duration::from_secs(1_800),
        timers: Timers::default(),
        login: Some(Login {
            user: "user".into(),
            password: Zeroizing::new("secret".into()),
            realms: vec![REALM.into()],
        }),
    };
    Registration::new(config, TokenSource::new([7; 32]))
}

/// What the registrar says to the next request.
#[derive(Clone, Copy)]
enum Mood {
    /// Challenges, then grants so many seconds (or what is asked, when it is less).
    Grants(u32),
    Refuses(u16, &'static str),
    Silent,
    Away,
}

struct Registrar {
    digest: DigestServer,
    password: &'static str,
    mood: Mood,
    seen: Vec<Request>,
}

impl Registrar {
    fn new(mood: Mood) -> Self {
        let algorithms = vec![Algorithm::Md5];
        Self {
            digest: DigestServer::new([1; 32], Duration::from_secs(30), 10, algorithms),
            password: "secret",
            mood,
            seen: Vec::new(),
        }
    }

    /// Runs until nothing moves at this time; what the gateway said of itself.
    fn talk(&mut self, now: Duration, gateway: &mut Registration) -> Vec<Status> {
        let mut said = Vec::new();
        while let Some(effect) = gateway.poll_effect() {
            match effect {
                RegistrationEffect::Status(status) => said.push(status),
                RegistrationEffect::Locate => {
                    let found = match self.mood {
                        Mood::Away => Err("no such name".to_owned()),
                        Mood::Grants(_) | Mood::Refuses(..) | Mood::Silent => Ok(flow()),
                    };
                    gateway.handle(now, RegistrationInput::Located(found));
                }
                RegistrationEffect::Transmit { bytes, .. } => {
                    let Ok(Message::Request(request)) = parse(&bytes, Framing::Datagram) else {
                        panic!("not a request");
                    };
                    if let Some(answer) = self.answer(now, &request) {
                        let Ok(Message::Response(response)) = parse(&answer, Framing::Datagram)
                        else {
                            panic!("not a response");
                        };
                        let input = RegistrationInput::Received(Box::new(response));
                        gateway.handle(now, input);
                    }
                    self.seen.push(request);
                }
            }
        }
        said
    }

    /// Goes to the gateway's next deadline, again and again until it says something.
    fn until_news(&mut self, now: &mut Duration, gateway: &mut Registration) -> Vec<Status> {
        for _ in 0..100 {
            let said = self.talk(*now, gateway);
            if !said.is_empty() {
                return said;
            }
            *now = gateway.poll_timeout().expect("a deadline");
            gateway.handle_timeout(*now);
        }
        panic!("no news");
    }

    fn answer(&mut self, now: Duration, request: &Request) -> Option<Bytes> {
        match self.mood {
            Mood::Silent | Mood::Away => None,
            Mood::Refuses(status, extra) => Some(respond(request, status, &[extra.to_owned()])),
            Mood::Grants(most) => {
                let given = Credentials::find(request.headers(), "Authorization", REALM);
                let verdict = given.as_ref().map_or(Verdict::Bad, |given| {
                    let secret = Ha1::of(given.algorithm, "user", REALM, self.password);
                    self.digest
                        .judge(now, &Method::Register, given, Some(&secret))
                });
                if verdict != Verdict::Good {
                    let values = self
                        .digest
                        .challenges(now, REALM, verdict == Verdict::Stale);
                    let lines: Vec<_> = values
                        .iter()
                        .map(|v| format!("WWW-Authenticate: {v}"))
                        .collect();
                    return Some(respond(request, 401, &lines));
                }
                let asked = expires(request);
                let line = match asked {
                    0 => "X: none".to_owned(),
                    _ => format!(
                        "Contact: <sip:user@192.0.2.200:5080>;expires={}",
                        asked.min(most)
                    ),
                };
                Some(respond(request, 200, &[line]))
            }
        }
    }
}

fn expires(request: &Request) -> u32 {
    let value = request.headers().get("Expires").unwrap();
    String::from_utf8_lossy(value).parse().unwrap()
}

fn respond(request: &Request, status: u16, lines: &[String]) -> Bytes {
    let mut draft = Draft::response(status, b"Said");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        draft.header(name, request.headers().get(name).unwrap());
    }
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        draft.header(name, value);
    }
    draft.finish(b"")
}

fn begin(registrar: &mut Registrar) -> (Registration, Duration, Vec<Status>) {
    let mut gateway = gateway();
    let mut now = Duration::from_secs(1);
    gateway.handle(now, RegistrationInput::Register);
    let said = registrar.until_news(&mut now, &mut gateway);
    (gateway, now, said)
}

fn retry_in(status: &Status, class: FailureClass) -> u64 {
    match status {
        Status::Failed {
            class: is,
            retry_in,
            ..
        } if *is == class => retry_in.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_registers_and_refreshes_before_the_granted_life_is_over() {
    let mut registrar = Registrar::new(Mood::Grants(300));
    let (mut gateway, mut now, said) = begin(&mut registrar);
    assert_eq!(said, [Status::Registered { expires_s: 300 }]);
    assert_eq!(registrar.seen.len(), 2, "a challenge and its answer");
    let mut last = now;
    for _ in 0..3 {
        let said = registrar.until_news(&mut now, &mut gateway);
        assert_eq!(said, [Status::Registered { expires_s: 300 }]);
        assert_eq!(now - last, Duration::from_secs(240), "0.8 of the life");
        last = now;
    }
    // The nonces are old by then: each refresh is challenged as stale and answered by itself.
    assert_eq!(registrar.seen.len(), 2 + 3 * 2);
    let cseqs: Vec<_> = registrar.seen.iter().map(Request::cseq).collect();
    assert!(
        cseqs.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "{cseqs:?}"
    );
    let call_id = registrar.seen[0].call_id();
    assert!(registrar.seen.iter().all(|seen| seen.call_id() == call_id));
}

#[test]
fn a_wrong_password_is_tried_once_and_then_rarely() {
    let mut registrar = Registrar::new(Mood::Grants(300));
    registrar.password = "other";
    let (mut gateway, mut now, said) = begin(&mut registrar);
    assert!((1_800..=1_980).contains(&retry_in(&said[0], FailureClass::AuthFailed)));
    assert_eq!(registrar.seen.len(), 2);
    let said = registrar.until_news(&mut now, &mut gateway);
    assert!(now > Duration::from_secs(1_800));
    assert!(retry_in(&said[0], FailureClass::AuthFailed) >= 1_800);
    assert_eq!(registrar.seen.len(), 4, "no hammering");
    registrar.password = "secret";
    let said = registrar.until_news(&mut now, &mut gateway);
    assert_eq!(said, [Status::Registered { expires_s: 300 }]);
}

#[test]
fn a_423_raises_the_wish_once() {
    let mut registrar = Registrar::new(Mood::Refuses(423, "Min-Expires: 7200"));
    let mut gateway = gateway();
    let now = Duration::from_secs(1);
    gateway.handle(now, RegistrationInput::Register);
    let said = registrar.talk(now, &mut gateway);
    assert!(retry_in(&said[0], FailureClass::Rejected) >= 1_800);
    let asked: Vec<_> = registrar.seen.iter().map(expires).collect();
    assert_eq!(asked, [3_600, 7_200], "once more, not for ever");
    for least in [
        "Min-Expires: 60",
        "Min-Expires: 999999",
        "Min-Expires: x",
        "",
    ] {
        let mut registrar = Registrar::new(Mood::Refuses(423, least));
        let (_, _, said) = begin(&mut registrar);
        assert!(retry_in(&said[0], FailureClass::Rejected) >= 1_800);
        assert_eq!(registrar.seen.len(), 1, "{least}");
    }
}

#[test]
fn what_may_pass_is_tried_soon_and_then_less_and_less_often() {
    for mood in [Mood::Silent, Mood::Away, Mood::Refuses(500, "")] {
        let mut registrar = Registrar::new(mood);
        let (mut gateway, mut now, mut said) = begin(&mut registrar);
        let class = match mood {
            Mood::Refuses(..) => FailureClass::Unavailable,
            Mood::Silent | Mood::Away | Mood::Grants(_) => FailureClass::Network,
        };
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            let pause = retry_in(&said[0], class);
            assert!(
                (expected..=expected * 11 / 10).contains(&pause),
                "{pause} {expected}"
            );
            said = registrar.until_news(&mut now, &mut gateway);
        }
        registrar.mood = Mood::Grants(300);
        let said = registrar.until_news(&mut now, &mut gateway);
        assert_eq!(said, [Status::Registered { expires_s: 300 }]);
        registrar.mood = Mood::Silent;
        let said = registrar.until_news(&mut now, &mut gateway);
        assert!(
            retry_in(&said[0], FailureClass::Network) <= 33,
            "the count begins anew"
        );
    }
}

#[test]
fn a_retry_after_is_honoured() {
    let mut registrar = Registrar::new(Mood::Refuses(503, "Retry-After: 900 (maintenance)"));
    let (_, _, said) = begin(&mut registrar);
    assert_eq!(retry_in(&said[0], FailureClass::Unavailable), 900);
    let mut registrar = Registrar::new(Mood::Refuses(404, ""));
    let (_, _, said) = begin(&mut registrar);
    assert!(retry_in(&said[0], FailureClass::Rejected) >= 1_800);
    let mut registrar = Registrar::new(Mood::Refuses(403, ""));
    let (_, _, said) = begin(&mut registrar);
    assert!(retry_in(&said[0], FailureClass::AuthFailed) >= 1_800);
}

#[test]
fn leaving_gives_the_registration_back() {
    let mut registrar = Registrar::new(Mood::Grants(300));
    let (mut gateway, now, _) = begin(&mut registrar);
    gateway.handle(now, RegistrationInput::Leave);
    assert_eq!(registrar.talk(now, &mut gateway), [Status::Unregistered]);
    assert_eq!(registrar.seen.last().map(expires), Some(0));
    assert_eq!(gateway.poll_timeout(), None);
    gateway.handle_timeout(now + Duration::from_secs(3_600));
    assert!(registrar.talk(now, &mut gateway).is_empty());
}

#[test]
fn who_left_comes_back_when_it_is_wanted_again() {
    let registered = [Status::Registered { expires_s: 300 }];
    let mut registrar = Registrar::new(Mood::Grants(300));
    let (mut gateway, now, _) = begin(&mut registrar);
    gateway.handle(now, RegistrationInput::Leave);
    registrar.talk(now, &mut gateway);
    gateway.handle(now, RegistrationInput::Register);
    assert_eq!(registrar.talk(now, &mut gateway), registered);

    // Wanted again while it is being given back: one after the other.
    registrar.mood = Mood::Silent;
    gateway.handle(now, RegistrationInput::Leave);
    registrar.talk(now, &mut gateway);
    gateway.handle(now, RegistrationInput::Register);
    let mut later = now;
    registrar.mood = Mood::Grants(300);
    let said = registrar.until_news(&mut later, &mut gateway);
    assert_eq!(said[..], [Status::Unregistered, registered[0].clone()]);

    // Wanted again before the leave went out: nothing is given back.
    let gone = |registrar: &Registrar| registrar.seen.iter().filter(|r| expires(r) == 0).count();
    let before = gone(&registrar);
    registrar.mood = Mood::Silent;
    gateway.handle(later, RegistrationInput::Register);
    registrar.talk(later, &mut gateway);
    gateway.handle(later, RegistrationInput::Leave);
    gateway.handle(later, RegistrationInput::Register);
    registrar.mood = Mood::Grants(300);
    assert_eq!(registrar.until_news(&mut later, &mut gateway), registered);
    assert_eq!(gone(&registrar), before);
    // And one that leaves for good does.
    gateway.handle(later, RegistrationInput::Leave);
    assert_eq!(registrar.talk(later, &mut gateway), [Status::Unregistered]);
    assert_eq!(gateway.poll_timeout(), None);
}

#[test]
fn leaving_ends_also_without_an_answer_and_in_the_middle_of_a_request() {
    let mut registrar = Registrar::new(Mood::Grants(300));
    let (mut gateway, mut now, _) = begin(&mut registrar);
    registrar.mood = Mood::Silent;
    gateway.handle(now, RegistrationInput::Leave);
    assert_eq!(
        registrar.until_news(&mut now, &mut gateway),
        [Status::Unregistered]
    );
    let mut registrar = Registrar::new(Mood::Silent);
    let mut gateway = self::gateway();
    gateway.handle(now, RegistrationInput::Register);
    registrar.talk(now, &mut gateway);
    gateway.handle(now, RegistrationInput::Leave);
    registrar.mood = Mood::Grants(300);
    let said = registrar.until_news(&mut now, &mut gateway);
    assert_eq!(said, [Status::Unregistered]);
    assert_eq!(registrar.seen.last().map(expires), Some(0));
}

#[test]
fn late_and_strange_inputs_change_nothing() {
    let mut registrar = Registrar::new(Mood::Grants(300));
    let (mut gateway, now, _) = begin(&mut registrar);
    let answer = registrar.answer(now, &registrar.seen[0].clone()).unwrap();
    let Ok(Message::Response(old)) = parse(&answer, Framing::Datagram) else {
        panic!("a response");
    };
    let inputs = [
        RegistrationInput::Received(Box::new(old)),
        RegistrationInput::TransportFailed("late".into()),
        RegistrationInput::Located(Err("late".into())),
    ];
    let deadline = gateway.poll_timeout();
    for input in inputs {
        gateway.handle(now, input);
        gateway.handle_timeout(now);
        assert!(registrar.talk(now, &mut gateway).is_empty());
        assert_eq!(gateway.poll_timeout(), deadline);
    }
}
