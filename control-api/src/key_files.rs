//! Keys in files: the first admin key, and the keys of switches.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    auth::{
        Role,
        key::{self, Secret},
    },
    clock::random,
    office::OfficeError,
    store::Db,
};

/// Where the admin key is, and whether this start made it.
#[derive(Debug, Clone)]
pub struct AdminKey {
    /// The file.
    pub path: PathBuf,
    /// Whether this start made the key.
    pub created: bool,
}

/// Writes the first platform key to `path`, unless this database ever had one. A key that stands
/// in the file already (a new database beside an old file) is taken over.
pub async fn first_admin_key(db: &Db, path: &Path) -> Result<AdminKey, OfficeError> {
    let role = Role::PlatformAdmin;
    let (mut new, mut secret) = key::make(None, "admin".to_owned(), role, role.scopes(), None);
    let existing = read_secret(path)?;
    let write = existing.is_none();
    if let Some(existing) = existing {
        new.key.prefix.clone_from(&existing.prefix);
        new.hash = existing.hash();
        secret = existing;
    }
    let keep = || {
        if write {
            write_private(path, &secret.text)?;
        }
        Ok::<(), OfficeError>(())
    };
    let created = db.add_first_key(&new, keep).await?;
    Ok(AdminKey {
        path: path.to_path_buf(),
        created,
    })
}

fn read_secret(path: &Path) -> Result<Option<Secret>, OfficeError> {
    match std::fs::read_to_string(path) {
        Ok(text) => match Secret::read(text.trim()) {
            Some(secret) => Ok(Some(secret)),
            None => Err(OfficeError::KeyFile {
                path: path.to_path_buf(),
            }),
        },
        Err(fault) if fault.kind() == ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(OfficeError::file(path)(fault)),
    }
}

/// Writes a new file that only its owner can read.
fn write_private(path: &Path, text: &str) -> Result<(), OfficeError> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(OfficeError::file(folder))?;
    }
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(OfficeError::file(path))?;
    writeln!(file, "{text}")
        .and_then(|()| file.sync_all())
        .map_err(OfficeError::file(path))
}

/// The node keys in `path`, one on each line (`#` begins a comment). The file is made with one
/// new key when it is missing.
pub fn node_key_from_file(path: &Path) -> Result<Vec<String>, OfficeError> {
    make_private(path, || {
        format!("sn_{}", URL_SAFE_NO_PAD.encode(random::<32>()))
    })?;
    let text = std::fs::read_to_string(path).map_err(OfficeError::file(path))?;
    let keys: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(ToOwned::to_owned)
        .collect();
    if keys.is_empty() || keys.iter().any(|key| key.len() < 16) {
        return Err(OfficeError::KeyFile {
            path: path.to_path_buf(),
        });
    }
    Ok(keys)
}

/// Makes a file that only its owner can read, unless it is there.
pub fn make_private(path: &Path, text: impl FnOnce() -> String) -> Result<(), OfficeError> {
    if path.exists() {
        return Ok(());
    }
    match write_private(path, &text()) {
        // Somebody else made it between the two looks.
        Err(OfficeError::File { fault, .. }) if fault.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}
