//! Twenty-odd broken configurations: every fault is found, with file, line, column and wording.
//!
//! Each folder of `broken/` holds a configuration and its `expected`: one line for each fault,
//! errors before warnings. `UPDATE_BROKEN=1` writes them anew; read the difference before you commit it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use settings::{Faults, Known, load_with};

const KNOWN: Known<'static> = Known {
    codecs: &["PCMU", "PCMA"],
    language_models: &["openai", "anthropic"],
    voices: &["elevenlabs"],
    recognisers: &["deepgram"],
};

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    folders
}

fn load(folder: &Path) -> Faults {
    let config = folder.join("sidetone.toml");
    match load_with(Some(&config), &BTreeMap::new(), &KNOWN) {
        Ok(_) => panic!("{} is taken", folder.display()),
        Err(faults) => faults,
    }
}

/// Faults as lines, without the way to the folder.
fn lines(folder: &Path, faults: &Faults) -> String {
    let prefix = format!("{}/", folder.display());
    let lines = faults
        .list()
        .iter()
        .map(|fault| fault.to_string().replace(&prefix, "") + "\n");
    lines.collect()
}

#[test]
fn every_fault_is_found_with_its_place() {
    let folders = folders();
    assert!(folders.len() >= 20);
    for folder in folders {
        let expected = folder.join("expected");
        let found = lines(&folder, &load(&folder));
        if settings::variable("UPDATE_BROKEN").is_some() {
            std::fs::write(&expected, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(found, expected, "{}", folder.display());
        assert!(found.contains(": error: "), "{}", folder.display());
    }
}

#[test]
fn the_report_shows_the_line_and_points_at_the_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken/01-unknown-key");
    let report = load(&folder).to_string();
    let shown = "  |\n4 | bnd = \"127.0.0.1:8080\"\n  | ^^^\n  hint: did you mean `bind`?\n";
    assert!(report.contains(shown.trim_start_matches(' ')), "{report}");
    assert!(report.ends_with("2 errors, 0 warnings"), "{report}");
}

#[test]
fn secrets_do_not_show_in_a_report() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken/06-not-available-yet");
    let report = load(&folder).to_string();
    assert!(
        report.contains("password = \"***************\""),
        "{report}"
    );
    assert!(!report.contains("do-not-print-me"), "{report}");
}

#[test]
fn names_from_elsewhere_get_a_hint() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken/07-freeswitch-names");
    let faults = load(&folder);
    let errors: Vec<_> = faults
        .list()
        .iter()
        .filter(|fault| fault.is_error())
        .collect();
    assert!(errors.len() >= 6, "{faults}");
    for fault in errors {
        let hint = fault.hint.as_deref().unwrap_or_default();
        assert!(
            !hint.is_empty() || fault.message.contains("missing"),
            "{}",
            fault.render()
        );
    }
}
