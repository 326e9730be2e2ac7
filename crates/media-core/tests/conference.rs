//! Everybody in a room hears all others and nobody himself.

use media_core::conference::Conference;
use media_core::tone::Tone;
use media_core::{Frame, Rate};

fn level(rate: Rate, value: i16) -> Frame {
    Frame::from_samples(rate, &vec![value; rate.frame_len()])
}

#[test]
fn each_of_twenty_five_hears_the_other_twenty_four() {
    let mut room = Conference::default();
    let places: Vec<_> = (0..25).map(|_| room.join()).collect();
    let said = |at: usize| 40 + 10 * at as i16;
    for tick in 0..3 {
        for (at, place) in places.iter().enumerate() {
            room.say(*place, &level(Rate::Hz8000, said(at) + tick));
        }
        room.tick();
        let all: i16 = (0..25).map(|at| said(at) + tick).sum();
        for (at, place) in places.iter().enumerate() {
            let heard = room.hear(*place);
            assert_eq!(heard, level(Rate::Hz8000, all - said(at) - tick), "{at}");
        }
    }
}

#[test]
fn who_says_nothing_or_has_left_is_not_heard_and_a_place_is_used_again() {
    let mut room = Conference::default();
    let (a, b, c) = (room.join(), room.join(), room.join());
    room.say(a, &level(Rate::Hz8000, 500));
    room.tick();
    assert_eq!(room.hear(b), level(Rate::Hz8000, 500));
    assert_eq!(room.hear(a), level(Rate::Hz8000, 0));
    // Nothing came for this tick: what was said before is not said again.
    room.tick();
    assert_eq!(room.hear(b), level(Rate::Hz8000, 0));
    room.leave(a);
    assert_eq!(room.parties(), 2);
    room.say(a, &level(Rate::Hz8000, 500));
    room.tick();
    assert_eq!(room.hear(c), level(Rate::Hz8000, 0));
    assert_eq!(room.join(), a);
    room.say(a, &level(Rate::Hz8000, 300));
    room.tick();
    assert_eq!(room.hear(c), level(Rate::Hz8000, 300));
}

#[test]
fn loud_voices_together_are_cut_once_and_each_still_hears_what_the_others_make() {
    let mut room = Conference::default();
    let places: Vec<_> = (0..4).map(|_| room.join()).collect();
    for (place, value) in places.iter().zip([30_000, 30_000, -30_000, -29_000]) {
        room.say(*place, &level(Rate::Hz8000, value));
    }
    room.tick();
    let heard: Vec<i16> = places.iter().map(|p| room.hear(*p).samples()[7]).collect();
    assert_eq!(heard, [-29_000, -29_000, 31_000, 30_000]);
    room.say(places[0], &level(Rate::Hz8000, 30_000));
    room.say(places[1], &level(Rate::Hz8000, 30_000));
    room.tick();
    assert_eq!(room.hear(places[2]).samples()[7], i16::MAX);
}

#[test]
fn the_noise_of_quiet_lines_does_not_add_up() {
    let mut room = Conference::default();
    let places: Vec<_> = (0..20).map(|_| room.join()).collect();
    for place in &places {
        room.say(*place, &level(Rate::Hz8000, 20));
    }
    room.tick();
    assert_eq!(room.hear(places[0]), level(Rate::Hz8000, 0));
}

#[test]
fn a_wideband_party_makes_the_room_wide_and_narrow_voices_are_heard_in_it() {
    let mut room = Conference::default();
    let (narrow, wide) = (room.join(), room.join());
    let mut tone = Tone::sine(440.0, -20.0);
    let mut loud = -96.0_f32;
    for _ in 0..10 {
        room.say(narrow, &tone.next_frame(Rate::Hz8000));
        room.say(wide, &level(Rate::Hz16000, 0));
        room.tick();
        let heard = room.hear(wide);
        assert_eq!(heard.rate(), Rate::Hz16000);
        assert_eq!(room.hear(narrow).level_dbov(), -96.0);
        loud = loud.max(heard.level_dbov());
    }
    assert!((-21.0..-19.0).contains(&loud), "{loud} dBov");
}
