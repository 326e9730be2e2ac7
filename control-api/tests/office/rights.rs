//! Who may do what: every route of the document, every role, and other tenants.

use crate::on_both_engines;

on_both_engines!(
    every_route_asks_every_role,
    another_tenants_things_do_not_exist,
    keys_are_shown_once_and_end,
    a_key_hands_out_no_more_than_it_has,
);

mod cases {
    use model::{CallId, FactKind};
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};

    use crate::{
        harness::{TestApp, answer, text},
        story::Switch,
    };

    const UNKNOWN: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    /// The routes of the document: method, path with ids filled in, scope.
    fn routes(document: &Value, fill: impl Fn(&str) -> String) -> Vec<(Method, String, String)> {
        let mut routes = Vec::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let verb = Method::from_bytes(method.to_uppercase().as_bytes());
                routes.push((verb.unwrap(), fill(path), text(operation, "/x-scope")));
            }
        }
        routes
    }

    fn prefix_of(path: &str) -> &'static str {
        let kinds = [
            ("/v1/tenants", "ten"),
            ("/v1/agents", "agt"),
            ("/v1/numbers", "num"),
            ("/v1/trunks", "trk"),
            ("/v1/bookings", "bkg"),
            ("/v1/api-keys", "key"),
            ("/v1/calls", "cal"),
            ("/v1/sip-domains", "dom"),
            ("/v1/extensions", "ext"),
        ];
        let found = kinds.iter().find(|(base, _)| path.starts_with(base));
        found.map_or("xxx", |(_, prefix)| prefix)
    }

    /// The role's rights decide between 403 and anything else, for every route there is.
    pub async fn every_route_asks_every_role(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let document = app.read("/openapi.json", "").await;
        let fill = |path: &str| {
            let id = format!("{}_{UNKNOWN}", prefix_of(path));
            path.replace("{id}", &id).replace("{version}", "1")
        };
        let routes = routes(&document, fill);
        assert!(routes.len() > 30, "{}", routes.len());
        for role in ["owner", "admin", "member", "desk_agent", "viewer"] {
            let key = app.key(&tenant.id, role).await;
            let me = app.read("/v1/me", &key).await;
            let scopes: Vec<&str> = me["scopes"]
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            for (method, path, scope) in &routes {
                if path == "/v1/stream" {
                    continue;
                }
                let request = app.request(method.clone(), path, &key).json(&json!({}));
                let (status, body) = answer(request.send().await).await;
                let open = matches!(scope.as_str(), "public" | "any");
                let allowed = open || scopes.contains(&scope.as_str());
                let refused = status == StatusCode::FORBIDDEN;
                assert_eq!(
                    refused, !allowed,
                    "{role} {method} {path} ({scope}): {status} {body}"
                );
                if scope != "public" {
                    let request = app.request(method.clone(), path, "").json(&json!({}));
                    let (status, _) = answer(request.send().await).await;
                    assert_eq!(status, 401, "{method} {path} without a key");
                }
            }
        }
    }

    pub async fn another_tenants_things_do_not_exist(app: TestApp) {
        let (ours, theirs) = (app.tenant("ours").await, app.tenant("theirs").await);
        let agent = app.agent(&theirs, "receptionist").await;
        let body = json!({"e164": "+15550100", "agent_id": agent});
        let number = app.made("/v1/numbers", &theirs.key, body).await;
        let body = json!({"name": "carrier", "config": {"sources": ["192.0.2.0/24"]}});
        let trunk = app.made("/v1/trunks", &theirs.key, body).await;
        let day = jiff::Zoned::now()
            .date()
            .checked_add(jiff::Span::new().days(40))
            .unwrap();
        let body = json!({"agent_id": agent, "starts_local": format!("{day}T19:00"), "party_size": 2, "phone": "+15550111"});
        let booking = app.made("/v1/bookings", &theirs.key, body.clone()).await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        app.take(switch, &switch.call(call, &theirs, &agent)).await;
        let me = app.read("/v1/me", &theirs.key).await;
        let domain = json!({"name": "pbx.example"});
        let domain = app.made("/v1/sip-domains", &theirs.key, domain).await;
        let phone = json!({"domain_id": domain["id"], "user": "1001", "password": "a long one"});
        let phone = app.made("/v1/extensions", &theirs.key, phone).await;
        let document = app.read("/openapi.json", "").await;
        let fill = |path: &str| {
            let id = match prefix_of(path) {
                "dom" => text(&domain, "/id"),
                "ext" => text(&phone, "/id"),
                "ten" => theirs.id.clone(),
                "agt" => agent.clone(),
                "num" => text(&number, "/id"),
                "trk" => text(&trunk, "/id"),
                "bkg" => text(&booking, "/id"),
                "key" => text(&me, "/key_id"),
                _ => call.to_string(),
            };
            path.replace("{id}", &id).replace("{version}", "1")
        };
        let with_id = routes(&document, fill)
            .into_iter()
            .filter(|(_, path, _)| path.contains('_'));
        let mut asked = 0;
        for (method, path, scope) in with_id {
            let body = match (&method, path.as_str()) {
                (&Method::PATCH, path) if path.ends_with("/draft") => json!({"config": {}}),
                (&Method::PATCH, path) if path.starts_with("/v1/api-keys") => json!({"name": "x"}),
                (&Method::POST, path) if path.ends_with("/dtmf") => json!({"digits": "1"}),
                (_, path) if path.ends_with("/recording") => json!({"action": "pause"}),
                (&Method::POST, path) if path.ends_with("/say") => json!({"text": "x"}),
                (&Method::POST, path) if path.ends_with("/message") => json!({"text": "x"}),
                (&Method::POST, path) if path.ends_with("/transfer") => {
                    json!({"destination": "desk"})
                }
                _ => json!({}),
            };
            let own = app.request(method.clone(), &path, &ours.key).json(&body);
            let (status, found) = answer(own.send().await).await;
            let want = if scope == "platform" { 403 } else { 404 };
            assert_eq!(status.as_u16(), want, "{method} {path}: {found}");
            let named = app
                .request(Method::GET, &path, &ours.key)
                .header("x-tenant-id", &theirs.id);
            let (status, _) = answer(named.send().await).await;
            assert!(
                status == 404 || status == 405,
                "{path} by naming the tenant: {status}"
            );
            asked += 1;
        }
        assert!(asked >= 20, "{asked}");
        let lists = [
            "calls",
            "agents",
            "numbers",
            "bookings",
            "trunks",
            "sip-domains",
            "extensions",
        ];
        for list in lists {
            let own = app.read(&format!("/v1/{list}"), &ours.key).await;
            assert_eq!(own["data"], json!([]), "{list}");
            let theirs = app.read(&format!("/v1/{list}"), &theirs.key).await;
            assert_eq!(theirs["data"].as_array().unwrap().len(), 1, "{list}");
        }
        let (status, _) = app
            .post(
                "/v1/numbers",
                &ours.key,
                json!({"e164": "+15550101", "agent_id": agent}),
            )
            .await;
        assert_eq!(status, 422, "a number cannot reach their agent");
        let (status, _) = app.post("/v1/bookings", &ours.key, body).await;
        assert_eq!(status, 422, "a booking cannot name their agent");
        let unclaimed = CallId::new(5, 6);
        let fact = switch.fact(unclaimed, 0, FactKind::Started(crate::story::started(None)));
        app.take(switch, &[fact]).await;
        let (status, _) = app.get(&format!("/v1/calls/{unclaimed}"), &ours.key).await;
        assert_eq!(status, 404, "a call of nobody is the platform's");
        app.read(&format!("/v1/calls/{unclaimed}"), &app.admin)
            .await;
    }

    pub async fn keys_are_shown_once_and_end(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let body = json!({"name": "reader", "role": "owner", "scopes": ["calls:read"]});
        let made = app.made("/v1/api-keys", &tenant.key, body).await;
        let (id, key) = (text(&made, "/id"), text(&made, "/key"));
        let shown = app.read(&format!("/v1/api-keys/{id}"), &tenant.key).await;
        assert_eq!(shown["key"], Value::Null);
        assert_eq!(shown["prefix"], made["prefix"]);
        app.read("/v1/calls", &key).await;
        let (status, error) = app.get("/v1/agents", &key).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (403, &json!("forbidden"))
        );
        let path = format!("/v1/api-keys/{id}");
        let (status, _) = app
            .send(Method::DELETE, &path, &tenant.key, json!({}))
            .await;
        assert_eq!(status, 204);
        let (status, _) = app.get("/v1/calls", &key).await;
        assert_eq!(status, 401);
        let past = json!({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"});
        let (status, error) = app.post("/v1/api-keys", &tenant.key, past).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/expires_at"))
        );
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(1_500);
        let body = json!({"name": "short", "role": "viewer", "expires_at": soon.to_string()});
        let short = app.made("/v1/api-keys", &tenant.key, body).await;
        let short = text(&short, "/key");
        while jiff::Timestamp::now() <= soon {
            tokio::task::yield_now().await;
        }
        let (status, _) = app.get("/v1/calls", &short).await;
        assert_eq!(status, 401, "expired");
    }

    pub async fn a_key_hands_out_no_more_than_it_has(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let platform = json!({"name": "x", "role": "platform_admin"});
        let (status, _) = app.post("/v1/api-keys", &tenant.key, platform).await;
        assert_eq!(status, 422);
        let body = json!({"name": "keys", "role": "owner", "scopes": ["keys:write"]});
        let keeper = app.made("/v1/api-keys", &tenant.key, body).await;
        let more = json!({"name": "more", "role": "viewer"});
        let (status, _) = app.post("/v1/api-keys", &text(&keeper, "/key"), more).await;
        assert_eq!(status, 422);
        let wrong =
            json!({"name": "x", "role": "viewer", "scopes": ["calls:read", "agents:write"]});
        let (status, error) = app.post("/v1/api-keys", &tenant.key, wrong).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/scopes/1"))
        );
        let (status, _) = app
            .post(
                "/v1/tenants",
                &tenant.key,
                json!({"slug": "x", "name": "x"}),
            )
            .await;
        assert_eq!(status, 403);
        let path = format!("/v1/tenants/{}", tenant.id);
        let suspend = json!({"status": "suspended"});
        let (status, _) = app.send(Method::PATCH, &path, &tenant.key, suspend).await;
        assert_eq!(status, 403, "no tenant suspends itself");
    }
}
