//! The repository as the rules see it: its files, and its Rust sources parsed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use syn::Attribute;

/// Folders that are not ours, or not source.
const SKIPPED: &[&str] = &[".git", "target", "models", "data", "node_modules"];
/// Larger files are data.
const LARGEST_TEXT: u64 = 2 << 20;

/// What a source is for; the bars of size and style are for product code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It ships, or could.
    Product,
    /// It proves something.
    Test,
}

/// One Rust file.
pub struct Source {
    /// From the root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// What it is for.
    pub purpose: Purpose,
}

impl Source {
    /// `text` as if it stood at `path`.
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            purpose: purpose(path),
        }
    }

    /// Its items; none when it does not parse (then it does not compile either).
    pub fn file(&self) -> Option<syn::File> {
        syn::parse_file(&self.text).ok()
    }

    /// The first folder or two: `crates/model`, `media-server`.
    pub fn krate(&self) -> &str {
        let depth = if self.path.starts_with("crates/") {
            2
        } else {
            1
        };
        let mut ends = self.path.match_indices('/').map(|(at, _)| at);
        ends.nth(depth - 1)
            .map_or(&self.path, |end| &self.path[..end])
    }
}

/// Everything that the rules look at.
pub struct Workspace {
    /// The root folder.
    pub root: PathBuf,
    /// All files, from the root, with `/`, sorted.
    pub paths: Vec<String>,
    /// The Rust files among them.
    pub sources: Vec<Source>,
}

impl Workspace {
    /// Reads the repository at `root`.
    pub fn load(root: &Path) -> anyhow::Result<Self> {
        let mut paths = Vec::new();
        walk(root, root, &mut paths)?;
        paths.sort();
        let mut sources = Vec::new();
        for path in paths.iter().filter(|path| path.ends_with(".rs")) {
            let text = fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
            sources.push(Source::new(path, &text));
        }
        let mut workspace = Self {
            root: root.to_path_buf(),
            paths,
            sources,
        };
        workspace.mark_test_modules();
        Ok(workspace)
    }

    /// The sources that ship.
    pub fn product(&self) -> impl Iterator<Item = &Source> {
        self.sources
            .iter()
            .filter(|source| source.purpose == Purpose::Product)
    }

    /// The text of a file that is text; none for sound, pictures and other data.
    pub fn text(&self, path: &str) -> Option<String> {
        let whole = self.root.join(path);
        let size = fs::metadata(&whole).ok()?.len();
        (size <= LARGEST_TEXT)
            .then(|| fs::read_to_string(whole).ok())
            .flatten()
    }

    /// Files of modules that are declared under `#[cfg(test)]` are tests, wherever they lie.
    fn mark_test_modules(&mut self) {
        let stems: BTreeSet<String> = self.sources.iter().flat_map(test_modules).collect();
        for source in &mut self.sources {
            let path = source.path.trim_end_matches(".rs");
            let mut stem = path.to_owned();
            while !stem.is_empty() {
                if stems.contains(&stem) {
                    source.purpose = Purpose::Test;
                }
                stem = stem.rsplit_once('/').map_or("", |(up, _)| up).to_owned();
            }
        }
    }
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            walk(root, &path, paths)?;
        } else if kind.is_file() {
            let inside = path.strip_prefix(root)?;
            paths.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

fn purpose(path: &str) -> Purpose {
    let test = path
        .split('/')
        .any(|part| matches!(part, "tests" | "benches" | "fuzz" | "tests.rs"));
    if test {
        Purpose::Test
    } else {
        Purpose::Product
    }
}

/// Where the modules that `source` declares under `#[cfg(test)]` lie, without `.rs`.
fn test_modules(source: &Source) -> Vec<String> {
    let stem = source.path.trim_end_matches(".rs");
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let home = if matches!(name, "lib" | "main") {
        folder
    } else {
        stem
    };
    let mut modules = Vec::new();
    let mut under_test = false;
    for line in source.text.lines().map(str::trim) {
        let module = line
            .strip_prefix("mod ")
            .and_then(|rest| rest.strip_suffix(';'));
        if let Some(name) = module.filter(|_| under_test) {
            modules.push(format!("{home}/{name}"));
        }
        under_test = line == "#[cfg(test)]" || (under_test && line.starts_with("#["));
    }
    modules
}

/// Whether an item is only there for tests: `#[test]`, `#[tokio::test]`, `#[cfg(test)]`.
pub fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last();
        match &attribute.meta {
            syn::Meta::List(list) if attribute.path().is_ident("cfg") => {
                list.tokens
                    .to_string()
                    .split(|c: char| !c.is_alphanumeric())
                    .any(|word| word == "test")
                    && !list.tokens.to_string().starts_with("not")
            }
            _ => last.is_some_and(|segment| segment.ident == "test"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_product_code() {
        for (path, wanted) in [
            ("crates/model/src/fact.rs", Purpose::Product),
            ("crates/model/src/fact/tests.rs", Purpose::Test),
            ("media-server/tests/wire_sipp.rs", Purpose::Test),
            ("crates/media-core/benches/leg.rs", Purpose::Test),
            ("crates/model/src/testsuite.rs", Purpose::Product),
        ] {
            assert_eq!(Source::new(path, "").purpose, wanted, "{path}");
        }
    }

    #[test]
    fn modules_under_cfg_test_are_found_where_they_lie() {
        let text = "#[cfg(test)]\nmod fakes;\nmod real;\n#[cfg(not(test))]\nmod other;\n";
        let source = Source::new("crates/a/src/leg.rs", text);
        assert_eq!(test_modules(&source), ["crates/a/src/leg/fakes"]);
        let source = Source::new("crates/a/src/lib.rs", text);
        assert_eq!(test_modules(&source), ["crates/a/src/fakes"]);
    }

    #[test]
    fn a_source_knows_its_crate() {
        let krate = |path| Source::new(path, "").krate().to_owned();
        assert_eq!(krate("crates/model/src/fact.rs"), "crates/model");
        assert_eq!(krate("control-api/src/main.rs"), "control-api");
    }
}
