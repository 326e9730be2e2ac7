//! Facts become records, exactly once, in whatever order they come.

use crate::on_both_engines;

on_both_engines!(
    a_call_is_recorded_as_told,
    what_became_of_the_proof_of_who_calls_is_in_the_record,
    who_agreed_to_be_recorded_is_in_the_record,
    what_was_said_is_forgotten_when_the_caller_takes_his_consent_back,
    a_batch_that_comes_again_doubles_nothing,
    batches_out_of_order_fold_alike,
    interleaved_batches_lose_and_double_nothing,
    a_malformed_fact_stops_no_other,
    text_that_no_database_takes_is_taken,
    lists_are_filtered_and_paged,
    transcripts_come_in_three_forms,
);

mod cases {
    use model::{CallId, FactKind};
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::{
        harness::{NODE_KEY, TestApp, answer},
        story::{Switch, started},
    };

    pub async fn a_call_is_recorded_as_told(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts[..4]).await;
        let path = format!("/v1/calls/{call}");
        let live = app.read(&path, &tenant.key).await;
        assert_eq!(live["state"], "in_progress");
        assert_eq!(live["duration_ms"], Value::Null);
        app.take(switch, &facts[4..]).await;
        let done = app.read(&path, &tenant.key).await;
        assert_eq!(done["state"], "ended");
        assert_eq!(done["end_reason"], "caller_hangup");
        assert_eq!(done["duration_ms"], 12_000);
        assert_eq!(done["sip"], json!({"code": 200, "q850": 16}));
        assert_eq!(done["agent"]["version"], 1);
        assert_eq!(done["from"], "+15550199");
        assert_eq!(done["route"], "public/reception");
        assert_eq!(done["provisional"], false);
        assert_eq!(done["metrics"]["first_packet_ms"]["max"], 341);
        assert_eq!(done["metrics"]["media"]["packets_in"], 500);
        let timeline = app.read(&format!("{path}/timeline"), &tenant.key).await;
        let lines = timeline["data"].as_array().unwrap();
        assert_eq!(lines.len(), facts.len());
        assert_eq!(lines[3]["type"], "answered");
        assert_eq!(lines[3]["data"], json!({"codec": "PCMU", "setup_ms": 41}));
        assert_eq!(lines[3]["offset_ms"], 300);
        let first = app
            .read(&format!("{path}/timeline?limit=4"), &tenant.key)
            .await;
        let cursor = first["page"]["next_cursor"].as_str().unwrap();
        let rest = format!("{path}/timeline?limit=100&cursor={cursor}");
        let rest = app.read(&rest, &tenant.key).await;
        assert_eq!(rest["data"].as_array().unwrap().len(), facts.len() - 4);
        assert_eq!(rest["page"]["has_more"], false);
    }

    pub async fn what_became_of_the_proof_of_who_calls_is_in_the_record(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts).await;
        let path = format!("/v1/calls/{call}");
        let before = app.read(&path, &tenant.key).await;
        assert_eq!(before["attestation"], Value::Null, "nobody has looked");
        let told = json!({
            "verstat": "TN-Validation-Failed", "level": null, "origid": null, "reason": "stale",
        });
        let attestation = serde_json::from_value(told.clone()).unwrap();
        let seq = u32::try_from(facts.len()).unwrap();
        let fact = switch.fact(call, seq, FactKind::Attested(attestation));
        app.take(switch, &[fact]).await;
        let after = app.read(&path, &tenant.key).await;
        assert_eq!(after["attestation"], told);
    }

    fn consent(state: &str) -> FactKind {
        let told = json!({ "mode": "ask", "state": state, "method": "voice", "party": "caller" });
        FactKind::Consent(serde_json::from_value(told).unwrap())
    }

    pub async fn who_agreed_to_be_recorded_is_in_the_record(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts).await;
        let path = format!("/v1/calls/{call}");
        let before = app.read(&path, &tenant.key).await;
        assert_eq!(before["consent"], Value::Null, "nobody was asked");
        let seq = u32::try_from(facts.len()).unwrap();
        let given = switch.fact(call, seq, consent("given"));
        app.take(switch, std::slice::from_ref(&given)).await;
        let after = app.read(&path, &tenant.key).await["consent"].clone();
        assert_eq!(
            (
                &after["mode"],
                &after["state"],
                &after["method"],
                &after["party"]
            ),
            (
                &json!("ask"),
                &json!("given"),
                &json!("voice"),
                &json!("caller")
            )
        );
        assert_eq!(after["offset_ms"], given.offset_ms);
        assert!(after["at"].is_string(), "{after:#}");
        let segments = app.read(&format!("{path}/transcript"), &tenant.key).await;
        assert!(!segments["segments"].as_array().unwrap().is_empty());
    }

    pub async fn what_was_said_is_forgotten_when_the_caller_takes_his_consent_back(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts).await;
        let seq = u32::try_from(facts.len()).unwrap();
        app.take(switch, &[switch.fact(call, seq, consent("withdrawn"))])
            .await;
        // What comes again, or late, is not taken back in.
        app.take(switch, &facts).await;
        let path = format!("/v1/calls/{call}");
        assert_eq!(
            app.read(&path, &tenant.key).await["consent"]["state"],
            "withdrawn"
        );
        let transcript = app.read(&format!("{path}/transcript"), &tenant.key).await;
        assert_eq!(transcript["segments"], json!([]));
        let timeline = app.read(&format!("{path}/timeline"), &tenant.key).await;
        let kinds: Vec<&str> = timeline["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|fact| fact["type"].as_str())
            .collect();
        for content in ["segment", "digit", "tool", "logged"] {
            assert!(!kinds.contains(&content), "{kinds:?}");
        }
        assert!(kinds.contains(&"answered") && kinds.contains(&"consent"));
        let tenant_id = tenant.id.parse().unwrap();
        let told = app
            .office
            .db()
            .events_after(Some(tenant_id), None, 0, 1_000)
            .await;
        let words = told.unwrap().into_iter();
        let words = words.filter(|event| event.kind == "transcript.segment");
        for event in words {
            assert_eq!(event.data, json!({ "withheld": true }));
        }
    }

    pub async fn a_batch_that_comes_again_doubles_nothing(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts).await;
        let path = format!("/v1/calls/{call}");
        let (before, events) = (
            app.read(&path, &tenant.key).await,
            app.office.db().last_event(),
        );
        let events = events.await.unwrap();
        app.take(switch, &facts).await;
        app.take(switch, &[&facts[5..], &facts[..7]].concat()).await;
        assert_eq!(app.read(&path, &tenant.key).await, before);
        assert_eq!(app.office.db().last_event().await.unwrap(), events);
        let all = app.read("/v1/calls", &tenant.key).await;
        assert_eq!(all["data"].as_array().unwrap().len(), 1);
    }

    pub async fn batches_out_of_order_fold_alike(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let switch = Switch::new(1);
        let (straight, crooked) = (CallId::new(5, 5), CallId::new(5, 6));
        app.take(switch, &switch.call(straight, &tenant, &agent))
            .await;
        let facts = switch.call(crooked, &tenant, &agent);
        // The end comes first, then the middle backwards with a gap, then the rest.
        app.take(switch, &facts[10..]).await;
        let middle: Vec<_> = facts[4..9].iter().rev().cloned().collect();
        app.take(switch, &middle).await;
        let half = app.read(&format!("/v1/calls/{crooked}"), &app.admin).await;
        assert_eq!(half["state"], "ended");
        app.take(switch, &facts[..4]).await;
        app.take(switch, &facts[9..10]).await;
        let mut a = app
            .read(&format!("/v1/calls/{straight}"), &tenant.key)
            .await;
        let mut b = app.read(&format!("/v1/calls/{crooked}"), &tenant.key).await;
        a["id"] = Value::Null;
        b["id"] = Value::Null;
        assert_eq!(a, b);
    }

    pub async fn interleaved_batches_lose_and_double_nothing(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let switch = Switch::new(1);
        let calls: Vec<CallId> = (0..12).map(|n| CallId::new(5, 100 + n)).collect();
        let stories: Vec<_> = calls
            .iter()
            .map(|call| switch.call(*call, &tenant, &agent))
            .collect();
        // Eight shippers at once: each sends a part of every call, some parts twice, in opposite
        // orders of calls.
        let shippers = (0..8_usize).map(|shipper| {
            let mut facts: Vec<_> = stories
                .iter()
                .flat_map(|story| story.iter().skip(shipper % 4).step_by(4).cloned())
                .collect();
            if shipper % 2 == 1 {
                facts.reverse();
            }
            let app = &app;
            async move { app.take(switch, &facts).await }
        });
        futures_util::future::join_all(shippers).await;
        for call in calls {
            let record = app.read(&format!("/v1/calls/{call}"), &tenant.key).await;
            assert_eq!(record["state"], "ended");
            assert_eq!(record["metrics"]["turns"], 1, "{record}");
            assert_eq!(record["metrics"]["segments"], 2);
            let timeline = format!("/v1/calls/{call}/timeline");
            let timeline = app.read(&timeline, &tenant.key).await;
            assert_eq!(timeline["data"].as_array().unwrap().len(), 11);
        }
        let events = app.office.db().last_event().await.unwrap();
        assert_eq!(events, 12 * 11);
    }

    pub async fn a_malformed_fact_stops_no_other(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, other, call) = (Switch::new(1), Switch::new(2), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        let mut batch = serde_json::to_value(switch.batch(&facts)).unwrap();
        batch["facts"][2]["type"] = json!("no_such_fact");
        batch["facts"][5] = json!(7);
        batch["facts"][6]["node"] = json!(other.node.to_string());
        let (status, ack) = app.tell("journal", &batch).await;
        assert_eq!(status, 200);
        assert_eq!(ack, json!({"accepted": 11, "refused": [2, 5, 6]}));
        let record = app.read(&format!("/v1/calls/{call}"), &tenant.key).await;
        assert_eq!(record["state"], "ended");
        let many = vec![facts[0].clone(); 1_001];
        let (status, error) = app.tell("journal", &switch.batch(&many)).await;
        assert_eq!(status, 422, "{error}");
        assert_eq!(error["error"]["details"][0]["field"], "/facts");
        let wrong = app.request(
            Method::POST,
            "/internal/v1/journal",
            "sn_another_key_altogether",
        );
        let (status, _) = answer(wrong.json(&batch).send().await).await;
        assert_eq!(status, 401);
        let (status, _) = app.get("/internal/v1/snapshot", &app.admin).await;
        assert_eq!(status, 401, "an API key is no node key");
        let (status, _) = app.get("/v1/calls", NODE_KEY).await;
        assert_eq!(status, 401, "a node key is no API key");
    }

    pub async fn text_that_no_database_takes_is_taken(app: TestApp) {
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let mut begin = started(None);
        begin.from = "nul\0in the middle".to_owned();
        begin.to = "x".repeat(5_000);
        let said = FactKind::Logged {
            line: "nul\0 and 🦀 and \u{202e}".to_owned(),
        };
        let facts = [
            switch.fact(call, 0, FactKind::Started(begin)),
            switch.fact(call, 1, said),
        ];
        app.take(switch, &facts).await;
        let record = app.read(&format!("/v1/calls/{call}"), &app.admin).await;
        assert_eq!(record["from"], "nul\u{FFFD}in the middle");
        assert_eq!(record["to"].as_str().unwrap().len(), 256);
        let timeline = app
            .read(&format!("/v1/calls/{call}/timeline"), &app.admin)
            .await;
        assert_eq!(
            timeline["data"][1]["data"]["line"],
            "nul\0 and 🦀 and \u{202e}"
        );
    }

    pub async fn lists_are_filtered_and_paged(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let switch = Switch::new(1);
        for number in 0..5_u32 {
            let call = CallId::new(100 + u64::from(number), 1);
            let facts = switch.call(call, &tenant, &agent);
            let told = if number == 4 { 4 } else { facts.len() };
            app.take(switch, &facts[..told]).await;
        }
        let count = async |query: &str| {
            let page = app.read(&format!("/v1/calls?{query}"), &tenant.key).await;
            page["data"].as_array().unwrap().len()
        };
        assert_eq!(count("state=ended").await, 4);
        assert_eq!(count("status=in_progress").await, 1);
        assert_eq!(count(&format!("agent_id={agent}")).await, 4);
        assert_eq!(count("from=%2B15550199&to=%2B15550100").await, 5);
        assert_eq!(count("from=nobody").await, 0);
        assert_eq!(count("end_reason=caller_hangup").await, 4);
        assert_eq!(
            count("since=2026-01-01T00:00:00Z&until=2027-01-01T00:00:00Z").await,
            5
        );
        assert_eq!(count("until=2020-01-01T00:00:00Z").await, 0);
        let mut seen = Vec::new();
        let mut path = "/v1/calls?limit=2".to_owned();
        loop {
            let page = app.read(&path, &tenant.key).await;
            let ids = page["data"].as_array().unwrap().iter();
            seen.extend(ids.map(|call| call["id"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["page"]["next_cursor"].as_str() else {
                break;
            };
            path = format!("/v1/calls?limit=2&cursor={cursor}");
        }
        let mut newest_first = seen.clone();
        newest_first.sort();
        newest_first.reverse();
        assert_eq!((seen.len(), &seen), (5, &newest_first));
    }

    pub async fn transcripts_come_in_three_forms(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        app.take(switch, &switch.call(call, &tenant, &agent)).await;
        let path = format!("/v1/calls/{call}/transcript");
        let json = app.read(&path, &tenant.key).await;
        assert_eq!(json["segments"][1]["heard_text"], "Friday");
        assert_eq!(json["segments"][1]["timing"], "exact");
        let txt = app.read(&format!("{path}?format=txt"), &tenant.key).await;
        let want = "[00:00:01.000] caller: a table for four\n[00:00:03.000] agent: Friday —\n";
        assert_eq!(txt, want);
        let vtt = app.request(Method::GET, &path, &tenant.key);
        let vtt = vtt.header("accept", "text/vtt").send().await.unwrap();
        assert_eq!(vtt.headers()["content-type"], "text/vtt; charset=utf-8");
        assert!(
            vtt.text()
                .await
                .unwrap()
                .starts_with("WEBVTT\n\n00:00:01.000 --> 00:00:01.900\n")
        );
        let image = app.request(Method::GET, &path, &tenant.key);
        let (status, _) = answer(image.header("accept", "image/png").send().await).await;
        assert_eq!(status, 406);
        let db = app.office.db();
        let read = db
            .audited("transcript.read", &call.to_string())
            .await
            .unwrap();
        assert_eq!(read, 3);
    }
}
