//! Symmetric RTP: media is taken from one source, and goes back there.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use media_core::leg::{Command, Leg, LegEventKind, Stream, Wire};
use sim::{Talker, config, far_end};
use std::net::SocketAddr;
use std::time::Duration;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, last], 9_000))
}

fn leg() -> Leg {
    Leg::new(config(), Wire::default(), Duration::ZERO)
}

fn kinds(leg: &mut Leg) -> Vec<LegEventKind> {
    std::iter::from_fn(|| leg.poll_event())
        .map(|e| e.kind)
        .collect()
}

#[test]
fn it_sends_where_sdp_says_until_the_first_valid_packet_shows_the_true_source() {
    let (mut leg, mut talker) = (leg(), Talker::new(0, 0));
    assert_eq!(leg.tick(FRAME).to, Some(far_end()));
    leg.on_packet(FRAME, address(9), b"not rtp at all");
    let mut foreign = Talker::new(0, 0);
    foreign.payload_type = 96;
    leg.on_packet(FRAME, address(8), &foreign.say());
    assert_eq!(
        leg.tick(FRAME * 2).to,
        Some(far_end()),
        "rubbish and foreign types lock nothing"
    );
    leg.on_packet(FRAME * 2, address(1), &talker.say());
    assert_eq!(leg.tick(FRAME * 3).to, Some(address(1)));
    assert_eq!(
        kinds(&mut leg),
        [LegEventKind::FirstPacket { source: address(1) }]
    );
}

#[test]
fn a_second_source_is_refused_until_the_first_was_silent_for_two_seconds() {
    let (mut leg, mut talker, mut thief) = (leg(), Talker::new(0, 0), Talker::new(0, 0));
    leg.on_packet(Duration::ZERO, address(1), &talker.say());
    for n in 1..100 {
        leg.on_packet(FRAME * n, address(2), &thief.say());
    }
    assert_eq!(leg.stats().refused_source, 99);
    assert_eq!(leg.tick(FRAME * 99).to, Some(address(1)));
    leg.on_packet(FRAME * 100, address(2), &thief.say());
    assert_eq!(leg.tick(FRAME * 101).to, Some(address(2)));
    assert!(kinds(&mut leg).contains(&LegEventKind::SourceChanged {
        from: address(1),
        to: address(2)
    }));
}

#[test]
fn re_negotiation_lets_the_source_change_at_once_but_only_once() {
    let (mut leg, mut talker) = (leg(), Talker::new(0, 0));
    leg.on_packet(Duration::ZERO, address(1), &talker.say());
    let mut negotiated = config().negotiated;
    negotiated.remote = Some(address(3));
    leg.handle(FRAME, Command::Renegotiate(negotiated));
    assert_eq!(leg.tick(FRAME).to, Some(address(3)));
    leg.on_packet(FRAME * 2, address(4), &talker.say());
    leg.on_packet(FRAME * 3, address(5), &talker.say());
    assert_eq!(leg.tick(FRAME * 4).to, Some(address(4)));
    assert_eq!(leg.stats().refused_source, 1);
}

#[test]
fn re_negotiating_the_same_address_keeps_the_lock() {
    let (mut leg, mut talker) = (leg(), Talker::new(0, 0));
    leg.on_packet(Duration::ZERO, address(1), &talker.say());
    leg.handle(FRAME, Command::Renegotiate(config().negotiated));
    leg.on_packet(FRAME * 2, address(2), &talker.say());
    assert_eq!(leg.tick(FRAME * 3).to, Some(address(1)));
}

#[test]
fn without_symmetry_ours_goes_where_signalling_says_and_theirs_is_heard_all_the_same() {
    let mut leg = leg();
    leg.send_as_signalled();
    let mut talker = Talker::new(0, 7);
    for n in 1..20 {
        leg.on_packet(FRAME * n, address(1), &talker.say());
        assert_eq!(leg.tick(FRAME * n).to, Some(far_end()));
    }
    assert_eq!(leg.stats().refused_source, 0);
    assert_eq!(leg.stats().heard.unwrap().source, address(1));
}

#[test]
fn a_former_call_that_still_sends_is_never_heard_and_holds_up_nobody() {
    let (mut former, mut caller) = (Talker::new(0, 7), Talker::new(0, 9));
    let mut before = leg();
    before.on_packet(FRAME, address(1), &former.say());
    let heard = before.stats().heard.unwrap();
    assert_eq!(heard.source, address(1));

    let mut leg = leg();
    leg.shun(vec![heard]);
    for n in 1..50 {
        leg.on_packet(FRAME * n, address(1), &former.say());
    }
    assert_eq!(kinds(&mut leg), [], "as if nobody had come");
    assert_eq!(leg.stats().refused_former, 49);
    leg.on_packet(FRAME * 50, address(2), &caller.say());
    assert_eq!(leg.tick(FRAME * 51).to, Some(address(2)));
    for n in 51..300 {
        leg.on_packet(FRAME * n, address(1), &former.say());
    }
    assert_eq!(
        leg.tick(FRAME * 300).to,
        Some(address(2)),
        "not after any silence"
    );
    // The same phone may call again with the stream it had, when signalling says that it is there.
    let mut again = self::leg();
    let source = far_end();
    again.shun(vec![Stream { source, ..heard }]);
    again.on_packet(FRAME, source, &former.say());
    assert_eq!(kinds(&mut again), [LegEventKind::FirstPacket { source }]);
}
