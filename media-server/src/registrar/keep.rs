//! Bindings on disk: a restart finds its phones again.

use std::{path::Path, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use sip_core::registrar::{Binding, Registrar as Machine};

use super::{Parts, Registrar};
use crate::{
    clock,
    journal::{NodeKey, seal},
};

const LABEL: &str = "sidetone registrations";

/// A binding with its end on the wall clock: the monotonic one begins anew.
#[derive(Serialize, Deserialize)]
struct Kept {
    aor: String,
    expires_unix_ms: i64,
    binding: Binding,
}

/// Puts back what was kept and is not over yet.
pub(super) fn restore(parts: &Parts, machine: &mut Machine) {
    let Some(all) = read(&parts.file, &parts.key) else {
        return;
    };
    let (now, unix_ms) = (parts.clock.now(), clock::unix_ms());
    for kept in all {
        let left = u64::try_from(kept.expires_unix_ms - unix_ms).unwrap_or(0);
        machine.restore(now, &kept.aor, kept.binding, Duration::from_millis(left));
    }
    tracing::info!(bindings = machine.len(), "registrations are back");
}

fn read(file: &Path, key: &NodeKey) -> Option<Vec<Kept>> {
    let bytes = std::fs::read(file).ok()?;
    let plain = seal::open_sealed(&bytes, key, LABEL);
    let all = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    if all.is_none() {
        let path = file.display();
        tracing::warn!(%path, "the kept registrations are damaged or sealed with another key");
    }
    all
}

impl Registrar {
    /// Writes every binding. Failing costs nothing until the next start.
    pub(super) async fn keep(self: &Arc<Self>) {
        let keeper = self.clone();
        let kept = tokio::task::spawn_blocking(move || keeper.write()).await;
        if !matches!(kept, Ok(true)) {
            tracing::warn!("registrations could not be kept on disk");
        }
    }

    pub(super) fn write(&self) -> bool {
        let (now, unix_ms) = (self.parts.clock.now(), clock::unix_ms());
        let all: Vec<_> = self
            .lock()
            .all()
            .flat_map(|(aor, bindings)| bindings.iter().map(move |binding| (aor, binding)))
            .map(|(aor, binding)| Kept {
                aor: aor.to_owned(),
                expires_unix_ms: unix_ms + millis(binding.expires_at().saturating_sub(now)),
                binding: binding.clone(),
            })
            .collect();
        let plain = serde_json::to_vec(&all).unwrap_or_default();
        seal::write_sealed(&self.parts.file, &self.parts.key, LABEL, &plain).is_ok()
    }
}

pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
