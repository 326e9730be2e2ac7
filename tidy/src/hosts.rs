//! No committed file names the mirror that somebody's machine installs from.

use crate::{Finding, workspace::Workspace};

/// Files that configure a package client and belong to a machine, not to a repository.
const MACHINE_FILES: &[&str] = &[".npmrc", "pip.conf", ".pypirc", ".netrc", "sources.list"];
/// Settings that point a package client somewhere.
const SETTINGS: &[&str] = &[
    "index-url",
    "index_url",
    "replace-with",
    "[registries.",
    "[source.",
];
/// Words in the name of a host that serves packages.
const WORDS: &[&str] = &[
    "artifactory",
    "jfrog",
    "nexus",
    "mirror",
    "registry",
    "packages",
];
/// The public ones.
const PUBLIC: &[&str] = &[concat!("registry.npm", "js.org")];

/// Files and lines that name one.
pub fn mirrors(workspace: &Workspace) -> Vec<Finding> {
    let ours = |path: &&String| !path.starts_with("tidy/src/");
    let mut findings = Vec::new();
    for path in workspace.paths.iter().filter(ours) {
        findings.extend(machine_file(path));
        let text = workspace.text(path).unwrap_or_default();
        findings.extend(lines(path, &text));
    }
    findings
}

fn machine_file(path: &str) -> Option<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let cargo = path.starts_with(".cargo/config") || path.contains("/.cargo/config");
    (cargo || MACHINE_FILES.contains(&name))
        .then(|| Finding::new("hosts", path, "configures a machine's package client"))
}

fn lines(path: &str, text: &str) -> Vec<Finding> {
    let suspicious = text.lines().enumerate().filter(|(_, line)| {
        SETTINGS.iter().any(|setting| line.contains(setting)) || hosts(line).any(is_mirror)
    });
    suspicious
        .map(|(at, _)| {
            let place = format!("{path}:{}", at + 1);
            Finding::new("hosts", place, "names where packages come from")
        })
        .collect()
}

fn hosts(line: &str) -> impl Iterator<Item = &str> {
    let urls = line.split("://").skip(1);
    urls.map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || "-.@:_".contains(c)));
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn is_mirror(host: &str) -> bool {
    !PUBLIC.contains(&host) && WORDS.iter().any(|word| host.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_and_client_settings_are_found() {
        for bad in [
            "curl https://artifactory.example.org/npm/x.tgz",
            "pip install --index-url https://example.org/simple x",
            "replace-with = \"inside\"",
            "url = \"sparse+https://u:p@cargo-mirror.example.org/index\"",
        ] {
            assert_eq!(lines("x", bad).len(), 1, "{bad}");
        }
        for path in [".cargo/config.toml", "web/.npmrc", "scripts/pip.conf"] {
            assert!(machine_file(path).is_some(), "{path}");
        }
    }

    #[test]
    fn ordinary_addresses_are_fine() {
        for good in [
            "see https://docs.rs/tokio",
            "http://127.0.0.1:8080/v1",
            "the registry of calls",
        ] {
            assert_eq!(lines("x", good), [], "{good}");
        }
        assert_eq!(machine_file("crates/model/Cargo.toml"), None);
    }
}
