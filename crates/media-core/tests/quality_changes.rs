//! bC11: windows of five seconds in classes – under 5 % missing excellent, under 12 % good, else poor, nothing lost – and an
//! event when the class is another.

#[path = "network/sim.rs"]
mod sim;

use media_core::FRAME;
use media_core::leg::{Command, LegEventKind, Quality, QualityChange};
use sim::{Sim, Talker, config};
use std::time::Duration;

const WAY: Duration = Duration::from_millis(30);

struct Caller {
    sim: Sim,
    talker: Talker,
    n: u32,
}

impl Caller {
    fn new() -> Self {
        Self {
            sim: Sim::new(config(), 1),
            talker: Talker::new(0, 0),
            n: 0,
        }
    }

    /// So many seconds, of each fifty packets so many lost.
    fn speaks(&mut self, seconds: u32, lost_of_fifty: u32) {
        for _ in 0..seconds * 50 {
            let bytes = self.talker.say();
            if self.n % 50 >= lost_of_fifty {
                self.sim.post(FRAME * self.n + WAY, bytes);
            }
            self.n += 1;
        }
        self.sim.run_until(FRAME * self.n);
    }

    fn is_silent(&mut self, seconds: u32) {
        self.n += seconds * 50;
        self.talker.pause(seconds * 50);
        self.sim.run_until(FRAME * self.n);
    }

    fn changes(&self) -> Vec<QualityChange> {
        let change = |event: &LegEventKind| match event {
            LegEventKind::Quality(change) => Some(*change),
            _ => None,
        };
        self.sim.events.iter().filter_map(change).collect()
    }

    fn classes(&self) -> Vec<Quality> {
        self.changes().iter().map(|change| change.to).collect()
    }
}

#[test]
fn eight_percent_are_good_and_each_change_is_told_once() {
    let mut caller = Caller::new();
    caller.speaks(15, 0);
    assert_eq!(caller.classes(), [Quality::Excellent], "told once");
    caller.speaks(20, 4);
    let good = caller.changes()[1];
    assert_eq!(
        (good.from, good.to),
        (Some(Quality::Excellent), Quality::Good)
    );
    caller.speaks(15, 4);
    let [.., last] = caller.changes()[..] else {
        panic!("changes");
    };
    assert_eq!(last, good, "eight per cent all the while is one change");
    assert!((40..=90).contains(&good.missing_permille), "{good:?}");
    caller.speaks(15, 10);
    caller.is_silent(10);
    caller.speaks(10, 0);
    let expected = [
        Quality::Excellent,
        Quality::Good,
        Quality::Poor,
        Quality::Lost,
        Quality::Excellent,
    ];
    assert_eq!(caller.classes(), expected);
}

#[test]
fn packets_that_come_too_late_are_missing_too() {
    let mut caller = Caller::new();
    caller.speaks(5, 0);
    for n in 0..500 {
        let bytes = caller.talker.say();
        let late = Duration::from_millis(if n % 10 == 0 { 250 } else { 0 });
        caller.sim.post(FRAME * caller.n + WAY + late, bytes);
        caller.n += 1;
    }
    caller.sim.run_until(FRAME * caller.n);
    // The last of them is still under way.
    assert!(caller.sim.stats().jitter.lost <= 1);
    assert!(
        caller.classes().contains(&Quality::Good),
        "{:?}",
        caller.changes()
    );
}

#[test]
fn who_was_never_heard_or_holds_us_or_says_that_he_is_silent_is_not_lost() {
    let mut caller = Caller::new();
    caller.is_silent(20);
    assert_eq!(caller.classes(), []);
    caller.speaks(10, 0);
    caller
        .sim
        .leg
        .handle(FRAME * caller.n, Command::SetSending(false));
    caller.is_silent(20);
    caller
        .sim
        .leg
        .handle(FRAME * caller.n, Command::SetSending(true));
    caller.speaks(10, 0);
    caller.talker.payload_type = 13;
    let noise = caller.talker.packet(&[60]);
    caller.sim.post(FRAME * caller.n + WAY, noise);
    caller.talker.skip();
    caller.talker.payload_type = 0;
    caller.is_silent(20);
    assert_eq!(caller.classes(), [Quality::Excellent]);
}
