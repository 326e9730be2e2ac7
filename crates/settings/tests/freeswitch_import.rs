//! A folder in the shape of a stock FreeSWITCH configuration: what is carried over passes our own
//! check and means the same, and the rest is listed with its place.

use std::path::{Path, PathBuf};

use settings::{Known, import};

const CODECS: [&str; 3] = ["PCMU", "PCMA", "G722"];

fn stock() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/freeswitch")
}

struct Imported {
    into: tempfile::TempDir,
    report: import::Report,
}

impl Imported {
    fn from(folder: &Path) -> Self {
        let into = tempfile::tempdir().unwrap();
        let known = Known {
            codecs: &CODECS,
            language_models: &["openai"],
            voices: &["elevenlabs"],
            recognisers: &["deepgram"],
        };
        let report = import::freeswitch(folder, into.path(), &known).unwrap();
        Self { into, report }
    }

    fn text(&self, file: &str) -> String {
        std::fs::read_to_string(self.into.path().join(file)).unwrap()
    }

    fn left(&self, file: &str, what: &str) -> &import::NotCarried {
        let mut found = self.report.not_carried.iter();
        let mine =
            |one: &&import::NotCarried| one.file == Path::new(file) && one.what.starts_with(what);
        found
            .find(mine)
            .unwrap_or_else(|| panic!("no '{what}' of {file} in\n{}", self.report))
    }
}

#[test]
fn what_is_carried_passes_the_check() {
    let imported = Imported::from(&stock());
    let known = Known {
        codecs: &CODECS,
        language_models: &["openai"],
        voices: &["elevenlabs"],
        recognisers: &["deepgram"],
    };
    let config = imported.into.path().join("sidetone.toml");
    let settings =
        settings::load(Some(&config), &known).unwrap_or_else(|faults| panic!("{faults}"));
    let mut names: Vec<&str> = settings.profiles.iter().map(|p| p.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["external", "internal"]);
    assert!(imported.report.carried >= 8, "{}", imported.report);
}

#[test]
fn a_profile_keeps_what_has_a_counterpart() {
    let imported = Imported::from(&stock());
    let internal = imported.text("sip-profiles/internal.toml");
    for line in [
        "listen = [\"udp://127.0.0.1:5060\", \"tcp://127.0.0.1:5060\"]",
        "context = \"internal\"",
        "external_ip = \"203.0.113.20\"",
        "codecs = [\"G722\", \"PCMU\", \"PCMA\"]",
        "negotiation = \"local\"",
        "dtmf = \"info\"",
        "rtp = { timeout = \"60s\", hold_timeout = \"900s\" }",
    ] {
        assert!(internal.contains(line), "no {line} in\n{internal}");
    }
    let external = imported.text("sip-profiles/external.toml");
    assert!(
        external.contains("listen = [\"udp://127.0.0.1:5080\"]"),
        "{external}"
    );
    assert!(external.contains("proxy = \"192.0.2.33\""), "{external}");
    assert!(
        external.contains("sources = [\"192.0.2.33/32\"]"),
        "{external}"
    );
    assert!(external.contains("ping = \"25s\""), "{external}");
    let profile = "sip_profiles/internal.xml";
    assert_eq!(imported.left(profile, "param auth-calls").line, 22);
    assert!(
        imported
            .left(profile, "param inbound-codec-prefs")
            .why
            .contains("OPUS")
    );
    assert!(
        imported
            .left(profile, "param ext-rtp-ip")
            .why
            .contains("external_ip")
    );
    assert!(
        imported
            .left(profile, "param sip-ip")
            .why
            .contains("loopback")
    );
    imported.left(profile, "param ws-binding");
}

#[test]
fn no_secret_leaves_the_file_it_stands_in() {
    let imported = Imported::from(&stock());
    let carrier = "sip_profiles/external/carrier.xml";
    assert_eq!(
        imported
            .left(carrier, "gateway carrier, param password")
            .line,
        4
    );
    imported.left(carrier, "gateway not a name");
    let mut files = vec![imported.into.path().to_path_buf()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("opensesame"), "{}", path.display());
        }
    }
}

#[test]
fn routes_mean_what_the_extensions_meant() {
    let imported = Imported::from(&stock());
    let plan = imported.text("dialplans/internal.toml") + &imported.text("dialplans/public.toml");
    for line in [
        "when = { to = \"9196\" }\ndo = [\"answer\", \"echo\"]",
        "when = { to = \"9198\" }\ndo = [{ hangup = \"busy\" }]",
        "when = { from = \"anonymous.*\", to_contains = \"555\" }\ndo = [{ respond = 603 }]",
        "continue = true\nwhen = { header = { \"X-Campaign\" = \"spring\" } }\ndo = [\"early_media\", { play = \"welcome.wav\" }]",
    ] {
        assert!(
            plan.contains(line),
            "no {line} in\n{plan}\n{}",
            imported.report
        );
    }
    // What another file includes stands where it is included.
    let first = plan.find("\"echo\"").unwrap();
    let last = plan.find("\"busy_line\"").unwrap();
    assert!(first < last);
}

#[test]
fn what_would_do_something_else_stays_behind_with_its_place() {
    let imported = Imported::from(&stock());
    let default = "dialplan/default.xml";
    for (file, what, line, why) in [
        (default, "extension unloop", 5, "the field"),
        (default, "extension holiday_hours", 11, "a time of day"),
        (default, "extension voicemail", 33, "|"),
        (
            "dialplan/default/01_outbound.xml",
            "extension looks behind",
            9,
            "linear time",
        ),
        (
            "dialplan/public.xml",
            "extension check_auth",
            4,
            "does not hold",
        ),
        ("dialplan/public.xml", "extension music", 22, "local_stream"),
        (
            "dialplan/public/00_inbound_did.xml",
            "extension public_did",
            5,
            "transfer",
        ),
        ("dialplan/skinny.xml", "file", 2, "attribute"),
    ] {
        let left = imported.left(file, what);
        assert_eq!(left.line, line, "{left:?}");
        assert!(left.why.contains(why), "{left:?}");
    }
    let listed = imported.text("not-carried.md");
    assert!(
        listed.contains("- `dialplan/public.xml:22` extension music: "),
        "{listed}"
    );
}

#[test]
fn a_folder_without_a_profile_is_an_error() {
    let into = tempfile::tempdir().unwrap();
    let known = Known {
        codecs: &CODECS,
        language_models: &["openai"],
        voices: &["elevenlabs"],
        recognisers: &["deepgram"],
    };
    let gone = into.path().join("gone");
    let error = import::freeswitch(&gone, into.path(), &known).unwrap_err();
    assert!(error.to_string().contains("gone"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    let error = import::freeswitch(empty.path(), into.path(), &known).unwrap_err();
    assert!(error.to_string().contains("no SIP profile"), "{error}");
}

/// Broken XML, a thousand ways: an answer each time, and never a panic.
#[test]
fn mutilated_files_are_told_and_break_nothing() {
    let names = [
        "vars.xml",
        "sip_profiles/internal.xml",
        "dialplan/default.xml",
    ];
    let mut seed = 7_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below.max(1) as u64) as usize
    };
    let known = Known {
        codecs: &CODECS,
        language_models: &["openai"],
        voices: &["elevenlabs"],
        recognisers: &["deepgram"],
    };
    for _ in 0..300 {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let mut bytes = std::fs::read(stock().join(name)).unwrap();
            for _ in 0..random(4) {
                let at = random(bytes.len());
                match random(3) {
                    0 => bytes.truncate(at),
                    1 => drop(bytes.splice(at..at, *b"<\"&>")),
                    _ => bytes[at] = b"<>\"'/= ${}()[]|\\"[random(16)],
                }
                if bytes.is_empty() {
                    break;
                }
            }
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let into = tempfile::tempdir().unwrap();
        match import::freeswitch(folder.path(), into.path(), &known) {
            Ok(_) | Err(import::ImportError::Nothing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
