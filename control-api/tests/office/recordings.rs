//! Recordings: streamed in, checked, and given out in parts.

use crate::on_both_engines;

on_both_engines!(
    a_recording_is_taken_and_given_out_in_parts,
    a_broken_upload_leaves_nothing,
    a_large_upload_stays_out_of_memory,
);

mod cases {
    use model::CallId;
    use reqwest::{Body, Method, StatusCode};
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use crate::{
        harness::{NODE_KEY, TestApp, answer},
        story::Switch,
    };

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    async fn put(
        app: &TestApp,
        call: CallId,
        hash: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let path = format!("/internal/v1/recordings/{call}");
        let request = app.request(Method::PUT, &path, NODE_KEY);
        let request = request.header("x-content-sha256", hash).body(body);
        answer(request.send().await).await
    }

    fn files(app: &TestApp) -> Vec<String> {
        let folder = app.config.data_dir.join("recordings");
        let mut names = Vec::new();
        for shard in std::fs::read_dir(folder).unwrap().flatten() {
            for file in std::fs::read_dir(shard.path()).unwrap().flatten() {
                names.push(file.file_name().to_string_lossy().into_owned());
            }
        }
        names
    }

    pub async fn a_recording_is_taken_and_given_out_in_parts(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        let wav: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let hash = sha256(&wav);
        // It may come before the facts.
        let (status, ack) = put(&app, call, &hash, wav.clone()).await;
        assert_eq!(
            (status.as_u16(), &ack),
            (200, &json!({"sha256": hash, "bytes": 200_000}))
        );
        app.take(switch, &switch.call(call, &tenant, &agent)).await;
        let (status, again) = put(&app, call, &hash, wav.clone()).await;
        assert_eq!((status.as_u16(), &again), (200, &ack));
        let (status, error) = put(&app, call, &sha256(b"other"), "other").await;
        assert_eq!(
            (status.as_u16(), &error["error"]["code"]),
            (409, &json!("conflict"))
        );
        assert_eq!(files(&app).len(), 1, "{:?}", files(&app));
        let record = app.read(&format!("/v1/calls/{call}"), &tenant.key).await;
        assert_eq!(record["recording"]["available"], true);
        let path = format!("/v1/calls/{call}/recording");
        let get = |range: &'static str| {
            let request = app.request(Method::GET, &path, &tenant.key);
            request.header("range", range).send()
        };
        let whole = app
            .request(Method::GET, &path, &tenant.key)
            .send()
            .await
            .unwrap();
        assert_eq!(whole.headers()["content-type"], "audio/wav");
        assert_eq!(whole.headers()["etag"], format!("\"{hash}\""));
        assert_eq!(whole.bytes().await.unwrap(), wav);
        let cases = [
            ("bytes=0-43", 0, 44),
            ("bytes=100000-", 100_000, 200_000),
            ("bytes=-10", 199_990, 200_000),
            ("bytes=199999-999999", 199_999, 200_000),
        ];
        for (range, from, to) in cases {
            let part = get(range).await.unwrap();
            assert_eq!(part.status(), 206, "{range}");
            let said = format!("bytes {from}-{}/200000", to - 1);
            assert_eq!(part.headers()["content-range"], said);
            assert_eq!(part.bytes().await.unwrap(), wav[from..to], "{range}");
        }
        let outside = get("bytes=200000-").await.unwrap();
        assert_eq!(outside.headers()["content-range"], "bytes */200000");
        assert_eq!(outside.status(), 416);
        let head = app
            .request(Method::HEAD, &path, &tenant.key)
            .send()
            .await
            .unwrap();
        assert_eq!(
            (
                head.status().as_u16(),
                head.headers()["content-length"].to_str().unwrap()
            ),
            (200, "200000")
        );
        let viewer = app.key(&tenant.id, "viewer").await;
        let (status, _) = app.get(&path, &viewer).await;
        assert_eq!(status, 403, "a viewer hears nothing");
        let heard = app
            .office
            .db()
            .audited("recording.read", &call.to_string())
            .await;
        assert_eq!(heard.unwrap(), 7);
    }

    pub async fn a_broken_upload_leaves_nothing(app: TestApp) {
        let call = CallId::new(5, 5);
        let (status, error) = put(&app, call, &sha256(b"what was meant"), "what came").await;
        assert_eq!(
            (status.as_u16(), &error["error"]["details"][0]["field"]),
            (422, &json!("/header/x-content-sha256"))
        );
        let (status, _) = put(&app, call, "short", "what came").await;
        assert_eq!(status, 422);
        let broken = futures_util::stream::iter([
            Ok::<_, std::io::Error>(vec![1_u8; 100_000]),
            Err(std::io::ErrorKind::ConnectionReset.into()),
        ]);
        let path = format!("/internal/v1/recordings/{call}");
        let request = app.request(Method::PUT, &path, NODE_KEY);
        let request = request
            .header("x-content-sha256", sha256(b""))
            .body(Body::wrap_stream(broken));
        assert!(request.send().await.is_err(), "the body broke off");
        // The office notices when it reads on; then the temporary file is gone.
        for _ in 0..200 {
            if files(&app).is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(files(&app), Vec::<String>::new());
    }

    pub async fn a_large_upload_stays_out_of_memory(app: TestApp) {
        const MEGABYTES: usize = 96;
        let call = CallId::new(5, 5);
        let mut digest = Sha256::new();
        let chunk = vec![7_u8; 1 << 20];
        (0..MEGABYTES).for_each(|_| digest.update(&chunk));
        let hash: String = digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let before = peak_kb();
        let chunks = (0..MEGABYTES).map(move |_| Ok::<_, std::io::Error>(vec![7_u8; 1 << 20]));
        let body = Body::wrap_stream(futures_util::stream::iter(chunks));
        let (status, ack) = put(&app, call, &hash, body).await;
        assert_eq!(
            (status.as_u16(), &ack["bytes"]),
            (200, &json!(MEGABYTES << 20))
        );
        // Client and office share this process, and other tests run beside: far less than the
        // whole must have been in memory.
        let grown = peak_kb().saturating_sub(before);
        assert!(grown < 64 * 1024, "{grown} KB");
    }

    /// Memory in use now, KB.
    fn peak_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|number| number.parse().ok()).unwrap_or(0)
    }
}
