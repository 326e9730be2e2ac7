//! Laws that hold for all inputs: what is printed reads back the same, and every transaction ends.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use sip_core::message::{Draft, Framing, Method, parse};
use sip_core::timers::Timers;
use sip_core::transaction::{
    ClientInput, ClientTransaction, InviteClient, InviteServer, ServerInput, ServerTransaction,
};
use sip_core::value::{NameAddr, Uri, Via};

fn token() -> impl Strategy<Value = String> {
    "[A-Za-z0-9.!%*_+`'~-]{1,16}"
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z][a-z0-9-]{0,12}\\.example\\.com",
        any::<[u8; 4]>().prop_map(|[a, b, c, d]| format!("{a}.{b}.{c}.{d}")),
        any::<[u16; 8]>().prop_map(|s| format!("[{}]", std::net::Ipv6Addr::from(s))),
    ]
}

fn uri() -> impl Strategy<Value = String> {
    let user = prop::option::of("[A-Za-z0-9+;?/&=$,._!~*'()-]{1,20}");
    let port = prop::option::of(any::<u16>());
    let params = prop::collection::vec((token(), prop::option::of(token())), 0..3);
    (any::<bool>(), user, host(), port, params).prop_map(|(secure, user, host, port, params)| {
        let mut out = String::from(if secure { "sips:" } else { "sip:" });
        if let Some(user) = user {
            out += &format!("{user}@");
        }
        out += &host;
        if let Some(port) = port {
            out += &format!(":{port}");
        }
        for (name, value) in params {
            out += &format!(";{name}");
            if let Some(value) = value {
                out += &format!("={value}");
            }
        }
        out
    })
}

fn name_addr() -> impl Strategy<Value = String> {
    let display = prop::option::of("[ -~]{0,20}");
    (display, uri(), prop::option::of(token())).prop_map(|(display, uri, tag)| {
        let mut out = String::new();
        if let Some(display) = display {
            let quoted = display.replace('\\', "\\\\").replace('"', "\\\"");
            out += &format!("\"{quoted}\" ");
        }
        out += &format!("<{uri}>");
        if let Some(tag) = tag {
            out += &format!(";tag={tag}");
        }
        out
    })
}

/// A value without white space at its ends, any other bytes but line ends.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let inner = prop::collection::vec(any::<u8>(), 0..60);
    inner.prop_map(|mut bytes| {
        bytes.retain(|byte| *byte != b'\r' && *byte != b'\n');
        bytes.insert(0, b'x');
        bytes.push(b'x');
        bytes
    })
}

fn message() -> impl Strategy<Value = Bytes> {
    let start = prop_oneof![
        (token(), uri()).prop_map(|(method, uri)| Ok((method, uri))),
        (100u16..700, value()).prop_map(Err),
    ];
    let extra = prop::collection::vec((token(), value()), 0..6);
    let body = prop::collection::vec(any::<u8>(), 0..200);
    let names = (name_addr(), name_addr(), host(), token(), 0u32..0x7fff_ffff);
    (start, names, extra, body).prop_map(|(start, names, extra, body)| {
        let (from, to, sent_by, id, cseq) = names;
        let (mut draft, method) = match start {
            Ok((method, uri)) => {
                let method = Method::from_bytes(&Bytes::from(method));
                (Draft::request(&method, uri.as_bytes()), method)
            }
            Err((status, reason)) => (Draft::response(status, &reason), Method::Invite),
        };
        draft.header("Via", format!("SIP/2.0/UDP {sent_by};branch=z9hG4bK{id}"));
        draft.header("From", from).header("To", to);
        draft.header("Call-ID", &id);
        draft.header("CSeq", format!("{cseq} {method}"));
        for (name, value) in extra {
            draft.header(&format!("X-{name}"), value);
        }
        draft.finish(&body)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_is_printed_reads_back_the_same(bytes in message()) {
        let first = parse(&bytes, Framing::Stream).expect("what we write is sound");
        let printed = first.to_bytes();
        prop_assert_eq!(&printed, &bytes);
        let again = parse(&printed, Framing::Datagram).expect("still sound");
        prop_assert_eq!(first, again);
    }

    #[test]
    fn compact_and_folded_forms_read_as_the_long_ones(bytes in message()) {
        // Only the head may be rewritten; the body keeps its bytes.
        let at = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("end");
        let (head, body) = bytes.split_at(at);
        let mut short = Vec::new();
        for (line, text) in head.split(|byte| *byte == b'\n').enumerate() {
            let renamed = [(b"Via:".as_ref(), b"v :".as_ref()), (b"From:", b"F:"), (b"Call-ID:", b"i:\r\n\t")]
                .into_iter()
                .find(|(long, _)| line > 0 && text.starts_with(long));
            if line > 0 {
                short.push(b'\n');
            }
            match renamed {
                Some((long, compact)) => {
                    short.extend_from_slice(compact);
                    short.extend_from_slice(&text[long.len()..]);
                }
                None => short.extend_from_slice(text),
            }
        }
        short.extend_from_slice(body);
        let long = parse(&bytes, Framing::Stream).expect("sound");
        let short = parse(&Bytes::from(short), Framing::Stream).expect("sound");
        prop_assert_eq!(long, short);
    }

    #[test]
    fn values_print_as_they_came(uri in uri(), name in name_addr(), sent_by in host()) {
        let raw = Bytes::from(uri.clone());
        prop_assert_eq!(Uri::parse(&raw).expect("uri").to_string(), uri);
        let parsed = NameAddr::parse(&Bytes::from(name.clone())).expect("name-addr");
        prop_assert_eq!(parsed.to_string(), name);
        let bare = NameAddr::parse(&parsed.without_tag()).expect("without tag");
        prop_assert_eq!(bare.tag(), None);
        prop_assert_eq!((bare.uri(), bare.display()), (parsed.uri(), parsed.display()));
        let via = Bytes::from(format!("SIP/2.0/TCP {sent_by}:5061;branch=z9hG4bKx;rport"));
        let via = Via::parse(&via).expect("via");
        prop_assert_eq!(via.port(), Some(5061));
        let source = "203.0.113.5:999".parse().expect("address");
        let stamped = Via::parse(&via.stamped(source, false)).expect("stamped");
        prop_assert_eq!((stamped.host(), stamped.branch()), (via.host(), via.branch()));
        prop_assert_eq!(stamped.param("received"), Some(b"203.0.113.5".as_ref()));
    }

    #[test]
    fn a_display_name_survives_quoting(display in "\\PC{0,30}") {
        let uri: Uri = "sip:a@b".parse().expect("uri");
        let name = NameAddr::new(Some(&display), &uri).expect("name-addr");
        prop_assert_eq!(name.display(), Some(display));
    }
}

/// One thing that may happen to a transaction.
#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    Retransmission,
    Ack,
    Status(u16),
    TransportFailed,
    SpuriousTimeout,
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        (0u64..20_000).prop_map(Happening::Wait),
        Just(Happening::Retransmission),
        Just(Happening::Ack),
        (100u16..700).prop_map(Happening::Status),
        Just(Happening::TransportFailed),
        Just(Happening::SpuriousTimeout),
    ];
    prop::collection::vec(one, 0..25)
}

const INVITE: &str = "INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKx\r\nFrom: <sip:a@x>;tag=1\r\n\
     To: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";

/// 64·T1 and the longest T2/T4 slack.
const LONGEST: Duration = Duration::from_secs(32 + 5);

/// Runs a machine to its end after the last input; returns how long that took.
fn run_out(
    mut now: Duration,
    poll: &mut dyn FnMut() -> Option<Duration>,
    fire: &mut dyn FnMut(Duration),
) {
    let start = now;
    for _ in 0..200 {
        let Some(at) = poll() else {
            return;
        };
        now = now.max(at);
        assert!(
            now - start <= LONGEST,
            "still running after {:?}",
            now - start
        );
        fire(now);
    }
    panic!("a machine that never comes to rest");
}

fn drain<E>(mut next: impl FnMut() -> Option<E>) {
    for _ in 0..1000 {
        if next().is_none() {
            return;
        }
    }
    panic!("effects without end");
}

fn server_input(happening: &Happening) -> Option<ServerInput> {
    match happening {
        Happening::Retransmission => Some(ServerInput::Retransmission),
        Happening::Ack => Some(ServerInput::Ack),
        Happening::Status(status) => Some(ServerInput::Respond {
            status: *status,
            bytes: Bytes::from_static(b"SIP/2.0 ..."),
        }),
        Happening::TransportFailed => Some(ServerInput::TransportFailed),
        Happening::Wait(_) | Happening::SpuriousTimeout => None,
    }
}

fn client_input(happening: &Happening) -> Option<ClientInput> {
    match happening {
        Happening::Status(status) => Some(ClientInput::Response {
            status: *status,
            to: Bytes::from_static(b"<sip:b@x>;tag=2"),
        }),
        Happening::TransportFailed => Some(ClientInput::TransportFailed),
        _ => None,
    }
}

macro_rules! ends {
    ($tx:ident, $input:ident, $happenings:ident, $close:expr) => {{
        let mut now = Duration::ZERO;
        for happening in &$happenings {
            if let Happening::Wait(ms) = happening {
                now += Duration::from_millis(*ms);
                $tx.handle_timeout(now);
            }
            if let Happening::SpuriousTimeout = happening {
                let before = $tx.poll_timeout();
                if before.is_none_or(|at| at > now) {
                    $tx.handle_timeout(now);
                    prop_assert_eq!(before, $tx.poll_timeout());
                }
            }
            if let Some(input) = $input(happening) {
                $tx.handle(now, input);
            }
            drain(|| $tx.poll_effect());
        }
        #[allow(clippy::redundant_closure_call)]
        $close(&mut $tx, now);
        let cell = std::cell::RefCell::new($tx);
        run_out(now, &mut || cell.borrow().poll_timeout(), &mut |at| {
            cell.borrow_mut().handle_timeout(at);
            drain(|| cell.borrow_mut().poll_effect());
        });
        prop_assert!(cell.borrow().is_terminated());
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn invite_server_ends(happenings in happenings(), reliable: bool) {
        let mut tx = InviteServer::new(Timers::default(), reliable);
        // The user owes a final response; from there on the machine ends by itself.
        let refuse = |tx: &mut InviteServer, now| {
            let bytes = Bytes::from_static(b"x");
            tx.handle(now, ServerInput::Respond { status: 486, bytes });
        };
        ends!(tx, server_input, happenings, refuse);
    }

    #[test]
    fn server_ends(happenings in happenings(), reliable: bool) {
        let mut tx = ServerTransaction::new(Timers::default(), reliable);
        let refuse = |tx: &mut ServerTransaction, now| {
            let bytes = Bytes::from_static(b"x");
            tx.handle(now, ServerInput::Respond { status: 200, bytes });
        };
        ends!(tx, server_input, happenings, refuse);
    }

    #[test]
    fn client_ends(happenings in happenings(), reliable: bool) {
        let request = Bytes::from_static(b"BYE");
        let mut tx = ClientTransaction::new(Duration::ZERO, Timers::default(), reliable, request);
        ends!(tx, client_input, happenings, |_: &mut ClientTransaction, _| {});
    }

    #[test]
    fn invite_client_ends(happenings in happenings(), reliable: bool) {
        let request = Bytes::from_static(INVITE.as_bytes());
        let mut tx = InviteClient::new(Duration::ZERO, Timers::default(), reliable, request);
        // A ringing call is ended by its user's CANCEL.
        ends!(tx, client_input, happenings, |tx: &mut InviteClient, now| tx.cancelled(now));
    }
}
