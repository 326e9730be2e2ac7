//! The same request is done once and answered alike.

use crate::on_both_engines;

on_both_engines!(
    the_same_post_is_done_once,
    a_refusal_is_replayed_too,
    a_secret_is_replayed_to_its_owner_only,
    keys_are_scoped_by_tenant_and_route,
);

mod cases {
    use reqwest::{Method, StatusCode};
    use serde_json::{Value, json};

    use crate::harness::{TestApp, answer, text};

    async fn post(
        app: &TestApp,
        path: &str,
        key: &str,
        idempotency: &str,
        body: &Value,
    ) -> (StatusCode, Value) {
        let request = app.request(Method::POST, path, key);
        let request = request.header("idempotency-key", idempotency).json(body);
        answer(request.send().await).await
    }

    pub async fn the_same_post_is_done_once(app: TestApp) {
        let body = json!({"slug": "harbour", "name": "Harbour"});
        let asks = (0..10).map(|_| post(&app, "/v1/tenants", &app.admin, "one", &body));
        let answers = futures_util::future::join_all(asks).await;
        let made: Vec<_> = answers
            .iter()
            .filter(|(status, _)| *status == 201)
            .collect();
        assert!(!made.is_empty());
        for (status, answer) in &answers {
            if *status == 201 {
                assert_eq!(answer, &made[0].1);
            } else {
                assert_eq!(
                    (status.as_u16(), &answer["error"]["code"]),
                    (409, &json!("in_progress"))
                );
            }
        }
        let again = post(&app, "/v1/tenants", &app.admin, "one", &body).await;
        assert_eq!((again.0.as_u16(), &again.1), (201, &made[0].1));
        let all = app.read("/v1/tenants", &app.admin).await;
        assert_eq!(all["data"].as_array().unwrap().len(), 1);
        let other = json!({"slug": "other", "name": "Other"});
        let (status, error) = post(&app, "/v1/tenants", &app.admin, "one", &other).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("idempotency_mismatch"))
        );
        let (status, _) = post(&app, "/v1/tenants", &app.admin, &"k".repeat(256), &other).await;
        assert_eq!(status, 400);
    }

    pub async fn a_refusal_is_replayed_too(app: TestApp) {
        let wrong = json!({"slug": "Not A Slug", "name": "x"});
        let (status, first) = post(&app, "/v1/tenants", &app.admin, "two", &wrong).await;
        assert_eq!(status, 422);
        let (status, again) = post(&app, "/v1/tenants", &app.admin, "two", &wrong).await;
        assert_eq!(status, 422);
        assert_eq!(again["error"]["details"], first["error"]["details"]);
        let (one, two) = (
            text(&first, "/error/request_id"),
            text(&again, "/error/request_id"),
        );
        assert!(one != two && two.starts_with("req_"), "{one} {two}");
    }

    pub async fn a_secret_is_replayed_to_its_owner_only(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let second = app.key(&tenant.id, "owner").await;
        let body = json!({"name": "x", "role": "viewer"});
        let (_, first) = post(&app, "/v1/api-keys", &tenant.key, "three", &body).await;
        let (status, again) = post(&app, "/v1/api-keys", &tenant.key, "three", &body).await;
        assert_eq!((status.as_u16(), &again), (201, &first));
        app.read("/v1/calls", &text(&again, "/key")).await;
        let (status, error) = post(&app, "/v1/api-keys", &second, "three", &body).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("idempotency_mismatch"))
        );
        assert!(!error.to_string().contains(&text(&first, "/key")));
        if let Some(path) = app.config.database_url.strip_prefix("sqlite://") {
            for file in [path.to_owned(), format!("{path}-wal")] {
                let dump = std::fs::read(file).unwrap_or_default();
                let dump = String::from_utf8_lossy(&dump);
                assert!(
                    !dump.contains(&text(&first, "/key")),
                    "the database holds the key"
                );
            }
        }
    }

    pub async fn keys_are_scoped_by_tenant_and_route(app: TestApp) {
        let (one, two) = (app.tenant("one").await, app.tenant("two").await);
        let body = json!({"name": "x", "role": "viewer"});
        let (_, first) = post(&app, "/v1/api-keys", &one.key, "same", &body).await;
        let (status, second) = post(&app, "/v1/api-keys", &two.key, "same", &body).await;
        assert_eq!(status, 201);
        assert_ne!(first["id"], second["id"]);
        let (status, _) = post(&app, "/v1/agents", &one.key, "same", &body).await;
        assert_eq!(status, 422, "another route, another scope");
    }
}
