//! Without any file, and with the files that the product ships.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use call_core::dialplan::Question;
use settings::{Auth, Known, Mode, Settings, Transport, load_with};

const KNOWN: Known<'static> = Known {
    codecs: &["PCMU", "PCMA"],
    language_models: &["openai", "anthropic"],
    voices: &["elevenlabs"],
    recognisers: &["deepgram"],
};

fn load(config: Option<&Path>) -> Settings {
    load_with(config, &BTreeMap::new(), &KNOWN).unwrap_or_else(|faults| panic!("{faults}"))
}

fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn story(settings: &Settings, to: &str) -> String {
    let question = Question {
        to: to.to_owned(),
        from: "2000".to_owned(),
        profile: "internal".to_owned(),
        context: "internal".to_owned(),
        trunk: None,
        headers: Vec::new(),
        at: jiff::Timestamp::UNIX_EPOCH,
        bound: None,
    };
    settings.dialplans.simulate(&question).to_string()
}

#[test]
fn without_files_everything_stands_on_loopback() {
    let settings = load(None);
    assert_eq!(settings.server.mode, Mode::AllInOne);
    assert_eq!(settings.server.http.bind, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(settings.server.ops.bind, "127.0.0.1:9464".parse().unwrap());
    assert_eq!(settings.server.http.database, "sqlite://data/sidetone.db");
    assert_eq!(
        settings.server.limits.max_duration,
        Duration::from_secs(4 * 3600)
    );
    assert_eq!(settings.server.journal.dir, Path::new("data/journal"));
    let names: Vec<&str> = settings
        .profiles
        .iter()
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(names, ["external", "internal"]);
    assert_eq!(settings.profiles[1].auth, Auth::Digest);
    for (profile, port) in settings.profiles.iter().zip([5080, 5060]) {
        assert!(profile.is_loopback());
        assert_eq!(
            (profile.rtp.first_port, profile.rtp.last_port),
            (16384, 32767)
        );
        let transports: Vec<Transport> = profile
            .listen
            .iter()
            .map(|listen| listen.transport)
            .collect();
        assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
        assert!(
            profile
                .listen
                .iter()
                .all(|listen| listen.addr.port() == port)
        );
    }
    assert!(
        settings.warnings.is_empty() && settings.files.is_empty(),
        "{:?}",
        settings.warnings
    );
}

#[test]
fn the_eight_names_work_by_default_and_under_load() {
    for settings in [load(None), load(Some(&root("loadtest/server.toml")))] {
        let op = |to: &str| story(&settings, to);
        assert!(op("echo").contains("echo"), "{}", op("echo"));
        assert!(op("tone").contains("tone 1000 Hz"));
        assert!(op("play").contains("again and again"));
        assert!(op("agent").contains("agent demo/receptionist"));
        assert!(op("listen").contains("listen (mute, transcribed)"));
        assert!(op("stub").contains("stub (a separate agent process)"));
        assert!(op("stub-local").contains("stub_local"));
        assert!(op("bridge").contains("bridge to sip:echo@127.0.0.1:5990"));
        assert!(op("nobody").contains("404"));
    }
}

#[test]
fn the_config_of_measurements_is_as_promised() {
    let settings = load(Some(&root("loadtest/server.toml")));
    assert_eq!(settings.server.mode, Mode::AllInOne);
    assert!(
        settings.server.data.dir.is_absolute()
            && settings.server.data.dir.starts_with(std::env::temp_dir())
    );
    assert_eq!(
        settings.server.data.admin_key_file,
        Path::new("data/admin.key")
    );
    assert_eq!(
        settings.server.loadtest.stub,
        Some("127.0.0.1:9092".parse().unwrap())
    );
    assert_eq!(
        (settings.server.limits.calls, settings.server.limits.cps),
        (0, 0)
    );
    let [profile] = settings.profiles.as_slice() else {
        panic!("{:?}", settings.profiles)
    };
    assert_eq!(
        (profile.name.as_str(), profile.auth),
        ("internal", Auth::None)
    );
    let listen: Vec<String> = profile.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"]);
    assert_eq!(
        (profile.rtp.first_port, profile.rtp.last_port),
        (20000, 32767)
    );
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
}

#[test]
fn the_most_specific_trunk_takes_a_source() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = write("sidetone.toml", "");
    write(
        "sip-profiles/external.toml",
        "listen = [\"udp://127.0.0.1:5080\"]\ncontext = \"public\"\nauth = \"acl\"\n\
         [[trunk]]\nname = \"wide\"\nsources = [\"10.0.0.0/8\"]\n[[trunk]]\nname = \"narrow\"\nsources = [\"10.1.0.0/16\"]\n",
    );
    let settings = load(Some(&config));
    let of = |ip: &str| {
        settings.profiles[0]
            .trunk_of(ip.parse::<IpAddr>().unwrap())
            .map(|trunk| trunk.name.as_str())
    };
    assert_eq!(of("10.2.0.1"), Some("wide"));
    assert_eq!(of("10.1.0.1"), Some("narrow"));
    assert_eq!(of("11.0.0.1"), None);
}

#[test]
fn a_trunk_takes_from_its_carrier_what_it_does_not_say() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("sip-profiles")).unwrap();
    let profile = "listen = [\"udp://127.0.0.1:5080\"]\ncontext = \"public\"\n\
        [[trunk]]\nname = \"one\"\ncarrier = \"twilio\"\nheaders = { X-Twilio-AccountSid = \"AC1\" }\n\
        [[trunk]]\nname = \"two\"\ncarrier = \"flowroute\"\nsources = [\"192.0.2.40/32\"]\ncountry = \"US\"\n\
        numbers = { out = \"e164\", template = \"12345678*{number}\" }\n";
    std::fs::write(dir.path().join("sip-profiles/external.toml"), profile).unwrap();
    let config = dir.path().join("sidetone.toml");
    std::fs::write(&config, "").unwrap();
    let known = Known {
        codecs: &["PCMU", "PCMA"],
        language_models: &["openai", "anthropic"],
        voices: &["elevenlabs"],
        recognisers: &["deepgram"],
    };
    let settings =
        load_with(Some(&config), &BTreeMap::new(), &known).unwrap_or_else(|f| panic!("{f}"));
    let trunks = &settings.profiles[0].trunks;
    assert!(trunks[0].sources[0].contains("54.172.60.1".parse().unwrap()));
    assert_eq!(
        trunks[0].pace.as_ref().map(|pace| pace.cps),
        Some(1),
        "one call a second"
    );
    assert_eq!(trunks[0].ping, None, "nobody to ask");
    let plan = trunks[1].number_plan();
    assert_eq!(plan.written("+12065550100"), "12345678*12065550100");
    assert_eq!(trunks[1].identity_out, Some(settings::IdentityOut::Pai));
    assert!(
        settings
            .warnings
            .iter()
            .any(|w| w.message.contains("flowroute")),
        "{:?}",
        settings.warnings
    );
    assert!(
        !settings
            .warnings
            .iter()
            .any(|w| w.message.contains("twilio")),
        "told apart by account"
    );
    assert!(settings.carriers.len() >= 8);
}
