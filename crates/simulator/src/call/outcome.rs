//! What a call left behind, and what must be true of it.

use std::collections::BTreeMap;

use call_core::{
    brain::{DiscardReason, HistoryLine, UtteranceId},
    call::Ending,
};
use model::transcript::{Segment, Speaker};

use crate::reference::heard_words;

/// See the module's first line.
#[derive(Debug)]
pub struct Outcome {
    /// The seed it came of.
    pub seed: u64,
    /// The ends that the call machine declared.
    pub endings: Vec<Ending>,
    /// Facts named `ended`.
    pub ended_facts: usize,
    /// Segments of the agent with the utterance that each is about, in order.
    pub agent: Vec<(UtteranceId, Segment)>,
    /// Segments of the caller.
    pub caller: Vec<Segment>,
    /// The conversation as a replaced agent would get it.
    pub history: Vec<HistoryLine>,
    /// Samples that left, per utterance, from the wire.
    pub wire: BTreeMap<UtteranceId, u64>,
    /// Packets that left.
    pub packets: u64,
    /// Ticks from answer to end.
    pub ticks: u64,
    /// Packets that did not follow the one before.
    pub broken_packets: u64,
    /// What the caller said that reached the agent.
    pub spoken: Vec<String>,
    /// Turns that stand, with their text.
    pub turns: BTreeMap<u32, String>,
    /// Speech in no turn.
    pub discarded: Vec<DiscardReason>,
    /// Utterances that may not be cut.
    pub protected: Vec<UtteranceId>,
    /// Interruptions that were confirmed.
    pub interruptions: usize,
    /// Pauses for nothing, milliseconds.
    pub false_pauses: Vec<u64>,
    /// Onset to the agent's last sample, milliseconds.
    pub yields: Vec<u64>,
    /// Packets of ours that reached the phone.
    pub phone_received: u64,
}

/// Every invariant that the outcome breaks, in words.
pub fn check(outcome: &Outcome) -> Vec<String> {
    let mut broken = Vec::new();
    let mut hold = |truth: bool, what: String| {
        if !truth {
            broken.push(format!("seed {}: {what}", outcome.seed));
        }
    };
    hold(
        outcome.endings.len() == 1,
        format!("{} endings instead of one record", outcome.endings.len()),
    );
    hold(
        outcome.ended_facts == 1,
        format!("{} facts `ended`", outcome.ended_facts),
    );
    hold(
        outcome.broken_packets == 0,
        format!("{} breaks in our RTP", outcome.broken_packets),
    );
    hold(
        outcome.packets == outcome.ticks,
        format!("{} packets in {} ticks", outcome.packets, outcome.ticks),
    );
    let sent: BTreeMap<UtteranceId, u64> = outcome
        .agent
        .iter()
        .map(|(id, segment)| (*id, segment.samples_sent.unwrap_or(0)))
        .collect();
    hold(
        sent.len() == outcome.agent.len(),
        "an utterance with two segments".into(),
    );
    hold(
        sent == outcome.wire,
        format!("ledger {sent:?} is not the wire {:?}", outcome.wire),
    );
    for (id, segment) in &outcome.agent {
        let heard = segment.heard_text.clone().unwrap_or_default();
        let expected = heard_words(&segment.text, outcome.wire.get(id).copied().unwrap_or(0));
        hold(
            heard == expected,
            format!(
                "utterance {} was heard as {heard:?}, not {expected:?}",
                id.0
            ),
        );
    }
    protected_is_whole(outcome, &mut hold);
    words_are_accounted_for(outcome, &mut hold);
    history_is_heard(outcome, &mut hold);
    broken
}

/// Only the end of the call may cut what is protected, and only the last of it.
fn protected_is_whole(outcome: &Outcome, hold: &mut impl FnMut(bool, String)) {
    for (nth, (id, segment)) in outcome.agent.iter().enumerate() {
        let cut = segment.interrupted && outcome.protected.contains(id);
        let last = nth + 1 == outcome.agent.len();
        hold(
            !cut || last,
            format!("the protected utterance {} was cut", id.0),
        );
    }
}

/// Each spoken text is in one standing turn, or something of it was discarded.
fn words_are_accounted_for(outcome: &Outcome, hold: &mut impl FnMut(bool, String)) {
    let in_turns = |text: &str| {
        outcome
            .turns
            .values()
            .filter(|turn| turn.contains(text))
            .count()
    };
    let homeless: Vec<&String> = outcome
        .spoken
        .iter()
        .filter(|text| in_turns(text) == 0)
        .collect();
    hold(
        homeless.len() <= outcome.discarded.len(),
        format!("{homeless:?} in no turn, {:?} discarded", outcome.discarded),
    );
    let times = |text: &String| outcome.spoken.iter().filter(|other| *other == text).count();
    let twice: Vec<&String> = outcome
        .spoken
        .iter()
        .filter(|text| in_turns(text) > times(text))
        .collect();
    hold(twice.is_empty(), format!("{twice:?} in two turns"));
}

fn history_is_heard(outcome: &Outcome, hold: &mut impl FnMut(bool, String)) {
    let heard: Vec<&str> = outcome
        .agent
        .iter()
        .filter_map(|(_, s)| s.heard_text.as_deref())
        .filter(|t| !t.is_empty())
        .collect();
    let lines: Vec<&str> = outcome
        .history
        .iter()
        .filter(|line| line.agent)
        .map(|line| line.text.as_str())
        .collect();
    hold(
        lines == heard,
        format!("history {lines:?} is not what was heard {heard:?}"),
    );
    let callers = outcome.history.iter().filter(|line| !line.agent).count();
    let segments = outcome
        .caller
        .iter()
        .filter(|s| s.speaker == Speaker::Caller)
        .count();
    hold(
        callers == segments,
        format!("{callers} lines of the caller for {segments} segments"),
    );
}
