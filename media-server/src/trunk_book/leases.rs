//! At which of the office's trunks this switch registers, and no other.
//!
//! The office's last word holds for as long as the office is away, also through a restart: it is kept
//! on disk. There is nothing secret in it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use model::TrunkId;
use tokio::sync::watch;

/// See the module.
pub(super) struct Leases {
    held: watch::Sender<BTreeSet<TrunkId>>,
    file: Option<PathBuf>,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            held: watch::Sender::new(BTreeSet::new()),
            file: None,
        }
    }
}

impl Leases {
    pub(super) fn open(file: &Path) -> Self {
        let kept = std::fs::read(file).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            held: watch::Sender::new(kept.unwrap_or_default()),
            file: Some(file.to_owned()),
        }
    }

    /// These are ours from now on, and no others.
    pub(super) fn take(&self, trunks: Vec<TrunkId>) {
        let trunks = BTreeSet::from_iter(trunks);
        let news = self.held.send_if_modified(|held| {
            let news = *held != trunks;
            held.clone_from(&trunks);
            news
        });
        if news && let Err(error) = self.keep(&trunks) {
            tracing::warn!(%error, "the trunks that are ours could not be kept on disk");
        }
    }

    fn keep(&self, trunks: &BTreeSet<TrunkId>) -> std::io::Result<()> {
        match &self.file {
            Some(file) => std::fs::write(file, serde_json::to_vec(trunks)?),
            None => Ok(()),
        }
    }

    pub(super) fn has(&self, trunk: TrunkId) -> bool {
        self.held.borrow().contains(&trunk)
    }

    pub(super) fn changes(&self) -> watch::Receiver<BTreeSet<TrunkId>> {
        self.held.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_the_office_outlives_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("leases");
        let (one, two) = (TrunkId::new(1, 1), TrunkId::new(1, 2));
        let leases = Leases::open(&file);
        assert!(!leases.has(one));
        leases.take(vec![one, two]);
        leases.take(vec![two]);
        drop(leases);
        let leases = Leases::open(&file);
        assert!(leases.has(two) && !leases.has(one));
        let changes = leases.changes();
        leases.take(vec![two]);
        assert!(!changes.has_changed().expect("it is open"), "nothing new");
        leases.take(Vec::new());
        assert!(changes.has_changed().expect("it is open"));
    }
}
