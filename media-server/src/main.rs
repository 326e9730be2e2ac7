//! `media-server`: the switch and its tools. See `media-server --help`.

use std::process::ExitCode;

/// A call takes and gives back some hundred kilobytes across threads: see `docs/decisions/0008-mimalloc.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    egress::tls::install();
    media_server::cli::run()
}
