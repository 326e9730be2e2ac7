//! `media-server`: the switch and its tools. See `media-server --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    egress::tls::install();
    media_server::cli::run()
}
