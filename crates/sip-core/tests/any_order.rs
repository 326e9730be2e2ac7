//! Whatever two sides do to a call, in whatever order, on whatever wire: each hears of its end exactly once, nothing is left over,
//! and CSeq numbers only go up.

#[path = "support/virtual_wire.rs"]
mod virtual_wire;

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use sip_core::dialog::{Dialog, DialogInput, ReferOrder, Refusal, Reliable, SessionTimer};
use sip_core::flow::Transport;
use sip_core::offer_answer::Direction;
use virtual_wire::{Callee, Pair, Wire, media};

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Ring,
    Progress,
    Answer,
    Reject(u16),
    Hangup,
    Reoffer(Direction, bool),
    Info,
    Refer,
    AnswerRefer(u16),
    ReferNews(u16),
    TransportFailed,
    /// The dialog dies and is made anew from its seed.
    Crash,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let direction = prop_oneof![
        Just(Direction::SendRecv),
        Just(Direction::SendOnly),
        Just(Direction::Inactive),
    ];
    let step = prop_oneof![
        6 => (0u64..3_000).prop_map(Step::Wait),
        1 => Just(Step::Ring),
        1 => Just(Step::Progress),
        3 => Just(Step::Answer),
        1 => (300u16..700).prop_map(Step::Reject),
        1 => Just(Step::Hangup),
        4 => (direction, any::<bool>()).prop_map(|(direction, moved)| Step::Reoffer(direction, moved)),
        2 => Just(Step::Info),
        2 => Just(Step::Refer),
        2 => prop_oneof![Just(202u16), 300u16..700].prop_map(Step::AnswerRefer),
        1 => (100u16..700).prop_map(Step::ReferNews),
        1 => Just(Step::TransportFailed),
        1 => Just(Step::Crash),
    ];
    (0usize..2, step)
}

fn carry_out(pair: &mut Pair, side: usize, step: &Step) {
    if let Step::Wait(ms) = step {
        return pair.run_ms(*ms);
    }
    if pair.sides[side].dialogs.len() != 1 {
        return;
    }
    let flow = pair.flow(side);
    let input = match step {
        Step::Wait(_) => return,
        Step::Crash => return crash(pair, side),
        Step::Ring => DialogInput::Ring,
        Step::Progress => DialogInput::Progress { media: media(5000) },
        Step::Answer => DialogInput::Answer { media: media(5000) },
        Step::Reject(status) => DialogInput::Reject(Refusal::new(*status)),
        Step::Hangup => DialogInput::Hangup { reason: None },
        Step::Reoffer(direction, moved) => DialogInput::Reoffer {
            direction: *direction,
            media: moved.then(|| media(6000)),
        },
        Step::Info => DialogInput::SendInfo {
            content_type: "application/dtmf".into(),
            body: "1".into(),
        },
        Step::Refer => DialogInput::Refer(Box::new(ReferOrder {
            to: "sip:carol@10.0.0.3".into(),
            referred_by: None,
        })),
        Step::AnswerRefer(status) => DialogInput::AnswerRefer { status: *status },
        Step::ReferNews(status) => DialogInput::ReferNews {
            status: *status,
            last: false,
        },
        Step::TransportFailed => DialogInput::TransportFailed { flow },
    };
    pair.tell(side, input);
}

/// Only a live call is worth crashing: the end of a dead one was already told.
fn crash(pair: &mut Pair, side: usize) {
    if pair.sides[side]
        .names()
        .iter()
        .any(|name| name.starts_with("Ended"))
    {
        return;
    }
    let id = pair.sides[side].only();
    let now = pair.now;
    let side = &mut pair.sides[side];
    let seed = side.dialogs[&id].seed();
    let dialog = Dialog::resume(now, side.config(), side.tokens.fork(), &seed).expect("resumed");
    side.dialogs.insert(id, dialog);
}

/// New requests of one side in one dialog count up; only ACK and CANCEL repeat their INVITE's number.
fn assert_cseqs_go_up(pair: &Pair) {
    let mut last: HashMap<(usize, String), u32> = HashMap::new();
    for sent in &pair.requests {
        let known = last.entry((sent.side, sent.to_tag.clone())).or_default();
        assert!(
            sent.cseq >= *known,
            "{}\n{}",
            sent.method,
            pair.ladder_text()
        );
        *known = sent.cseq;
    }
}

/// What surrounds a story.
struct Setting {
    wire: Wire,
    tcp: bool,
    delayed: bool,
    ringing: Reliable,
    /// Of each side, in seconds.
    expires_s: [u32; 2],
}

/// Plays it; both sides hang up at its end, and the timers run out.
fn play(steps: &[(usize, Step)], setting: &Setting) {
    let transport = match setting.tcp {
        true => Transport::Tcp,
        false => Transport::Udp,
    };
    let mut pair = Pair::over(setting.wire, transport);
    pair.sides[1].callee = Callee::Waits;
    for (side, expires_s) in pair.sides.iter_mut().zip(setting.expires_s) {
        side.reliable = setting.ringing;
        side.session_timer = SessionTimer {
            expires_s,
            min_s: 10,
        };
    }
    let mut call = pair.outbound();
    call.delayed_offer = setting.delayed;
    call.ring_timeout = Some(Duration::from_secs(120));
    pair.place(&call);
    for (side, step) in steps {
        carry_out(&mut pair, *side, step);
    }
    for _ in 0..2 {
        for side in 0..2 {
            carry_out(&mut pair, side, &Step::Hangup);
            pair.run_ms(100_000);
        }
    }
    for side in &pair.sides {
        let names = side.names();
        // What ended before it was a call – its interval was too short – is none: another INVITE comes with a longer one.
        let calls = |name: &&String| name.starts_with("Invited") || side.name == "alice";
        let call = names.iter().position(|name| calls(&name));
        let of_call = &names[call.unwrap_or(names.len())..];
        let ended = of_call
            .iter()
            .filter(|name| name.starts_with("Ended"))
            .count();
        assert_eq!(
            ended,
            usize::from(call.is_some()),
            "{}\n{}",
            side.name,
            pair.ladder_text()
        );
    }
    pair.assert_clean();
    assert_cseqs_go_up(&pair);
}

/// Found by chance: the caller breaks while it rings reliably, and the next ringing was acknowledged with a number used before.
#[test]
fn a_caller_who_is_taken_up_while_it_rings_counts_on() {
    let steps = [
        (0, Step::Wait(190)),
        (1, Step::Ring),
        (1, Step::Ring),
        (0, Step::Wait(84)),
        (0, Step::Crash),
        (1, Step::Ring),
        (0, Step::Wait(56)),
    ];
    let wire = Wire {
        seed: 17_376_629_744_273_028_206,
        loss: 14,
        delay_ms: 15,
        jitter_ms: 64,
    };
    let setting = Setting {
        wire,
        tcp: false,
        delayed: false,
        ringing: Reliable::Always,
        expires_s: [1, 0],
    };
    play(&steps, &setting);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn every_call_ends_once_and_leaves_nothing(
        steps in prop::collection::vec(step(), 1..30),
        seed: u64,
        loss in 0u64..30,
        jitter_ms in 0u64..200,
        tcp: bool,
        delayed: bool,
        ringing in prop_oneof![Just(Reliable::Never), Just(Reliable::WhenAsked), Just(Reliable::Always)],
        expires_s in [0u32..60, 0u32..60],
    ) {
        let wire = Wire { seed, loss: if tcp { 0 } else { loss }, delay_ms: 15, jitter_ms: if tcp { 0 } else { jitter_ms } };
        play(&steps, &Setting { wire, tcp, delayed, ringing, expires_s });
    }
}
