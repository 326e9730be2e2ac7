//! One side of a call gives its place to somebody else, told as stories: a phone that hands on, and one whose place is taken.

#[path = "rig/story.rs"]
mod story;

use std::time::Duration;

use call_core::call::{
    CallFact, Effect, Handover, HandoverEnd, HandoverNews, Input, KillCause, Leaving, Move,
    Outgoing, Placing, RoomNews, Side, Talks,
};
use call_core::dialplan::action::{BridgeOp, Callee, Entry, Refer, RoomOp};
use model::EndReason;
use story::Story;

const ROOM: &str = "transfer/1";

fn moved(side: Side) -> Input {
    Input::Moved(Box::new(Move {
        side,
        room: ROOM.to_owned(),
        to: "user/1003".to_owned(),
        mode: "attended",
        alone_for: Duration::from_secs(5),
    }))
}

fn fact() -> Effect {
    Effect::Journal(CallFact::Transferred {
        target: "user/1003".to_owned(),
        mode: "attended",
    })
}

fn enters(whose: Side) -> Effect {
    Effect::EnterRoom {
        room: ROOM.to_owned(),
        seats: 3,
        entry: Entry::Meets,
        whose,
    }
}

fn dialled(effects: &[Effect]) -> u32 {
    let found = effects.iter().find_map(|effect| match effect {
        Effect::Dial { attempt, .. } => Some(*attempt),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nobody is called: {effects:#?}"))
}

/// A caller who talks with somebody whom we called.
fn bridged() -> Story {
    let (mut story, effects) = Story::answered(r#""answer", { bridge = "user/1002" }"#, "");
    let attempt = dialled(&effects);
    let target = "user/1002".to_owned();
    story.input(Input::DialAnswered { attempt, target });
    story
}

fn others(story: &mut Story, others: usize) -> Vec<Effect> {
    story.input(Input::Room(RoomNews::Others(others)))
}

fn hung_up(effects: &[Effect]) -> usize {
    let hangs = |effect: &&Effect| matches!(effect, Effect::Hangup { .. });
    effects.iter().filter(hangs).count()
}

#[test]
fn whom_we_called_leaves_and_the_caller_meets_the_newcomer() {
    let mut story = bridged();
    assert_eq!(story.call.may_leave(Side::Callee), Leaving::Free);
    let effects = story.input(moved(Side::Callee));
    assert_eq!(effects, [fact(), Effect::Unjoin, enters(Side::Caller)]);
    assert_eq!(others(&mut story, 0), []);
    let effects = others(&mut story, 1);
    assert!(
        matches!(effects[..], [Effect::Journal(CallFact::Bridged { .. })]),
        "{effects:#?}"
    );
    // Who is met there may hand on too: for a moment there are three.
    assert_eq!(others(&mut story, 2), []);
    assert_eq!(others(&mut story, 1), []);
    let effects = others(&mut story, 0);
    assert!(effects.contains(&Effect::LeaveRoom), "{effects:#?}");
    assert_eq!(hung_up(&effects), 1);
    assert_eq!(story.closed().reason, EndReason::BridgeEnded);
}

#[test]
fn the_caller_leaves_and_the_call_lives_as_long_as_whom_we_called() {
    let mut story = bridged();
    let effects = story.input(moved(Side::Caller));
    let bye = Effect::Hangup { q850: 16 };
    assert_eq!(
        effects,
        [fact(), bye, Effect::CloseLeg, enters(Side::Callee)]
    );
    assert_eq!(others(&mut story, 1).len(), 1);
    // What still comes from the leg that is over counts for nothing.
    for late in [Input::RemoteBye, Input::MediaTimeout, Input::TransportLost] {
        assert_eq!(story.input(late.clone()), [], "{late:?}");
    }
    assert_eq!(story.call.may_leave(Side::Caller), Leaving::No);
    assert_eq!(
        story.call.may_leave(Side::Callee),
        Leaving::From(ROOM.to_owned())
    );
    story.now += Duration::from_secs(60);
    let effects = story.input(Input::BridgeEnded);
    assert!(effects.contains(&Effect::LeaveRoom) && effects.contains(&Effect::Unjoin));
    assert_eq!(hung_up(&effects), 0, "he was hung up on once: {effects:#?}");
    let ending = story.closed();
    assert_eq!(ending.reason, EndReason::Transferred);
    assert_eq!(
        ending.ended - ending.answered.unwrap(),
        Duration::from_secs(60)
    );
}

#[test]
fn each_end_of_a_call_without_its_caller_takes_the_other_along_and_says_why() {
    type End = fn(&mut Story) -> Vec<Effect>;
    let ends: [(End, EndReason); 4] = [
        (|story| others(story, 0), EndReason::Transferred),
        (
            |story| story.input(Input::Kill(KillCause::Operator)),
            EndReason::OperatorHangup,
        ),
        (
            |story| story.input(Input::Handover(HandoverNews::TooLong)),
            EndReason::MaxDuration,
        ),
        (|story| story.after(4 * 3_600), EndReason::MaxDuration),
    ];
    for (end, reason) in ends {
        let mut story = bridged();
        story.input(moved(Side::Caller));
        others(&mut story, 1);
        let effects = end(&mut story);
        assert!(
            effects.contains(&Effect::Unjoin),
            "{reason:?}: {effects:#?}"
        );
        assert!(effects.contains(&Effect::LeaveRoom));
        assert_eq!(hung_up(&effects), 0);
        assert_eq!(story.closed().reason, reason);
    }
}

#[test]
fn who_waits_for_nobody_is_let_go() {
    for side in [Side::Caller, Side::Callee] {
        let mut story = bridged();
        story.input(moved(side));
        others(&mut story, 0);
        let effects = match side {
            Side::Caller => story.after(6),
            Side::Callee => story.input(Input::Room(RoomNews::Deserted)),
        };
        assert!(effects.contains(&Effect::LeaveRoom), "{effects:#?}");
        assert!(effects.contains(&Effect::CloseMedia), "{effects:#?}");
    }
}

#[test]
fn an_agent_that_waits_for_its_caller_has_him_back_from_whom_he_was_handed_on_to() {
    let (mut story, _) = Story::answered(r#""answer", { agent = "demo/ada" }"#, "");
    let handover = Handover {
        name: "desk".to_owned(),
        op: BridgeOp {
            stages: vec![vec![Callee::written("user/1002")]],
            refer: Refer::Never,
            ring_for: Duration::from_secs(10),
            from: None,
            on_busy: None,
            on_no_answer: None,
            on_failed: None,
        },
        resume: true,
        record: true,
    };
    let wanted = HandoverNews::Wanted(Box::new(handover));
    let attempt = dialled(&story.input(Input::Handover(wanted)));
    let target = "user/1002".to_owned();
    story.input(Input::DialAnswered { attempt, target });
    story.input(moved(Side::Callee));
    others(&mut story, 1);
    let effects = others(&mut story, 0);
    let end = HandoverEnd::Over;
    assert!(
        effects.contains(&Effect::ResumeAgent { end }),
        "{effects:#?}"
    );
}

#[test]
fn a_phone_that_rings_can_have_the_call_taken_from_it() {
    let mut story = Story::of(story::plan("internal", r#"{ bridge = "user/1002" }"#, ""));
    let effects = story.input(Input::Incoming(Box::new(story::caller("internal"))));
    let attempt = dialled(&effects);
    assert_eq!(story.call.may_leave(Side::Caller), Leaving::No);
    let effects = story.input(moved(Side::Callee));
    assert_eq!(effects, [fact(), Effect::CancelDial { attempt }]);
    let effects = story.input(Input::Journaled);
    assert!(effects.contains(&Effect::Answer), "{effects:#?}");
    assert!(
        story
            .input(Input::Acknowledged)
            .contains(&enters(Side::Caller))
    );
}

#[test]
fn an_invite_that_takes_a_place_is_answered_without_a_route() {
    let mut story = Story::of(story::plan("internal", "\"echo\"", ""));
    let mut caller = story::caller("internal");
    caller.to = "+33100000001".to_owned();
    caller.takes = Some(RoomOp::meeting(ROOM, Duration::from_secs(5)));
    let effects = story.input(Input::Incoming(Box::new(caller)));
    assert_eq!(
        effects,
        [Effect::Journal(CallFact::Started)],
        "no lookup, no route"
    );
    assert!(story.input(Input::Journaled).contains(&Effect::Answer));
    assert!(
        story
            .input(Input::Acknowledged)
            .contains(&enters(Side::Caller))
    );
}

#[test]
fn whom_we_call_for_somebody_goes_to_where_he_is() {
    let mut story = Story::of(story::no_plan());
    story.input(Input::Placing(Placing::Begin(Box::new(Outgoing {
        to: "user/1003".to_owned(),
        from: "1002".to_owned(),
        talks: Talks::Room(RoomOp::meeting(ROOM, Duration::from_secs(5))),
        recording: call_core::consent::RecordingPolicy::default(),
        ring_for: Duration::from_secs(30),
        max_duration: None,
    }))));
    let ring_for = Duration::from_secs(30);
    assert_eq!(
        story.input(Input::Journaled),
        [Effect::Place { ring_for }],
        "no agent"
    );
    let effects = story.input(Input::Placing(Placing::Answered));
    assert!(effects.contains(&enters(Side::Caller)), "{effects:#?}");
    let mut given_up = Story::of(story::no_plan());
    given_up.input(Input::Kill(KillCause::Abandoned));
    assert!(given_up.call.is_over());
}

#[test]
fn who_talks_with_nobody_hands_nobody_on() {
    let (mut story, _) = Story::answered("\"answer\", \"echo\"", "");
    for side in [Side::Caller, Side::Callee] {
        assert_eq!(story.call.may_leave(side), Leaving::No);
        assert_eq!(story.input(moved(side)), []);
    }
}
