//! Trunks of tenants: their passwords above all.

use crate::on_both_engines;

on_both_engines!(
    a_trunk_is_made_read_changed_and_deleted,
    a_password_goes_in_and_never_comes_out,
    every_fault_of_a_trunk_is_named,
    rekey_makes_the_old_key_removable,
    only_the_switch_that_asks_can_open_the_password,
    nothing_may_be_called_until_emergency_numbers_are_decided,
    the_platform_alone_limits_a_tenant_and_the_switches_hear_of_it,
);

mod cases {
    use control_api::{
        envelope::{KeySource, Keys, NodeSeal},
        rekey,
    };
    use model::Snapshot;
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};
    use sqlx::{Connection as _, Row as _};

    use crate::harness::{NODE_KEY, TestApp, TestTenant, answer, text};

    const PASSWORD: &str = "correct horse battery staple";
    const OLD: &str = "00000000000000000000000000000000000000000000000000000000000000aa";
    const NEW: &str = "00000000000000000000000000000000000000000000000000000000000000bb";

    fn trunk() -> Value {
        json!({
            "name": "carrier",
            "password": PASSWORD,
            "config": {
                "mode": "register", "proxy": "sip.example.com", "username": "1000", "realm": "example.com",
                "sources": ["192.0.2.0/24"], "headers": {"X-Account": "AC1"}, "country": "FR",
                "numbers": {"in": "national", "out": "e164"}, "identity_out": "rpid",
                "pace": {"cps": 1, "calls": 4},
            }
        })
    }

    async fn snapshot(app: &TestApp) -> Snapshot {
        let snapshot = app.read("/internal/v1/snapshot", NODE_KEY).await;
        serde_json::from_value(snapshot).expect("a snapshot")
    }

    /// The password as the switch opens it.
    async fn opened(app: &TestApp, node_key: &str) -> Option<String> {
        let snapshot = snapshot(app).await;
        let trunk = snapshot.trunks.first()?;
        let place = format!("trunks.password/{}", trunk.id);
        let opened = NodeSeal::of(node_key).open(&place, &trunk.sealed);
        opened.ok().map(|secret| secret.to_string())
    }

    async fn patch(
        app: &TestApp,
        tenant: &TestTenant,
        id: &str,
        tag: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = app.request(Method::PATCH, &format!("/v1/trunks/{id}"), &tenant.key);
        let request = match tag {
            Some(tag) => request.header("if-match", tag),
            None => request,
        };
        answer(request.json(&body).send().await).await
    }

    pub async fn a_trunk_is_made_read_changed_and_deleted(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let made = app.made("/v1/trunks", &tenant.key, trunk()).await;
        let id = text(&made, "/id");
        assert!(id.starts_with("trk_"), "{made}");
        let path = format!("/v1/trunks/{id}");
        let read = app.read(&path, &tenant.key).await;
        assert_eq!(read, made);
        assert_eq!(read["config"]["pace"]["burst"], 1, "defaults are filled in");
        let before = snapshot(&app).await;
        assert_eq!(
            (before.trunks.len(), before.trunks[0].name.as_str()),
            (1, "carrier")
        );

        let (status, again) = app.post("/v1/trunks", &tenant.key, trunk()).await;
        assert_eq!(
            (status.as_u16(), text(&again, "/error/code")),
            (409, "conflict".into())
        );

        let change = json!({"config": {"pace": null, "sources": ["198.51.100.7/32"]}});
        let (status, changed) = patch(&app, &tenant, &id, Some("\"1\""), change.clone()).await;
        assert_eq!(status, 200, "{changed}");
        assert_eq!(changed["config"]["pace"], Value::Null);
        assert_eq!(changed["config"]["username"], "1000", "the rest stays");
        let (status, stale) = patch(&app, &tenant, &id, Some("\"1\""), change).await;
        assert_eq!(status, 412, "{stale}");
        let (status, _) = patch(&app, &tenant, &id, None, json!({"active": false})).await;
        assert_eq!(status, 200);
        let after = snapshot(&app).await;
        assert!(after.trunks.is_empty() && after.revision > before.revision);

        let (status, _) = app
            .send(Method::DELETE, &path, &tenant.key, json!({}))
            .await;
        assert_eq!(status, 204);
        assert_eq!(app.get(&path, &tenant.key).await.0, 404);
    }

    pub async fn a_password_goes_in_and_never_comes_out(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let made = app.made("/v1/trunks", &tenant.key, trunk()).await;
        assert_eq!(made["password"], "***");
        let id = text(&made, "/id");
        let (_, changed) = patch(
            &app,
            &tenant,
            &id,
            None,
            json!({"password": "another secret"}),
        )
        .await;
        assert_eq!(changed["password"], "***");
        assert_eq!(
            opened(&app, NODE_KEY).await.as_deref(),
            Some("another secret")
        );
        let (status, _) = patch(&app, &tenant, &id, None, json!({"password": null})).await;
        assert_eq!(status, 422, "a trunk that registers needs one");
        let list = app.read("/v1/trunks", &tenant.key).await.to_string();
        let wire = app
            .read("/internal/v1/snapshot", NODE_KEY)
            .await
            .to_string();
        let dump = dump(&app.config.database_url).await;
        assert!(dump.contains(&id), "the dump has the trunk");
        for text in [list, wire, dump] {
            for secret in [PASSWORD, "another secret"] {
                assert!(!text.contains(secret), "a password in clear");
            }
        }
    }

    /// Everything the database keeps, as text.
    async fn dump(url: &str) -> String {
        let Some(path) = url.strip_prefix("sqlite://") else {
            return dump_postgres(url).await;
        };
        let parts =
            ["", "-wal"].map(|end| std::fs::read(format!("{path}{end}")).unwrap_or_default());
        String::from_utf8_lossy(&parts.concat()).into_owned()
    }

    async fn dump_postgres(url: &str) -> String {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let tables =
            "select table_name::text from information_schema.tables where table_schema = 'public'";
        let tables = sqlx::query(tables)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        assert!(tables.len() > 5);
        let mut dump = String::new();
        for table in tables {
            let table: String = table.get(0);
            let rows = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
            let rows = sqlx::query(rows).fetch_all(&mut connection).await.unwrap();
            rows.iter().for_each(|row| dump.push_str(row.get(0)));
        }
        dump
    }

    pub async fn every_fault_of_a_trunk_is_named(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let body = json!({"name": "Not A Name", "config": {
            "mode": "digest", "sources": ["192.0.2.1/33", "10.0.0.0/8"], "hosts": ["pbx:5060"],
            "headers": {"X Account": "1"}, "proxy": "exa mple", "transport": "smoke", "country": "XX",
            "numbers": {"template": "{number}@evil"}, "caller": "0100", "spelling": 1,
        }});
        let (status, answer) = app.post("/v1/trunks", &tenant.key, body).await;
        assert_eq!(status, 422, "{answer}");
        let details = answer["error"]["details"].as_array().unwrap();
        let fields: Vec<&str> = details.iter().filter_map(|d| d["field"].as_str()).collect();
        for field in [
            "/name",
            "/password",
            "/config/username",
            "/config/sources/0",
            "/config/hosts/0",
            "/config/headers",
            "/config/proxy",
            "/config/transport",
            "/config/country",
            "/config/numbers/template",
            "/config/caller",
            "/config/spelling",
        ] {
            assert!(fields.contains(&field), "{field}: {answer}");
        }
        assert!(!fields.contains(&"/config/sources/1"), "{answer}");
    }

    pub async fn rekey_makes_the_old_key_removable(app: TestApp) {
        let keys = |text: &str| Keys::read(text).unwrap();
        let with = |text: &str| KeySource::Keys(keys(text));
        let app = app.restart(|config| config.envelope = with(OLD)).await;
        let tenant = app.tenant("harbour").await;
        app.made("/v1/trunks", &tenant.key, trunk()).await;
        let both = format!("{NEW}\n{OLD}");
        let app = app.restart(|config| config.envelope = with(&both)).await;
        assert_eq!(
            opened(&app, NODE_KEY).await.as_deref(),
            Some(PASSWORD),
            "both keys open"
        );
        let done = rekey(app.office.db(), &keys(&both)).await.unwrap();
        assert_eq!((done.changed, done.kept), (1, 0));
        let again = rekey(app.office.db(), &keys(&both)).await.unwrap();
        assert_eq!((again.changed, again.kept), (0, 1));
        let app = app.restart(|config| config.envelope = with(NEW)).await;
        assert_eq!(
            opened(&app, NODE_KEY).await.as_deref(),
            Some(PASSWORD),
            "the old key is gone"
        );
        let lost = rekey(app.office.db(), &keys(OLD)).await;
        assert!(lost.is_err_and(|fault| fault.to_string().starts_with("trunks.password/trk_")));
    }

    pub async fn only_the_switch_that_asks_can_open_the_password(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        app.made("/v1/trunks", &tenant.key, trunk()).await;
        assert_eq!(opened(&app, NODE_KEY).await.as_deref(), Some(PASSWORD));
        assert_eq!(opened(&app, "sn_another_switch").await, None);
    }

    pub async fn the_platform_alone_limits_a_tenant_and_the_switches_hear_of_it(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let path = format!("/v1/tenants/{}", tenant.id);
        let before = app.read(&path, &tenant.key).await;
        assert_eq!(before["limits"], Value::Null);
        let limits = json!({"limits": {"calls": 20, "cps": 2}});
        let own = app.send(Method::PATCH, &path, &tenant.key, limits.clone());
        assert_eq!(own.await.0, 403, "not by itself");
        let wrong = json!({"limits": {"calls": -1, "cps": 10_001, "lines": 3}});
        let (status, faults) = app.send(Method::PATCH, &path, &app.admin, wrong).await;
        assert_eq!(status, 422, "{faults}");
        let faults = faults["error"]["details"].as_array().unwrap().iter();
        let fields: Vec<_> = faults.map(|fault| text(fault, "/field")).collect();
        for field in ["/limits/calls", "/limits/cps", "/limits/lines"] {
            assert!(fields.contains(&field.to_owned()), "{field}: {fields:?}");
        }
        let revision = snapshot(&app).await.revision;
        let (status, changed) = app.send(Method::PATCH, &path, &app.admin, limits).await;
        let whole = json!({"calls": 20, "cps": 2, "burst": 0});
        assert_eq!((status.as_u16(), &changed["limits"]), (200, &whole));
        let snapshot = snapshot(&app).await;
        let limits = snapshot.tenants[0].limits;
        assert_eq!((limits.calls, limits.cps, limits.burst), (20, 2, 0));
        assert!(snapshot.revision > revision);
    }

    pub async fn nothing_may_be_called_until_emergency_numbers_are_decided(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let path = format!("/v1/tenants/{}", tenant.id);
        assert_eq!(app.read(&path, &tenant.key).await["outbound"], Value::Null);
        let policy = json!({"outbound": {"prefixes": ["+33", "33"], "forward_to": ["0100"], "country": "FR"}});
        let (status, answer) = app.send(Method::PATCH, &path, &tenant.key, policy).await;
        assert_eq!(status, 422, "{answer}");
        let details = answer["error"]["details"].to_string();
        for field in [
            "/outbound/prefixes/1",
            "/outbound/forward_to/0",
            "/outbound/emergency",
        ] {
            assert!(details.contains(field), "{field}: {answer}");
        }
        let policy =
            json!({"outbound": {"prefixes": ["+33"], "country": "FR", "emergency": "reject"}});
        let (status, changed) = app.send(Method::PATCH, &path, &tenant.key, policy).await;
        assert_eq!(
            (status.as_u16(), &changed["outbound"]["emergency"]),
            (200, &json!("reject"))
        );
        let kept = snapshot(&app).await.tenants.remove(0).outbound.unwrap();
        assert_eq!(kept.prefixes, ["+33"]);
        let (status, _) = app
            .send(
                Method::PATCH,
                &path,
                &tenant.key,
                json!({"name": "Harbour"}),
            )
            .await;
        assert_eq!(status, 200);
        assert!(
            snapshot(&app).await.tenants.remove(0).outbound.is_some(),
            "it stays"
        );
    }
}
