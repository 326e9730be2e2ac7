//! Offer and answer: who gets which codec, what is declined, how hold is spelled, when versions count up.

use std::net::IpAddr;

use sip_core::offer_answer::{
    AgreedMedia, CodecCapability, Direction, MediaAddress, MediaPolicy, Negotiation,
    OfferAnswerError, Session, SrtpPolicy,
};
use sip_core::sdp::Sdp;

fn codec(name: &str, payload_type: u8, clock_rate_hz: u32, channels: u8) -> CodecCapability {
    CodecCapability {
        name: name.into(),
        payload_type,
        clock_rate_hz,
        channels,
        fmtp: None,
    }
}

fn policy(negotiation: Negotiation) -> MediaPolicy {
    MediaPolicy {
        codecs: vec![codec("PCMA", 8, 8000, 1), codec("PCMU", 0, 8000, 1)],
        telephone_event: Some(101),
        negotiation,
        ptime_ms: 20,
        rtcp_mux: true,
        srtp: SrtpPolicy::Off,
    }
}

fn here() -> MediaAddress {
    MediaAddress {
        ip: IpAddr::from([203, 0, 113, 7]),
        port: 16_384,
    }
}

fn offer(media: &str) -> String {
    format!(
        "v=0\r\no=- 5 5 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{}",
        media.replace('\n', "\r\n")
    )
}

/// The answer's text and what is agreed.
fn answer(policy: MediaPolicy, body: &str) -> Result<(String, AgreedMedia), OfferAnswerError> {
    let mut session = Session::new(policy, 1000);
    let (sdp, agreed) = session.answer(body.as_bytes(), here())?;
    let sdp = String::from_utf8(sdp.to_vec()).expect("text");
    Ok((sdp, agreed.expect("new")))
}

fn agreed(media: &str) -> AgreedMedia {
    answer(policy(Negotiation::Offerer), &offer(media))
        .expect("agreed")
        .1
}

#[test]
fn the_answer_has_exactly_the_agreed_codec_and_telephone_event() {
    let media = "m=audio 4000 RTP/AVP 18 0 8 100\na=rtpmap:18 G729/8000\na=rtpmap:100 telephone-event/8000\na=fmtp:100 0-15\n";
    let (sdp, agreed) = answer(policy(Negotiation::Offerer), &offer(media)).expect("agreed");
    assert_eq!(agreed.codec.name, "PCMU");
    assert_eq!(
        agreed.remote,
        Some("192.0.2.9:4000".parse().expect("address"))
    );
    assert_eq!(
        agreed.remote_rtcp,
        Some("192.0.2.9:4001".parse().expect("address"))
    );
    assert_eq!(
        agreed.telephone_event.map(|event| event.send_payload_type),
        Some(100)
    );
    insta::assert_snapshot!(sdp.replace('\r', ""));
}

#[test]
fn whose_order_decides_is_a_setting() {
    let media = offer("m=audio 4000 RTP/AVP 0 8\n");
    let name = |negotiation| {
        answer(policy(negotiation), &media)
            .expect("agreed")
            .1
            .codec
            .name
    };
    assert_eq!(name(Negotiation::Offerer), "PCMU");
    assert_eq!(name(Negotiation::Local), "PCMA");
}

#[test]
fn codecs_are_data_also_dynamic_ones_and_their_clock_rates() {
    let mut policy = policy(Negotiation::Local);
    policy.codecs.insert(0, codec("opus", 107, 48_000, 2));
    let media = offer(
        "m=audio 4000 RTP/AVP 0 96 97 98\na=rtpmap:96 OPUS/48000/2\na=fmtp:96 useinbandfec=1\n\
         a=rtpmap:97 telephone-event/8000\na=rtpmap:98 telephone-event/48000\n",
    );
    let (sdp, agreed) = answer(policy, &media).expect("agreed");
    assert_eq!(
        (
            agreed.codec.send_payload_type,
            agreed.codec.receive_payload_type
        ),
        (96, 96)
    );
    assert_eq!(agreed.codec.fmtp.as_deref(), Some("useinbandfec=1"));
    let event = agreed.telephone_event.expect("event");
    assert_eq!((event.send_payload_type, event.clock_rate_hz), (98, 48_000));
    assert!(sdp.contains("m=audio 16384 RTP/AVP 96 98\r\n"));
    assert!(sdp.contains("a=rtpmap:96 opus/48000/2\r\n"));
}

#[test]
fn other_lines_are_declined_in_order() {
    let media = "m=video 4002 RTP/AVP 31\na=rtpmap:31 LPC\nm=audio 4000 RTP/AVP 0\nm=image 4004 udptl t38\nm=x-new 9 TCP/BFCP *\nm=audio 4006 RTP/AVP 8\n";
    let (sdp, _) = answer(policy(Negotiation::Offerer), &offer(media)).expect("agreed");
    let lines: Vec<&str> = sdp.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 16384 RTP/AVP 0",
            "m=image 0 udptl t38",
            "m=x-new 0 TCP/BFCP *",
            "m=audio 0 RTP/AVP 8",
        ]
    );
}

#[test]
fn nothing_in_common_is_488_and_no_sdp_is_400() {
    let refuse = |media: &str| answer(policy(Negotiation::Offerer), &offer(media)).expect_err("no");
    assert_eq!(
        refuse("m=audio 4000 RTP/AVP 18\na=rtpmap:18 G729/8000\n"),
        OfferAnswerError::NoCommonCodec
    );
    assert_eq!(
        refuse("m=audio 4000 RTP/AVP 0\na=rtpmap:0 X-OTHER/8000\n").status(),
        488
    );
    assert_eq!(
        refuse("m=image 4000 udptl t38\n"),
        OfferAnswerError::NoAudio
    );
    assert_eq!(
        refuse("m=audio 4000 RTP/SAVP 0\n"),
        OfferAnswerError::NoAudio
    );
    assert_eq!(refuse("m=audio 0 RTP/AVP 0\n"), OfferAnswerError::NoAudio);
    assert_eq!(refuse("m=audio x RTP/AVP 0\n").status(), 400);
    let error = answer(policy(Negotiation::Offerer), "hello").expect_err("no");
    assert_eq!(
        (error.status(), error.to_string()),
        (400, "SDP line 1: no v=0 line".into())
    );
}

#[test]
fn hold_is_understood_in_three_spellings_and_at_both_levels() {
    let held = |media: &str| {
        let agreed = agreed(media);
        (agreed.on_hold, agreed.direction, agreed.remote.is_some())
    };
    assert_eq!(
        held("m=audio 4000 RTP/AVP 0\na=sendonly\n"),
        (true, Direction::RecvOnly, true)
    );
    assert_eq!(
        held("m=audio 4000 RTP/AVP 0\na=inactive\n"),
        (true, Direction::Inactive, true)
    );
    let null = "m=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\n";
    assert_eq!(held(null), (true, Direction::RecvOnly, false));
    assert_eq!(
        held("a=sendonly\nm=audio 4000 RTP/AVP 0\n"),
        (true, Direction::RecvOnly, true)
    );
    assert_eq!(
        held("a=sendonly\nm=audio 4000 RTP/AVP 0\na=sendrecv\n"),
        (false, Direction::SendRecv, true)
    );
    assert_eq!(
        held("m=audio 4000 RTP/AVP 0\na=recvonly\n"),
        (false, Direction::SendOnly, true)
    );
}

#[test]
fn rtcp_mux_is_answered_either_way() {
    let (sdp, agreed) = answer(
        policy(Negotiation::Offerer),
        &offer("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n"),
    )
    .expect("ok");
    assert!(agreed.rtcp_mux && agreed.remote_rtcp.is_none() && sdp.contains("a=rtcp-mux\r\n"));
    assert!(!sdp.contains("a=rtcp:"), "{sdp}");
    let (sdp, agreed) = answer(
        policy(Negotiation::Offerer),
        &offer("m=audio 4000 RTP/AVP 0\na=rtcp:4009\n"),
    )
    .expect("ok");
    assert_eq!(
        agreed.remote_rtcp,
        Some("192.0.2.9:4009".parse().expect("address"))
    );
    assert!(!agreed.rtcp_mux && sdp.contains("a=rtcp:16385\r\n") && !sdp.contains("rtcp-mux"));
}

#[test]
fn an_offer_promises_both_ways_of_rtcp_and_later_the_agreed_one() {
    for (answer, expected) in [
        (
            "m=audio 4000 RTP/AVP 8\na=rtcp-mux\n",
            ["a=rtcp-mux"].as_slice(),
        ),
        ("m=audio 4000 RTP/AVP 8\n", &["a=rtcp:16385"]),
    ] {
        let mut session = Session::new(policy(Negotiation::Offerer), 7);
        let first = session.offer(here(), Direction::SendRecv);
        assert_eq!(rtcp_lines(&first), ["a=rtcp:16385", "a=rtcp-mux"]);
        session.accept(offer(answer).as_bytes()).expect("agreed");
        let again = session.offer(here(), Direction::SendRecv);
        assert_eq!(rtcp_lines(&again), expected);
    }
}

/// RFC 3611 §5.1: asked for by media line or session.
#[test]
fn metrics_are_for_who_asks_for_them() {
    let asked = |media: &str| {
        let offered = offer(&format!("m=audio 4000 RTP/AVP 0\n{media}"));
        let answered = answer(policy(Negotiation::Offerer), &offered);
        answered.expect("agreed").1.voip_metrics
    };
    assert!(asked("a=rtcp-xr:rcvr-rtt=all:1000 voip-metrics\n"));
    assert!(!asked("a=rtcp-xr:rcvr-rtt=all:1000\n") && !asked("a=rtcp-xr\n") && !asked(""));
}

#[test]
fn nobody_is_promised_rtcp_where_nobody_listens() {
    let unserved = MediaPolicy {
        rtcp_mux: false,
        ..policy(Negotiation::Offerer)
    };
    let offered = offer("m=audio 4000 RTP/AVP 0\na=rtcp-mux\n");
    let (sdp, agreed) = answer(unserved.clone(), &offered).expect("ok");
    assert!(!agreed.rtcp_mux && !sdp.contains("a=rtcp"), "{sdp}");
    let ours = Session::new(unserved, 7).offer(here(), Direction::SendRecv);
    assert_eq!(rtcp_lines(&ours), Vec::<String>::new());
}

fn rtcp_lines(sdp: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(sdp);
    let lines = text.lines().filter(|line| line.starts_with("a=rtcp"));
    lines.map(str::to_owned).collect()
}

#[test]
fn events_are_answered_as_they_were_offered() {
    let answered = |fmtp: &str| {
        let media =
            format!("m=audio 4000 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000\n{fmtp}");
        let (sdp, _) = answer(policy(Negotiation::Offerer), &offer(&media)).expect("agreed");
        let mut lines = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=fmtp:101 "));
        lines.next().expect("an fmtp").to_owned()
    };
    assert_eq!(answered("a=fmtp:101 0-16\n"), "0-16");
    assert_eq!(answered("a=fmtp:101 0-15\n"), "0-15");
    // RFC 4733 §2.4.1: without a list it is the digits.
    assert_eq!(answered(""), "0-15");
    assert_eq!(answered("a=fmtp:101 0-11,66,70\n"), "0-11");
    assert_eq!(answered("a=fmtp:101 0,2-4,4,16-200\n"), "0,2-4,16");
    assert_eq!(answered("a=fmtp:101 banana\n"), "0-15");
}

#[test]
fn ptime_is_ours_unless_maxptime_is_less() {
    let one = agreed("m=audio 4000 RTP/AVP 0\na=ptime:30\na=maxptime:150\n");
    assert_eq!((one.ptime_ms, one.remote_ptime_ms), (20, Some(30)));
    assert_eq!(
        agreed("m=audio 4000 RTP/AVP 0\na=maxptime:10\n").ptime_ms,
        10
    );
}

#[test]
fn bad_lines_do_not_lose_the_call() {
    let media = "m=audio 4000 RTP/AVP 0 101\na=rtpmap:\na=rtpmap:banana\na=rtpmap:101 telephone-event/8000\na=fmtp\na=:x\na=\u{fffd}\n";
    assert!(agreed(media).telephone_event.is_some());
    let no_t = "v=0\no=user name with spaces\nc=IN IP4 media.example.com\nr=106751991168d 1h 0 25h\nu=::::\nk=x\nm=audio 4000/2 RTP/AVP 0\n";
    let (_, agreed) = answer(policy(Negotiation::Offerer), no_t).expect("LF only, no s=, no t=");
    assert_eq!(
        (
            agreed.remote,
            agreed.remote_host.as_str(),
            agreed.remote_port
        ),
        (None, "media.example.com", 4000)
    );
}

#[test]
fn limits_hold() {
    let long = offer(&format!("m=audio 1 RTP/AVP 0\na={}\n", "x".repeat(3_000)));
    assert_eq!(
        answer(policy(Negotiation::Offerer), &long)
            .expect_err("long")
            .status(),
        400
    );
    let many = offer(&"m=audio 1 RTP/AVP 0\n".repeat(17));
    assert!(Sdp::parse(many.as_bytes()).is_err());
    assert!(Sdp::parse(&vec![b'v'; 20_000]).is_err());
}

#[test]
fn an_offer_is_answered_with_the_answerers_numbers() {
    let mut session = Session::new(policy(Negotiation::Offerer), 1000);
    let sdp = session.offer(here(), Direction::SendRecv);
    insta::assert_snapshot!(String::from_utf8_lossy(&sdp).replace('\r', ""));
    let answer = offer("m=audio 4000 RTP/AVP 8 96\na=rtpmap:96 telephone-event/8000\n");
    assert!(session.preview(answer.as_bytes()).is_ok() && session.has_offered());
    let agreed = session.accept(answer.as_bytes()).expect("ok").expect("new");
    let event = agreed.telephone_event.expect("event");
    assert_eq!(
        (event.send_payload_type, event.receive_payload_type),
        (96, 101)
    );
    assert!(!session.has_offered());
    let unasked = session.accept(answer.as_bytes()).expect_err("no offer");
    assert!(matches!(unasked, OfferAnswerError::Mismatch(_)));
}

/// Session id and version of our origin line.
fn version(sdp: &[u8]) -> u64 {
    let origin = Sdp::parse(sdp).expect("sdp").origin;
    origin
        .split(' ')
        .nth(2)
        .expect("version")
        .parse()
        .expect("number")
}

#[test]
fn the_version_counts_up_exactly_when_the_description_changes() {
    let mut session = Session::new(policy(Negotiation::Offerer), 1000);
    let plain = offer("m=audio 4000 RTP/AVP 0\n");
    let held = offer("m=audio 4000 RTP/AVP 0\na=sendonly\n");
    let (one, news) = session.answer(plain.as_bytes(), here()).expect("ok");
    assert!(news.is_some());
    let (two, news) = session.answer(plain.as_bytes(), here()).expect("ok");
    assert_eq!((&one, news), (&two, None), "an identical refresh");
    let (three, news) = session.answer(held.as_bytes(), here()).expect("ok");
    assert!(news.is_some());
    let (four, _) = session.answer(plain.as_bytes(), here()).expect("ok");
    assert_eq!(
        [version(&one), version(&three), version(&four)],
        [1001, 1002, 1003]
    );
}

#[test]
fn a_refused_offer_leaves_everything_as_it_was_and_repeats_all_lines_next_time() {
    let mut session = Session::new(policy(Negotiation::Offerer), 1000);
    let body = offer("m=video 1 RTP/AVP 31\nm=audio 4000 RTP/AVP 0\n");
    session.answer(body.as_bytes(), here()).expect("ok");
    let agreed = session.agreed().cloned();
    let first = session.offer(here(), Direction::Inactive);
    session.withdraw();
    assert_eq!(session.agreed().cloned(), agreed);
    assert_eq!(session.direction(), Direction::SendRecv);
    let second = session.offer(here(), Direction::SendOnly);
    assert!(version(&second) > version(&first));
    let kinds = Sdp::parse(&second).expect("sdp").media;
    let kinds: Vec<_> = kinds
        .iter()
        .map(|media| (media.kind.clone(), media.port))
        .collect();
    assert_eq!(kinds, [("video".into(), 0), ("audio".into(), 16_384)]);
}

#[test]
fn a_seed_carries_the_session_on() {
    let mut session = Session::new(policy(Negotiation::Offerer), 1000);
    let body = offer("m=audio 4000 RTP/AVP 0\n");
    let (before, _) = session.answer(body.as_bytes(), here()).expect("ok");
    let json = serde_json::to_string(&session.seed()).expect("json");
    let seed = serde_json::from_str(&json).expect("seed");
    let mut session = Session::resume(policy(Negotiation::Offerer), seed);
    let (after, news) = session.answer(body.as_bytes(), here()).expect("ok");
    assert_eq!((after, news), (before, None));
}
