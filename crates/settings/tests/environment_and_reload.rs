//! The environment lies over the file; a reload takes everything or nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::{Faults, Known, Live, Settings, load_with};

const KNOWN: Known<'static> = Known {
    codecs: &["PCMU", "PCMA"],
    language_models: &["openai", "anthropic"],
    voices: &["elevenlabs"],
    recognisers: &["deepgram"],
};

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn load(config: Option<&Path>, pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
    load_with(config, &environment(pairs), &KNOWN)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_variable_overrides_the_file_and_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(
        folder.path(),
        "sidetone.toml",
        "[http]\nbind = \"127.0.0.1:9000\"\n",
    );
    let pairs = [
        ("SIDETONE_HTTP__BIND", "127.0.0.1:9001"),
        ("SIDETONE_LIMITS__CALLS", "7"),
        ("SIDETONE_LIMITS__MAX_DURATION", "90s"),
        ("SIDETONE_NODE__NAME", "42"),
        ("SIDETONE_MODE", "all-in-one"),
        ("SIDETONE_SOMETHING", "of somebody else"),
        ("HOME", "/root"),
    ];
    let settings = load(Some(&config), &pairs).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(settings.server.http.bind, "127.0.0.1:9001".parse().unwrap());
    assert_eq!(settings.server.limits.calls, 7);
    assert_eq!(settings.server.limits.max_duration, Duration::from_secs(90));
    assert_eq!(settings.server.node.name, "42", "a text stays a text");
}

#[test]
fn a_variable_that_is_wrong_is_named_as_the_place() {
    let pairs = [
        ("SIDETONE_LIMITS__CALLS", "many"),
        ("SIDETONE_HTTP__BNID", "x"),
        ("SIDETONE_HTTP__BIND", "localhost"),
    ];
    let faults = load(None, &pairs).unwrap_err();
    let lines: Vec<String> = faults.list().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "SIDETONE_HTTP__BIND:1:1: error: expected an address and a port such as \"127.0.0.1:8080\", found \"localhost\"",
            "SIDETONE_HTTP__BNID:1:1: error: names no setting",
            "SIDETONE_LIMITS__CALLS:1:1: error: expected an integer, found a string",
        ]
    );
}

#[test]
fn secrets_come_from_the_environment_or_a_file_and_do_not_print() {
    let folder = tempfile::tempdir().unwrap();
    let key = write(folder.path(), "llm.key", "sk-from-file\n");
    let text = format!(
        "mode = \"switch\"\n[control]\nurl = \"https://office.example\"\nkey = {{ env = \"OFFICE_KEY\" }}\n[llm]\nurl = \"http://127.0.0.1:1/v1\"\nkey = {{ file = '{}' }}\n",
        key.display()
    );
    let config = write(folder.path(), "sidetone.toml", &text);
    let settings = load(Some(&config), &[("OFFICE_KEY", "sk-from-env")])
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(
        settings.server.control.key.as_ref().map(|key| key.expose()),
        Some("sk-from-env")
    );
    assert_eq!(
        settings.server.llm.key.as_ref().map(|key| key.expose()),
        Some("sk-from-file")
    );
    assert!(!format!("{settings:?}").contains("sk-from"));
    let faults = load(Some(&config), &[]).unwrap_err();
    assert!(
        faults
            .to_string()
            .contains("the environment variable OFFICE_KEY is not set")
    );
}

#[test]
fn beyond_loopback_the_node_key_must_come_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "sidetone.toml", "");
    let profile = "listen = [\"udp://0.0.0.0:5080\"]\ncontext = \"public\"\nauth = \"acl\"\n[[trunk]]\nname = \"t\"\nsources = [\"192.0.2.1\"]\n";
    write(folder.path(), "sip-profiles/external.toml", profile);
    let faults = load(Some(&config), &[]).unwrap_err();
    assert!(faults.to_string().contains("SIDETONE_NODE_KEY"), "{faults}");
    assert!(load(Some(&config), &[("SIDETONE_NODE_KEY", "k")]).is_ok());
}

#[test]
fn a_reload_with_a_fault_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let config = write(folder.path(), "sidetone.toml", "[node]\nname = \"one\"\n");
    let live = Live::new(load(Some(&config), &[]).unwrap());
    let before = live.current();

    write(folder.path(), "sidetone.toml", "[node]\nname = \"two\"\n");
    write(
        folder.path(),
        "dialplans/internal.toml",
        "context = \"internal\"\n[[route]]\ndo = [\"anwser\"]\n",
    );
    let faults = live.reload(Some(&config), &KNOWN).unwrap_err();
    assert!(
        faults.to_string().contains("unknown action `anwser`"),
        "{faults}"
    );
    assert_eq!(live.current().server.node.name, "one");

    write(
        folder.path(),
        "dialplans/internal.toml",
        "context = \"internal\"\n[[route]]\ndo = [\"answer\"]\n",
    );
    write(
        folder.path(),
        "dialplans/public.toml",
        "context = \"public\"\n",
    );
    let after = live
        .reload(Some(&config), &KNOWN)
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(after.server.node.name, "two");
    assert_eq!(live.current().server.node.name, "two");
    assert_eq!(
        before.server.node.name, "one",
        "who holds the old one keeps it"
    );
    assert_eq!(after.files.len(), 3);
}

#[test]
fn a_config_that_cannot_be_read_is_a_fault_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no.toml");
    let faults = load(Some(&missing), &[]).unwrap_err();
    assert!(
        faults
            .to_string()
            .contains("no.toml:1:1: error: cannot be read"),
        "{faults}"
    );
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
    assert!(load(Some(&binary), &[]).is_err());
    let huge = write(folder.path(), "huge.toml", &"#".repeat(2 << 20));
    assert!(
        load(Some(&huge), &[])
            .unwrap_err()
            .to_string()
            .contains("larger than")
    );
}
