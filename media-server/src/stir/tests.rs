//! Signatures, chains and the keeping of certificates, with a carrier of our own.

use std::{
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use sip_core::shaken::Attest;
use tokio::sync::Semaphore;

use super::*;

#[path = "../../tests/rig/signer.rs"]
mod signer;

use signer::{Authority, Claims, Signer, forged};

const URL: &str = "https://certificates.example.org/1234.pem";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// The wall clock of these tests; rcgen's certificates are valid from 1975 on.
const UNIX_S: i64 = 1_790_000_000;

fn claims() -> Claims {
    Claims {
        attest: "A",
        orig: "15550100001",
        dest: "15550100002",
        iat: UNIX_S - 3,
    }
}

fn parties() -> Parties {
    Parties {
        caller: "+15550100001".to_owned(),
        called: vec!["+15550100002".to_owned()],
    }
}

fn at(seconds: u64) -> Moment {
    Moment {
        unix_s: UNIX_S,
        now: Duration::from_secs(seconds),
    }
}

fn passport(value: &str) -> Result<Passport, Failure> {
    Passport::read(&Bytes::from(value.to_owned()))
}

/// A server that counts, and answers when it is let.
#[derive(Clone)]
struct Shelf {
    asked: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
    pem: Option<String>,
    fresh_for: Option<Duration>,
}

impl Shelf {
    fn with(pem: &str) -> Self {
        Self {
            asked: Arc::default(),
            open: Arc::new(Semaphore::new(1_000)),
            pem: Some(pem.to_owned()),
            fresh_for: None,
        }
    }

    fn fetch(&self) -> Fetch {
        let shelf = self.clone();
        Arc::new(move |_url| {
            let shelf = shelf.clone();
            shelf.asked.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                let _open = shelf.open.acquire().await;
                Ok(Fetched {
                    pem: shelf.pem.clone().ok_or("nothing is there")?.into(),
                    fresh_for: shelf.fresh_for,
                })
            })
        })
    }

    fn stir(&self, root: &Authority) -> Stir {
        let roots = Roots::of(root.pem.as_bytes()).unwrap();
        Stir::of(self.fetch(), roots, DAY)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

async fn verdict(stir: &Stir, at: Moment, value: &str) -> Verdict {
    stir.verify(at, &[passport(value)], &parties()).await
}

#[tokio::test]
async fn a_call_that_its_carrier_signed_is_verified_and_its_certificate_fetched_once() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let shelf = Shelf::with(&signer.chain);
    let stir = shelf.stir(&root);
    for attest in ["A", "B", "C"] {
        let claims = Claims { attest, ..claims() };
        let value = signer.identity(URL, &claims);
        let Verdict::Verified {
            attest: found,
            orig,
            ..
        } = verdict(&stir, at(1), &value).await
        else {
            panic!("{attest} is not verified");
        };
        assert_eq!((found.letter(), orig.as_str()), (attest, "15550100001"));
    }
    assert_eq!(shelf.asked(), 1);
}

#[tokio::test]
async fn whatever_is_wrong_has_its_own_name_and_only_what_may_be_right_is_fetched() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let good = signer.identity(URL, &claims());
    let louder = Claims {
        attest: "B",
        ..claims()
    };
    let other = |orig, dest, iat| {
        let claims = Claims {
            attest: "A",
            orig,
            dest,
            iat,
        };
        signer.identity(URL, &claims)
    };
    let none = good.replacen(
        good.split('.').next().unwrap(),
        &signer::encode(&format!(
            r#"{{"alg":"none","ppt":"shaken","typ":"passport","x5u":"{URL}"}}"#
        )),
        1,
    );
    let now = UNIX_S;
    let cases = [
        (forged(&good, &louder), Failure::Signature, 1),
        (other("15550100009", "15550100002", now), Failure::Caller, 0),
        (other("15550100001", "15550100009", now), Failure::Called, 0),
        (
            other("15550100001", "15550100002", now - 61),
            Failure::Stale,
            0,
        ),
        (
            other("15550100001", "15550100002", now + 61),
            Failure::Stale,
            0,
        ),
        (none, Failure::Algorithm, 0),
        (
            format!("{good};{}", "x".repeat(5_000)),
            Failure::Malformed,
            0,
        ),
        (good.replace("https", "http"), Failure::Reference, 0),
    ];
    for (value, failure, fetches) in cases {
        let shelf = Shelf::with(&signer.chain);
        let verdict = verdict(&shelf.stir(&root), at(1), &value).await;
        assert_eq!(verdict, Verdict::Failed(failure), "{value}");
        assert_eq!(shelf.asked(), fetches, "{failure}");
    }
}

#[tokio::test]
async fn only_a_certificate_of_an_authority_that_is_believed_now_counts() {
    let (root, stranger) = (Authority::new("root"), Authority::new("stranger"));
    let ended = Signer::valid(&root, |params| {
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    });
    let early = Signer::valid(&root, |params| {
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
    });
    let authority = Signer::valid(&root, |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for signer in [Signer::new(&stranger), ended, early, authority] {
        let shelf = Shelf::with(&signer.chain);
        let value = signer.identity(URL, &claims());
        let verdict = verdict(&shelf.stir(&root), at(1), &value).await;
        assert_eq!(verdict, Verdict::Failed(Failure::Untrusted));
    }
    // Another customer of the same authority signs with his own key for this one's URL.
    let (one, other) = (Signer::new(&root), Signer::new(&root));
    let shelf = Shelf::with(&one.chain);
    let value = other.identity(URL, &claims());
    let verdict = verdict(&shelf.stir(&root), at(1), &value).await;
    assert_eq!(verdict, Verdict::Failed(Failure::Signature));
}

#[tokio::test]
async fn one_token_that_holds_is_enough_and_none_is_no_signature() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let stir = Shelf::with(&signer.chain).stir(&root);
    let good = passport(&signer.identity(URL, &claims()));
    let both = [Err(Failure::Malformed), good];
    let verdict = stir.verify(at(1), &both, &parties()).await;
    assert!(matches!(
        verdict,
        Verdict::Verified {
            attest: Attest::Full,
            ..
        }
    ));
    let failures = [Err(Failure::Malformed), Err(Failure::Algorithm)];
    let verdict = stir.verify(at(1), &failures, &parties()).await;
    assert_eq!(verdict, Verdict::Failed(Failure::Malformed));
    let verdict = stir.verify(at(1), &[], &parties()).await;
    assert_eq!(verdict, Verdict::NoSignature);
}

/// The public key of RFC 7515, Appendix A.3.1: `x` and `y` behind the mark of an uncompressed point.
struct Published(Vec<u8>);

impl Published {
    fn new() -> Self {
        let [x, y] = [
            "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        ]
        .map(|text| URL_SAFE_NO_PAD.decode(text).unwrap());
        Self([vec![4], x, y].concat())
    }
}

impl rcgen::PublicKeyData for Published {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

#[test]
fn the_published_es256_signature_holds_and_no_bit_of_it_may_differ() {
    const SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &str =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let root = Authority::new("root");
    let chain = Chain::read(root.certificate(&Published::new()).as_bytes()).unwrap();
    let roots = Roots::of(root.pem.as_bytes()).unwrap();
    let signature: [u8; 64] = URL_SAFE_NO_PAD
        .decode(SIGNATURE)
        .unwrap()
        .try_into()
        .unwrap();
    let verified = roots.verify(&chain, UNIX_S, SIGNED.as_bytes(), &signature);
    assert_eq!(verified, Ok(()));
    for bit in 0..512 {
        let mut bent = signature;
        bent[bit / 8] ^= 1 << (bit % 8);
        let verified = roots.verify(&chain, UNIX_S, SIGNED.as_bytes(), &bent);
        assert_eq!(verified, Err(Failure::Signature), "bit {bit}");
    }
}

#[test]
fn signatures_that_begin_with_zeros_are_no_exception() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let chain = Chain::read(signer.chain.as_bytes()).unwrap();
    let roots = Roots::of(root.pem.as_bytes()).unwrap();
    let mut zeros = 0;
    for n in 0..20_000_u32 {
        let text = n.to_string();
        let signature = signer.sign(text.as_bytes());
        let short = signature[0] == 0 || signature[32] == 0;
        zeros += usize::from(short);
        if short {
            let verified = roots.verify(&chain, UNIX_S, text.as_bytes(), &signature);
            assert_eq!(verified, Ok(()), "{signature:?}");
        }
        if zeros == 12 {
            return;
        }
    }
    panic!("only {zeros} short ones in 20,000");
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_wait_leaves_the_fetch_to_the_next() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let mut shelf = Shelf::with(&signer.chain);
    shelf.open = Arc::new(Semaphore::new(0));
    let stir = shelf.stir(&root);
    let value = signer.identity(URL, &claims());
    let limit = Duration::from_millis(500);
    let waited = tokio::time::timeout(limit, verdict(&stir, at(1), &value)).await;
    assert!(waited.is_err(), "there is nothing to judge by yet");
    shelf.open.add_permits(1);
    let later = verdict(&stir, at(2), &value).await;
    assert!(matches!(later, Verdict::Verified { .. }), "{later:?}");
    assert_eq!(shelf.asked(), 1, "both waited for the same");
}

#[tokio::test]
async fn what_failed_is_not_asked_for_again_for_half_a_minute() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let value = signer.identity(URL, &claims());
    for pem in [None, Some("no certificate at all".to_owned())] {
        let mut shelf = Shelf::with("");
        shelf.pem = pem;
        let stir = shelf.stir(&root);
        for (second, asked) in [(1, 1), (30, 1), (31, 2)] {
            let verdict = verdict(&stir, at(second), &value).await;
            assert_eq!(verdict, Verdict::Failed(Failure::Unreachable));
            assert_eq!(shelf.asked(), asked, "after {second} s");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_kept_as_long_as_its_server_says_within_bounds() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let value = signer.identity(URL, &claims());
    for (told, kept_s) in [
        (None, DAY.as_secs()),
        (Some(DAY * 30), DAY.as_secs()),
        (Some(Duration::from_secs(600)), 600),
        (Some(Duration::ZERO), 60),
    ] {
        let mut shelf = Shelf::with(&signer.chain);
        shelf.fresh_for = told;
        let stir = shelf.stir(&root);
        for (second, asked) in [(0, 1), (kept_s - 1, 1), (kept_s, 2)] {
            let verdict = verdict(&stir, at(second), &value).await;
            assert!(matches!(verdict, Verdict::Verified { .. }));
            assert_eq!(shelf.asked(), asked, "{told:?}, after {second} s");
        }
    }
    assert_eq!(
        max_age("public, max-age=600"),
        Some(Duration::from_secs(600))
    );
    assert_eq!(max_age("no-store"), None);
    assert_eq!(max_age("max-age=soon"), None);
}

#[tokio::test]
async fn strangers_can_make_us_keep_and_fetch_so_much_and_no_more() {
    let root = Authority::new("root");
    let shelf = Shelf::with(&Signer::new(&root).chain);
    let certificates = Certificates::new(shelf.fetch());
    let now = Duration::from_secs(1);
    for n in 0..300 {
        let chain = certificates.chain(&format!("{URL}?{n}"), now, DAY).await;
        assert!(chain.is_ok());
    }
    assert_eq!(certificates.len(), 256);
    let mut closed = Shelf::with("");
    closed.open = Arc::new(Semaphore::new(0));
    let certificates = Certificates::new(closed.fetch());
    let url = |n| format!("{URL}?{n}");
    for n in 0..16 {
        let url = url(n);
        let waiting = certificates.chain(&url, now, DAY);
        let polled = futures_util::future::poll_immediate(waiting).await;
        assert_eq!(polled, None, "{n} waits for its server");
    }
    let one_more = certificates.chain(&url(16), now, DAY).await;
    assert_eq!(one_more, Err(Failure::Unreachable));
    assert_eq!(closed.asked(), 16);
}

#[tokio::test]
async fn a_token_cannot_make_us_talk_to_our_own_network() {
    let root = Authority::new("root");
    let signer = Signer::new(&root);
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &root.pem).unwrap();
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    inside.set_nonblocking(true).unwrap();
    let stir = Stir::default();
    stir.configure(&settings::Stir {
        roots: Some(roots),
        ..settings::Stir::default()
    });
    let port = inside.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let value = signer.identity(&format!("https://{host}:{port}/c.pem"), &claims());
        let verdict = verdict(&stir, at(1), &value).await;
        assert_eq!(verdict, Verdict::Failed(Failure::Unreachable), "{host}");
        assert!(inside.accept().is_err(), "{host}: nobody may have come");
    }
}
