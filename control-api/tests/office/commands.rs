//! Orders to switches: a call is ordered once, and each order ends once.

use crate::on_both_engines;

on_both_engines!(
    a_call_is_ordered_once_and_begins_queued,
    what_a_dead_start_had_is_unknown_and_never_handed_out_again,
    an_order_that_nobody_takes_expires_and_its_call_ends_once,
    a_call_shows_a_number_of_its_tenant_and_names_one_agent,
    who_waits_learns_with_the_status_what_came_of_it,
    orders_to_a_live_call_reach_its_switch_alone,
    a_call_may_have_an_agent_of_its_own,
);

mod cases {
    use std::time::Duration;

    use model::{
        CallId, CommandId, EndReason, Fact, FactKind,
        command::{CommandReport, Orders, Outcome},
        fact::{Direction, Ended, Started},
    };
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::{
        harness::{NODE_KEY, TestApp, TestTenant, answer, config, text},
        story::{Switch, started},
    };

    struct Story {
        tenant: TestTenant,
        agent: String,
        switch: Switch,
    }

    /// A tenant with an agent and a number, and a switch that takes calls.
    async fn begin(app: &TestApp) -> Story {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let number = json!({"e164": "+15550100", "agent_id": agent});
        app.made("/v1/numbers", &tenant.key, number).await;
        let switch = Switch::new(1);
        app.tell("heartbeat", &switch.beat(1, &[])).await;
        Story {
            tenant,
            agent,
            switch,
        }
    }

    impl Story {
        fn wish(&self) -> Value {
            json!({"to": "+15550111", "agent_id": self.agent})
        }

        async fn dial(&self, app: &TestApp) -> CallId {
            let made = app.made("/v1/calls", &self.tenant.key, self.wish()).await;
            text(&made, "/id").parse().unwrap()
        }
    }

    async fn poll(app: &TestApp, switch: Switch, again: bool) -> Orders {
        let Switch { node, boot } = switch;
        let path = format!("/internal/v1/commands?node={node}&boot={boot}&again={again}");
        let request = app.request(Method::GET, &path, NODE_KEY);
        let (status, orders) = answer(request.send().await).await;
        assert_eq!(status, 200, "{orders}");
        serde_json::from_value(orders).unwrap()
    }

    async fn report(app: &TestApp, id: CommandId, outcome: Outcome) {
        let (status, body) = app
            .tell("commands", &vec![CommandReport { id, outcome }])
            .await;
        assert_eq!(status, 204, "{body}");
    }

    fn facts(switch: Switch, call: CallId, kinds: Vec<FactKind>) -> Vec<Fact> {
        let facts = (0..).zip(kinds);
        facts
            .map(|(seq, kind)| switch.fact(call, seq, kind))
            .collect()
    }

    fn outbound() -> FactKind {
        FactKind::Started(Started {
            direction: Direction::Outbound,
            from: "+15550100".into(),
            to: "+15550111".into(),
            ..started(None)
        })
    }

    fn ended(reason: EndReason, sip_code: u16) -> FactKind {
        FactKind::Ended(Ended {
            reason,
            sip_code: Some(sip_code),
            q850: Some(1),
            duration_ms: 0,
        })
    }

    async fn kinds(app: &TestApp, call: CallId) -> Vec<String> {
        let events = app.office.db().events_after(None, Some(call), 0, 1_000);
        events.await.unwrap().into_iter().map(|e| e.kind).collect()
    }

    pub async fn a_call_is_ordered_once_and_begins_queued(app: TestApp) {
        let story = begin(&app).await;
        let wish = || {
            let request = app.request(Method::POST, "/v1/calls", &story.tenant.key);
            request.header("idempotency-key", "one").json(&story.wish())
        };
        let (status, call) = answer(wish().send().await).await;
        assert_eq!(status, 202, "{call}");
        assert_eq!(
            (
                &call["state"],
                &call["direction"],
                &call["from"],
                &call["to"]
            ),
            (
                &json!("queued"),
                &json!("outbound"),
                &json!("+15550100"),
                &json!("+15550111")
            )
        );
        assert_eq!(call["agent"]["slug"], "receptionist");
        let (status, again) = answer(wish().send().await).await;
        assert_eq!((status.as_u16(), &again["id"]), (202, &call["id"]));
        let orders = poll(&app, story.switch, false).await.commands;
        assert_eq!(orders.len(), 1, "{orders:#?}");
        let id: CallId = text(&call, "/id").parse().unwrap();
        assert_eq!(orders[0].call, id);
        assert_eq!(poll(&app, story.switch, false).await, Orders::default());
        assert_eq!(
            poll(&app, story.switch, true).await.commands,
            orders,
            "the answer was lost"
        );
        report(&app, orders[0].id, Outcome::Done).await;
        let why = "too late to say no".to_owned();
        report(&app, orders[0].id, Outcome::Refused { why }).await;
        let path = format!("/v1/calls/{id}");
        let listed = app
            .read(&format!("{path}/commands"), &story.tenant.key)
            .await;
        assert_eq!(
            (&listed["data"][0]["state"], &listed["data"][0]["action"]),
            (&json!("done"), &json!("dial"))
        );
        let told = facts(story.switch, id, vec![outbound(), FactKind::Ringing]);
        app.take(story.switch, &told).await;
        let ringing = app.read(&path, &story.tenant.key).await;
        assert_eq!(ringing["state"], "ringing");
        assert_eq!(ringing["tenant_id"], story.tenant.id);
        let end = story.switch.fact(id, 2, ended(EndReason::Busy, 486));
        app.take(story.switch, &[end]).await;
        let over = app.read(&path, &story.tenant.key).await;
        assert_eq!(
            (&over["state"], &over["end_reason"], &over["sip"]["code"]),
            (&json!("ended"), &json!("busy"), &json!(486))
        );
        let names = kinds(&app, id).await;
        assert_eq!(
            names,
            [
                "call.outbound_requested",
                "call.started",
                "call.ringing",
                "call.ended"
            ]
        );
    }

    pub async fn what_a_dead_start_had_is_unknown_and_never_handed_out_again(app: TestApp) {
        let story = begin(&app).await;
        let id = story.dial(&app).await;
        assert_eq!(poll(&app, story.switch, false).await.commands.len(), 1);
        let next = Switch {
            boot: 2,
            ..story.switch
        };
        assert_eq!(poll(&app, next, true).await, Orders::default());
        assert_eq!(poll(&app, story.switch, true).await, Orders::default());
        let path = format!("/v1/calls/{id}");
        let listed = app
            .read(&format!("{path}/commands"), &story.tenant.key)
            .await;
        assert_eq!(listed["data"][0]["state"], "unknown");
        let lost = app.read(&path, &story.tenant.key).await;
        assert_eq!(
            (&lost["state"], &lost["end_reason"], &lost["provisional"]),
            (&json!("ended"), &json!("node_lost"), &json!(true))
        );
        // It had been dialled after all: the journal of the dead start says how it ended.
        let told = facts(
            story.switch,
            id,
            vec![outbound(), ended(EndReason::NodeLost, 0)],
        );
        app.take(story.switch, &told).await;
        let over = app.read(&path, &story.tenant.key).await;
        assert_eq!(
            (&over["end_reason"], &over["provisional"]),
            (&json!("node_lost"), &json!(false))
        );
        let names = kinds(&app, id).await;
        let ends = names.iter().filter(|name| *name == "call.ended").count();
        assert_eq!(ends, 1, "{names:?}");
    }

    pub async fn an_order_that_nobody_takes_expires_and_its_call_ends_once(app: TestApp) {
        let story = begin(&app).await;
        let id = story.dial(&app).await;
        let later = jiff::Timestamp::now().as_millisecond() + 60_000;
        let db = app.office.db();
        assert_eq!(db.expire_orders(0, later).await.unwrap(), 1);
        assert_eq!(db.expire_orders(0, later).await.unwrap(), 0);
        assert_eq!(poll(&app, story.switch, true).await, Orders::default());
        let call = app
            .read(&format!("/v1/calls/{id}"), &story.tenant.key)
            .await;
        assert_eq!(
            (&call["state"], &call["end_reason"], &call["provisional"]),
            (&json!("ended"), &json!("not_placed"), &json!(false))
        );
        assert_eq!(
            kinds(&app, id).await,
            ["call.outbound_requested", "call.ended"]
        );
    }

    pub async fn a_call_shows_a_number_of_its_tenant_and_names_one_agent(app: TestApp) {
        let story = begin(&app).await;
        let key = &story.tenant.key;
        let other = app.tenant("other").await;
        let theirs = app.agent(&other, "receptionist").await;
        let wrong = [
            (
                json!({"to": "+15550111", "agent_id": story.agent, "from": "+15550199"}),
                "/from",
            ),
            (json!({"to": "15550111", "agent_id": story.agent}), "/to"),
            (
                json!({"to": "sip:x@h\r\nVia: y", "agent_id": story.agent}),
                "/to",
            ),
            (json!({"to": "+15550111"}), "/agent_id"),
            (json!({"to": "+15550111", "agent_id": theirs}), "/agent_id"),
            (
                json!({"to": "+15550111", "agent_id": story.agent, "agent_version": 9}),
                "/agent_version",
            ),
            (
                json!({"to": "+15550111", "agent_id": story.agent, "overrides": {"greeting": 3}}),
                "/overrides/greeting",
            ),
            (
                json!({"to": "+15550111", "agent_id": story.agent, "ring_for_s": 3}),
                "/ring_for_s",
            ),
        ];
        for (body, field) in wrong {
            let (status, error) = app.post("/v1/calls", key, body.clone()).await;
            assert_eq!(
                (
                    status.as_u16(),
                    error["error"]["details"][0]["field"].as_str()
                ),
                (422, Some(field)),
                "{body}: {error}"
            );
        }
        let (status, error) = app
            .post(
                "/v1/calls",
                &other.key,
                json!({"to": "+15550111", "agent_id": theirs}),
            )
            .await;
        assert_eq!(status, 422, "no number to show: {error}");
        let app = app.restart(|config| config.lease = Duration::ZERO).await;
        let (status, error) = app.post("/v1/calls", key, story.wish()).await;
        assert_eq!(
            (status.as_u16(), error["error"]["code"].as_str()),
            (503, Some("unavailable"))
        );
        let calls = app.read("/v1/calls", key).await;
        assert_eq!(calls["data"], json!([]), "nothing was ordered");
    }

    pub async fn who_waits_learns_with_the_status_what_came_of_it(app: TestApp) {
        let story = begin(&app).await;
        let cases = [
            (EndReason::NotFound, 404, "number_not_found"),
            (EndReason::NoAnswer, 408, "no_answer"),
            (EndReason::Busy, 409, "call_refused"),
            (EndReason::Forbidden, 403, "forbidden"),
            (EndReason::Upstream, 424, "call_failed"),
        ];
        for (reason, status, code) in cases {
            let mut wish = story.wish();
            wish["wait_s"] = json!(30);
            let asked = app.post("/v1/calls", &story.tenant.key, wish);
            let switch = async {
                let order = loop {
                    if let Some(order) = poll(&app, story.switch, false).await.commands.pop() {
                        break order;
                    }
                };
                let told = facts(
                    story.switch,
                    order.call,
                    vec![outbound(), ended(reason, 500)],
                );
                app.take(story.switch, &told).await;
            };
            let ((got, error), ()) = tokio::join!(asked, switch);
            assert_eq!(
                (got.as_u16(), error["error"]["code"].as_str()),
                (status, Some(code)),
                "{reason:?}: {error}"
            );
        }
    }

    pub async fn orders_to_a_live_call_reach_its_switch_alone(app: TestApp) {
        let story = begin(&app).await;
        let call = CallId::new(5, 5);
        let whole = story.switch.call(call, &story.tenant, &story.agent);
        app.take(story.switch, &whole[..5]).await;
        let other = Switch::new(2);
        app.tell("heartbeat", &other.beat(1, &[])).await;
        let key = &story.tenant.key;
        let path = |action: &str| format!("/v1/calls/{call}/{action}");
        let plan = json!({"targets": [["sip:desk@127.0.0.1:5990"]]});
        let orders = [
            ("dtmf", json!({"digits": "12#"})),
            ("recording", json!({"action": "pause"})),
            ("recording", json!({"action": "resume"})),
            ("say", json!({"text": "One moment."})),
            ("message", json!({"text": "The caller is a regular guest."})),
            ("transfer", json!({"plan": plan})),
            ("hangup", json!({})),
        ];
        for (action, body) in &orders {
            let (status, order) = app.post(&path(action), key, body.clone()).await;
            assert_eq!(
                (status.as_u16(), &order["state"]),
                (202, &json!("queued")),
                "{order}"
            );
        }
        assert_eq!(poll(&app, other, true).await, Orders::default());
        assert_eq!(
            poll(&app, story.switch, false).await.commands.len(),
            orders.len()
        );
        let listed = app.read(&path("commands"), key).await;
        let actions: Vec<&str> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|order| order["action"].as_str())
            .collect();
        assert_eq!(
            actions,
            [
                "dtmf",
                "pause_recording",
                "resume_recording",
                "say",
                "message",
                "transfer",
                "hangup"
            ]
        );
        let wrong = [
            ("dtmf", json!({"digits": "12x"}), "/digits"),
            (
                "transfer",
                json!({"destination": "kitchen"}),
                "/destination",
            ),
            (
                "transfer",
                json!({"plan": {"targets": [["nobody"]]}}),
                "/plan/targets/0",
            ),
            ("transfer", json!({}), "/destination"),
        ];
        for (action, body, field) in wrong {
            let (status, error) = app.post(&path(action), key, body).await;
            assert_eq!(
                (
                    status.as_u16(),
                    error["error"]["details"][0]["field"].as_str()
                ),
                (422, Some(field)),
                "{error}"
            );
        }
        app.take(story.switch, &whole[5..]).await;
        let (status, _) = app.post(&path("hangup"), key, json!({})).await;
        assert_eq!(status, 409, "the call is over");
    }

    pub async fn a_call_may_have_an_agent_of_its_own(app: TestApp) {
        let story = begin(&app).await;
        let mut wish = json!({"to": "sip:desk@127.0.0.1:5990", "agent": config()});
        wish["agent"]["greeting"] = json!("Good evening.");
        let call = app.made("/v1/calls", &story.tenant.key, wish).await;
        assert_eq!(
            (&call["agent"]["slug"], &call["agent"]["version"]),
            (&json!("inline"), &json!(0))
        );
        let mut wish = story.wish();
        wish["overrides"] = json!({"greeting": "Good morning."});
        let changed = app.made("/v1/calls", &story.tenant.key, wish).await;
        assert_eq!(changed["agent"]["version"], 1);
        let orders = poll(&app, story.switch, false).await.commands;
        let greetings: Vec<Value> = orders
            .iter()
            .map(|order| {
                serde_json::to_value(order).unwrap()["data"]["agent"]["config"]["greeting"].clone()
            })
            .collect();
        assert_eq!(greetings, [json!("Good evening."), json!("Good morning.")]);
    }
}
