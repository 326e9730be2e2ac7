//! Objects in a folder and in a bucket of somebody else's S3: one suite for both.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use egress::{Bucket, Egress, EgressConfig, ObjectError, Objects};
use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Somebody else's S3; it ends with this (its stdin is ours).
struct S3 {
    url: String,
    _child: Child,
}

/// None where it is not installed; the test then says SKIP.
fn s3(test: &str) -> Option<S3> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/s3-for-tests");
    let mut child = Command::new(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut url = String::new();
    let _ = BufReader::new(child.stdout.take().unwrap()).read_line(&mut url);
    if url.trim().is_empty() {
        println!("SKIP {test}: moto is not installed");
        let _ = child.wait();
        return None;
    }
    let url = url.trim().to_owned();
    Some(S3 { url, _child: child })
}

fn bucket(endpoint: &str, name: &str) -> Bucket {
    Bucket {
        name: name.to_owned(),
        endpoint: Some(endpoint.to_owned()),
        region: "us-east-1".to_owned(),
        prefix: "calls/kept".to_owned(),
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: "a secret for tests".to_owned(),
    }
}

fn open(endpoint: &str, name: &str) -> Objects {
    let egress = Egress::new(EgressConfig::default()).unwrap();
    Objects::bucket(&bucket(endpoint, name), &egress).unwrap()
}

/// A request as S3 takes it, without minding the signature; the answer as text.
async fn ask(url: &str, method: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").unwrap();
    let mut tcp = TcpStream::connect(host).await.unwrap();
    let credential = "Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request";
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn new_bucket(url: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("recordings-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let made = ask(url, "PUT", &format!("/{name}")).await;
    assert!(made.starts_with("HTTP/1.1 200"), "{made}");
    name
}

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at % 253) as u8).collect()
}

async fn put(objects: &Objects, key: &str, content: &[u8]) -> Result<(), ObjectError> {
    let mut writer = objects.begin(key, "audio/wav", "0badcafe").await?;
    for piece in content.chunks(300_001) {
        writer.write(piece).await?;
    }
    writer.finish().await
}

async fn get(objects: &Objects, key: &str, from: u64, to: u64) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = objects.read(key, from..to).await?;
    let mut all = Vec::new();
    while let Some(piece) = bytes.next().await {
        all.extend_from_slice(&piece?);
    }
    Ok(all)
}

/// What holds of objects wherever they are.
async fn objects_are_kept(objects: &Objects) {
    // Nothing, one part, exactly two, and a bit more.
    for bytes in [0, 1, 10 << 20, (10 << 20) + 7] {
        let (key, content) = (format!("ab/call_{bytes}.wav"), content(bytes));
        put(objects, &key, &content).await.unwrap();
        let length = bytes as u64;
        assert_eq!(objects.length(&key).await.unwrap(), length);
        assert_eq!(get(objects, &key, 0, length).await.unwrap(), content);
        for (from, to) in [
            (0, 1),
            (length / 3, length / 2),
            (length.saturating_sub(5), length),
        ] {
            let (from, to) = (from.min(length), to.min(length));
            let wanted = &content[from as usize..to as usize];
            assert_eq!(
                get(objects, &key, from, to).await.unwrap(),
                wanted,
                "{from}..{to}"
            );
        }
    }
    put(objects, "ab/again.wav", b"one").await.unwrap();
    put(objects, "ab/again.wav", b"another").await.unwrap();
    assert_eq!(
        get(objects, "ab/again.wav", 0, 7).await.unwrap(),
        b"another"
    );
    objects.delete("ab/again.wav").await.unwrap();
    objects.delete("ab/again.wav").await.unwrap();
    let gone = get(objects, "ab/again.wav", 0, 7).await;
    assert!(
        matches!(gone, Err(ObjectError::NotFound { .. })),
        "{gone:?}"
    );
    assert!(objects.length("ab/again.wav").await.is_err());
    // What is broken off does not appear.
    let mut writer = objects
        .begin("ab/broken.wav", "audio/wav", "00")
        .await
        .unwrap();
    writer.write(&content(6 << 20)).await.unwrap();
    writer.abort().await;
    assert!(objects.length("ab/broken.wav").await.is_err());
}

fn files(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().flatten();
    names
        .map(|file| file.file_name().to_string_lossy().into_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_kept_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::folder(folder.path()).unwrap();
    objects_are_kept(&objects).await;
    let left = files(&folder.path().join("ab"));
    assert_eq!(left.len(), 4, "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_kept_in_a_bucket() {
    let Some(s3) = s3("objects_are_kept_in_a_bucket") else {
        return;
    };
    let name = new_bucket(&s3.url).await;
    let objects = open(&s3.url, &name);
    objects_are_kept(&objects).await;
    let list = ask(&s3.url, "GET", &format!("/{name}?list-type=2")).await;
    assert_eq!(
        list.matches("<Key>calls/kept/ab/call_").count(),
        4,
        "{list}"
    );
    assert_eq!(list.matches("<Key>").count(), 4, "{list}");
    let uploads = ask(&s3.url, "GET", &format!("/{name}?uploads")).await;
    assert!(!uploads.contains("<UploadId>"), "parts are left: {uploads}");
    let head = ask(
        &s3.url,
        "HEAD",
        &format!("/{name}/calls/kept/ab/call_1.wav"),
    )
    .await;
    let head = head.to_lowercase();
    assert!(head.contains("x-amz-meta-sha256: 0badcafe"), "{head}");
    assert!(head.contains("content-type: audio/wav"), "{head}");
    let nowhere = open(&s3.url, "no-such-bucket");
    assert!(put(&nowhere, "a.wav", b"one").await.is_err());
}

/// Passes everything on to somebody else; of the connections named, none is answered.
async fn unsteady(url: &str, refused: impl Fn(u32) -> bool + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let behind = url.strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((mut near, _)) = listener.accept().await {
            count += 1;
            if refused(count) {
                let mut some = [0; 100];
                let _ = near.read(&mut some).await;
                let no = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = near.write_all(no.as_bytes()).await;
                continue;
            }
            let mut far = TcpStream::connect(&behind).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    here
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_on_the_way_is_tried_again() {
    let Some(s3) = s3("what_fails_on_the_way_is_tried_again") else {
        return;
    };
    let name = new_bucket(&s3.url).await;
    let url = unsteady(&s3.url, |count| count % 3 == 1).await;
    let objects = open(&url, &name);
    let content = content((5 << 20) + 1_000);
    put(&objects, "a.wav", &content).await.unwrap();
    assert_eq!(
        get(&objects, "a.wav", 0, content.len() as u64)
            .await
            .unwrap(),
        content
    );
    objects.delete("a.wav").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_points_elsewhere_gets_nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let there = format!("http://{}/", elsewhere.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut some = [0; 4_096];
            let _ = tcp.read(&mut some).await;
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {there}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    });
    let objects = open(&here, "recordings");
    let gone = get(&objects, "a.wav", 0, 10).await;
    assert!(matches!(gone, Err(ObjectError::Failed { .. })), "{gone:?}");
    tokio::select! {
        biased;
        visited = elsewhere.accept() => panic!("{visited:?}"),
        () = std::future::ready(()) => {}
    }
}

#[test]
fn a_bucket_shows_no_key() {
    let shown = format!("{:?}", bucket("http://127.0.0.1:1", "recordings"));
    assert!(
        !shown.contains("secret") && !shown.contains("AKID"),
        "{shown}"
    );
}
