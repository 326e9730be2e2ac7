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

    use model::{CallId, EndReason};
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
        let share = async |beat: &model::internal::Heartbeat| app.tell("heartbeat", beat).await.1;
        let (mine, theirs) = (one.beat(1, &[]), two.beat(1, &[]));
        assert_eq!(share(&mine).await, json!({ "part": 0, "of": 1 }));
        assert_eq!(share(&theirs).await, json!({ "part": 1, "of": 2 }));
        assert_eq!(share(&mine).await, json!({ "part": 0, "of": 2 }));
        let drained = model::internal::Heartbeat {
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
