//! Drafts, versions, numbers, and the snapshot that switches route from.

use crate::on_both_engines;

on_both_engines!(
    a_draft_is_published_and_rolled_back,
    a_lost_update_is_refused,
    numbers_route_in_the_snapshot,
    publishing_waits_for_the_ready_switches,
    the_snapshot_is_polled_long,
);

mod cases {
    use model::{RecordingMode, Snapshot};
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::{
        harness::{NODE_KEY, TestApp, answer, config, text},
        story::Switch,
    };

    async fn snapshot(app: &TestApp) -> Snapshot {
        let snapshot = app.read("/internal/v1/snapshot", NODE_KEY).await;
        serde_json::from_value(snapshot).expect("a snapshot")
    }

    pub async fn a_draft_is_published_and_rolled_back(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let body = json!({"slug": "receptionist", "config": config()});
        let agent = app.made("/v1/agents", &tenant.key, body).await;
        assert_eq!(agent["latest_version"], Value::Null);
        let path = format!("/v1/agents/{}", text(&agent, "/id"));
        let publish = format!("{path}/publish");
        let one = app
            .made(&publish, &tenant.key, json!({"note": "first"}))
            .await;
        assert_eq!(one["version"], 1);
        let change = json!({"config": {"brain": {"prices": [
            {"item": "the tasting menu", "cents": 6000, "currency": "EUR"}]}}});
        let draft = format!("{path}/draft");
        let (status, draft) = app.send(Method::PATCH, &draft, &tenant.key, change).await;
        assert_eq!(status, 200, "{draft}");
        assert_eq!(draft["config"]["brain"]["prices"][0]["cents"], 6_000);
        assert_eq!(
            draft["config"]["brain"]["business"],
            "the Harbour Restaurant"
        );
        let two = app
            .made(&publish, &tenant.key, json!({"note": "dearer"}))
            .await;
        assert_eq!(two["version"], 2);
        assert_ne!(two["config_hash"], one["config_hash"]);
        assert!(two["revision"].as_u64() > one["revision"].as_u64());
        let three = app
            .made(&publish, &tenant.key, json!({"from_version": 1}))
            .await;
        assert_eq!(
            (&three["version"], &three["from_version"]),
            (&json!(3), &json!(1))
        );
        assert_eq!(three["config_hash"], one["config_hash"]);
        let (status, error) = app
            .post(&publish, &tenant.key, json!({"from_version": 9}))
            .await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/from_version"))
        );
        let versions = app.read(&format!("{path}/versions"), &tenant.key).await;
        let numbers = versions["data"].as_array().unwrap().iter();
        let numbers: Vec<_> = numbers.map(|version| version["version"].clone()).collect();
        assert_eq!(numbers, [3, 2, 1]);
        let second = app.read(&format!("{path}/versions/2"), &tenant.key).await;
        assert_eq!(second["config"]["brain"]["prices"][0]["cents"], 6_000);
        let old = app.read(&format!("{path}/versions/1"), &tenant.key).await;
        assert_eq!(old["config"]["brain"]["prices"][0]["cents"], 5_500);
    }

    pub async fn a_lost_update_is_refused(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let path = format!("/v1/agents/{agent}/draft");
        let read = app
            .request(Method::GET, &path, &tenant.key)
            .send()
            .await
            .unwrap();
        let tag = read.headers()["etag"].to_str().unwrap().to_owned();
        let change = |tag: &str, name: &str| {
            let request = app.request(Method::PATCH, &path, &tenant.key);
            let body = json!({"config": {"display_name": name}});
            request.header("if-match", tag).json(&body).send()
        };
        let (status, _) = answer(change(&tag, "Bea").await).await;
        assert_eq!(status, 200);
        let (status, error) = answer(change(&tag, "Cleo").await).await;
        assert_eq!(status, 412);
        assert_eq!(error["error"]["code"], "precondition_failed");
        let draft = app.read(&path, &tenant.key).await;
        assert_eq!(draft["config"]["display_name"], "Bea");
        let (status, _) = answer(change("*", "Dora").await).await;
        assert_eq!(status, 200);
    }

    pub async fn numbers_route_in_the_snapshot(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let publish = format!("/v1/agents/{agent}/publish");
        app.made(&publish, &tenant.key, json!({})).await;
        let body = json!({"e164": "+15550100", "agent_id": agent, "agent_version": 1});
        let number = app.made("/v1/numbers", &tenant.key, body.clone()).await;
        let pinned = snapshot(&app).await;
        let (_, found) = pinned.agent_for_number("+15550100").expect("a route");
        assert_eq!((found.agent.version, found.latest), (1, false));
        assert_eq!(pinned.agents.len(), 2, "the pinned one and the latest");
        let (status, error) = app.post("/v1/numbers", &tenant.key, body).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("conflict"))
        );
        let path = format!("/v1/numbers/{}", text(&number, "/id"));
        let follow = json!({"agent_version": null, "label": "front desk"});
        let (_, changed) = app.send(Method::PATCH, &path, &tenant.key, follow).await;
        assert_eq!(changed["agent_version"], Value::Null);
        let latest = snapshot(&app).await;
        assert!(latest.revision > pinned.revision);
        let (_, found) = latest.agent_for_number("+15550100").expect("a route");
        assert_eq!((found.agent.version, found.latest), (2, true));
        for (said, meant) in [
            (json!("ask"), Some(RecordingMode::Ask)),
            (Value::Null, None),
        ] {
            let wish = json!({ "recording": said });
            let (_, changed) = app.send(Method::PATCH, &path, &tenant.key, wish).await;
            assert_eq!(changed["recording"], said);
            let routed = snapshot(&app).await;
            let (entry, _) = routed.agent_for_number("+15550100").expect("a route");
            assert_eq!(entry.recording, meant);
        }
        assert!(latest.agent_by_name("harbour", "receptionist").is_some());
        let path_of_agent = format!("/v1/agents/{agent}");
        let (status, _) = app
            .send(Method::DELETE, &path_of_agent, &tenant.key, json!({}))
            .await;
        assert_eq!(status, 409, "a number still reaches it");
        let pause = json!({"status": "paused"});
        app.send(Method::PATCH, &path_of_agent, &tenant.key, pause)
            .await;
        assert!(snapshot(&app).await.agent_for_number("+15550100").is_none());
        let suspend = json!({"status": "suspended"});
        let tenant_path = format!("/v1/tenants/{}", tenant.id);
        app.send(Method::PATCH, &tenant_path, &app.admin, suspend)
            .await;
        let none = snapshot(&app).await;
        assert_eq!((none.tenants.len(), none.numbers.len()), (0, 0));
        let (status, _) = app.get("/v1/me", &tenant.key).await;
        assert_eq!(status, 401, "a suspended tenant's key");
    }

    pub async fn publishing_waits_for_the_ready_switches(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (one, two) = (Switch::new(1), Switch::new(2));
        app.tell("heartbeat", &one.beat(1, &[])).await;
        app.tell("heartbeat", &two.beat(1, &[])).await;
        let publish = format!("/v1/agents/{agent}/publish");
        let at_once = app.made(&publish, &tenant.key, json!({})).await;
        assert_eq!(at_once["nodes"], json!({"ready": 2, "applied": 0}));
        let path = format!("{publish}?wait=30s");
        let waiting = app.made(&path, &tenant.key, json!({}));
        let switches = async {
            let before = at_once["revision"].as_u64().unwrap();
            let news = format!("/internal/v1/snapshot?after={before}&wait_ms=20000");
            let news = app.read(&news, NODE_KEY).await;
            let revision = news["revision"].as_u64().unwrap();
            app.tell("heartbeat", &one.beat(revision, &[])).await;
            app.tell("heartbeat", &two.beat(revision, &[])).await;
        };
        let (published, ()) = futures_util::future::join(waiting, switches).await;
        assert_eq!(published["nodes"], json!({"ready": 2, "applied": 2}));
        let (status, error) = app
            .post(&format!("{publish}?wait=long"), &tenant.key, json!({}))
            .await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/query/wait"))
        );
    }

    pub async fn the_snapshot_is_polled_long(app: TestApp) {
        let revision = snapshot(&app).await.revision;
        let path = format!("/internal/v1/snapshot?after={revision}");
        let same = app
            .request(Method::GET, &path, NODE_KEY)
            .send()
            .await
            .unwrap();
        assert_eq!(same.status(), 304);
        let path = format!("{path}&wait_ms=30000");
        let poll = app.read(&path, NODE_KEY);
        let change = app.tenant("harbour");
        let (news, _) = futures_util::future::join(poll, change).await;
        assert!(news["revision"].as_u64() > Some(revision));
        let ahead = app
            .read("/internal/v1/snapshot?after=999999", NODE_KEY)
            .await;
        assert!(
            ahead["revision"].as_u64() < Some(999_999),
            "a restored database"
        );
    }
}
