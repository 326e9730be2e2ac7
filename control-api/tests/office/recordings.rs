//! Recordings: streamed in, checked, and given out in parts.

use crate::on_both_engines;

on_both_engines!(
    a_recording_is_taken_and_given_out_in_parts,
    a_recording_is_given_out_mixed_and_as_opus,
    a_broken_upload_leaves_nothing,
    an_erased_recording_is_gone_and_does_not_come_back,
    consent_taken_back_erases_the_recording_also_one_that_comes_later,
);

/// The same in a bucket; the database has no part in it.
mod in_a_bucket {
    use crate::{harness::TestApp, s3::S3};

    use super::cases;

    /// An office with a bucket, or none where there is no S3.
    async fn office(test: &str) -> Option<(S3, TestApp)> {
        let s3 = S3::start(test)?;
        let bucket = s3.bucket("recordings").await;
        let app = TestApp::start(None, |config| config.bucket = Some(bucket)).await;
        Some((s3, app))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_bucket_takes_gives_out_and_forgets_recordings() {
        let test = "a_bucket_takes_gives_out_and_forgets_recordings";
        let Some((s3, app)) = office(test).await else {
            return;
        };
        cases::taken_and_erased(&app, || s3.count("recordings")).await;
        assert_eq!(cases::files(&app), Vec::<String>::new(), "in the folder");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_of_a_call_without_consent_is_in_a_bucket() {
        let test = "nothing_of_a_call_without_consent_is_in_a_bucket";
        let Some((s3, app)) = office(test).await else {
            return;
        };
        cases::taken_back(&app, || s3.count("recordings")).await;
        assert_eq!(cases::files(&app), Vec::<String>::new(), "in the folder");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_in_the_folder_before_the_bucket_is_found_there() {
        let test = "what_was_in_the_folder_before_the_bucket_is_found_there";
        let Some(s3) = S3::start(test) else {
            return;
        };
        let app = TestApp::sqlite().await;
        let (path, key) = cases::one(&app, 5).await;
        let bucket = s3.bucket("recordings").await;
        let app = app.restart(|config| config.bucket = Some(bucket)).await;
        assert_eq!(cases::get(&app, &path, &key, &[]).await.2, cases::master());
        let call = model::CallId::new(6, 6);
        assert_eq!(cases::upload(&app, call).await, 200);
        assert_eq!(s3.count("recordings").await, (1, 0));
        let app = app.restart(|config| config.bucket = None).await;
        assert_eq!(cases::get(&app, &path, &key, &[]).await.0, 200);
    }
}

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

    pub(super) fn files(app: &TestApp) -> Vec<String> {
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

    /// Two seconds of stereo: a ramp on one side, another on the other.
    pub(super) fn master() -> Vec<u8> {
        let mut wav = audio_files::wav::header(8_000, 2, 64_000).to_vec();
        for at in 0..16_000_i16 {
            wav.extend((at % 97 * 50).to_le_bytes());
            wav.extend((at % 31 * -60).to_le_bytes());
        }
        wav
    }

    /// A form of a recording, or a part of it: status, headers, bytes.
    pub(super) async fn get(
        app: &TestApp,
        path: &str,
        key: &str,
        extra: &[(&str, &str)],
    ) -> (u16, reqwest::header::HeaderMap, Vec<u8>) {
        let mut request = app.request(Method::GET, path, key);
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap().to_vec())
    }

    pub async fn a_recording_is_given_out_mixed_and_as_opus(app: TestApp) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(5, 5));
        app.take(switch, &switch.call(call, &tenant, &agent)).await;
        let wav = master();
        assert_eq!(put(&app, call, &sha256(&wav), wav.clone()).await.0, 200);
        let path = format!("/v1/calls/{call}/recording");
        let forms = [
            ("?format=wav&channels=1", "audio/wav", 32_044),
            ("?format=opus", "audio/ogg; codecs=opus", 12_401),
            ("?format=opus&channels=1", "audio/ogg; codecs=opus", 6_341),
        ];
        let mut tags = vec![format!("\"{}\"", sha256(&wav))];
        for (query, kind, length) in forms {
            let path = format!("{path}{query}");
            let (status, headers, whole) = get(&app, &path, &tenant.key, &[]).await;
            assert_eq!(status, 200, "{query}");
            assert_eq!(headers["content-type"], kind);
            assert_eq!(whole.len(), length, "{query}");
            let head = app.request(Method::HEAD, &path, &tenant.key).send().await;
            assert_eq!(
                head.unwrap().headers()["content-length"],
                length.to_string()
            );
            let sound = audio_files::sound::read(&whole, 8_000, 10).unwrap();
            assert_eq!(sound.pcm.len(), 16_000, "{query}");
            for (range, from, to) in [("bytes=0-0", 0, 1), ("bytes=3000-", 3_000, length)] {
                let extra = [("range", range)];
                let (status, headers, part) = get(&app, &path, &tenant.key, &extra).await;
                let said = format!("bytes {from}-{}/{length}", to - 1);
                let range_said = headers["content-range"].to_str().unwrap();
                assert_eq!((status, range_said), (206, said.as_str()));
                assert_eq!(part, whole[from..to], "{query} {range}");
            }
            let tag = headers["etag"].to_str().unwrap();
            assert!(!tags.contains(&tag.to_owned()), "{tag}");
            tags.push(tag.to_owned());
            let extra = [("if-none-match", tag)];
            assert_eq!(get(&app, &path, &tenant.key, &extra).await.0, 304);
            let extra = [("range", "bytes=1-"), ("if-range", tags[0].as_str())];
            let (status, _, part) = get(&app, &path, &tenant.key, &extra).await;
            assert_eq!(
                (status, part.len()),
                (200, length),
                "a part of another file"
            );
        }
        let (_, _, mixed) = get(&app, &format!("{path}?channels=1"), &tenant.key, &[]).await;
        let sound = audio_files::sound::read(&mixed, 8_000, 10).unwrap();
        assert_eq!(
            sound.pcm[40..43],
            [40 * 50 - 9 * 60, 41 * 50 - 10 * 60, 42 * 50 - 11 * 60]
        );
        for wrong in ["?format=mp3", "?channels=3", "?rate=8000"] {
            let (status, error) = app.get(&format!("{path}{wrong}"), &tenant.key).await;
            assert_eq!(status, 422, "{wrong}: {error}");
        }
        let call = call.to_string();
        let heard = app.office.db().audited("recording.read", &call);
        // Each form: whole, head, two parts, unchanged, changed; and the mix once more.
        assert_eq!(heard.await.unwrap(), 3 * 6 + 1);
    }

    /// A tenant with one call, its recording here: the recording's path, and the tenant's key.
    pub(super) async fn one(app: &TestApp, number: u64) -> (String, String) {
        let tenant = app.tenant("harbour").await;
        let agent = app.agent(&tenant, "receptionist").await;
        let (switch, call) = (Switch::new(1), CallId::new(number, 5));
        app.take(switch, &switch.call(call, &tenant, &agent)).await;
        assert_eq!(upload(app, call).await, 200);
        (format!("/v1/calls/{call}/recording"), tenant.key)
    }

    pub(super) async fn upload(app: &TestApp, call: CallId) -> u16 {
        let wav = master();
        put(app, call, &sha256(&wav), wav.clone()).await.0.as_u16()
    }

    /// Waits until so many recordings are kept; none may be under way then.
    async fn kept<F: Future<Output = (usize, usize)>>(count: &impl Fn() -> F, wanted: usize) {
        for _ in 0..1_200 {
            if count().await == (wanted, 0) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{:?} are kept instead of {wanted}", count().await);
    }

    pub(super) async fn taken_and_erased<F: Future<Output = (usize, usize)>>(
        app: &TestApp,
        count: impl Fn() -> F,
    ) {
        let (path, key) = one(app, 5).await;
        kept(&count, 1).await;
        let (status, _, part) = get(app, &path, &key, &[("range", "bytes=100-199")]).await;
        assert_eq!((status, part.as_slice()), (206, &master()[100..200]));
        let opus = format!("{path}?format=opus&channels=1");
        assert_eq!(get(app, &opus, &key, &[]).await.2.len(), 6_341);
        let other = put(app, CallId::new(5, 5), &sha256(b"other"), "other").await;
        assert_eq!(other.0, 409);
        kept(&count, 1).await;
        let (status, _) = app.send(Method::DELETE, &path, &key, json!({})).await;
        assert_eq!(status, 204);
        let (status, _) = app.send(Method::DELETE, &path, &key, json!({})).await;
        assert_eq!(status, 404, "there is none any more");
        assert_eq!(get(app, &path, &key, &[]).await.0, 404);
        kept(&count, 0).await;
        // A switch that had no answer sends it again: it is rid of it, and nothing is kept.
        assert_eq!(upload(app, CallId::new(5, 5)).await, 200);
        assert_eq!(get(app, &path, &key, &[]).await.0, 404);
        kept(&count, 0).await;
    }

    pub(super) async fn taken_back<F: Future<Output = (usize, usize)>>(
        app: &TestApp,
        count: impl Fn() -> F,
    ) {
        let (path, key) = one(app, 5).await;
        kept(&count, 1).await;
        let withdrawn = serde_json::from_value(
            json!({"mode": "announce", "state": "withdrawn", "method": "voice", "party": "caller"}),
        );
        let withdrawn = model::FactKind::Consent(withdrawn.unwrap());
        let switch = Switch::new(1);
        let fact = switch.fact(CallId::new(5, 5), 90, withdrawn.clone());
        app.take(switch, &[fact]).await;
        assert_eq!(get(app, &path, &key, &[]).await.0, 404);
        kept(&count, 0).await;
        assert_eq!(upload(app, CallId::new(5, 5)).await, 200);
        // The word that takes consent back may also come first.
        let (late, tenant) = (CallId::new(9, 9), app.tenant("second").await);
        let agent = app.agent(&tenant, "receptionist").await;
        let mut facts = switch.call(late, &tenant, &agent);
        facts.push(switch.fact(late, 90, withdrawn));
        app.take(switch, &facts).await;
        assert_eq!(upload(app, late).await, 200);
        assert_eq!(
            get(
                app,
                &format!("/v1/calls/{late}/recording"),
                &tenant.key,
                &[]
            )
            .await
            .0,
            404
        );
        kept(&count, 0).await;
    }

    pub async fn an_erased_recording_is_gone_and_does_not_come_back(app: TestApp) {
        taken_and_erased(&app, || std::future::ready((files(&app).len(), 0))).await;
        let call = CallId::new(5, 5).to_string();
        let erased = app.office.db().audited("recording.delete", &call);
        assert_eq!(erased.await.unwrap(), 1);
    }

    pub async fn consent_taken_back_erases_the_recording_also_one_that_comes_later(app: TestApp) {
        taken_back(&app, || std::future::ready((files(&app).len(), 0))).await;
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
}
