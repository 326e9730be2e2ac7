//! Tables: no double booking, whoever asks and however many at once.

use crate::on_both_engines;

on_both_engines!(
    fifty_at_once_get_exactly_the_tables_there_are,
    the_same_key_never_books_twice,
    a_full_slot_names_others,
    a_cancelled_seat_is_free_again,
    refusals_are_words,
    a_model_books_by_the_rules_of_its_agent,
);

mod cases {
    use model::CallId;
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::{
        harness::{TestApp, TestTenant, text},
        story::Switch,
    };

    /// A Friday evening about two months ahead of the tests' days.
    fn evening(hour: u32) -> String {
        let day = jiff::Zoned::now()
            .date()
            .checked_add(jiff::Span::new().days(40));
        format!("{}T{hour:02}:00", day.expect("a day"))
    }

    fn order(tenant: &TestTenant, agent: &str, key: &str, starts: &str) -> Value {
        json!({
            "idempotency_key": key,
            "tenant": tenant.id,
            "agent": agent,
            "agent_version": 1,
            "call": CallId::new(5, 5).to_string(),
            "resource": "tables",
            "starts_local": starts,
            "party_size": 4,
            "phone": "+15550199",
        })
    }

    pub async fn fifty_at_once_get_exactly_the_tables_there_are(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let starts = evening(19);
        app.tell("bookings", &order(&tenant, &agent, "first", &starts))
            .await;
        // One table is left; fifty want it.
        let asks = (0..50).map(|n| {
            let order = order(&tenant, &agent, &format!("call/{n}"), &starts);
            let app = &app;
            async move { app.tell("bookings", &order).await }
        });
        let answers = futures_util::future::join_all(asks).await;
        let outcomes = |name: &str| {
            let fits = |(_, body): &&(_, Value)| body["outcome"] == name;
            answers.iter().filter(fits).count()
        };
        assert_eq!(
            (outcomes("booked"), outcomes("full")),
            (1, 49),
            "{answers:?}"
        );
        let booked = app.read("/v1/bookings?state=booked", &tenant.key).await;
        assert_eq!(booked["data"].as_array().unwrap().len(), 2);
    }

    pub async fn the_same_key_never_books_twice(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let order = order(&tenant, &agent, "call/1/book", &evening(19));
        let asks = (0..10).map(|_| app.tell("bookings", &order));
        let answers = futures_util::future::join_all(asks).await;
        for (status, answer) in &answers {
            assert_eq!((status.as_u16(), answer), (200, &answers[0].1));
        }
        let code = text(&answers[0].1, "/code");
        assert!(code.starts_with("R-") && code.len() == 6, "{code}");
        let all = app.read("/v1/bookings", &tenant.key).await;
        assert_eq!(all["data"].as_array().unwrap().len(), 1);
        assert_eq!(all["data"][0]["code"], code);
        let mut other = order.clone();
        other["party_size"] = json!(5);
        let (status, error) = app.tell("bookings", &other).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("idempotency_mismatch"))
        );
    }

    /// The rules belong to the agent: what thinks for it has none of its own.
    pub async fn a_model_books_by_the_rules_of_its_agent(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let every_day = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let config = json!({
            "display_name": "Ada",
            "brain": { "kind": "llm", "provider": "default", "model": "any", "prompt": "You take bookings." },
            "tools": ["book_table"],
            "bookings": {
                "zone": "Europe/Paris",
                "opening_hours": [{ "days": every_day, "opens": "18:00", "closes": "23:00" }],
                "resource": "tables", "tables": 1, "max_party": 6, "slot_minutes": 60,
            },
        });
        let body = json!({ "slug": "thinker", "config": config });
        let agent = app.made("/v1/agents", &tenant.key, body).await;
        let agent = text(&agent, "/id");
        let publish = format!("/v1/agents/{agent}/publish");
        app.made(&publish, &tenant.key, json!({})).await;
        let ask = async |key: &str, starts: &str| {
            let order = order(&tenant, &agent, key, starts);
            app.tell("bookings", &order).await.1
        };
        assert_eq!(ask("a", &evening(19)).await["outcome"], "booked");
        assert_eq!(ask("b", &evening(19)).await["outcome"], "full");
        let early = ask("c", &evening(11)).await;
        assert_eq!(early["outcome"], "refused", "{early}");
        let booked = app.read("/v1/bookings", &tenant.key).await;
        assert_eq!(booked["data"][0]["zone"], "Europe/Paris");
        let slots = format!(
            "/v1/bookings/slots?agent_id={agent}&date={}",
            &evening(19)[..10]
        );
        let slots = app.read(&slots, &tenant.key).await;
        assert_eq!(slots["data"].as_array().unwrap().len(), 5, "{slots:#}");
    }

    pub async fn a_full_slot_names_others(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        for key in ["a", "b"] {
            app.tell("bookings", &order(&tenant, &agent, key, &evening(19)))
                .await;
        }
        let late = format!("{}:20", &evening(19)[..13]);
        let (_, full) = app
            .tell("bookings", &order(&tenant, &agent, "c", &late))
            .await;
        let near = [evening(20), evening(18), evening(21)];
        assert_eq!(full, json!({"outcome": "full", "alternatives": near}));
        let body = json!({"agent_id": agent, "starts_local": evening(19), "party_size": 2, "phone": "+15550111"});
        let (status, error) = app.post("/v1/bookings", &tenant.key, body).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("slot_full"))
        );
        assert!(text(&error, "/error/details/0/message").contains(&evening(20)));
        let date = &evening(19)[..10];
        let path = format!("/v1/bookings/slots?agent_id={agent}&date={date}");
        let slots = app.read(&path, &tenant.key).await;
        let seven = json!({"starts_local": evening(19), "free": 0});
        assert!(
            slots["data"].as_array().unwrap().contains(&seven),
            "{slots}"
        );
    }

    pub async fn a_cancelled_seat_is_free_again(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let body = json!({"agent_id": agent, "starts_local": evening(19), "party_size": 2, "phone": "+15550111"});
        let one = app.made("/v1/bookings", &tenant.key, body.clone()).await;
        app.made("/v1/bookings", &tenant.key, body.clone()).await;
        let path = format!("/v1/bookings/{}", text(&one, "/id"));
        let cancel = json!({"state": "cancelled"});
        let (_, cancelled) = app.send(Method::PATCH, &path, &tenant.key, cancel).await;
        assert_eq!(cancelled["state"], "cancelled");
        app.made("/v1/bookings", &tenant.key, body).await;
        let (status, _) = app
            .send(Method::DELETE, &path, &tenant.key, json!({}))
            .await;
        assert_eq!(status, 204, "cancelling again changes nothing");
        let again = json!({"state": "booked"});
        let (status, error) = app.send(Method::PATCH, &path, &tenant.key, again).await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/state"))
        );
    }

    pub async fn refusals_are_words(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let early = order(&tenant, &agent, "a", &evening(8));
        let (status, answer) = app.tell("bookings", &early).await;
        assert_eq!(
            (status.as_u16(), &answer["outcome"]),
            (200, &json!("refused"))
        );
        assert!(
            text(&answer, "/reason").contains("from 12:00 to 22:00"),
            "{answer}"
        );
        let mut unknown = order(&tenant, &agent, "b", &evening(19));
        unknown["agent_version"] = json!(7);
        let (status, _) = app.tell("bookings", &unknown).await;
        assert_eq!(status, 404);
        let published = Switch::new(1);
        app.tell("heartbeat", &published.beat(1, &[])).await;
        let body = json!({"agent_id": agent, "starts_local": "soon", "party_size": 0, "phone": ""});
        let (status, error) = app.post("/v1/bookings", &tenant.key, body).await;
        assert_eq!(status, 422);
        let details = error["error"]["details"].as_array().unwrap();
        let mut fields: Vec<_> = details.iter().map(|fault| text(fault, "/field")).collect();
        fields.sort();
        assert_eq!(fields, ["/party_size", "/phone", "/starts_local"]);
    }
}
