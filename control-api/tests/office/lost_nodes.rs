//! Switches that fall silent: the office's word is provisional, the owner's is final.

use crate::harness::{TestApp, fresh_postgres};

/// Each case on both engines, with a short lease.
macro_rules! with_short_leases {
    ($($case:ident),+ $(,)?) => {
        $(mod $case {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::cases::$case(super::short(None).await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                match super::fresh_postgres().await {
                    Ok(url) => super::cases::$case(super::short(Some(url)).await).await,
                    Err(reason) => println!("SKIP {} on PostgreSQL: {reason}", stringify!($case)),
                }
            }
        })+
    };
}

with_short_leases!(
    a_lost_call_is_provisional_until_its_owner_speaks,
    a_live_call_comes_back_with_a_heartbeat,
    an_owner_that_never_speaks_is_settled_once,
    the_lease_clock_restarts_with_the_office,
    the_switches_that_take_calls_share_the_limits,
    one_switch_registers_at_a_trunk_and_another_when_it_falls_silent,
    trunks_to_register_at_are_spread_and_go_where_their_profile_is,
);

/// An office that believes in silence after 300 ms.
async fn short(url: Option<String>) -> TestApp {
    TestApp::start(url, |config| {
        config.lease = std::time::Duration::from_millis(300);
    })
    .await
}

mod cases {
    use std::time::Duration;

    use model::{CallId, EndReason, internal::Heartbeat};
    use reqwest::Method;
    use serde_json::{Value, json};

    use crate::{
        harness::{TestApp, TestTenant},
        story::{Switch, ended},
    };

    const LONG: Duration = Duration::from_secs(3_600);

    async fn live_call(app: &TestApp) -> (TestTenant, String, Switch, CallId) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        app.take(switch, &switch.call(call, &tenant, &agent)[..5])
            .await;
        (tenant, agent, switch, call)
    }

    async fn kinds(app: &TestApp, call: CallId) -> Vec<String> {
        let events = app
            .office
            .db()
            .events_after(None, Some(call), 0, 1_000)
            .await;
        let told = events.unwrap().into_iter().map(|event| event.kind);
        told.filter(|kind| ["call.ended", "call.lost", "call.corrected"].contains(&kind.as_str()))
            .collect()
    }

    pub async fn a_lost_call_is_provisional_until_its_owner_speaks(app: TestApp) {
        let (tenant, agent, switch, call) = live_call(&app).await;
        let path = format!("/v1/calls/{call}");
        let lost = app
            .until(&path, &tenant.key, |call| call["state"] == "ended")
            .await;
        assert_eq!(
            (&lost["end_reason"], &lost["provisional"]),
            (&json!("node_lost"), &json!(true))
        );
        assert_eq!(kinds(&app, call).await, ["call.lost"]);
        let facts = switch.call(call, &tenant, &agent);
        app.take(switch, &facts[5..]).await;
        let done = app.read(&path, &tenant.key).await;
        assert_eq!(
            (&done["end_reason"], &done["provisional"]),
            (&json!("caller_hangup"), &json!(false))
        );
        assert_eq!(done["duration_ms"], 12_000);
        assert_eq!(kinds(&app, call).await, ["call.lost", "call.ended"]);
    }

    pub async fn a_live_call_comes_back_with_a_heartbeat(app: TestApp) {
        let (tenant, _, switch, call) = live_call(&app).await;
        let path = format!("/v1/calls/{call}");
        app.until(&path, &tenant.key, |call| call["provisional"] == true)
            .await;
        let app = app.restart(|config| config.lease = LONG).await;
        app.tell("heartbeat", &switch.beat(1, &[call])).await;
        let back = app.read(&path, &tenant.key).await;
        assert_eq!(
            (&back["state"], &back["provisional"]),
            (&json!("in_progress"), &json!(false))
        );
        assert_eq!(
            (&back["end_reason"], &back["ended_at"]),
            (&Value::Null, &Value::Null)
        );
        let boot_two = Switch { boot: 2, ..switch };
        app.take(
            boot_two,
            &[boot_two.fact(call, 5, ended(EndReason::NodeLost, 400))],
        )
        .await;
        let done = app.read(&path, &tenant.key).await;
        assert_eq!(
            (&done["end_reason"], &done["provisional"]),
            (&json!("node_lost"), &json!(false))
        );
        assert_eq!(kinds(&app, call).await, ["call.lost", "call.ended"]);
    }

    pub async fn the_switches_that_take_calls_share_the_limits(app: TestApp) {
        let (one, two) = (Switch::new(1), Switch::new(2));
        let app = app.restart(|config| config.lease = LONG).await;
        let share = async |beat: &Heartbeat| app.tell("heartbeat", beat).await.1;
        let (mine, theirs) = (one.beat(1, &[]), two.beat(1, &[]));
        assert_eq!(share(&mine).await, json!({ "part": 0, "of": 1 }));
        assert_eq!(share(&theirs).await, json!({ "part": 1, "of": 2 }));
        assert_eq!(share(&mine).await, json!({ "part": 0, "of": 2 }));
        let drained = Heartbeat {
            accepting: false,
            ..theirs.clone()
        };
        assert_eq!(share(&drained).await, json!({ "part": 0, "of": 0 }));
        assert_eq!(share(&mine).await, json!({ "part": 0, "of": 1 }));
        share(&theirs).await;
        // The other falls silent: its part is ours once its lease is over.
        let app = app
            .restart(|config| config.lease = Duration::from_millis(300))
            .await;
        for _ in 0..200 {
            if app.tell("heartbeat", &mine).await.1 == json!({ "part": 0, "of": 1 }) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("its part is still kept for it");
    }

    fn trunk(name: &str) -> Value {
        json!({
            "name": name, "password": "secret",
            "config": {"mode": "register", "proxy": "sip.example.com", "username": name},
        })
    }

    /// At how many trunks a switch registers, by its heartbeat.
    async fn registers(app: &TestApp, beat: &Heartbeat) -> Vec<Value> {
        let answer = app.tell("heartbeat", beat).await.1;
        answer["registers"].as_array().cloned().unwrap_or_default()
    }

    pub async fn one_switch_registers_at_a_trunk_and_another_when_it_falls_silent(app: TestApp) {
        let app = app.restart(|config| config.lease = LONG).await;
        let tenant = app.tenant("harbour").await;
        let made = app.made("/v1/trunks", &tenant.key, trunk("one")).await;
        let ip = json!({"name": "two", "config": {"proxy": "sip.example.com"}});
        app.made("/v1/trunks", &tenant.key, ip).await;
        let (mine, theirs) = (Switch::new(1).beat(1, &[]), Switch::new(2).beat(1, &[]));
        let only = vec![made["id"].clone()];
        assert_eq!(registers(&app, &mine).await, only);
        assert!(registers(&app, &theirs).await.is_empty(), "it is taken");
        assert_eq!(registers(&app, &mine).await, only, "and stays where it is");
        // Who takes no calls gives it back.
        let drained = Heartbeat {
            accepting: false,
            ..mine.clone()
        };
        assert!(registers(&app, &drained).await.is_empty());
        assert_eq!(registers(&app, &theirs).await, only);
        assert!(registers(&app, &mine).await.is_empty());
        // What is not registered at is nobody's, and whoever had it keeps it when it is again.
        let path = format!("/v1/trunks/{}", made["id"].as_str().unwrap());
        for (mode, held) in [("digest", Vec::new()), ("register", only.clone())] {
            let change = json!({"config": {"mode": mode}});
            app.send(Method::PATCH, &path, &tenant.key, change).await;
            assert_eq!(registers(&app, &theirs).await, held);
        }
        // An office that saw nobody yet because it is young takes it from nobody.
        let db = app.office.db();
        let young = db.lease_trunks(mine.node, &mine.profiles, None).await;
        assert_eq!(young.unwrap(), []);
        // It falls silent: ours once its lease is over.
        let app = app
            .restart(|config| config.lease = Duration::from_millis(400))
            .await;
        for _ in 0..200 {
            if registers(&app, &mine).await == only {
                assert!(registers(&app, &theirs).await.is_empty(), "too late");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody registers there any more");
    }

    pub async fn trunks_to_register_at_are_spread_and_go_where_their_profile_is(app: TestApp) {
        let app = app.restart(|config| config.lease = LONG).await;
        let tenant = app.tenant("harbour").await;
        let (mine, theirs) = (Switch::new(1).beat(1, &[]), Switch::new(2).beat(1, &[]));
        registers(&app, &mine).await;
        registers(&app, &theirs).await;
        for name in ["a", "b", "c", "d"] {
            app.made("/v1/trunks", &tenant.key, trunk(name)).await;
        }
        assert_eq!(registers(&app, &mine).await.len(), 2);
        assert_eq!(registers(&app, &theirs).await.len(), 2);
        let mut inside = trunk("inside");
        inside["config"]["profile"] = json!("inside");
        app.made("/v1/trunks", &tenant.key, inside).await;
        assert_eq!(
            registers(&app, &mine).await.len(),
            2,
            "it has no such profile"
        );
        let inside = Heartbeat {
            profiles: vec!["inside".into()],
            ..theirs
        };
        assert_eq!(registers(&app, &inside).await.len(), 3);
    }

    pub async fn an_owner_that_never_speaks_is_settled_once(app: TestApp) {
        let (tenant, agent, switch, call) = live_call(&app).await;
        let app = app.restart(|config| config.settle = Duration::ZERO).await;
        let path = format!("/v1/calls/{call}");
        app.until(&path, &tenant.key, |call| call["provisional"] == true)
            .await;
        for _ in 0..400 {
            if kinds(&app, call).await.len() == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(kinds(&app, call).await, ["call.lost", "call.ended"]);
        // The owner comes after all: its word counts, and the end is not told twice.
        app.take(switch, &switch.call(call, &tenant, &agent)[5..])
            .await;
        let done = app.read(&path, &tenant.key).await;
        assert_eq!(
            (&done["end_reason"], &done["provisional"]),
            (&json!("caller_hangup"), &json!(false))
        );
        assert_eq!(
            kinds(&app, call).await,
            ["call.lost", "call.ended", "call.corrected"]
        );
    }

    pub async fn the_lease_clock_restarts_with_the_office(app: TestApp) {
        let app = app.restart(|config| config.lease = LONG).await;
        let (tenant, _, _, call) = live_call(&app).await;
        // The office was away for longer than the lease; the switch was not.
        let app = app
            .restart(|config| config.lease = Duration::from_secs(2))
            .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let db = app.office.db();
        assert_eq!(db.settle_lost_calls(i64::MAX, 0).await.unwrap(), 0);
        let path = format!("/v1/calls/{call}");
        let now = app.read(&path, &tenant.key).await;
        assert_eq!(now["state"], "in_progress");
        // And once this office itself has waited a lease, it does judge.
        app.until(&path, &tenant.key, |call| call["provisional"] == true)
            .await;
    }
}
