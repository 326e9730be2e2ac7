//! The load generator against a node: what it says comes back, and what it reports is what the
//! office recorded. Judged by counts alone.

#[path = "rig/node.rs"]
mod rig;

use std::net::SocketAddr;

use media_server::load::{self, Plan, Report};
use rig::Site;

const CALLS: usize = 10;

async fn load(site: &Site, context: &str) -> Report {
    let plan = Plan::parse(&format!(
        "name = '{context}'\nstory = 'ten callers hear themselves'\n\
         [call]\nto = 'sip:{context}@{}'\nreturns = true\n\
         [load]\ncalls = {CALLS}\nper_second = 20\nhold = '2s'\n[rtp]\nsockets = 2\n",
        site.sip
    ));
    let plan = plan.unwrap();
    tokio::task::spawn_blocking(move || load::generate(&plan, &load::Beside::default()).unwrap())
        .await
        .unwrap()
}

fn all_came_back(report: &Report) {
    let (calls, sound) = (&report.calls, &report.sound);
    assert_eq!((calls.placed, calls.answered), (CALLS, CALLS), "{report}");
    assert_eq!((calls.dropped, calls.refused.len()), (0, 0), "{report}");
    assert_eq!(
        (sound.silent_calls, sound.markless_calls),
        (0, 0),
        "{report}"
    );
    assert_eq!((sound.lost, sound.send_errors), (0, 0), "{report}");
    assert_eq!(sound.foreign, 0, "nobody hears another: {report}");
    // Two seconds at 50 frames, and the way out and back: a crowded machine may hide some frames
    // behind concealment, never most of them.
    assert!(sound.sent >= 50 * CALLS as u64, "{report}");
    assert!(sound.returned * 2 > sound.sent, "{report}");
    assert!(sound.packets * 2 > sound.sent, "{report}");
}

async fn all_are_recorded(site: &Site, context: &str) {
    let to = serde_json::json!(context);
    let mine = |call: &serde_json::Value| call["state"] == "ended" && call["to"] == to;
    let calls = site.office().calls(CALLS, mine).await;
    assert_eq!(calls.len(), CALLS, "a record for each call: {calls:#?}");
    for call in calls {
        assert_eq!(call["end_reason"], "caller_hangup", "{call:#}");
        assert_eq!(call["codec"], "PCMU", "{call:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_callers_of_each_kind_hear_themselves_and_have_their_records() {
    let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stub = format!(
        "[loadtest]\nstub = \"tcp://{}\"",
        agent.local_addr().unwrap()
    );
    let agent = tokio::spawn(load::stub_agent::serve(agent));
    let site = Site::new(&stub, None);
    let node = site.start().await;
    for context in ["echo", "stub-local", "stub"] {
        let report = load(&site, context).await;
        all_came_back(&report);
        all_are_recorded(&site, context).await;
    }
    agent.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_refused_are_told_apart_from_calls_that_are_answered() {
    let site = Site::new("", None);
    let node = site.start().await;
    let report = load(&site, "nobody").await;
    assert_eq!((report.calls.placed, report.calls.answered), (CALLS, 0));
    assert_eq!(report.calls.refused.get(&404), Some(&CALLS), "{report}");
    assert!(!report.is_good());
    node.stop().await;
}

const MIXED: &str = r#"
context = "internal"

[[route]]
name = "echo"
when = { to = "echo" }
do = ["answer", "echo"]

[[route]]
name = "rings"
when = { to = "rings" }
do = ["ring", { sleep = "20s" }]
"#;

/// About a fifth of the calls each is refused, gives up while it rings, holds the far side: each as the plan means it.
#[tokio::test(flavor = "multi_thread")]
async fn a_mix_of_calls_is_judged_by_what_each_kind_is_meant_to_be() {
    let site = Site::new("", Some(MIXED));
    let node = site.start().await;
    let plan = |refused: u16| {
        let kind = |name: &str, user: &str, more: &str| {
            format!(
                "[[mix]]\nname = '{name}'\nshare = 20\nto = 'sip:{user}@{}'\n{more}\n",
                site.sip
            )
        };
        let kinds = [
            kind("refused", "nobody", &format!("refused = {refused}")),
            kind("given up", "rings", "does = 'cancel'\nrefused = 487"),
            kind("on hold", "echo", "does = 'hold'"),
        ];
        let text = format!(
            "name = 'mixed'\nstory = 'twenty callers of four kinds'\n[call]\nto = 'sip:echo@{}'\nreturns = true\n\
             [load]\ncalls = 20\nper_second = 20\nhold = '2s'\ntogether = false\n{}",
            site.sip,
            kinds.concat()
        );
        Plan::parse(&text).unwrap()
    };
    let run = |plan: Plan| {
        tokio::task::spawn_blocking(move || {
            load::generate(&plan, &load::Beside::default()).unwrap()
        })
    };
    let report = run(plan(404)).await.unwrap();
    let calls = &report.calls;
    let refused: Vec<_> = calls
        .refused
        .iter()
        .map(|(status, n)| (*status, *n))
        .collect();
    assert_eq!(
        (calls.answered, refused),
        (11, vec![(404, 5), (487, 4)]),
        "{report}"
    );
    assert_eq!(
        (calls.wrong, calls.dropped, calls.records),
        (0, 0, 20),
        "{report}"
    );
    let ended = |call: &serde_json::Value| call["state"] == "ended";
    let records = site.office().calls(20, ended).await;
    let of = |reason: &str| {
        records
            .iter()
            .filter(|call| call["end_reason"] == reason)
            .count()
    };
    assert_eq!(
        (of("caller_hangup"), of("no_route"), of("cancelled")),
        (11, 5, 4),
    );
    let mut held = 0;
    for record in &records {
        held += site.office().facts(record, "held").await.len();
    }
    assert_eq!(held, 4);
    // The same calls are wrong for a plan that means something else.
    let report = run(plan(486)).await.unwrap();
    assert_eq!(report.calls.wrong, 5, "{report}");
    assert!(!report.is_good());
    node.stop().await;
}

/// Routes that hand a caller on, and that lead to numbers of the generator's own.
fn outward(site_sip: SocketAddr, far: SocketAddr) -> String {
    let route = |name: &str, to: &str, steps: &str| {
        format!("[[route]]\nname = '{name}'\nwhen = {{ to = '{to}' }}\ndo = [{steps}]\n\n")
    };
    let transfer = |to: &str, mode: &str| {
        format!(
            "'answer', {{ sleep = '300ms' }}, {{ transfer = {{ to = 'sip:{to}', mode = '{mode}' }} }}"
        )
    };
    let routes = [
        route("echo", "echo", "'answer', 'echo'"),
        route(
            "handed on",
            "handed-on",
            &transfer(&format!("echo@{site_sip}"), "refer"),
        ),
        route("over", "over", &transfer(&format!("echo@{far}"), "bridge")),
        route(
            "out",
            "out-(?<who>.+)",
            &format!("{{ bridge = {{ to = 'sip:{{to.who}}@{far}', ring_for = '25s' }} }}"),
        ),
    ];
    format!("context = 'internal'\n\n{}", routes.concat())
}

/// Calls that the server places, at the generator's own numbers: answered, held, busy, challenged, given up, transferred; and
/// calls that an agent places on an order over REST. Each leaves the record it should.
#[tokio::test(flavor = "multi_thread")]
async fn calls_in_the_other_direction_are_answered_by_the_generator_and_judged_like_the_rest() {
    let far = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let site = Site::new("", None);
    site.write("dialplans/internal.toml", &outward(site.sip, far));
    let node = site.start().await;
    let kind = |user: &str, more: &str| {
        format!(
            "[[mix]]\nname = '{user}'\nshare = 12\nto = 'sip:{user}@{}'\n{more}\n",
            site.sip
        )
    };
    let kinds = [
        kind("handed-on", "does = 'handed_on'"),
        kind("over", ""),
        kind("out-busy", "refused = 486"),
        kind("out-password", "refused = 502"),
        kind("out-rings", "does = 'cancel'\nrefused = 487"),
        kind("out-holds", ""),
    ];
    let plan = format!(
        "name = 'out'\nstory = 'both directions'\n[call]\nto = 'sip:out-echo@{}'\nreturns = true\n\
         [load]\ncalls = 25\nper_second = 10\nhold = '2s'\ntogether = false\n\
         [orders]\ncalls = 2\nper_second = 2\n{}",
        site.sip,
        kinds.concat()
    );
    let beside = load::Beside {
        answer: Some(far),
        desk: Some(load::Desk {
            api: format!("http://{}", site.http),
            key_file: site.config().with_file_name("data/admin.key"),
        }),
        ..load::Beside::default()
    };
    let plan = Plan::parse(&plan).unwrap();
    let run = move || load::generate(&plan, &beside).unwrap();
    let report = tokio::task::spawn_blocking(run).await.unwrap();
    let calls = &report.calls;
    assert_eq!(
        (calls.wrong, calls.dropped, calls.records),
        (0, 0, 27),
        "{report}"
    );
    assert_eq!(calls.ordered, Some((2, 2)), "{report}");
    assert_eq!(report.sound.markless_calls, 0, "{report}");
    let ended = |call: &serde_json::Value| call["state"] == "ended";
    let records = site.office().calls(27, ended).await;
    assert_eq!(records.len(), 27, "one record for each call: {records:#?}");
    let outbound = |call: &&serde_json::Value| call["direction"] == "outbound";
    assert_eq!(records.iter().filter(outbound).count(), 2);
    node.stop().await;
}
