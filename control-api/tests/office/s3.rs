//! Somebody else's S3 (moto), for an office with a bucket.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use control_api::Bucket;

/// The service; it ends with this (its stdin is ours).
pub struct S3 {
    url: String,
    http: reqwest::Client,
    _child: Child,
}

impl S3 {
    /// None where it is not installed; the test then says SKIP.
    pub fn start(test: &str) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/s3-for-tests");
        let mut child = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the script runs");
        let mut url = String::new();
        let _ = BufReader::new(child.stdout.take().expect("its stdout")).read_line(&mut url);
        if url.trim().is_empty() {
            println!("SKIP {test}: moto is not installed");
            let _ = child.wait();
            return None;
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        Some(Self {
            url: url.trim().to_owned(),
            http: reqwest::Client::new(),
            _child: child,
        })
    }

    /// A bucket of this name, made.
    pub async fn bucket(&self, name: &str) -> Bucket {
        self.ask(reqwest::Method::PUT, name).await;
        Bucket {
            name: name.to_owned(),
            endpoint: Some(self.url.clone()),
            region: "us-east-1".to_owned(),
            prefix: "kept".to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            secret_key: "a secret for tests".to_owned(),
        }
    }

    /// How many objects and how many uploads under way the bucket has.
    pub async fn count(&self, name: &str) -> (usize, usize) {
        let (all, begun) = (format!("{name}?list-type=2"), format!("{name}?uploads"));
        let objects = self.ask(reqwest::Method::GET, &all).await;
        let uploads = self.ask(reqwest::Method::GET, &begun).await;
        (
            objects.matches("<Key>kept/").count(),
            uploads.matches("<UploadId>").count(),
        )
    }

    async fn ask(&self, method: reqwest::Method, path: &str) -> String {
        let credential = "Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request";
        let signed = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=0");
        let request = self.http.request(method, format!("{}/{path}", self.url));
        let answer = request.header("authorization", signed).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.expect("a body")
    }
}
