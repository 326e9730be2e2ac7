//! Conferences, parked callers and who picks them up, told as stories.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{CallFact, Effect, Input, Limits, MediaMode, RoomNews};
use call_core::dialplan::action::Entry;
use model::EndReason;
use story::Story;

/// What the stories of this file need besides.
trait InRooms: Sized {
    fn doing(action: &str) -> (Self, Vec<Effect>);
    fn others(&mut self, others: usize) -> Vec<Effect>;
    fn at_deadline(&mut self) -> Vec<Effect>;
}

impl InRooms for Story {
    /// A call to 701 whose plan is this one action, and a section that logs.
    fn doing(action: &str) -> (Story, Vec<Effect>) {
        let sections = "[section.elsewhere]\ndo = [{ log = \"elsewhere\" }]";
        let mut story = Story::of(story::plan("internal", action, sections));
        let mut caller = story::caller("internal");
        caller.to = "701".to_owned();
        story.input(Input::Incoming(Box::new(caller)));
        let answer = story.input(Input::Journaled);
        assert!(
            answer.contains(&Effect::Answer),
            "a room is for answered calls: {answer:#?}"
        );
        let effects = story.input(Input::Acknowledged);
        (story, effects)
    }

    fn others(&mut self, others: usize) -> Vec<Effect> {
        self.input(Input::Room(RoomNews::Others(others)))
    }

    fn at_deadline(&mut self) -> Vec<Effect> {
        self.now = self.call.poll_timeout().expect("a deadline");
        self.call.handle_timeout(self.now);
        story::drain(&mut self.call)
    }
}

fn music(effects: &[Effect]) -> bool {
    let plays =
        |e: &Effect| matches!(e, Effect::Play { source, repeat: true, .. } if source == "hold.wav");
    effects.iter().any(plays)
}

fn entered(effects: &[Effect]) -> (&str, u16, Entry) {
    let entry = effects.iter().find_map(|effect| match effect {
        Effect::EnterRoom {
            room, seats, entry, ..
        } => Some((room.as_str(), *seats, *entry)),
        _ => None,
    });
    entry.unwrap_or_else(|| panic!("{effects:#?}"))
}

fn went_elsewhere(effects: &[Effect]) -> bool {
    let logs = |e: &Effect| matches!(e, Effect::Log { text } if text == "elsewhere");
    effects.iter().any(logs)
}

fn reason(effects: &[Effect]) -> Option<EndReason> {
    effects.iter().find_map(|effect| match effect {
        Effect::Ended(ending) => Some(ending.reason),
        _ => None,
    })
}

#[test]
fn a_conference_plays_music_to_whoever_is_alone_and_to_nobody_else() {
    let (mut story, effects) =
        Story::doing(r#"{ conference = { room = "r{to}", max = 7, music = "hold.wav" } }"#);
    assert_eq!(entered(&effects), ("conference/r701", 7, Entry::Anybody));
    assert!(music(&story.others(0)));
    let company = story.others(1);
    assert_eq!(
        company[0],
        Effect::Journal(CallFact::Bridged {
            target: "conference/r701".to_owned()
        })
    );
    assert_eq!(company[1..], [Effect::StopPlayout]);
    assert_eq!(story.others(2), []);
    assert_eq!(story.others(1), []);
    assert!(music(&story.others(0)), "alone again");
    let end = story.input(Input::RemoteBye);
    assert!(
        end.contains(&Effect::LeaveRoom) && end.contains(&Effect::StopPlayout),
        "{end:#?}"
    );
    assert_eq!(
        reason(&story.input(Input::MediaClosed)),
        Some(EndReason::CallerHangup)
    );
    assert_eq!(story.others(3), [], "late news");
}

#[test]
fn a_full_conference_sends_the_caller_to_its_section() {
    let (mut story, _) = Story::doing(r#"{ conference = { room = "r", full = "elsewhere" } }"#);
    let effects = story.input(Input::Room(RoomNews::Refused));
    assert!(went_elsewhere(&effects), "{effects:#?}");
    assert!(!effects.contains(&Effect::LeaveRoom), "it was never in");
}

#[test]
fn a_parked_caller_is_picked_up_and_goes_on_when_the_other_hangs_up() {
    let (mut story, effects) =
        Story::doing(r#"{ park = { slot = "{to}", music = "hold.wav", wait = "30s" } }"#);
    assert_eq!(entered(&effects), ("park/701", 2, Entry::Parks));
    assert!(music(&story.others(0)));
    let company = story.others(1);
    assert!(company.contains(&Effect::StopPlayout), "{company:#?}");
    let four_hours = Limits::default().duration;
    assert!(
        story
            .call
            .poll_timeout()
            .is_some_and(|due| due >= four_hours),
        "no longer alone"
    );
    let over = story.others(0);
    assert!(over.contains(&Effect::LeaveRoom), "{over:#?}");
    assert!(over.contains(&Effect::Mode(MediaMode::Normal)));
    assert!(
        over.contains(&Effect::Hangup { q850: 16 }),
        "the plan has no more"
    );
    assert_eq!(
        reason(&story.input(Input::MediaClosed)),
        Some(EndReason::BridgeEnded)
    );
}

#[test]
fn a_caller_whom_nobody_picks_up_goes_to_the_section_for_it() {
    let (mut story, _) = Story::doing(
        r#"{ park = { slot = "1", wait = "30s", music = "hold.wav", forgotten = "elsewhere" } }"#,
    );
    story.others(0);
    let effects = story.at_deadline();
    assert_eq!(story.now, Duration::from_secs(130));
    assert_eq!(
        effects[..3],
        [
            Effect::StopPlayout,
            Effect::LeaveRoom,
            Effect::Mode(MediaMode::Normal)
        ]
    );
    assert!(went_elsewhere(&effects), "{effects:#?}");
}

#[test]
fn whoever_picks_up_an_empty_slot_goes_to_the_section_for_it() {
    let (mut story, effects) =
        Story::doing(r#"{ pickup = { slot = "701", empty = "elsewhere" } }"#);
    assert_eq!(entered(&effects), ("park/701", 2, Entry::PicksUp));
    assert!(went_elsewhere(&story.input(Input::Room(RoomNews::Refused))));
    let (mut story, _) = Story::doing(r#"{ pickup = "701" }"#);
    let effects = story.others(1);
    assert!(
        matches!(&effects[..], [Effect::Journal(CallFact::Bridged { target })] if target == "park/701")
    );
    assert!(story.others(0).contains(&Effect::Hangup { q850: 16 }));
}
