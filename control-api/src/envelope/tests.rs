use super::*;

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW: &str = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v4=";
const PLACE: &str = "trunks.password/trk_1";

fn keys(text: &str) -> Keys {
    Keys::read(text).expect("keys")
}

#[test]
fn a_secret_opens_at_its_place_and_nowhere_else() {
    let keys = keys(OLD);
    let sealed = keys.seal(PLACE, "correct horse").unwrap();
    assert!(!sealed.contains("horse"), "{sealed}");
    assert_eq!(*keys.open(PLACE, &sealed).unwrap(), "correct horse");
    let elsewhere = keys.open("trunks.password/trk_2", &sealed);
    assert_eq!(elsewhere.unwrap_err(), EnvelopeError::Broken);
    assert_ne!(keys.seal(PLACE, "correct horse").unwrap(), sealed);
}

#[test]
fn a_changed_text_does_not_open_and_nothing_panics() {
    let keys = keys(OLD);
    let sealed = keys.seal(PLACE, "").unwrap();
    for cut in 0..sealed.len() {
        assert!(keys.open(PLACE, &sealed[..cut]).is_err(), "{cut}");
    }
    for other in [
        "",
        "e1",
        "e1.",
        "e1..",
        "e1.x.y",
        "e2.a.b",
        "e1.\u{1F600}.\u{1F600}",
    ] {
        assert!(keys.open(PLACE, other).is_err(), "{other}");
    }
    for at in 0..sealed.len() {
        let mut bytes = sealed.clone().into_bytes();
        bytes[at] ^= 1;
        if let Ok(changed) = String::from_utf8(bytes) {
            assert!(keys.open(PLACE, &changed).is_err(), "{changed}");
        }
    }
}

#[test]
fn a_new_key_seals_and_the_old_one_still_opens() {
    let before = keys(OLD).seal(PLACE, "secret").unwrap();
    let both = keys(&format!("# newest first\n{NEW}\n\n{OLD}\n"));
    assert_eq!(*both.open(PLACE, &before).unwrap(), "secret");
    let after = both.reseal(PLACE, &before).unwrap().expect("another key");
    assert_eq!(key_id(&after).unwrap(), keys(NEW).active_id());
    assert_eq!(both.reseal(PLACE, &after).unwrap(), None);
    assert_eq!(*keys(NEW).open(PLACE, &after).unwrap(), "secret");
    let missing = keys(NEW).open(PLACE, &before).unwrap_err();
    assert!(matches!(missing, EnvelopeError::UnknownKey { .. }));
}

#[test]
fn what_is_no_key_is_refused_and_no_key_is_printed() {
    assert_eq!(Keys::read("").unwrap_err(), EnvelopeError::NoKey);
    assert_eq!(Keys::read("# none").unwrap_err(), EnvelopeError::NoKey);
    for text in [
        "short",
        &OLD[1..],
        "zz112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    ] {
        assert_eq!(Keys::read(text).unwrap_err(), EnvelopeError::KeyForm);
    }
    let shown = format!("{:?} {:?}", keys(OLD), NodeSeal::of("sn_key"));
    assert!(
        !shown.contains("0011") && !shown.contains("sn_key"),
        "{shown}"
    );
}

#[test]
fn a_switch_opens_its_own_seal_only() {
    let sealed = NodeSeal::of("sn_one").seal(PLACE, "secret").unwrap();
    assert_eq!(
        *NodeSeal::of("sn_one").open(PLACE, &sealed).unwrap(),
        "secret"
    );
    assert!(NodeSeal::of("sn_two").open(PLACE, &sealed).is_err());
    assert!(NodeSeal::of("sn_one").open("elsewhere", &sealed).is_err());
}

#[test]
fn a_missing_key_file_is_made_once_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys/envelope.key");
    let source = KeySource::File(path.clone());
    let first = source.load().unwrap().active_id().to_owned();
    assert_eq!(source.load().unwrap().active_id(), first);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::write(&path, "not a key\n").unwrap();
    assert!(matches!(source.load(), Err(OfficeError::KeyFile { .. })));
}
