//! Calls as a switch would tell them.

use model::{
    AgentId, AgentRef, CallId, EndReason, Fact, FactKind, NodeId, TenantId,
    fact::{Channel, Direction, Ended, MediaStats, Started},
    internal::{FactBatch, Heartbeat},
    transcript::{Segment, Speaker, Timing, TurnTimings},
};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::harness::{NODE_KEY, TestApp, TestTenant, answer};

/// A switch.
#[derive(Debug, Clone, Copy)]
pub struct Switch {
    pub node: NodeId,
    pub boot: u64,
}

/// When the stories begin.
const BEGIN_MS: i64 = 1_790_000_000_000;

impl Switch {
    pub fn new(number: u128) -> Self {
        Self {
            node: NodeId::new(1, number),
            boot: 1,
        }
    }

    pub fn fact(&self, call: CallId, seq: u32, kind: FactKind) -> Fact {
        Fact {
            node: self.node,
            boot: self.boot,
            conversation: call,
            seq,
            at_unix_ms: BEGIN_MS + i64::from(seq) * 100,
            offset_ms: u64::from(seq) * 100,
            kind,
        }
    }

    /// A whole call: started, answered, a turn, a cut answer, ended. The last fact is the end.
    pub fn call(&self, call: CallId, tenant: &TestTenant, agent: &str) -> Vec<Fact> {
        let tenant: TenantId = tenant.id.parse().expect("a tenant's id");
        let agent = AgentRef {
            id: agent.parse::<AgentId>().expect("an agent's id"),
            slug: "receptionist".to_owned(),
            version: 1,
            config_hash: "00".repeat(32),
        };
        let kinds = vec![
            FactKind::Started(started(Some(tenant))),
            FactKind::Routed {
                route: "public/reception".to_owned(),
            },
            FactKind::Ringing,
            FactKind::Answered {
                codec: "PCMU".to_owned(),
                setup_ms: 41,
            },
            FactKind::AgentStarted { agent, tenant },
            FactKind::Segment(segment(Speaker::Caller, "a table for four", 1_000, None)),
            FactKind::Turn(TurnTimings {
                turn: 1,
                first_packet_ms: Some(341),
                ..TurnTimings::default()
            }),
            FactKind::Segment(segment(
                Speaker::Agent,
                "Friday at seven",
                3_000,
                Some("Friday"),
            )),
            FactKind::Interrupted { yield_ms: 84 },
            FactKind::Media(MediaStats {
                packets_in: 500,
                ..MediaStats::default()
            }),
            ended(EndReason::CallerHangup, 12_000),
        ];
        (0..)
            .zip(kinds)
            .map(|(seq, kind)| self.fact(call, seq, kind))
            .collect()
    }

    pub fn batch(&self, facts: &[Fact]) -> FactBatch {
        FactBatch {
            node: self.node,
            boot: self.boot,
            facts: facts.to_vec(),
        }
    }

    pub fn beat(&self, revision: u64, live: &[CallId]) -> Heartbeat {
        Heartbeat {
            node: self.node,
            boot: self.boot,
            revision,
            live: live.to_vec(),
            accepting: true,
            profiles: vec!["external".into()],
        }
    }
}

pub fn ended(reason: EndReason, duration_ms: u64) -> FactKind {
    FactKind::Ended(Ended {
        reason,
        sip_code: Some(200),
        q850: Some(16),
        duration_ms,
    })
}

pub fn started(tenant: Option<TenantId>) -> Started {
    Started {
        tenant,
        direction: Direction::Inbound,
        channel: Channel::Sip,
        from: "+15550199".to_owned(),
        to: "+15550100".to_owned(),
        profile: "internal".to_owned(),
        trunk: None,
        sip_call_id: "story@example.net".to_owned(),
        agent: None,
        revision: 3,
    }
}

pub fn segment(speaker: Speaker, text: &str, start_ms: u64, heard: Option<&str>) -> Segment {
    Segment {
        speaker,
        text: text.to_owned(),
        start_ms,
        end_ms: start_ms + 900,
        confidence: None,
        interrupted: heard.is_some(),
        heard_text: heard.map(ToOwned::to_owned),
        timing: heard.map(|_| Timing::Exact),
        samples_sent: None,
        samples_total: None,
    }
}

impl TestApp {
    /// A POST of a switch.
    pub async fn tell<T: serde::Serialize>(&self, path: &str, body: &T) -> (StatusCode, Value) {
        let path = format!("/internal/v1/{path}");
        let request = self.request(Method::POST, &path, NODE_KEY).json(body);
        answer(request.send().await).await
    }

    /// A batch of facts that must be taken.
    pub async fn take(&self, switch: Switch, facts: &[Fact]) {
        let (status, ack) = self.tell("journal", &switch.batch(facts)).await;
        assert_eq!(status, 200, "{ack}");
        assert_eq!(ack["accepted"], facts.len());
        assert_eq!(ack["refused"], serde_json::json!([]));
    }
}
