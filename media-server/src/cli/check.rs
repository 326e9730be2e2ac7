//! `media-server check`.

use std::process::ExitCode;

use super::{Config, settings};

/// Prints every fault; exit 1 when one is an error.
pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    match settings(config) {
        Ok(settings) => {
            for warning in &settings.warnings {
                println!("{warning}");
            }
            println!(
                "ok: {} profiles, {} files, {} warnings",
                settings.profiles.len(),
                settings.files.len(),
                settings.warnings.len()
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(faults) => {
            println!("{faults}");
            Ok(ExitCode::FAILURE)
        }
    }
}
