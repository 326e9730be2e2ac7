//! The built-in phone: `media-server call`.
//!
//! A real SIP user agent on sockets of its own. What it says comes from a script (spoken by a local
//! voice), a WAV file or the keyboard; what it hears is measured and, with an office at hand, shown
//! as the server's own live transcript.

mod args;
mod ear;
mod line;
mod live;
mod picture;
mod script;
mod show;
mod talk;
mod voice;

use std::process::ExitCode;

pub use args::Args;

/// Places the call and shows it. Exit code 0 only when it was answered and ended properly.
///
/// # Errors
/// What keeps the phone from dialling at all: a bad URI, a missing file, no voice.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(talk::talk(args));
    runtime.shutdown_background();
    outcome
}
