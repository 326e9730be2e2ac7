//! Facts and keys for the tests.

use std::path::Path;

use media_server::journal::{Journal, Limits, NodeKey, Record, Recovered};
use model::{
    CallId, EndReason, Fact, FactKind, NodeId,
    fact::{Channel, Direction, Ended, Started},
};

pub const NOW: i64 = 1_700_000_000_000;

pub fn key() -> NodeKey {
    NodeKey::from_bytes([7; 32])
}

pub fn open(dir: &Path) -> (Journal, Recovered) {
    open_with(dir, Limits::default())
}

pub fn open_with(dir: &Path, limits: Limits) -> (Journal, Recovered) {
    Journal::open(dir, &key(), limits, NOW).expect("the journal opens")
}

pub fn call(n: u128) -> CallId {
    CallId::new(1_700_000_000_000, n)
}

/// A fact as the first boot of some node would write it.
pub fn fact(call: CallId, seq: u32, kind: FactKind) -> Record {
    Record::Fact(Fact {
        node: NodeId::new(1, 1),
        boot: 1,
        conversation: call,
        seq,
        at_unix_ms: NOW + i64::from(seq) * 20,
        offset_ms: u64::from(seq) * 20,
        kind,
    })
}

pub fn started() -> FactKind {
    FactKind::Started(Started {
        tenant: None,
        direction: Direction::Inbound,
        channel: Channel::Sip,
        from: "+15550101".into(),
        to: "+15550100".into(),
        profile: "external".into(),
        trunk: None,
        sip_call_id: "a84b4c76e66710".into(),
        agent: None,
        revision: 1,
    })
}

pub fn ended(reason: EndReason) -> FactKind {
    FactKind::Ended(Ended {
        reason,
        sip_code: None,
        q850: Some(16),
        duration_ms: 1_000,
    })
}

pub fn line(text: &str) -> FactKind {
    FactKind::Logged { line: text.into() }
}

/// A small generator, so that a failing run can be had again from its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
