//! Manifests: every crate takes the workspace's lints, every core has its own `clippy.toml`, and
//! the lock file knows one registry.

use crate::Finding;

/// Crates whose `clippy.toml` bans clocks, randomness and tasks.
const CORES: &[&str] = &["crates/sip-core", "crates/media-core", "crates/call-core"];
/// What such a file has to ban at least.
const BANNED: &[&str] = &["std::time::Instant::now", "std::time::SystemTime::now"];

/// A manifest without `[lints] workspace = true`.
pub fn lints(path: &str, manifest: &str) -> Vec<Finding> {
    let parsed: Result<toml::Table, _> = toml::from_str(manifest);
    let Ok(table) = parsed else {
        return vec![Finding::new("manifest", path, "is not TOML")];
    };
    let is_virtual = table.contains_key("workspace") && !table.contains_key("package");
    let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
    if is_virtual || lints.and_then(toml::Value::as_bool) == Some(true) {
        return Vec::new();
    }
    vec![Finding::new(
        "manifest",
        path,
        "lacks [lints] workspace = true",
    )]
}

/// Cores whose lint file is missing or lets a clock in; `read` gives a file's text.
pub fn core_lints(read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for core in CORES {
        let path = format!("{core}/clippy.toml");
        let text = read(&path).unwrap_or_default();
        for banned in BANNED.iter().filter(|banned| !text.contains(*banned)) {
            findings.push(Finding::new(
                "manifest",
                &path,
                format!("does not ban {banned}"),
            ));
        }
    }
    findings
}

/// How the lock file names the public registry (in two halves: no file of ours names the host).
const REGISTRY: &str = concat!(
    "source = \"registry+https://github.com/rust-lang/crates",
    ".io-index\""
);

/// Packages in the lock file that come from anywhere else than the public registry.
pub fn sources(lock: &str) -> Vec<Finding> {
    let strange = lock
        .lines()
        .filter(|line| line.starts_with("source = ") && *line != REGISTRY);
    strange
        .map(|line| Finding::new("manifest", "Cargo.lock", format!("has {line}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_does_not_take_the_lints_is_found() {
        let package = "[package]\nname = 'a'\n";
        assert_eq!(lints("a/Cargo.toml", package).len(), 1);
        let off = format!("{package}[lints]\nworkspace = false\n");
        assert_eq!(lints("a/Cargo.toml", &off).len(), 1);
        let on = format!("{package}[lints]\nworkspace = true\n");
        assert_eq!(lints("a/Cargo.toml", &on), []);
        assert_eq!(lints("Cargo.toml", "[workspace]\nmembers = []\n"), []);
        assert_eq!(lints("a/Cargo.toml", "[package\n").len(), 1);
    }

    #[test]
    fn a_core_that_lets_a_clock_in_is_found() {
        let all = BANNED.join(" ");
        assert_eq!(core_lints(|_| Some(all.clone())), []);
        assert_eq!(
            core_lints(|path| (!path.contains("media")).then(|| all.clone())).len(),
            2
        );
    }

    #[test]
    fn a_strange_source_in_the_lock_file_is_found() {
        assert_eq!(sources(REGISTRY), []);
        assert_eq!(sources("source = \"git+https://example.org/x\"\n").len(), 1);
    }
}
