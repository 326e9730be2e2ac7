//! Reads every file, checks them together, gives one [`Settings`] or all faults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use call_core::dialplan::Dialplans;
use call_core::document::{Document, Fault, MAX_FILE_BYTES, Severity, SourceFile, Value};

use crate::check::{self, Read};
use crate::schemas::{carrier_shape, profile_shape, server_shape};
use crate::{Carrier, Faults, Known, Profile, Server, Settings, builtin, environment};

/// Secrets of the server file, by pointer, beside those of its providers.
const SECRETS: [&str; 5] = [
    "/control/key",
    "/hep/key",
    "/llm/key",
    "/recordings/access_key",
    "/recordings/secret_key",
];

/// Loads the configuration. Without a path: `sidetone.toml` in the working directory when it
/// is there, else the built-in defaults.
pub fn load(config: Option<&Path>, known: &Known<'_>) -> Result<Settings, Faults> {
    load_with(config, &environment::all(), known)
}

/// [`load`] with an environment that is handed in.
pub fn load_with(
    config: Option<&Path>,
    environment: &BTreeMap<String, String>,
    known: &Known<'_>,
) -> Result<Settings, Faults> {
    let mut load = Load {
        environment,
        known,
        faults: Vec::new(),
        files: Vec::new(),
    };
    let settings = load.everything(config);
    let (faults, files) = (load.faults, load.files);
    match settings {
        Some(settings) if !faults.iter().any(Fault::is_error) => {
            let warnings = Faults::new(faults).list().to_vec();
            Ok(Settings {
                warnings,
                files,
                source: config.map(Path::to_owned),
                ..settings
            })
        }
        Some(_) | None => Err(Faults::new(faults)),
    }
}

struct Load<'a> {
    environment: &'a BTreeMap<String, String>,
    known: &'a Known<'a>,
    faults: Vec<Fault>,
    files: Vec<PathBuf>,
}

impl Load<'_> {
    fn everything(&mut self, config: Option<&Path>) -> Option<Settings> {
        let (source, folder) = self.server_source(config)?;
        let document = self.server_document(source);
        let server = self.server(&document);
        let dir = |pointer: &str| match document.root().find(pointer).map(|node| &node.value) {
            Some(Value::String(path)) => Some(PathBuf::from(path)),
            Some(_) | None => None,
        };
        let (profiles_dir, dialplans_dir) = (dir("/profiles_dir"), dir("/dialplans_dir"));
        let profiles = self.sources(
            &document,
            folder.as_deref(),
            profiles_dir,
            "sip-profiles",
            builtin::profiles,
        );
        let carriers = self.carriers(&profiles);
        let names: Vec<String> = profiles
            .iter()
            .map(|source| profile_name(&source.name))
            .collect();
        let profiles: Vec<Read<Profile>> = profiles
            .into_iter()
            .filter_map(|source| self.profile(source, &carriers))
            .collect();
        let dialplans = self.sources(
            &document,
            folder.as_deref(),
            dialplans_dir,
            "dialplans",
            builtin::dialplans,
        );
        if let Some(server) = &server {
            check::sounds::check(&dialplans, &server.data.media_dir, &mut self.faults);
        }
        let dialplans = self.dialplans(&dialplans, names, &profiles);
        let server = server.map(|mut value| {
            value
                .stir
                .relative_to(folder.as_deref().unwrap_or(Path::new("")));
            Read { document, value }
        });
        check::together(
            server.as_ref(),
            &profiles,
            dialplans.as_ref(),
            self.environment,
            self.known,
            &mut self.faults,
        );
        Some(Settings {
            server: server?.value,
            profiles: profiles.into_iter().map(|read| read.value).collect(),
            carriers,
            dialplans: Arc::new(dialplans?),
            warnings: Vec::new(),
            files: Vec::new(),
            source: None,
        })
    }

    /// The server file and its folder; an empty text without one.
    fn server_source(&mut self, config: Option<&Path>) -> Option<(SourceFile, Option<PathBuf>)> {
        let default = Path::new("sidetone.toml");
        let path = config.or_else(|| default.is_file().then_some(default));
        let Some(path) = path else {
            return Some((
                SourceFile {
                    name: "built-in sidetone.toml".to_owned(),
                    text: String::new(),
                },
                None,
            ));
        };
        let source = self.read(path)?;
        Some((
            source,
            Some(path.parent().unwrap_or(Path::new("")).to_owned()),
        ))
    }

    fn server_document(&mut self, source: SourceFile) -> Document {
        let mut document = Document::parse(source, &mut self.faults);
        environment::lay_over(
            &mut document,
            &server_shape(),
            self.environment,
            &mut self.faults,
        );
        document
    }

    fn server(&mut self, document: &Document) -> Option<Server> {
        let clean = server_shape().check(document, &mut self.faults);
        let mut document = document.clone();
        for pointer in secrets(&document) {
            environment::resolve_secret(
                &mut document,
                &pointer,
                self.environment,
                &mut self.faults,
            );
        }
        if !clean || self.faults.iter().any(Fault::is_error) {
            return None;
        }
        let mut server: Server = document.read(&mut self.faults)?;
        server.complete(environment::temporary());
        Some(server)
    }

    /// Carriers beside the profiles go before those of the same name that the product ships.
    fn carriers(&mut self, profiles: &[SourceFile]) -> Vec<Carrier> {
        let beside = profiles.first().and_then(|first| {
            let folder = Path::new(&first.name).parent()?.join("carriers");
            folder.is_dir().then_some(folder)
        });
        let mut sources = builtin::carriers();
        for file in beside.map_or(Vec::new(), |folder| toml_files(&folder).unwrap_or_default()) {
            if let Some(source) = self.read(&file) {
                sources.retain(|shipped| profile_name(&shipped.name) != profile_name(&source.name));
                sources.push(source);
            }
        }
        sources
            .into_iter()
            .filter_map(|source| self.carrier(source))
            .collect()
    }

    fn carrier(&mut self, source: SourceFile) -> Option<Carrier> {
        let name = profile_name(&source.name);
        let before = self.faults.len();
        let document = Document::parse(source, &mut self.faults);
        let clean = carrier_shape().check(&document, &mut self.faults);
        if !clean || self.faults.len() > before {
            return None;
        }
        let carrier: Carrier = document.read(&mut self.faults)?;
        Some(Carrier { name, ..carrier })
    }

    fn profile(&mut self, source: SourceFile, carriers: &[Carrier]) -> Option<Read<Profile>> {
        let name = profile_name(&source.name);
        let mut own = Vec::new();
        let mut document = Document::parse(source, &mut own);
        let syntax = own.is_empty();
        let clean = profile_shape().check(&document, &mut own) && syntax;
        self.faults.append(&mut own);
        if !clean {
            return None;
        }
        for trunk in 0.. {
            if document.root().find(&format!("/trunk/{trunk}")).is_none() {
                break;
            }
            let pointer = format!("/trunk/{trunk}/password");
            environment::resolve_secret(
                &mut document,
                &pointer,
                self.environment,
                &mut self.faults,
            );
        }
        let mut value: Profile = document.read(&mut self.faults)?;
        value.name = name;
        let folder = Path::new(document.name()).parent();
        value.tls.relative_to(folder.unwrap_or(Path::new("")));
        check::outbound::complete(&document, &mut value, carriers, &mut self.faults);
        Some(Read { document, value })
    }

    /// Trunks of a profile that could not be read are not known, so nobody is blamed for naming them.
    fn dialplans(
        &mut self,
        sources: &[SourceFile],
        names: Vec<String>,
        profiles: &[Read<Profile>],
    ) -> Option<Dialplans> {
        let trunks = profiles
            .iter()
            .flat_map(|read| &read.value.trunks)
            .map(|trunk| trunk.name.clone());
        let trunks = (names.len() == profiles.len()).then(|| trunks.collect());
        let known = call_core::dialplan::Known {
            profiles: Some(names),
            trunks,
        };
        let (plans, faults) = Dialplans::parse(sources, &known);
        self.faults.extend(faults);
        plans
    }

    /// The files of a folder: named in the server file, else beside it, else built in.
    fn sources(
        &mut self,
        document: &Document,
        folder: Option<&Path>,
        named: Option<PathBuf>,
        usual: &str,
        builtin: fn() -> Vec<SourceFile>,
    ) -> Vec<SourceFile> {
        let beside = folder.unwrap_or(Path::new(""));
        let chosen = match named {
            Some(named) => beside.join(named),
            None => {
                let usual = beside.join(usual);
                if folder.is_none() || !usual.is_dir() {
                    return builtin();
                }
                usual
            }
        };
        match toml_files(&chosen) {
            Ok(files) if files.is_empty() => {
                let pointer = if usual == "dialplans" {
                    "/dialplans_dir"
                } else {
                    "/profiles_dir"
                };
                self.faults.push(document.fault(
                    pointer,
                    format!("there is no .toml file in {}", chosen.display()),
                ));
                Vec::new()
            }
            Ok(files) => files.iter().filter_map(|file| self.read(file)).collect(),
            Err(error) => {
                let pointer = if usual == "dialplans" {
                    "/dialplans_dir"
                } else {
                    "/profiles_dir"
                };
                self.faults.push(document.fault(
                    pointer,
                    format!("cannot read the folder {}: {error}", chosen.display()),
                ));
                Vec::new()
            }
        }
    }

    fn read(&mut self, path: &Path) -> Option<SourceFile> {
        let name = path.display().to_string();
        match read_text(path) {
            Ok(text) => {
                self.files.push(path.to_owned());
                Some(SourceFile { name, text })
            }
            Err(message) => {
                self.faults.push(unreadable(name, message));
                None
            }
        }
    }
}

/// Where the server file has secrets.
fn secrets(document: &Document) -> Vec<String> {
    let providers = document.root().find("/providers");
    let named = providers.map_or(&[][..], |providers| providers.entries());
    let keys = named
        .iter()
        .map(|entry| format!("/providers/{}/key", entry.key));
    SECRETS
        .iter()
        .map(ToString::to_string)
        .chain(keys)
        .collect()
}

/// The file's name without its ending.
fn profile_name(file: &str) -> String {
    let stem = Path::new(file).file_stem();
    stem.map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Reads a file of bounded size.
fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let size = std::fs::metadata(path).map_err(cannot)?.len();
    if size > MAX_FILE_BYTES as u64 {
        return Err(format!("is larger than {MAX_FILE_BYTES} bytes"));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

fn unreadable(file: String, message: String) -> Fault {
    Fault {
        severity: Severity::Error,
        file,
        line: 1,
        column: 1,
        width: 1,
        source_line: String::new(),
        message,
        hint: None,
    }
}

/// The `.toml` files of a folder, by name.
fn toml_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
