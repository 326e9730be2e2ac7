//! Live events: in order, without holes, and resumed where a listener left off.

use crate::on_both_engines;

on_both_engines!(
    events_come_live_and_resume_where_they_stopped,
    listeners_hear_their_own_tenant_only,
    an_end_that_is_known_before_its_beginning_is_told_after_it,
    what_is_no_longer_kept_is_a_resync,
    what_happened_long_ago_and_comes_only_now_is_kept_for_listeners,
    readiness_and_the_page_are_open,
);

mod cases {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use futures_util::{Stream, StreamExt as _};
    use model::CallId;
    use reqwest::Method;
    use serde_json::Value;

    use crate::{harness::TestApp, story::Switch};

    /// An event as a listener gets it.
    #[derive(Debug)]
    struct Heard {
        id: i64,
        kind: String,
        data: Value,
    }

    fn parse(block: &str) -> Option<Heard> {
        let field = |name: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(name));
            line.map(|text| text.trim().to_owned())
        };
        Some(Heard {
            id: field("id:")?.parse().ok()?,
            kind: field("event:")?,
            data: serde_json::from_str(&field("data:")?).ok()?,
        })
    }

    /// Opens a stream; it is open when this returns.
    async fn listen(
        app: &TestApp,
        path: &str,
        key: &str,
        last: Option<i64>,
    ) -> impl Stream<Item = Heard> + Unpin + use<> {
        let mut request = app.request(Method::GET, path, key);
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await.expect("a stream");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let chunks = Box::pin(response.bytes_stream());
        let blocks = futures_util::stream::unfold(
            (chunks, String::new()),
            |(mut chunks, mut text)| async move {
                loop {
                    if let Some((block, rest)) = text.split_once("\n\n") {
                        let (heard, rest) = (parse(block), rest.to_owned());
                        text = rest;
                        if let Some(heard) = heard {
                            return Some((heard, (chunks, text)));
                        }
                        continue;
                    }
                    let chunk = chunks.next().await?.ok()?;
                    text.push_str(&String::from_utf8_lossy(&chunk));
                }
            },
        );
        Box::pin(blocks)
    }

    pub async fn events_come_live_and_resume_where_they_stopped(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        let live = listen(&app, "/v1/stream", &tenant.key, None).await;
        app.take(switch, &facts[..6]).await;
        let heard: Vec<Heard> = live.take(6).collect().await;
        let kinds: Vec<&str> = heard.iter().map(|event| event.kind.as_str()).collect();
        let want = [
            "call.started",
            "call.routed",
            "call.ringing",
            "call.answered",
            "agent.started",
            "transcript.segment",
        ];
        assert_eq!(kinds, want);
        let said = &heard[5];
        assert_eq!(said.data["data"]["text"], "a table for four");
        assert_eq!(said.data["call_id"], call.to_string());
        assert_eq!(said.data["agent_id"], agent);
        assert_eq!(
            (said.data["seq"].as_u64(), said.data["id"].as_i64()),
            (Some(5), Some(said.id))
        );
        // The listener was gone for the rest, and asks for what came after its third event.
        app.take(switch, &facts[6..]).await;
        let resumed = listen(&app, "/v1/stream", &tenant.key, Some(heard[2].id)).await;
        let rest: Vec<Heard> = resumed.take(8).collect().await;
        let ids: Vec<i64> = rest.iter().map(|event| event.id).collect();
        let first = heard[2].id + 1;
        assert_eq!(
            ids,
            (first..first + 8).collect::<Vec<_>>(),
            "no hole, nothing twice"
        );
        assert_eq!(rest[7].kind, "call.ended");
        let path = format!("/v1/stream?types=call.ended,turn.interrupted&call_id={call}&after=0");
        let some: Vec<Heard> = listen(&app, &path, &tenant.key, None)
            .await
            .take(2)
            .collect()
            .await;
        assert_eq!(some[0].kind, "turn.interrupted");
        assert_eq!(some[1].kind, "call.ended");
        // An open stream does not keep the office from closing.
        let open = listen(&app, "/v1/stream", &tenant.key, None).await;
        app.office.shutdown().await;
        assert_eq!(open.count().await, 0);
    }

    pub async fn listeners_hear_their_own_tenant_only(app: TestApp) {
        let (ours, theirs) = (app.tenant("ours").await, app.tenant("theirs").await);
        let (a, b) = (app.agent(&ours, "a").await, app.agent(&theirs, "b").await);
        let switch = Switch::new(1);
        let (our_call, their_call) = (CallId::new(5, 5), CallId::new(5, 6));
        app.take(switch, &switch.call(their_call, &theirs, &b))
            .await;
        app.take(switch, &switch.call(our_call, &ours, &a)).await;
        let stream = listen(&app, "/v1/stream?after=0", &ours.key, None).await;
        let heard: Vec<Heard> = stream.take(11).collect().await;
        assert!(
            heard
                .iter()
                .all(|event| event.data["call_id"] == our_call.to_string())
        );
        let path = format!("/v1/stream?call_id={their_call}");
        let (status, _) = app.get(&path, &ours.key).await;
        assert_eq!(status, 404);
        let all = listen(&app, "/v1/stream?after=0", &app.admin, None).await;
        assert_eq!(all.take(22).count().await, 22);
    }

    /// Two offices take two batches about one call at once: the later facts may be in first, when
    /// nobody knows yet whose call it is.
    pub async fn an_end_that_is_known_before_its_beginning_is_told_after_it(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let facts = switch.call(call, &tenant, &agent);
        let live = listen(&app, "/v1/stream", &tenant.key, None).await;
        app.take(switch, &facts[6..]).await;
        app.take(switch, &facts[..6]).await;
        let heard: Vec<Heard> = live.take(facts.len()).collect().await;
        let seqs: Vec<u64> = heard
            .iter()
            .filter_map(|event| event.data["seq"].as_u64())
            .collect();
        assert_eq!(seqs, (0..facts.len() as u64).collect::<Vec<_>>());
        assert_eq!(heard.last().expect("the end").kind, "call.ended");
        // What comes again is not told again.
        app.tell("journal", &switch.batch(&facts)).await;
        let all = app.office.db().last_event().await;
        assert_eq!(all.expect("counted"), heard.last().expect("the end").id);
    }

    pub async fn what_is_no_longer_kept_is_a_resync(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let switch = Switch::new(1);
        app.take(switch, &switch.call(CallId::new(5, 5), &tenant, &agent))
            .await;
        let db = app.office.db();
        db.prune_events(i64::MAX).await.unwrap();
        let newest = db.last_event().await.unwrap();
        for last in [1, newest + 1_000] {
            let mut stream = listen(&app, "/v1/stream", &tenant.key, Some(last)).await;
            let first = stream.next().await.unwrap();
            assert_eq!(
                (first.kind.as_str(), first.id),
                ("resync", newest),
                "{last}"
            );
        }
        let mut stream = listen(&app, "/v1/stream", &tenant.key, Some(newest)).await;
        app.take(
            switch,
            &switch.call(CallId::new(5, 6), &tenant, &agent)[..1],
        )
        .await;
        let first = stream.next().await.unwrap();
        assert_eq!(
            (first.kind.as_str(), first.id),
            ("call.started", newest + 1)
        );
    }

    /// The story's calls are weeks old: their switch could not reach the office.
    pub async fn what_happened_long_ago_and_comes_only_now_is_kept_for_listeners(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        app.take(switch, &switch.call(call, &tenant, &agent)).await;
        let db = app.office.db();
        let told = db.events_after(None, Some(call), 0, 100).await.unwrap();
        assert!(!told.is_empty());
        let at = |back: Duration| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            i64::try_from((now - back).as_millis()).unwrap()
        };
        assert!(
            told.iter()
                .all(|event| event.at_ms < at(Duration::from_secs(86_400)))
        );
        db.prune_events(at(Duration::from_secs(3_600)))
            .await
            .unwrap();
        let kept = db.events_after(None, Some(call), 0, 100).await.unwrap();
        assert_eq!(kept.len(), told.len());
    }

    pub async fn readiness_and_the_page_are_open(app: TestApp) {
        let ready = app.read("/readyz", "").await;
        assert_eq!(ready["status"], "ok");
        assert_eq!(ready["database"], app.office.db().engine());
        assert_eq!(app.read("/healthz", "").await["status"], "ok");
        let page = app.read("/", "").await;
        assert!(page.as_str().unwrap().contains("<title>Sidetone</title>"));
    }
}
