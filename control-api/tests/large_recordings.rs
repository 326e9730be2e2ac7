//! Half a gigabyte of recording goes in and comes out, and hardly any of it is in memory. A program of its own: what it measures
//! is the whole process, office and client together.

#[path = "office/harness.rs"]
#[allow(dead_code)]
mod harness;
#[path = "office/s3.rs"]
#[allow(dead_code)]
mod s3;
#[path = "office/story.rs"]
#[allow(dead_code)]
mod story;

use bytes::Bytes;
use futures_util::StreamExt as _;
use harness::{NODE_KEY, TestApp, answer};
use model::CallId;
use reqwest::{Body, Method};
use s3::S3;
use sha2::{Digest, Sha256};
use story::Switch;

const PIECE: usize = 256 * 1024;
const PIECES: usize = 2_000;
const BYTES: usize = PIECE * PIECES;
/// The bound that is promised.
const MOST_KB: u64 = 50 * 1024;

/// The pieces of a stereo recording of four and a half hours: a header, then always the same.
fn pieces() -> impl Iterator<Item = Bytes> + Send {
    let data = u32::try_from(BYTES - audio_files::wav::HEADER_LEN).unwrap();
    let piece = Bytes::from((0..PIECE).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let head = Bytes::copy_from_slice(&audio_files::wav::header(8_000, 2, data));
    let first = [head, piece.slice(44..)];
    first
        .into_iter()
        .chain(std::iter::repeat_n(piece, PIECES - 1))
}

fn sha256() -> String {
    let mut digest = Sha256::new();
    pieces().for_each(|piece| digest.update(&piece));
    let digest = digest.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of this process's status, KB.
fn status_kb(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// How much more memory than now this takes at its worst, KB.
async fn peak_kb<T>(work: impl Future<Output = T>) -> (u64, T) {
    // proc_pid_clear_refs(5): 5 sets the high water mark back.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status_kb("VmRSS:");
    let done = work.await;
    (status_kb("VmHWM:").saturating_sub(before), done)
}

/// Reads a form from a byte on; how many bytes came.
async fn drain(app: &TestApp, path: &str, key: &str, range: &str) -> usize {
    let request = app.request(Method::GET, path, key).header("range", range);
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    let mut pieces = answer.bytes_stream();
    let mut bytes = 0;
    while let Some(piece) = pieces.next().await {
        bytes += piece.unwrap().len();
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_gigabyte_goes_in_and_out_through_fifty_megabytes() {
    in_and_out(&TestApp::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_gigabyte_goes_into_a_bucket_and_out_through_fifty_megabytes() {
    let Some(s3) = S3::start("half_a_gigabyte_goes_into_a_bucket_and_out_through_fifty_megabytes")
    else {
        return;
    };
    let bucket = s3.bucket("recordings").await;
    let app = TestApp::start(None, |config| config.bucket = Some(bucket)).await;
    in_and_out(&app).await;
    assert_eq!(s3.count("recordings").await, (1, 0));
}

/// What is measured is the process: one of the tests at a time.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn in_and_out(app: &TestApp) {
    let _alone = ALONE.lock().await;
    let tenant = app.tenant("harbour").await;
    let agent = app.agent(&tenant, "receptionist").await;
    let (switch, call) = (Switch::new(1), CallId::new(5, 5));
    app.take(switch, &switch.call(call, &tenant, &agent)).await;
    let hash = sha256();
    let path = format!("/internal/v1/recordings/{call}");
    let body = Body::wrap_stream(futures_util::stream::iter(
        pieces().map(Ok::<_, std::io::Error>),
    ));
    let request = app.request(Method::PUT, &path, NODE_KEY);
    let request = request.header("x-content-sha256", &hash).body(body);
    let request = request.timeout(std::time::Duration::from_secs(600));
    let (peak, (status, ack)) = peak_kb(async { answer(request.send().await).await }).await;
    assert_eq!((status.as_u16(), &ack["bytes"]), (200, &BYTES.into()));
    assert!(peak < MOST_KB, "in: {peak} KB");
    println!("in: {peak} KB");
    let path = format!("/v1/calls/{call}/recording");
    let mixed = (BYTES - 44) / 2 + 44;
    // Of the Opus the first megabyte: encoding four hours takes a minute, by the same few pieces.
    let forms = [
        ("", "bytes=0-", BYTES),
        ("?channels=1", "bytes=0-", mixed),
        ("?format=opus&channels=1", "bytes=0-999999", 1_000_000),
    ];
    for (query, range, length) in forms {
        let path = format!("{path}{query}");
        let (peak, bytes) = peak_kb(drain(app, &path, &tenant.key, range)).await;
        assert_eq!(bytes, length, "{query}");
        assert!(peak < MOST_KB, "{query}: {peak} KB");
        println!("out{query}: {peak} KB");
    }
}
