//! `media-server import-freeswitch`.

use std::{path::PathBuf, process::ExitCode};

use settings::{Known, import};

/// What to read, and where to write.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The configuration folder of FreeSWITCH (with `sip_profiles/` and `dialplan/`).
    from: PathBuf,
    /// Where our files are written.
    #[arg(long, value_name = "FOLDER", default_value = "imported")]
    into: PathBuf,
}

/// Writes the files and says what was carried. What is written passes `check`.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let codecs = crate::profile::codec_names();
    let known = Known {
        codecs: &codecs,
        language_models: &providers::llm::kinds(),
        voices: &providers::tts::kinds(),
        recognisers: &providers::stt::kinds(),
    };
    let report = import::freeswitch(&args.from, &args.into, &known)?;
    println!(
        "{} pieces carried over into {}; {} not: see {}",
        report.carried,
        args.into.display(),
        report.not_carried.len(),
        args.into.join("not-carried.md").display()
    );
    Ok(ExitCode::SUCCESS)
}
