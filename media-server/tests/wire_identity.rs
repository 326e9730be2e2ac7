//! Signed calls (STIR/SHAKEN) on the wire: a carrier that signs, a server where its certificate lies,
//! trunks that note and trunks that refuse.

#[path = "rig/node.rs"]
mod rig;
#[path = "rig/server.rs"]
mod server;
#[path = "rig/signer.rs"]
mod signer;

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use rig::Site;
use serde_json::{Value, json};
use server::{Letters, Server};
use signer::{Authority, Claims, Signer, forged};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The caller's and the called number.
const CALLER: &str = "15550100001";
const CALLED: &str = "15550100002";

const PLAN: &str = "context = \"public\"\n\n[[route]]\nname = \"it\"\n\
    do = [\"ring\", { sleep = \"100ms\" }, \"answer\", { log = \"{verstat} {attestation}\" }, \"hangup\"]\n";

/// A carrier, its certificate on a server, and us.
struct Scene {
    site: Site,
    sip: SocketAddr,
    server: Server,
    signer: Signer,
    shelf: Shelf,
}

/// The certificate's server: over HTTPS on loopback, with a certificate of its own.
struct Shelf {
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Shelf {
    /// Answers every path but `/silent` with this.
    async fn open(authority: &Authority, pem: &str) -> Self {
        egress::tls::install();
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let own = own.signed_by(&key, &authority.issuer()).unwrap();
        let own = CertificateDer::from_pem_slice(own.pem().as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![own], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked: Arc<AtomicUsize> = Arc::default();
        let (count, pem) = (asked.clone(), pem.to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count, pem) = (acceptor.clone(), count.clone(), pem.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let mut request = [0; 4_096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    count.fetch_add(1, Ordering::Relaxed);
                    if request[..length].starts_with(b"GET /silent") {
                        return std::future::pending().await;
                    }
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/pem-certificate-chain\r\nConnection: close\r\n\
                         Content-Length: {}\r\n\r\n{pem}",
                        pem.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { at, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.at)
    }
}

/// One trunk notes, the other refuses; a header tells them apart.
async fn scene() -> Scene {
    let (root, web) = (Authority::new("telephony"), Authority::new("web"));
    let signer = Signer::new(&root);
    let shelf = Shelf::open(&web, &signer.chain).await;
    let site = Site::new(
        "[stir]\npolicy = \"note\"\nroots = \"roots.pem\"\nprivate = [\"127.0.0.1\"]\n",
        None,
    );
    site.write("roots.pem", &root.pem);
    site.write("web.pem", &web.pem);
    site.write("dialplans/public.toml", PLAN);
    let sip = SocketAddr::from(([127, 0, 0, 1], rig::free_port()));
    let first = site.first_rtp + 4_000;
    let trunk = |name: &str, more: &str| {
        format!(
            "\n[[trunk]]\nname = \"{name}\"\nsources = [\"127.0.0.1/32\"]\nheaders = {{ X-Trunk = \"{name}\" }}\n{more}"
        )
    };
    site.write(
        "profiles/external.toml",
        &format!(
            "listen = [\"udp://{sip}\"]\ncontext = \"public\"\nauth = \"acl\"\ncodecs = [\"PCMU\"]\n\
             rtp = {{ ports = \"{first}-{}\" }}\n{}{}",
            first + 199,
            trunk("lenient", ""),
            trunk("strict", "stir = \"refuse\"\n"),
        ),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_media-server"));
    command.env("SSL_CERT_FILE", site.dir.path().join("web.pem"));
    let server = Server::start_with(&site, command);
    Scene {
        site,
        sip,
        server,
        signer,
        shelf,
    }
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

fn claims() -> Claims {
    Claims {
        attest: "A",
        orig: CALLER,
        dest: CALLED,
        iat: now_s(),
    }
}

impl Scene {
    fn signed(&self, claims: &Claims) -> String {
        let url = self.shelf.url("1234.pem");
        format!("Identity: {}\r\n", self.signer.identity(&url, claims))
    }

    /// Calls over a trunk with these headers; the responses up to the final one, and the record.
    async fn call(&self, trunk: &str, headers: &str) -> (Vec<String>, Value) {
        let mut letters = Letters::to(self.sip);
        let headers = format!(
            "X-Trunk: {trunk}\r\nP-Asserted-Identity: <sip:+{CALLER}@192.0.2.1>\r\n{headers}"
        );
        let responses = tokio::task::spawn_blocking(move || {
            let id = letters.send("INVITE", &format!("+{CALLED}"), &headers);
            let mut responses: Vec<String> = Vec::new();
            while responses
                .last()
                .is_none_or(|last| last.starts_with("SIP/2.0 1"))
            {
                let response = letters.receive();
                let response = response.unwrap_or_else(|| panic!("{responses:#?}"));
                if response.contains(&id) {
                    responses.push(response);
                }
            }
            responses
        });
        let responses = responses.await.unwrap();
        let last = responses.last().unwrap();
        let id = last.lines().find_map(|line| line.strip_prefix("Call-ID: "));
        let office = self.site.office();
        let record = office.ended(&json!(id.unwrap())).await;
        (responses, record)
    }

    /// What became of the proof, as the timeline and the record say alike.
    async fn proof(&self, record: &Value) -> Value {
        let facts = self.site.office().facts(record, "attested").await;
        assert_eq!(facts.len(), 1, "{record:#}");
        assert_eq!(record["attestation"], facts[0], "{record:#}");
        facts[0].clone()
    }

    /// Offset of the first fact of a kind, milliseconds.
    async fn offset(&self, record: &Value, kind: &str) -> u64 {
        let timeline = self.site.office().part(record, "timeline?limit=500").await;
        let facts = timeline["data"].as_array().unwrap();
        let fact = facts.iter().find(|fact| fact["type"] == kind);
        let fact = fact.unwrap_or_else(|| panic!("no {kind}: {timeline:#}"));
        fact["offset_ms"].as_u64().unwrap()
    }
}

fn statuses(responses: &[String]) -> Vec<&str> {
    let line = |response: &String| response.lines().next().map(str::len).unwrap_or_default();
    let lines = responses.iter().map(|response| &response[..line(response)]);
    lines
        .filter_map(|line| line.strip_prefix("SIP/2.0 "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_carrier_signs_stands_in_the_record_and_in_the_dialplan() {
    let scene = scene().await;
    let (responses, record) = scene.call("lenient", &scene.signed(&claims())).await;
    assert!(
        statuses(&responses).contains(&"180 Ringing"),
        "{responses:#?}"
    );
    assert_eq!(statuses(&responses).last(), Some(&"200 OK"));
    let expected = json!({
        "verstat": "TN-Validation-Passed", "level": "A", "reason": null,
        "origid": "123e4567-e89b-12d3-a456-426655440000",
    });
    assert_eq!(scene.proof(&record).await, expected);
    assert_eq!(record["from"], format!("+{CALLER}"));
    let office = scene.site.office();
    let line = json!({ "line": "TN-Validation-Passed A" });
    assert_eq!(office.facts(&record, "logged").await, [line]);

    let gateway = Claims {
        attest: "C",
        ..claims()
    };
    let (_, record) = scene.call("strict", &scene.signed(&gateway)).await;
    assert_eq!(record["sip"]["code"], 200, "{record:#}");
    assert_eq!(scene.proof(&record).await["level"], "C");
    let asked = scene.shelf.asked.load(Ordering::Relaxed);
    assert_eq!(asked, 1, "the second call found the certificate here");

    let (_, record) = scene.call("lenient", "").await;
    assert_eq!(record["sip"]["code"], 200, "{record:#}");
    assert_eq!(scene.proof(&record).await["verstat"], "No-TN-Validation");
    let passed = "ms_calls_attested_total{verstat=\"TN-Validation-Passed\"}";
    assert!((scene.server.metric(passed) - 2.0).abs() < 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_refuses_gives_each_broken_proof_its_own_answer_and_a_record() {
    let scene = scene().await;
    let now = now_s();
    let good = scene.signed(&claims());
    let other = |orig, dest, iat| {
        let claims = Claims {
            attest: "A",
            orig,
            dest,
            iat,
        };
        scene.signed(&claims)
    };
    let stranger = Signer::new(&Authority::new("stranger"));
    let untrusted = Shelf::open(&Authority::new("nobody"), &stranger.chain).await;
    let louder = Claims {
        attest: "B",
        ..claims()
    };
    let nowhere = stranger.identity(&untrusted.url("1234.pem"), &claims());
    let alien = stranger.identity(&scene.shelf.url("1234.pem"), &claims());
    let cases = [
        (String::new(), "428 Use Identity Header", Value::Null),
        (
            forged(&good, &louder),
            "438 Invalid Identity Header",
            json!("signature"),
        ),
        (
            format!("Identity: {alien}\r\n"),
            "438 Invalid Identity Header",
            json!("signature"),
        ),
        (
            other("15550100009", CALLED, now),
            "438 Invalid Identity Header",
            json!("caller"),
        ),
        (
            other(CALLER, "15550100009", now),
            "438 Invalid Identity Header",
            json!("called"),
        ),
        (
            other(CALLER, CALLED, now - 600),
            "403 Stale Date",
            json!("stale"),
        ),
        (
            good.replace("ES256;", "none;"),
            "438 Invalid Identity Header",
            json!("algorithm"),
        ),
        (
            good.replace("ppt=", &format!("x={};ppt=", "y".repeat(4_000))),
            "438 Invalid Identity Header",
            json!("malformed"),
        ),
        // Its server shows a certificate that no authority of the web vouches for.
        (
            format!("Identity: {nowhere}\r\n"),
            "436 Bad Identity Info",
            json!("unreachable"),
        ),
    ];
    for (headers, refusal, reason) in cases {
        let (responses, record) = scene.call("strict", &headers).await;
        assert_eq!(
            statuses(&responses).last(),
            Some(&refusal),
            "{responses:#?}"
        );
        assert_eq!(record["end_reason"], "caller_unverified", "{record:#}");
        assert_eq!(
            record["sip"]["code"].to_string(),
            refusal[..3],
            "{record:#}"
        );
        assert_eq!(record["answered_at"], Value::Null, "{record:#}");
        let proof = scene.proof(&record).await;
        assert_eq!((&proof["reason"], &proof["level"]), (&reason, &Value::Null));
    }
    let (_, record) = scene.call("lenient", &forged(&good, &louder)).await;
    assert_eq!(record["sip"]["code"], 200, "noted and no more: {record:#}");
    assert_eq!(
        scene.proof(&record).await["verstat"],
        "TN-Validation-Failed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificates_server_that_never_answers_holds_up_no_ringing_and_the_verdict_half_a_second()
 {
    let scene = scene().await;
    let url = scene.shelf.url("silent");
    let value = format!("Identity: {}\r\n", scene.signer.identity(&url, &claims()));
    for (trunk, last) in [("strict", "436 Bad Identity Info"), ("lenient", "200 OK")] {
        let (responses, record) = scene.call(trunk, &value).await;
        assert_eq!(statuses(&responses).last(), Some(&last), "{responses:#?}");
        assert!(
            statuses(&responses).contains(&"180 Ringing"),
            "{responses:#?}"
        );
        assert_eq!(scene.proof(&record).await["reason"], "late");
        // The machine's own clock: ringing before anything was known, the limit, and then the answer.
        let ringing = scene.offset(&record, "ringing").await;
        let settled = scene.offset(&record, "attested").await;
        assert!(ringing + 300 < settled, "{ringing} ms, {settled} ms");
        assert!((480..3_000).contains(&settled), "{settled} ms");
    }
    assert!(scene.shelf.asked.load(Ordering::Relaxed) >= 1);
}
