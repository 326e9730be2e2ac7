//! Calls that we place, ordered over REST, with SIPp as the far side (T14): each answer and each
//! refusal, down to the record.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/sipp.rs"]
mod sipp;
#[path = "rig/talker.rs"]
mod talker;

use std::{net::SocketAddr, time::Duration};

use media_server::node::NodeHandle;
use rig::{Office, Site};
use serde_json::{Value, json};
use sipp::{Sipp, header};
use talker::Talker;

const LIMIT: Duration = Duration::from_secs(50);

fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A node, its office, and what every order names.
struct Desk {
    /// Its folder goes with it.
    _site: Site,
    node: NodeHandle,
    office: Office,
    tenant: String,
    agent: String,
}

impl Desk {
    async fn open() -> Self {
        let site = Site::new("", None);
        let node = site.start().await;
        let office = site.office();
        let tenants = office.get("/v1/tenants").await;
        let agents = office.get("/v1/agents").await;
        let id = |list: &Value| list["data"][0]["id"].as_str().unwrap().to_owned();
        Self {
            tenant: id(&tenants),
            agent: id(&agents),
            node,
            office,
            _site: site,
        }
    }

    /// What the office says to `POST /v1/calls`.
    async fn order(&self, body: Value) -> Value {
        self.office.post_for(&self.tenant, "/v1/calls", &body).await
    }

    /// Orders a call to this far side and gives its id.
    async fn dial(&self, far: SocketAddr, more: Value) -> String {
        let mut body = json!({ "to": format!("sip:+15550111@{far}"), "agent_id": self.agent });
        for (name, value) in more.as_object().cloned().unwrap_or_default() {
            body[&name] = value;
        }
        let call = self.order(body).await;
        assert_eq!(call["state"], "queued", "{call:#}");
        assert_eq!(call["direction"], "outbound");
        call["id"].as_str().unwrap().to_owned()
    }

    /// The call, once it is in this state.
    async fn until(&self, id: &str, state: &str) -> Value {
        let mine = |call: &Value| call["id"] == id && call["state"] == state;
        let mut found = self.office.calls(1, mine).await;
        let call = found.pop();
        call.unwrap_or_else(|| panic!("{id} never was {state}"))
    }

    /// The record of a call that is over, held to what every record must say.
    async fn record(&self, id: &str) -> Value {
        let call = self.until(id, "ended").await;
        assert_eq!(call["direction"], "outbound", "{call:#}");
        assert_eq!(call["tenant_id"], self.tenant);
        assert_eq!(call["provisional"], false, "{call:#}");
        let ends = self.office.facts(&call, "ended").await;
        assert_eq!(ends.len(), 1, "one end: {ends:#?}");
        call
    }

    async fn close(self) {
        assert!(self.node.services.book.is_empty(), "a dialog is left");
        self.node.stop().await;
    }
}

/// SIPp has the last word: the dialog may still wait for it.
async fn quiet(node: &NodeHandle) {
    let until = tokio::time::Instant::now() + s(40);
    while !node.services.book.is_empty() && tokio::time::Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_it_rings_and_is_answered_and_the_agent_talks_until_the_far_side_hangs_up() {
    if !sipp::is_here(
        "t14_it_rings_and_is_answered_and_the_agent_talks_until_the_far_side_hangs_up",
    ) {
        return;
    }
    let desk = Desk::open().await;
    let callee = Talker::start();
    let (far, at) = Sipp::serve("t14-rings-and-answers", &[("rtp_port", &callee.key())]);
    let wish = json!({ "overrides": { "greeting": "Good morning, your table is ready.", "record": true } });
    let id = desk.dial(at, wish).await;
    desk.until(&id, "in_progress").await;
    callee.hears_speech(s(1), s(15));
    let ladder = far.succeeds(LIMIT);
    let invite = ladder.first("INVITE");
    assert!(
        invite.starts_with(&format!("INVITE sip:+15550111@{at}")),
        "{invite}"
    );
    assert!(
        header(&invite, "From").unwrap().contains("sip:+1555"),
        "{invite}"
    );

    let call = desk.record(&id).await;
    assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
    assert_eq!(call["sip_call_id"].as_str(), header(&invite, "Call-ID"));
    assert_eq!(
        (&call["codec"], &call["sip"]["code"]),
        (&json!("PCMU"), &json!(200))
    );
    let lasted = call["duration_ms"].as_u64().unwrap();
    assert!((5_000..9_000).contains(&lasted), "{call:#}");
    let agent = desk.office.said(&call, "agent").await;
    assert!(
        agent[0]["text"]
            .as_str()
            .unwrap()
            .contains("Your table is ready")
            || agent[0]["text"]
                .as_str()
                .unwrap()
                .contains("your table is ready"),
        "{agent:#?}"
    );
    let kinds = [
        "commanded",
        "ringing",
        "answered",
        "agent_started",
        "recording_started",
    ];
    for kind in kinds {
        assert_eq!(desk.office.facts(&call, kind).await.len(), 1, "{kind}");
    }
    let wav = desk.office.recording(&call).await;
    assert_eq!((wav.channels, wav.rate_hz), (2, 8_000));
    let orders = desk.office.settled_orders(&call).await;
    assert_eq!(orders[0]["state"], "done", "{orders:#?}");
    quiet(&desk.node).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_early_media_is_noted_and_a_hangup_over_rest_ends_the_call() {
    if !sipp::is_here("t14_early_media_is_noted_and_a_hangup_over_rest_ends_the_call") {
        return;
    }
    let desk = Desk::open().await;
    let callee = Talker::start();
    let (far, at) = Sipp::serve("t14-early-media", &[("rtp_port", &callee.key())]);
    let id = desk.dial(at, json!({})).await;
    desk.until(&id, "in_progress").await;
    callee.hears_speech(s(1), s(15));
    let keys = desk
        .office
        .post(&format!("/v1/calls/{id}/dtmf"), &json!({ "digits": "42#" }))
        .await;
    assert_eq!(keys["state"], "queued", "{keys:#}");
    let words = json!({ "text": "One more thing: we close at ten.", "interrupt": true });
    desk.office
        .post(&format!("/v1/calls/{id}/say"), &words)
        .await;
    let hint = json!({ "text": "The caller is a regular guest." });
    desk.office
        .post(&format!("/v1/calls/{id}/message"), &hint)
        .await;
    callee.hears_speech(s(1), s(15));
    callee.hears_silence(Duration::from_millis(900), s(15));
    desk.office
        .post(&format!("/v1/calls/{id}/hangup"), &json!({}))
        .await;
    let ladder = far.succeeds(LIMIT);
    assert!(
        header(&ladder.first("BYE"), "Reason")
            .unwrap()
            .contains("cause=16")
    );
    let call = desk.record(&id).await;
    assert_eq!(call["end_reason"], "operator_hangup", "{call:#}");
    assert_eq!(desk.office.facts(&call, "early_media").await.len(), 1);
    let said = desk.office.said(&call, "agent").await;
    let said: Vec<&str> = said.iter().filter_map(|s| s["text"].as_str()).collect();
    assert!(
        said.iter().any(|text| text.contains("we close at ten")),
        "{said:?}"
    );
    let orders = desk.office.settled_orders(&call).await;
    for order in &orders {
        assert_eq!(order["state"], "done", "{orders:#?}");
    }
    let commanded = desk.office.facts(&call, "commanded").await;
    assert_eq!(commanded.len(), 5, "{commanded:#?}");
    quiet(&desk.node).await;
    desk.close().await;
}

/// Each refusal as the far side says it, and what the record says then.
#[tokio::test(flavor = "multi_thread")]
async fn t14_every_refusal_has_its_class_in_the_record() {
    if !sipp::is_here("t14_every_refusal_has_its_class_in_the_record") {
        return;
    }
    let desk = Desk::open().await;
    let plain = "X-Plain: yes";
    let challenge =
        "WWW-Authenticate: Digest realm=\"far\", nonce=\"n\", algorithm=MD5, qop=\"auth\"";
    let rows = [
        (401, challenge, "auth_failed", 21),
        (403, plain, "forbidden", 21),
        (404, plain, "not_found", 1),
        (408, plain, "no_answer", 102),
        (480, plain, "unavailable", 18),
        (
            480,
            "Reason: Q.850;cause=19;text=\"no answer\"",
            "no_answer",
            19,
        ),
        (486, plain, "busy", 17),
        (488, plain, "no_common_codec", 88),
        (500, plain, "upstream", 41),
        (500, "Reason: Q.850;cause=34", "capacity", 34),
        (503, plain, "capacity", 41),
        (600, plain, "busy", 17),
        (603, plain, "rejected", 21),
    ];
    let mut calls = Vec::new();
    for (status, more, reason, q850) in rows {
        let keys = [("status", status.to_string()), ("header", more.to_owned())];
        let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let (far, at) = Sipp::serve("t14-refuses", &keys);
        let id = desk.dial(at, json!({})).await;
        calls.push((far, id, status, reason, q850));
    }
    for (far, id, status, reason, q850) in calls {
        far.succeeds(LIMIT);
        let call = desk.record(&id).await;
        assert_eq!(
            (
                &call["end_reason"],
                &call["sip"]["code"],
                &call["sip"]["q850"]
            ),
            (&json!(reason), &json!(status), &json!(q850)),
            "{status}: {call:#}"
        );
        assert_eq!(
            (&call["answered_at"], &call["duration_ms"]),
            (&Value::Null, &json!(0))
        );
    }
    quiet(&desk.node).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t14_nobody_answers_in_time_and_a_dead_far_side_is_told_apart() {
    if !sipp::is_here("t14_nobody_answers_in_time_and_a_dead_far_side_is_told_apart") {
        return;
    }
    let desk = Desk::open().await;
    let (far, at) = Sipp::serve("t14-rings-and-never-answers", &[("rtp_port", "40000")]);
    let nobody = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let rings = desk.dial(at, json!({ "ring_for_s": 5 })).await;
    let dead = desk.dial(nobody, json!({ "ring_for_s": 5 })).await;
    desk.until(&rings, "ringing").await;
    far.succeeds(LIMIT);
    let call = desk.record(&rings).await;
    assert_eq!(call["end_reason"], "no_answer", "{call:#}");
    let call = desk.record(&dead).await;
    assert_eq!(call["end_reason"], "transport_failed", "{call:#}");
    quiet(&desk.node).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_outside_is_refused_before_anything_leaves() {
    let desk = Desk::open().await;
    let uri = "only a dialplan may name a SIP URI";
    let prefix = "no prefix of the outbound policy allows this number";
    let rows = [
        ("sip:+15550111@192.0.2.7", uri),
        ("sip:+15550111@127.0.0.1;maddr=192.0.2.7", uri),
        ("sip:+15550111@carrier.invalid", uri),
        ("+15550100111", prefix),
        ("trunk/none/+15550100111", prefix),
        (
            "sip:112@127.0.0.1",
            "emergency numbers go out only by an explicit route",
        ),
    ];
    for (to, why) in rows {
        let wish = json!({ "to": to, "agent_id": desk.agent });
        let call = desk.order(wish).await;
        let id = call["id"].as_str().unwrap_or_else(|| panic!("{call:#}"));
        let call = desk.record(id).await;
        assert_eq!(call["end_reason"], "forbidden", "{to}: {call:#}");
        let orders = desk.office.settled_orders(&call).await;
        assert_eq!(orders[0]["state"], "refused", "{orders:#?}");
        let said = orders[0]["why"].as_str().unwrap();
        assert!(said.starts_with(why), "{to}: {said}");
    }
    desk.close().await;
}
