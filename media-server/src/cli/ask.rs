//! `status`, `calls`, `show`, `kill`, `drain`: ask a running server through its socket.

use std::{path::PathBuf, process::ExitCode};

use model::CallId;
use serde_json::Value;

use super::{Config, settings, small_runtime};
use crate::ctl::{self, Request};

#[derive(clap::Args)]
pub(super) struct CallsArgs {
    #[command(flatten)]
    config: Config,
    /// Go on: every fact as it happens.
    #[arg(long)]
    follow: bool,
}

#[derive(clap::Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    config: Config,
    /// The call's id (`cal_…`).
    call: CallId,
}

pub(super) fn status(config: &Config) -> anyhow::Result<ExitCode> {
    ask(config, &Request::Status)
}

pub(super) fn calls(args: &CallsArgs) -> anyhow::Result<ExitCode> {
    let follow = args.follow;
    ask(&args.config, &Request::Calls { follow })
}

pub(super) fn show(args: &OneArgs) -> anyhow::Result<ExitCode> {
    ask(&args.config, &Request::Show { call: args.call })
}

pub(super) fn kill(args: &OneArgs) -> anyhow::Result<ExitCode> {
    ask(&args.config, &Request::Kill { call: args.call })
}

pub(super) fn drain(config: &Config) -> anyhow::Result<ExitCode> {
    ask(config, &Request::Drain)
}

fn ask(config: &Config, request: &Request) -> anyhow::Result<ExitCode> {
    let socket: PathBuf = settings(config)?.server.ops.socket;
    let follow = matches!(request, Request::Calls { follow: true });
    let mut failed = false;
    small_runtime()?.block_on(ctl::ask(&socket, request, |answer| {
        failed = answer.get("error").is_some();
        show_one(&answer, follow);
        true
    }))?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn show_one(answer: &Value, compact: bool) {
    match serde_json::to_string_pretty(answer) {
        Ok(pretty) if !compact => println!("{pretty}"),
        _ => println!("{answer}"),
    }
}
