//! One shape for every error: all faults at once, each with its pointer.

use crate::on_both_engines;

on_both_engines!(every_fault_of_a_body_is_named, errors_have_one_shape);

mod cases {
    use reqwest::{Method, RequestBuilder, header};
    use serde_json::{Value, json};

    use crate::harness::{NODE_KEY, TestApp, answer, config, text};

    fn fields(error: &Value) -> Vec<(String, String)> {
        let details = error["error"]["details"].as_array().expect("details");
        let mut fields: Vec<_> = details
            .iter()
            .map(|fault| (text(fault, "/field"), text(fault, "/code")))
            .collect();
        fields.sort();
        fields
    }

    pub async fn every_fault_of_a_body_is_named(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let mut config = config();
        config["display_name"] = json!("");
        config["max_duration_s"] = json!("long");
        config["brain"]["opening_hours"][0]["closes"] = json!("10:00");
        config["brain"]["zone"] = json!("Mars/Olympus");
        config["brain"]["colour"] = json!("red");
        config["voice"] = json!({"provider": "local", "rate": 9});
        let body = json!({"slug": "Front Desk", "config": config});
        let (status, error) = app.post("/v1/agents", &tenant.key, body).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (422, &json!("validation_failed"))
        );
        let want = [
            ("/config/brain/colour", "unknown_field"),
            ("/config/brain/opening_hours/0/closes", "inconsistent"),
            ("/config/brain/zone", "unknown_value"),
            ("/config/display_name", "out_of_range"),
            ("/config/max_duration_s", "invalid_type"),
            ("/config/voice/name", "required"),
            ("/config/voice/rate", "out_of_range"),
            ("/slug", "invalid_format"),
        ];
        let want: Vec<_> = want.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        assert_eq!(fields(&error), want);
        let agent = app.agent(&tenant, "receptionist").await;
        let path = format!("/v1/agents/{agent}/draft");
        let patch = json!({"config": {"brain": {"kind": "oracle"}, "tools": ["rm"]}});
        let (status, error) = app.send(Method::PATCH, &path, &tenant.key, patch).await;
        assert_eq!(status, 422);
        let want = [
            ("/config/brain/kind", "unknown_value"),
            ("/config/tools/0", "unknown_value"),
        ];
        let want: Vec<_> = want.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec();
        assert_eq!(fields(&error), want);
        let draft = app.read(&path, &tenant.key).await;
        assert_eq!(
            draft["config"]["tools"],
            json!(["book_table", "end_call"]),
            "unchanged"
        );
        let query = "/v1/calls?limit=0&since=yesterday&colour=red&cursor=%21";
        let (_, error) = app.get(query, &tenant.key).await;
        let found: Vec<_> = fields(&error).into_iter().map(|(field, _)| field).collect();
        assert_eq!(
            found,
            [
                "/query/colour",
                "/query/cursor",
                "/query/limit",
                "/query/since"
            ]
        );
        let body = json!({"e164": "0155", "agent_id": "agt_1", "agent_version": 0});
        let (_, error) = app.post("/v1/numbers", &tenant.key, body).await;
        let found: Vec<_> = fields(&error).into_iter().map(|(field, _)| field).collect();
        assert_eq!(found, ["/agent_id", "/agent_version", "/e164"]);
        let body = json!({"e164": "+15550100", "agent_id": "agt_01ARZ3NDEKTSV4RRFFQ69G5FAV"});
        let (_, error) = app.post("/v1/numbers", &tenant.key, body).await;
        assert_eq!(
            fields(&error),
            [("/agent_id".to_owned(), "not_found".to_owned())]
        );
    }

    /// A request, and the error that it must get.
    type Case = (RequestBuilder, u16, &'static str);

    fn wrong_paths(app: &TestApp, key: &str) -> Vec<Case> {
        let get = |path: &str, key: &str| app.request(Method::GET, path, key);
        let stranger = "st_000000000000_wrongwrongwrongwrongwrongwrongwrong";
        let journal = app.request(Method::DELETE, "/internal/v1/journal", NODE_KEY);
        let put = app.request(Method::PUT, "/v1/agents", key);
        vec![
            (get("/v1/nowhere", key), 404, "not_found"),
            (put, 405, "method_not_allowed"),
            (journal, 405, "method_not_allowed"),
            (get("/v1/agents", ""), 401, "unauthenticated"),
            (get("/v1/agents", stranger), 401, "unauthenticated"),
            (get("/v1/calls/cal_nonsense", key), 404, "not_found"),
            (get("/v1/agents/agt_%FF/draft", key), 404, "not_found"),
        ]
    }

    fn wrong_bodies(app: &TestApp, key: &str) -> Vec<Case> {
        let post = |kind: &str, body: String| {
            let request = app.request(Method::POST, "/v1/agents", key);
            request.header(header::CONTENT_TYPE, kind).body(body)
        };
        let json_kind = "application/json";
        let large = format!("\"{}\"", "x".repeat(600_000));
        let no_tenant = app.request(Method::POST, "/v1/agents", &app.admin);
        let no_tenant = no_tenant.json(&json!({"slug": "a", "config": config()}));
        vec![
            (
                post(json_kind, "{\"slug\":".to_owned()),
                400,
                "invalid_request",
            ),
            (post(json_kind, "[".repeat(100_000)), 400, "invalid_request"),
            (
                post("text/plain", "{}".to_owned()),
                415,
                "unsupported_media_type",
            ),
            (post(json_kind, large), 413, "payload_too_large"),
            (post(json_kind, "7".to_owned()), 422, "validation_failed"),
            (no_tenant, 422, "validation_failed"),
        ]
    }

    pub async fn errors_have_one_shape(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let mut cases = wrong_paths(&app, &tenant.key);
        cases.extend(wrong_bodies(&app, &tenant.key));
        for (request, status, code) in cases {
            let response = request.send().await.expect("an answer");
            let id = response.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            let (found, body) = answer(Ok(response)).await;
            let found = (found.as_u16(), text(&body, "/error/code"));
            assert_eq!(found, (status, code.to_owned()), "{body}");
            assert_eq!(text(&body, "/error/request_id"), id);
            assert!(!text(&body, "/error/message").is_empty());
            assert!(body["error"]["details"].is_array());
        }
        let named = app.request(Method::GET, "/v1/nowhere", "");
        let named = named.header("x-request-id", "mine-7").send().await.unwrap();
        assert_eq!(named.headers()["x-request-id"], "mine-7");
    }
}
