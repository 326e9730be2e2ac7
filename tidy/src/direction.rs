//! Who may depend on whom, over what `cargo metadata` says: dev-dependencies are free.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};

use crate::Finding;

/// What each of the crates named may not depend on, in one step.
const DIRECT: &[(&[&str], &[&str])] = &[
    (
        &["sip-core", "media-core", "call-core"],
        &[
            "tokio",
            "ractor",
            "axum",
            "sqlx",
            "reqwest",
            "mio",
            "socket2",
            "rand",
            "getrandom",
            "hyper",
            "fastrand",
            "tokio-tungstenite",
            "libc",
            "egress",
            "settings",
            "providers",
            "local-speech",
            "media-server",
            "control-api",
            "simulator",
            "prometheus",
        ],
    ),
    (&["sip-core", "media-core"], &["model", "call-core"]),
    (
        &["audio-files"],
        &["model", "media-core", "sip-core", "call-core", "settings"],
    ),
    (&["sip-core"], &["media-core"]),
    (&["media-core"], &["sip-core"]),
    (&["call-core"], &["sip-core", "media-core"]),
    (
        &["settings"],
        &[
            "media-core",
            "sip-core",
            "tokio",
            "media-server",
            "control-api",
        ],
    ),
    (
        &["control-api"],
        &["media-server", "media-core", "sip-core", "call-core"],
    ),
    (
        &["egress", "providers", "local-speech"],
        &["media-server", "control-api"],
    ),
];

/// What each of the crates named may not depend on, however many steps away.
const TRANSITIVE: &[(&[&str], &[&str])] = &[
    (
        &["sip-core", "media-core", "call-core", "audio-files"],
        &["tokio", "mio", "socket2", "hyper", "sqlx", "reqwest"],
    ),
    (&["control-api"], &["media-server", "media-core"]),
    (&["settings"], &["media-core"]),
    (
        &["media-server", "control-api"],
        &[
            "openssl",
            "openssl-sys",
            "native-tls",
            "aws-lc-rs",
            "aws-lc-sys",
            "simulator",
        ],
    ),
];

/// Only these may name the package: the doors of the house.
const DOORS: &[(&str, &[&str])] = &[
    ("reqwest", &["egress"]),
    // Out goes through the one door; the switch is a SIP server on WebSockets (RFC 7118).
    ("tokio-tungstenite", &["egress", "media-server"]),
    ("object_store", &["egress"]),
    ("sqlx", &["control-api"]),
    ("rten", &["local-speech"]),
    ("rtc-sdp", &["sip-core"]),
    ("rtp-rs", &["media-core"]),
    ("rubato", &["media-core"]),
];

/// The only direct dependencies of `model`: data and its descriptions.
const MODEL: &[&str] = &[
    "serde",
    "serde_json",
    "schemars",
    "utoipa",
    "ulid",
    "thiserror",
];

/// Normal dependencies by name: crate → the crates it names itself.
pub type Graph = BTreeMap<String, BTreeSet<String>>;

/// The graph of the resolved workspace.
pub fn graph(metadata: &Metadata) -> Graph {
    let names: BTreeMap<_, _> = metadata
        .packages
        .iter()
        .map(|package| (&package.id, package.name.to_string()))
        .collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    let mut graph = Graph::new();
    for node in nodes {
        let normal = node.deps.iter().filter(|dep| {
            dep.dep_kinds
                .iter()
                .any(|kind| kind.kind == DependencyKind::Normal)
        });
        let deps = normal.filter_map(|dep| names.get(&dep.pkg).cloned());
        if let Some(name) = names.get(&node.id) {
            graph.entry(name.clone()).or_default().extend(deps);
        }
    }
    graph
}

/// Every broken rule of direction; `members` are our own crates.
pub fn directions(graph: &Graph, members: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (crates, banned) in DIRECT {
        for (krate, dep) in pairs(crates, banned) {
            if direct(graph, krate).contains(dep) {
                findings.push(found(krate, dep, "must not depend on it"));
            }
        }
    }
    for (crates, banned) in TRANSITIVE {
        for (krate, dep) in pairs(crates, banned) {
            if let Some(path) = path(graph, krate, dep) {
                findings.push(found(
                    krate,
                    dep,
                    &format!("reaches it: {}", path.join(" → ")),
                ));
            }
        }
    }
    findings.extend(doors(graph, members));
    let strange = direct(graph, "model")
        .iter()
        .filter(|dep| !MODEL.contains(&dep.as_str()));
    findings.extend(strange.map(|dep| found("model", dep, "holds data and does nothing")));
    findings
}

fn doors(graph: &Graph, members: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (package, allowed) in DOORS {
        for krate in members
            .iter()
            .filter(|krate| !allowed.contains(&krate.as_str()))
        {
            if direct(graph, krate).contains(*package) {
                let what = format!("only {} may", allowed.join(", "));
                findings.push(found(krate, package, &what));
            }
        }
    }
    findings
}

fn direct<'a>(graph: &'a Graph, krate: &str) -> &'a BTreeSet<String> {
    static NONE: BTreeSet<String> = BTreeSet::new();
    graph.get(krate).unwrap_or(&NONE)
}

fn pairs<'a>(
    crates: &'a [&'a str],
    banned: &'a [&'a str],
) -> impl Iterator<Item = (&'a str, &'a str)> {
    crates
        .iter()
        .flat_map(|krate| banned.iter().map(|dep| (*krate, *dep)))
}

fn found(krate: &str, dep: &str, what: &str) -> Finding {
    Finding::new("direction", format!("{krate} -> {dep}"), what)
}

/// One way from `from` to `to`, if there is any.
fn path(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<String, String> = BTreeMap::new();
    let mut open = vec![from.to_owned()];
    while let Some(krate) = open.pop() {
        for dep in direct(graph, &krate) {
            if came_from.contains_key(dep) || dep == from {
                continue;
            }
            came_from.insert(dep.clone(), krate.clone());
            open.push(dep.clone());
        }
    }
    let mut path = vec![to.to_owned()];
    while path.last().is_some_and(|step| step != from) {
        path.push(came_from.get(path.last()?)?.clone());
    }
    path.reverse();
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(edges: &[(&str, &str)]) -> Vec<String> {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph
                .entry((*from).into())
                .or_default()
                .insert((*to).into());
        }
        let members = graph.keys().cloned().collect();
        let findings = directions(&graph, &members);
        findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn each_kind_of_wrong_direction_is_found() {
        assert_eq!(check(&[("sip-core", "rand")]), ["sip-core -> rand"]);
        assert_eq!(check(&[("sip-core", "model")]), ["sip-core -> model"]);
        assert_eq!(
            check(&[("call-core", "media-core")]),
            ["call-core -> media-core"]
        );
        assert_eq!(check(&[("model", "tokio")]), ["model -> tokio"]);
        assert_eq!(check(&[("providers", "reqwest")]), ["providers -> reqwest"]);
        let far = [("media-core", "a"), ("a", "b"), ("b", "mio")];
        assert_eq!(check(&far), ["media-core -> mio"]);
        let around = [("control-api", "x"), ("x", "media-core")];
        assert_eq!(check(&around), ["control-api -> media-core"]);
        let two = check(&[("media-server", "x"), ("x", "openssl-sys")]);
        assert_eq!(two, ["media-server -> openssl-sys"]);
    }

    #[test]
    fn the_way_is_told_and_circles_end() {
        let graph: Graph = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")]
            .into_iter()
            .fold(Graph::new(), |mut graph, (from, to)| {
                graph.entry(from.into()).or_default().insert(to.into());
                graph
            });
        assert_eq!(path(&graph, "a", "c").unwrap(), ["a", "b", "c"]);
        assert_eq!(path(&graph, "c", "d"), None);
    }

    #[test]
    fn what_is_meant_to_be_is_fine() {
        let fine = [
            ("media-server", "sip-core"),
            ("media-server", "tokio"),
            ("egress", "reqwest"),
            ("call-core", "model"),
            ("control-api", "sqlx"),
            ("sip-core", "rtc-sdp"),
        ];
        assert_eq!(check(&fine), Vec::<String>::new());
    }
}
