//! The files of a FreeSWITCH configuration folder: global variables, profiles with their gateways,
//! dialplan contexts with what they include.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{ImportError, report::Report, vars::Vars, xml};
pub(super) use xml::Element;

/// An element and the file it stands in (below the folder that was read).
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub file: PathBuf,
    pub element: Element,
}

/// See the module.
pub(super) struct Tree {
    /// `<profile>`s, each followed by its `<gateway>`s.
    pub profiles: Vec<(Found, Vec<Found>)>,
    /// `<context>`s: their names, and their extensions in order.
    pub contexts: Vec<(String, Vec<Found>)>,
}

/// Files that include each other may nest so deep.
const DEEPEST: usize = 8;

struct Folder<'a> {
    root: &'a Path,
    vars: Vars,
}

impl Tree {
    /// Reads the folder. A file that cannot be read is told in the report.
    pub(super) fn read(root: &Path, report: &mut Report) -> Result<Self, ImportError> {
        fs::read_dir(root).map_err(|e| ImportError::disk(root, e))?;
        let mut folder = Folder {
            root,
            vars: Vars::default(),
        };
        for element in folder.file(Path::new("vars.xml"), report) {
            folder.vars.learn(&element);
        }
        let mut tree = Self {
            profiles: Vec::new(),
            contexts: Vec::new(),
        };
        for file in folder.list(Path::new("sip_profiles")) {
            folder.profile(&file, &mut tree, report);
        }
        for file in folder.list(Path::new("dialplan")) {
            for element in folder.file(&file, report) {
                folder.context(&file, &element, &mut tree, report);
            }
        }
        Ok(tree)
    }
}

impl Folder<'_> {
    /// The XML files of a folder, by name.
    fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.root.join(folder)).into_iter().flatten();
        let names = entries
            .flatten()
            .map(|entry| folder.join(entry.file_name()));
        let mut files: Vec<PathBuf> = names
            .filter(|path| path.extension().is_some_and(|ending| ending == "xml"))
            .collect();
        files.sort();
        files
    }

    /// The top elements of a file, variables filled in; none when it is absent or broken.
    fn file(&self, file: &Path, report: &mut Report) -> Vec<Element> {
        let bytes = match fs::read(self.root.join(file)) {
            Ok(bytes) => bytes,
            Err(error) => {
                report.not(file, 0, "file", error.to_string());
                return Vec::new();
            }
        };
        let mut elements = match xml::parse(&String::from_utf8_lossy(&bytes)) {
            Ok(elements) => elements,
            Err(error) => {
                report.not(file, error.line, "file", error.what);
                return Vec::new();
            }
        };
        for element in &mut elements {
            element.rewrite(&|text| self.vars.fill(text));
        }
        elements
    }

    fn profile(&self, file: &Path, tree: &mut Tree, report: &mut Report) {
        for top in self.file(file, report) {
            let mut found = Vec::new();
            descend(&top, "profile", &mut found);
            for profile in found {
                let mut gateways = self.within(file, &profile, "gateway", report, 0);
                gateways.retain(|gateway| gateway.element.get("name").is_some());
                let element = profile;
                let file = file.to_path_buf();
                tree.profiles.push((Found { file, element }, gateways));
            }
        }
    }

    fn context(&self, file: &Path, element: &Element, tree: &mut Tree, report: &mut Report) {
        let mut contexts = Vec::new();
        descend(element, "context", &mut contexts);
        for context in contexts {
            let Some(name) = context.get("name") else {
                report.not(file, context.line, "context", "it has no name");
                continue;
            };
            let extensions = self.within(file, &context, "extension", report, 0);
            tree.contexts.push((name.to_owned(), extensions));
        }
    }

    /// The elements of this name within `element`, and in the files it includes, in order.
    fn within(
        &self,
        file: &Path,
        element: &Element,
        name: &str,
        report: &mut Report,
        depth: usize,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        for child in &element.children {
            if child.name == name {
                found.push(Found {
                    file: file.to_path_buf(),
                    element: child.clone(),
                });
            } else if let Some(pattern) = included(child) {
                found.extend(self.include(file, pattern, name, report, depth));
            } else {
                found.extend(self.within(file, child, name, report, depth));
            }
        }
        found
    }

    fn include(
        &self,
        file: &Path,
        pattern: &str,
        name: &str,
        report: &mut Report,
        depth: usize,
    ) -> Vec<Found> {
        let below = file.parent().unwrap_or(Path::new(""));
        let (folder, wanted) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let files = self.list(&below.join(folder));
        let mut found = Vec::new();
        for included in files {
            let fits = wanted == "*.xml" || included.file_name().is_some_and(|file| file == wanted);
            if fits && depth < DEEPEST {
                for top in self.file(&included, report) {
                    if top.name == name {
                        found.push(Found {
                            file: included.clone(),
                            element: top,
                        });
                    } else {
                        found.extend(self.within(&included, &top, name, report, depth + 1));
                    }
                }
            }
        }
        found
    }
}

/// The files that an `X-PRE-PROCESS cmd="include"` names.
fn included(element: &Element) -> Option<&str> {
    let include = element.name.eq_ignore_ascii_case("X-PRE-PROCESS");
    (include && element.get("cmd") == Some("include")).then(|| element.get("data"))?
}

fn descend(element: &Element, name: &str, found: &mut Vec<Element>) {
    if element.name == name {
        found.push(element.clone());
    } else {
        element
            .children
            .iter()
            .for_each(|child| descend(child, name, found));
    }
}
