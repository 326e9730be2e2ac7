//! A third-party protocol package is named in one file, so that it can be replaced in one file.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};

use crate::{
    Finding,
    workspace::{Purpose, Source},
};

/// Package, as Rust names it, and the one product file that may name it.
pub const HOMES: &[(&str, &str)] = &[
    ("rtc_sdp", "crates/sip-core/src/sdp.rs"),
    ("rtp_rs", "crates/media-core/src/rtp.rs"),
    ("opus", "crates/media-core/src/codec/libopus.rs"),
    // Packets of a call there; files here, which the office makes too and must not pull the sound of calls in for.
    ("opus", "crates/audio-files/src/ogg_opus.rs"),
    ("rtc_srtp", "crates/media-core/src/srtp.rs"),
    ("rtc_rtp", "crates/media-core/src/srtp.rs"),
    ("rubato", "crates/media-core/src/resample.rs"),
    ("rten", "crates/local-speech/src/graph.rs"),
    ("rten_tensor", "crates/local-speech/src/graph.rs"),
    ("flite_rs", "crates/local-speech/src/voices/kal.rs"),
    ("reqwest", "crates/egress/src/http.rs"),
    ("object_store", "crates/egress/src/objects.rs"),
    ("tokio_tungstenite", "crates/egress/src/websocket.rs"),
    // The door out is a client; SIP over WebSockets is a server on sockets of the switch.
    ("tokio_tungstenite", "media-server/src/wire/websocket.rs"),
    ("tokio_rustls", "media-server/src/wire/tls.rs"),
    ("rustls_native_certs", "media-server/src/wire/tls.rs"),
    ("webpki", "media-server/src/stir/chain.rs"),
    ("hickory_resolver", "media-server/src/next_hop/names.rs"),
    ("prometheus", "media-server/src/metrics.rs"),
    ("socket2", "media-server/src/wire/udp.rs"),
    ("mio", "media-server/src/media/rtcp.rs"),
    ("hmac", "media-server/src/journal/seal.rs"),
    ("md5", "crates/sip-core/src/digest.rs"),
    ("regex", "crates/call-core/src/dialplan/pattern.rs"),
];

/// Packages of this kind that nobody uses yet: whoever is first adds a line above.
const WATCHED: &[&str] = &[
    "rtc",
    "rtc_rtcp",
    "rsip",
    "webrtc_vad",
    "earshot",
    "sonora",
    "str0m",
    "rmcp",
    "hyper",
    "hyper_util",
    "ureq",
    "isahc",
    "native_tls",
    "openssl",
];

/// Uses outside a package's home, homes that do not use theirs, and packages without a home.
pub fn homes<'a>(
    sources: impl Iterator<Item = &'a Source>,
    table: &[(&'static str, &'static str)],
) -> Vec<Finding> {
    let mut used: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for source in sources.filter(|source| source.purpose == Purpose::Product) {
        for name in named(source) {
            used.entry(name).or_default().insert(&source.path);
        }
    }
    let mut findings = Vec::new();
    for (package, home) in table {
        let files = used.get(*package).cloned().unwrap_or_default();
        if !files.contains(home) {
            let what = format!("does not use {package} any more: correct the table");
            findings.push(Finding::new("package-home", *home, what));
        }
        let is_home = |file: &&&str| table.contains(&(*package, *file));
        let first = table.iter().find(|(other, _)| other == package);
        let strays = files.iter().filter(|file| !is_home(file));
        for file in strays.filter(|_| first == Some(&(*package, *home))) {
            let what = format!("names {package}, whose home is {home}");
            findings.push(Finding::new("package-home", *file, what));
        }
    }
    for package in WATCHED {
        for file in used.get(*package).into_iter().flatten() {
            let what = format!("names {package}, which has no home: add one to the table");
            findings.push(Finding::new("package-home", *file, what));
        }
    }
    findings
}

/// The names that stand before `::`, or alone in a `use`, anywhere in a source.
fn named(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if let Ok(tokens) = source.text.parse::<TokenStream>() {
        collect(tokens, &mut names);
    }
    names
}

fn collect(tokens: TokenStream, names: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let colon =
        |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Ident(name) => {
                let heads_path = colon(at + 1) && colon(at + 2);
                // `crate::rtp` and `self::opus` are ours; so is what follows any other `::`.
                let inside_path = at >= 3
                    && colon(at - 1)
                    && colon(at - 2)
                    && matches!(&tokens[at - 3], TokenTree::Ident(_));
                let used = at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(w) if w == "use");
                if (heads_path && !inside_path) || used {
                    names.insert(name.to_string());
                }
            }
            TokenTree::Group(group) => collect(group.stream(), names),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, &str)] = &[("rtp_rs", "media/src/rtp.rs")];

    fn check(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        let findings = homes(sources.iter(), TABLE);
        findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn a_package_named_outside_its_home_is_found() {
        let home = ("media/src/rtp.rs", "use rtp_rs::RtpReader;");
        assert_eq!(check(&[home]), Vec::<String>::new());
        let inside_a_macro = ("a.rs", "fn f() { let x = vec![::rtp_rs::Seq::from(1)]; }");
        let in_a_signature = ("b.rs", "fn f(x: rtp_rs::Seq) {}");
        assert_eq!(
            check(&[home, inside_a_macro, in_a_signature]),
            ["a.rs", "b.rs"]
        );
        assert_eq!(check(&[home, ("c.rs", "use rtp_rs as wire;")]), ["c.rs"]);
    }

    #[test]
    fn a_home_that_lost_its_package_and_a_package_without_home_are_found() {
        assert_eq!(check(&[("media/src/rtp.rs", "")]), ["media/src/rtp.rs"]);
        let home = ("media/src/rtp.rs", "use rtp_rs::RtpReader;");
        assert_eq!(check(&[home, ("d.rs", "use earshot::Detector;")]), ["d.rs"]);
    }

    #[test]
    fn comments_own_modules_and_tests_are_no_use() {
        let home = ("media/src/rtp.rs", "use rtp_rs::RtpReader;");
        let fine = [
            home,
            ("e.rs", "// rtp_rs::Seq\nfn f() { \"rtp_rs::Seq\"; }"),
            ("f.rs", "use crate::opus::Frame;"),
            ("g/tests/wire.rs", "use rtp_rs::RtpReader;"),
        ];
        assert_eq!(check(&fine), Vec::<String>::new());
    }
}
