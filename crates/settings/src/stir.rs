//! Whether a call over a trunk must prove who calls (STIR/SHAKEN, RFC 8224).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use call_core::document::Fault;
use call_core::length::Length;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::check::Read;
use crate::{Profile, Server};

/// Proofs of who calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Stir {
    /// For trunks that say nothing else.
    pub policy: StirPolicy,
    /// PEM file with the authorities whose certificates are believed. Relative to this file; read again on reload.
    pub roots: Option<PathBuf>,
    /// How long a fetched certificate is used before it is fetched again, at most.
    #[serde(deserialize_with = "length")]
    #[schemars(with = "Length")]
    pub max_age: Duration,
    /// Addresses of private networks that certificates may be fetched from all the same.
    #[schemars(with = "Vec<String>")]
    pub private: Vec<IpAddr>,
}

/// What becomes of a call without a proof that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StirPolicy {
    /// Nobody looks.
    #[default]
    Off,
    /// It goes into the record.
    Note,
    /// Into the record, and the call is refused: 428, 436, 437, 438 or 403.
    Refuse,
}

impl Default for Stir {
    fn default() -> Stir {
        Stir {
            policy: StirPolicy::Off,
            roots: None,
            max_age: Duration::from_secs(24 * 3600),
            private: Vec::new(),
        }
    }
}

impl Stir {
    /// Relative paths count from `folder`.
    pub(crate) fn relative_to(&mut self, folder: &Path) {
        if let Some(roots) = &mut self.roots {
            *roots = folder.join(&*roots);
        }
    }
}

/// Who looks needs to know whom to believe.
pub(crate) fn roots(server: &Read<Server>, profiles: &[Read<Profile>], faults: &mut Vec<Fault>) {
    let stir = &server.value.stir;
    if let Some(roots) = &stir.roots {
        if let Err(error) = std::fs::metadata(roots) {
            let message = format!("cannot read {}: {error}", roots.display());
            faults.push(server.document.fault("/stir/roots", message));
        }
        return;
    }
    let message = "a proof needs `roots` in [stir]: the authorities that are believed";
    if stir.policy != StirPolicy::Off {
        faults.push(server.document.fault("/stir/policy", message));
    }
    for profile in profiles {
        for (at, trunk) in profile.value.trunks.iter().enumerate() {
            if trunk.stir.is_some_and(|policy| policy != StirPolicy::Off) {
                let pointer = format!("/trunk/{at}/stir");
                faults.push(profile.document.fault(&pointer, message));
            }
        }
    }
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Ok(Length::deserialize(deserializer)?.0)
}
