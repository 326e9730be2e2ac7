//! Domains, extensions and registrations: secrets stay inside, and switches get what they need.

use crate::on_both_engines;

on_both_engines!(
    a_password_goes_in_and_never_comes_out,
    domains_and_names_are_taken_once,
    registrations_come_and_go_with_their_switch,
    a_missing_envelope_key_is_a_start_error,
);

mod cases {
    use control_api::envelope::{KeySource, Keys, NodeSeal};
    use control_api::{Office, OfficeError};
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::harness::{NODE_KEY, TestApp, TestTenant, text};

    const PASSWORD: &str = "correct horse battery";

    async fn extension(app: &TestApp, tenant: &TestTenant, domain: &str, user: &str) -> Value {
        let domains = app.read("/v1/sip-domains", &tenant.key).await;
        let known = domains["data"].as_array().unwrap().iter();
        let known = known.clone().find(|known| known["name"] == domain).cloned();
        let domain = match known {
            Some(known) => known,
            None => {
                let body = json!({"name": domain});
                app.made("/v1/sip-domains", &tenant.key, body).await
            }
        };
        let body = json!({"domain_id": domain["id"], "user": user, "password": PASSWORD});
        app.made("/v1/extensions", &tenant.key, body).await
    }

    async fn snapshot(app: &TestApp) -> Value {
        app.read("/internal/v1/snapshot?after=0", NODE_KEY).await
    }

    pub async fn a_password_goes_in_and_never_comes_out(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let made = extension(&app, &tenant, "pbx.example", "1001").await;
        assert_eq!(
            (&made["password"], &made["domain"]),
            (&json!("***"), &json!("pbx.example"))
        );
        let path = format!("/v1/extensions/{}", text(&made, "/id"));
        let shown = [
            app.read(&path, &tenant.key).await,
            app.read("/v1/extensions", &tenant.key).await,
            snapshot(&app).await,
        ];
        for answer in &shown {
            assert!(!answer.to_string().contains("horse"), "{answer}");
        }
        let entry = &shown[2]["extensions"][0];
        let place = format!("extensions.password/{}", text(&made, "/id"));
        let sealed = text(entry, "/password");
        let opened = NodeSeal::of(NODE_KEY).open(&place, &sealed).unwrap();
        assert_eq!(
            (opened.as_str(), &entry["user"]),
            (PASSWORD, &json!("1001"))
        );
        assert!(
            NodeSeal::of("sn_another_switch")
                .open(&place, &sealed)
                .is_err()
        );
        let change = json!({"password": "another long one", "display_name": "Desk"});
        let (_, changed) = app.send(Method::PATCH, &path, &tenant.key, change).await;
        assert_eq!(changed["display_name"], "Desk");
        let sealed = text(&snapshot(&app).await["extensions"][0], "/password");
        let opened = NodeSeal::of(NODE_KEY).open(&place, &sealed).unwrap();
        assert_eq!(opened.as_str(), "another long one");
        app.send(Method::PATCH, &path, &tenant.key, json!({"active": false}))
            .await;
        assert_eq!(snapshot(&app).await["extensions"], json!([]));
        if let Some(file) = app.config.database_url.strip_prefix("sqlite://") {
            for name in [file.to_owned(), format!("{file}-wal")] {
                let bytes = std::fs::read(name).unwrap_or_default();
                let there = bytes.windows(5).any(|part| part == b"horse");
                assert!(!there, "the database file shows the password");
            }
        }
    }

    pub async fn domains_and_names_are_taken_once(app: TestApp) {
        let (ours, theirs) = (app.tenant("ours").await, app.tenant("theirs").await);
        let made = extension(&app, &ours, "pbx.example", "1001").await;
        let taken = json!({"name": "pbx.example"});
        let (status, _) = app.post("/v1/sip-domains", &theirs.key, taken).await;
        assert_eq!(status, 409);
        let body = json!({"domain_id": made["domain_id"], "user": "1001", "password": PASSWORD});
        let (status, _) = app.post("/v1/extensions", &ours.key, body.clone()).await;
        assert_eq!(status, 409);
        let (status, _) = app.post("/v1/extensions", &theirs.key, body).await;
        assert_eq!(status, 422, "not in another tenant's domain");
        let wrong = json!({"domain_id": "x", "user": "a b", "password": "short"});
        let (status, faults) = app.post("/v1/extensions", &ours.key, wrong).await;
        let fields: Vec<_> = faults["error"]["details"]
            .as_array()
            .unwrap()
            .iter()
            .map(|d| text(d, "/field"))
            .collect();
        assert_eq!(status, 422);
        for field in ["/domain_id", "/user", "/password"] {
            assert!(fields.iter().any(|at| at == field), "{field}: {fields:?}");
        }
        let domain = format!("/v1/sip-domains/{}", text(&made, "/domain_id"));
        let (status, _) = app
            .send(Method::DELETE, &domain, &ours.key, json!({}))
            .await;
        assert_eq!(status, 409, "there is an extension in it");
        let path = format!("/v1/extensions/{}", text(&made, "/id"));
        let (status, _) = app.send(Method::DELETE, &path, &ours.key, json!({})).await;
        assert_eq!(status, 204);
        let (status, _) = app
            .send(Method::DELETE, &domain, &ours.key, json!({}))
            .await;
        assert_eq!(status, 204);
    }

    fn contact(name: &str, expires_unix_ms: i64) -> Value {
        json!({"name": name, "contact": format!("sip:{name}@10.0.0.5"), "path": ["<sip:edge;lr>"], "profile": "internal",
            "transport": "udp", "source": "198.51.100.9:5060", "user_agent": "phone", "expires_unix_ms": expires_unix_ms})
    }

    async fn report(app: &TestApp, node: u8, complete: bool, addresses: Value) {
        let node = model::NodeId::new(1, node.into()).to_string();
        let body = json!({"node": node, "complete": complete, "addresses": addresses});
        let path = "/internal/v1/registrations";
        let (status, answer) = app.post(path, NODE_KEY, body).await;
        assert_eq!(status, 204, "{answer}");
    }

    pub async fn registrations_come_and_go_with_their_switch(app: TestApp) {
        let (ours, theirs) = (app.tenant("ours").await, app.tenant("theirs").await);
        extension(&app, &ours, "pbx.example", "1001").await;
        let late = i64::MAX / 4;
        let aor = "1001@pbx.example";
        let two = json!([{"aor": aor, "contacts": [contact("desk", late), contact("old", 5)]}, {"aor": "9@nowhere", "contacts": [contact("x", late)]}]);
        report(&app, 1, true, two).await;
        let listed = app.read("/v1/registrations", &ours.key).await;
        let all = listed["data"].as_array().unwrap();
        assert_eq!(
            all.len(),
            1,
            "expired ones and strangers are left out: {listed}"
        );
        assert_eq!(
            (&all[0]["aor"], &all[0]["contact"]),
            (&json!(aor), &json!("sip:desk@10.0.0.5"))
        );
        let other = app.read("/v1/registrations", &theirs.key).await;
        assert_eq!(other["data"], json!([]));
        let held = app
            .read("/internal/v1/registrations?aor=1001@pbx.example", NODE_KEY)
            .await;
        assert_eq!(held["contacts"][0]["path"], json!(["<sip:edge;lr>"]));
        // The phone moves to another switch: it is there once, and the report of the first takes nothing away.
        report(
            &app,
            2,
            false,
            json!([{"aor": aor, "contacts": [contact("desk", late + 1)]}]),
        )
        .await;
        report(&app, 1, false, json!([{"aor": aor, "contacts": []}])).await;
        let held = app
            .read("/internal/v1/registrations?aor=1001@pbx.example", NODE_KEY)
            .await;
        let nodes: Vec<_> = held["contacts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| text(c, "/node"))
            .collect();
        assert_eq!(nodes, [model::NodeId::new(1, 2).to_string()]);
        report(&app, 2, true, json!([])).await;
        let listed = app.read("/v1/registrations", &ours.key).await;
        assert_eq!(listed["data"], json!([]));
    }

    pub async fn a_missing_envelope_key_is_a_start_error(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        extension(&app, &tenant, "pbx.example", "1001").await;
        let mut config = app.config.clone();
        app.office.shutdown().await;
        config.envelope = KeySource::Keys(Keys::read(&"ab".repeat(32)).unwrap());
        match Office::start(config).await {
            Err(OfficeError::Envelope(fault)) => {
                assert!(fault.to_string().contains("not among ours"))
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("it started without the key of its secrets"),
        }
    }
}
