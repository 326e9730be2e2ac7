use model::{
    AgentId,
    fact::{AttestationLevel, Channel, Direction, Verstat},
};
use proptest::prelude::*;

use super::*;

fn node() -> NodeId {
    NodeId::new(1, 1)
}

fn call() -> CallId {
    CallId::new(1, 2)
}

fn fact(seq: u32, kind: FactKind) -> Fact {
    Fact {
        node: node(),
        boot: 1,
        conversation: call(),
        seq,
        at_unix_ms: 1_000_000 + i64::from(seq) * 10,
        offset_ms: u64::from(seq) * 10,
        kind,
    }
}

fn agent(version: u32) -> AgentRef {
    AgentRef {
        id: AgentId::new(1, 3),
        slug: "receptionist".to_owned(),
        version,
        config_hash: "aa".to_owned(),
    }
}

fn ended(reason: EndReason, duration_ms: u64) -> FactKind {
    FactKind::Ended(Ended {
        reason,
        sip_code: Some(200),
        q850: Some(16),
        duration_ms,
    })
}

/// A whole call, in order.
fn story() -> Vec<Fact> {
    let started = FactKind::Started(Started {
        tenant: None,
        direction: Direction::Inbound,
        channel: Channel::Sip,
        from: "+15550199".to_owned(),
        to: "+15550100".to_owned(),
        profile: "internal".to_owned(),
        trunk: None,
        sip_call_id: "a@b".to_owned(),
        agent: Some(agent(1)),
        revision: 7,
    });
    let kinds = vec![
        started,
        FactKind::Ringing,
        FactKind::Answered {
            codec: "PCMU".to_owned(),
            setup_ms: 41,
        },
        FactKind::AgentStarted {
            agent: agent(2),
            tenant: TenantId::new(1, 9),
        },
        FactKind::Turn(TurnTimings {
            turn: 1,
            first_packet_ms: Some(300),
            ..TurnTimings::default()
        }),
        FactKind::Turn(TurnTimings {
            turn: 2,
            first_packet_ms: Some(401),
            ..TurnTimings::default()
        }),
        FactKind::Interrupted { yield_ms: 84 },
        FactKind::Digit { digit: '5' },
        FactKind::Attested(Attestation {
            verstat: Verstat::Passed,
            level: Some(AttestationLevel::A),
            origid: Some("9".repeat(1_000)),
            reason: None,
        }),
        ended(EndReason::CallerHangup, 12_345),
    ];
    (0..)
        .zip(kinds)
        .map(|(seq, kind)| fact(seq, kind))
        .collect()
}

fn folded(facts: &[Fact]) -> CallRecord {
    let mut record = CallRecord::unknown(call(), node(), 1);
    facts.iter().for_each(|fact| record.apply(fact));
    record
}

#[test]
fn a_call_is_told_by_its_facts() {
    let record = folded(&story());
    assert_eq!(record.state(), CallState::Ended);
    assert_eq!(record.end_reason, Some(EndReason::CallerHangup));
    assert_eq!(record.duration_ms, Some(12_345));
    assert_eq!(record.agent.as_ref().map(|agent| agent.version), Some(2));
    assert_eq!(record.tenant, Some(TenantId::new(1, 9)));
    let turns = &record.metrics.first_packet_ms;
    assert_eq!((turns.count, turns.max, turns.avg), (2, 401, 350.5));
    assert_eq!(record.metrics.yield_ms_max, 84);
    let attestation = record.attestation.unwrap();
    assert_eq!(attestation.level, Some(AttestationLevel::A));
    assert_eq!(
        attestation.origid.unwrap().len(),
        256,
        "a signer's words are bounded"
    );
}

#[test]
fn the_state_follows_the_facts() {
    let story = story();
    let states: Vec<CallState> = (0..=story.len())
        .map(|count| folded(&story[..count]).state())
        .collect();
    assert_eq!(states[0], CallState::Queued);
    assert_eq!(states[1], CallState::Ringing);
    assert_eq!(states[3], CallState::InProgress);
    assert_eq!(states[story.len()], CallState::Ended);
}

#[test]
fn the_owners_word_supersedes_a_provisional_end() {
    let story = story();
    let mut record = folded(&story[..4]);
    record.provisional = true;
    record.end_reason = Some(EndReason::NodeLost);
    record.ended_ms = Some(5);
    assert_eq!(record.state(), CallState::Ended);
    record.apply(&story[4]);
    assert_eq!(record.state(), CallState::InProgress);
    assert_eq!(record.end_reason, None);
    record.apply(&story[9]);
    assert_eq!(record.end_reason, Some(EndReason::CallerHangup));
}

#[test]
fn only_the_first_end_counts() {
    let mut record = folded(&story());
    record.apply(&fact(10, ended(EndReason::NodeLost, 99)));
    assert_eq!(record.end_reason, Some(EndReason::CallerHangup));
    assert_eq!(record.duration_ms, Some(12_345));
}

proptest! {
    #[test]
    fn any_order_of_arrival_folds_to_the_same_record(facts in Just(story()).prop_shuffle()) {
        prop_assert_eq!(folded(&facts), folded(&story()));
    }
}
