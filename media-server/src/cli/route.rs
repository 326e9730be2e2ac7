//! `media-server route`: what the dialplan would do, step by step.

use std::process::ExitCode;

use anyhow::Context;
use call_core::dialplan::Question;

use super::{Config, settings};

/// A call that is not made.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: Config,
    /// The number or name that is called.
    #[arg(long)]
    to: String,
    /// Who calls.
    #[arg(long, default_value = "anonymous")]
    from: String,
    /// The profile it comes in on.
    #[arg(long)]
    profile: Option<String>,
    /// When, RFC 3339; now by default.
    #[arg(long)]
    at: Option<jiff::Timestamp>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let settings = settings(&args.config)?;
    let wanted = args.profile.as_deref();
    let mut profiles = settings.profiles.iter();
    let profile = profiles
        .find(|profile| wanted.is_none_or(|name| profile.name == name))
        .with_context(|| format!("there is no profile '{}'", wanted.unwrap_or_default()))?;
    let now = jiff::Timestamp::from_millisecond(crate::clock::unix_ms())?;
    let question = Question {
        to: args.to.clone(),
        from: args.from.clone(),
        profile: profile.name.clone(),
        context: profile.context.clone(),
        trunk: None,
        headers: Vec::new(),
        at: args.at.unwrap_or(now),
        bound: None,
    };
    print!("{}", settings.dialplans.simulate(&question));
    Ok(ExitCode::SUCCESS)
}
