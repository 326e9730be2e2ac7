use sip_core::{
    digest::{Algorithm, Ha1},
    message::{Framing, Message, parse},
};

use super::*;
use crate::{clock::Clock, journal::seal, office::OfficeConfig};
use model::{ExtensionId, Snapshot, snapshot::ExtensionEntry};

const NODE_KEY: &str = "sn_key";

fn entry(tenant: u64, id: u64, domain: &str, user: &str) -> ExtensionEntry {
    let id = ExtensionId::new(id, 0);
    let place = format!("extensions.password/{id}");
    ExtensionEntry {
        id,
        tenant: TenantId::new(tenant, 0),
        domain: domain.into(),
        user: user.into(),
        display_name: String::new(),
        password: NodeSeal::of(NODE_KEY).seal(&place, "secret").unwrap(),
    }
}

fn snapshot(extensions: Vec<ExtensionEntry>) -> Snapshot {
    Snapshot {
        extensions,
        ..Snapshot::default()
    }
}

fn directory(extensions: Vec<ExtensionEntry>) -> Directory {
    Directory::of(&snapshot(extensions), NodeSeal::of(NODE_KEY))
}

#[test]
fn a_password_opens_as_what_the_digest_wants_and_strangers_have_none() {
    let directory = directory(vec![entry(1, 1, "pbx.example", "1001")]);
    let (identity, ha1) = directory
        .secret("1001", "pbx.example", Algorithm::Sha256)
        .unwrap();
    assert_eq!(identity.aor(), "1001@pbx.example");
    assert!(ha1 == Ha1::of(Algorithm::Sha256, "1001", "pbx.example", "secret"));
    assert!(
        directory
            .secret("1002", "pbx.example", Algorithm::Md5)
            .is_none()
    );
    assert!(
        directory
            .secret("1001", "other.example", Algorithm::Md5)
            .is_none()
    );
    let moved = ExtensionEntry {
        user: "1003".into(),
        id: ExtensionId::new(9, 0),
        ..entry(1, 1, "pbx.example", "1001")
    };
    let directory = self::directory(vec![moved]);
    assert!(
        directory
            .secret("1003", "pbx.example", Algorithm::Md5)
            .is_none(),
        "a copied seal"
    );
}

#[test]
fn a_bare_name_means_the_callers_own_domain_and_never_another_tenants() {
    let all = vec![
        entry(1, 1, "a.example", "1001"),
        entry(1, 2, "b.example", "1002"),
        entry(2, 3, "c.example", "1003"),
    ];
    let directory = directory(all);
    let one = Some(TenantId::new(1, 0));
    let aor = |name, tenant, domain| directory.aor(name, tenant, domain);
    assert_eq!(
        aor("1001", one, Some("a.example")).unwrap(),
        "1001@a.example"
    );
    assert_eq!(
        aor("1002", one, Some("a.example")).unwrap(),
        "1002@b.example"
    );
    assert_eq!(aor("1002@B.example", one, None).unwrap(), "1002@b.example");
    for strange in ["1003", "1003@c.example", "9999", "1001@nowhere"] {
        assert_eq!(aor(strange, one, Some("a.example")), None, "{strange}");
    }
    assert_eq!(aor("1001", None, None), None, "whose?");
    let alone = self::directory(vec![entry(1, 1, "a.example", "1001")]);
    assert_eq!(alone.aor("1001", None, None).unwrap(), "1001@a.example");
}

fn registrar(dir: &std::path::Path, extensions: Vec<ExtensionEntry>) -> Arc<Registrar> {
    let key = NodeKey::from_bytes([7; 32]);
    let office = OfficeConfig {
        base_url: "http://127.0.0.1:9".into(),
        key: NODE_KEY.into(),
        timing: crate::office::OfficeTiming::default(),
    };
    egress::tls::install();
    let egress = egress::Egress::new(egress::EgressConfig::default()).unwrap();
    let registrar = Registrar::open(Parts {
        config: RegistrarConfig::default(),
        clock: Clock::start(),
        snapshots: SnapshotKeeper::open(&dir.join("snapshot"), &key),
        office: Office::new(office, egress),
        node: NodeId::new(1, 1),
        seal: NodeSeal::of(NODE_KEY),
        file: dir.join("registrations"),
        key,
    });
    let directory = directory(extensions);
    registrar.directory.store(Arc::new(directory));
    registrar
}

fn register(registrar: &Registrar, aor: &str) {
    let text = format!(
        "REGISTER sip:pbx.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKx\r\nFrom: <sip:{aor}>;tag=1\r\n\
         To: <sip:{aor}>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nContact: <sip:x@10.0.0.5>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n"
    );
    let Ok(Message::Request(request)) = parse(&text.into(), Framing::Datagram) else {
        panic!("a request");
    };
    let flow = Flow {
        transport: Transport::Udp,
        local: "127.0.0.1:5060".parse().unwrap(),
        remote: "127.0.0.1:40000".parse().unwrap(),
        connection: 0,
    };
    let place = Place {
        aor,
        profile: "internal",
        flow,
    };
    assert_eq!(registrar.register(&place, &request).status, 200);
}

#[tokio::test]
async fn bindings_survive_a_restart_and_lie_sealed_on_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let before = registrar(dir.path(), vec![entry(1, 1, "pbx.example", "1001")]);
    register(&before, "1001@pbx.example");
    assert!(before.write());
    let bytes = std::fs::read(dir.path().join("registrations")).unwrap();
    assert!(!bytes.windows(4).any(|part| part == b"1001"));
    let after = registrar(dir.path(), vec![]);
    let [back] = &after.here("1001@pbx.example")[..] else {
        panic!("one binding");
    };
    assert_eq!(back.target.to_string(), "sip:x@10.0.0.5");
    assert_eq!(back.flow.unwrap().remote.port(), 40_000);
    assert!((290..=300).contains(&after.listing()[0].expires_s));
}

#[tokio::test]
async fn who_is_no_extension_any_more_is_not_reached() {
    let dir = tempfile::tempdir().unwrap();
    let registrar = registrar(dir.path(), vec![entry(1, 1, "pbx.example", "1001")]);
    register(&registrar, "1001@pbx.example");
    // The keeper's snapshot is empty.
    registrar.reread();
    assert!(registrar.here("1001@pbx.example").is_empty());
}

#[tokio::test]
async fn a_snapshot_that_comes_while_the_registrar_starts_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = Snapshot {
        revision: 3,
        extensions: vec![entry(1, 1, "pbx.example", "1001")],
        ..Snapshot::default()
    };
    let plain = serde_json::to_vec(&snapshot).unwrap();
    let (file, key) = (dir.path().join("snapshot"), NodeKey::from_bytes([7; 32]));
    seal::write_sealed(&file, &key, "sidetone snapshot", &plain).unwrap();
    // The keeper has it; the directory is that of a moment before.
    let registrar = registrar(dir.path(), vec![]);
    assert!(!registrar.directory().knows("1001@pbx.example"));
    let running = tokio::spawn(registrar.clone().run());
    for _ in 0..1_000 {
        if registrar.directory().knows("1001@pbx.example") {
            return running.abort();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nobody may register here until the next change");
}
