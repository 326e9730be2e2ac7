//! Whole calls in virtual time: real call machine, pipeline, ledger and leg against the reference.

use call_core::pipeline::PipelineConfig;
use model::{AgentConfig, EndReason};
use simulator::{
    call::{Outcome, Script, check, play},
    dice::Dice,
    network::Impairment,
    phone::{Act, Deed},
};

fn pipeline() -> PipelineConfig {
    let json = serde_json::json!({
        "display_name": "Ada",
        "greeting": "Hello, I'm Ada, {disclosure}. How can I help you on this fine day?",
        "farewell": "Thank you for calling.",
        "brain": { "kind": "echo" },
    });
    let agent: AgentConfig = serde_json::from_value(json).unwrap();
    PipelineConfig::from(&agent)
}

fn script(seed: u64, network: Impairment, acts: Vec<Act>) -> Script {
    Script {
        seed,
        network,
        pipeline: pipeline(),
        acts,
    }
}

fn speak(at_ms: u64, ms: u64, text: &str) -> Act {
    Act {
        at_ms,
        deed: Deed::Speak {
            ms,
            text: text.into(),
        },
    }
}

/// A caller of a seed: talks, coughs, hums, interrupts, presses keys, and hangs up or says goodbye.
fn random(seed: u64) -> Script {
    let mut dice = Dice::new(seed);
    let (mut at_ms, mut acts) = (dice.between(200, 6_000), Vec::new());
    for nth in 0..dice.between(2, 9) {
        let ms = dice.between(300, 2_500);
        acts.push(match dice.roll(10) {
            0 => speak(at_ms, 110, ""),
            1 => speak(at_ms, 350, "mm-hmm"),
            2 => Act {
                at_ms,
                deed: Deed::Press(char::from(b'0' + (nth as u8 % 10))),
            },
            3 => speak(at_ms, ms, &format!("caller{nth}x and")),
            _ => speak(at_ms, ms, &format!("Caller{nth}x speaks.")),
        });
        at_ms += ms + dice.between(300, 6_000);
    }
    let leave = if dice.chance(600) {
        Deed::HangUp
    } else {
        Deed::Speak {
            ms: 800,
            text: "And goodbye.".into(),
        }
    };
    acts.push(Act { at_ms, deed: leave });
    let network = Impairment {
        loss_per_mille: [0, 0, 30, 100][dice.roll(4) as usize],
        duplicate_per_mille: 10,
        reorder_per_mille: 20,
        reorder_ms: 35,
        delay_ms: dice.between(5, 80),
        jitter_ms: dice.between(0, 40),
    };
    script(seed, network, acts)
}

fn broken(outcomes: &[Outcome]) -> Vec<String> {
    outcomes.iter().flat_map(check).collect()
}

#[test]
fn whole_calls_of_random_callers_keep_every_invariant() {
    let outcomes: Vec<Outcome> = (0..60).map(|seed| play(&random(seed))).collect();
    assert_eq!(broken(&outcomes), [""; 0]);
    let interruptions: usize = outcomes.iter().map(|outcome| outcome.interruptions).sum();
    let cut = outcomes
        .iter()
        .flat_map(|o| &o.agent)
        .filter(|(_, segment)| segment.interrupted)
        .count();
    assert!(
        interruptions > 20 && cut > 40,
        "the callers were too polite: {interruptions} {cut}"
    );
    let paused: usize = outcomes
        .iter()
        .map(|outcome| outcome.false_pauses.len())
        .sum();
    assert!(paused > 10, "the reflex let {paused} noises pass");
    assert!(outcomes.iter().all(|outcome| outcome.phone_received > 0));
}

#[test]
fn whole_calls_are_the_same_for_the_same_seed() {
    let (one, two) = (play(&random(11)), play(&random(11)));
    assert_eq!(format!("{one:?}"), format!("{two:?}"));
}

#[test]
fn whole_calls_yield_within_the_reflex() {
    let acts = vec![
        speak(7_000, 1_000, "Tell me everything."),
        speak(11_000, 2_000, "No wait please."),
        speak(28_000, 800, "And goodbye."),
    ];
    let calls: Vec<Outcome> = (0..12)
        .map(|seed| {
            play(&script(
                seed,
                Impairment {
                    delay_ms: 20,
                    ..Impairment::default()
                },
                acts.clone(),
            ))
        })
        .collect();
    assert_eq!(broken(&calls), [""; 0]);
    let yields: Vec<u64> = calls.iter().flat_map(|call| call.yields.clone()).collect();
    assert!(yields.len() >= 3, "{yields:?}");
    assert!(
        yields.iter().all(|ms| (60..=140).contains(ms)),
        "onset to last sample; the reflex alone needs three frames: {yields:?}"
    );
}

#[test]
fn whole_calls_end_by_themselves_when_nobody_speaks() {
    let call = play(&script(3, Impairment::default(), Vec::new()));
    assert_eq!(broken(std::slice::from_ref(&call)), [""; 0]);
    assert_eq!(call.endings[0].reason, EndReason::IdleTimeout);
    let heard: Vec<String> = call
        .agent
        .iter()
        .filter_map(|(_, segment)| segment.heard_text.clone())
        .collect();
    assert_eq!(
        heard.last().map(String::as_str),
        Some("Thank you for calling.")
    );
}

/// The check itself: a ledger that is one sample off, a lost word, a second record are found.
#[test]
fn whole_calls_that_lie_are_found() {
    let tamper: [fn(&mut Outcome); 5] = [
        |call| *call.wire.values_mut().next().unwrap() += 1,
        |call| call.agent[0].1.heard_text = Some("Hello".into()),
        |call| call.endings.push(call.endings[0].clone()),
        |call| call.spoken.push("never heard of".into()),
        |call| call.history.clear(),
    ];
    for (nth, tamper) in tamper.into_iter().enumerate() {
        let mut call = play(&script(3, Impairment::default(), Vec::new()));
        tamper(&mut call);
        assert_ne!(check(&call), [""; 0], "lie {nth}");
    }
}
