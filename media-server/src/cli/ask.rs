//! `status`, `calls`, `show`, `kill`, `trace`, `reload`, `restart`, `bans`, `drain`: ask a running
//! server through its socket, and print tables for people or, with `--json`, what was answered.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use clap::ValueEnum;
use model::CallId;
use serde_json::Value;

use super::{Config, settings, small_runtime, table};
use crate::ctl::{self, Request};

/// Where the server is, and how answers are shown.
#[derive(clap::Args)]
pub(super) struct Plain {
    #[command(flatten)]
    config: Config,
    /// The answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    plain: Plain,
    /// Only this; otherwise everything in short.
    what: Option<Part>,
}

/// A part of the status.
#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// SIP profiles.
    Profile,
    /// Trunks that are asked whether they are there.
    Trunk,
}

#[derive(clap::Args)]
pub(super) struct CallsArgs {
    #[command(flatten)]
    plain: Plain,
    /// Go on: every fact as it happens.
    #[arg(long)]
    follow: bool,
}

#[derive(clap::Args)]
pub(super) struct OneArgs {
    #[command(flatten)]
    plain: Plain,
    /// The call's id (`cal_…`).
    call: CallId,
}

#[derive(clap::Args)]
pub(super) struct KillArgs {
    #[command(flatten)]
    plain: Plain,
    /// The call's id (`cal_…`).
    call: CallId,
    /// What the far side is told: `normal`, `busy`, `no_answer`, `rejected`, `not_found`, `congestion`, or its Q.850 number.
    cause: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct TraceArgs {
    #[command(flatten)]
    plain: Plain,
    /// Whether SIP messages are written into the log.
    switch: Switch,
    /// Only messages to and from this address.
    #[arg(long)]
    ip: Option<IpAddr>,
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// From now on.
    On,
    /// No more.
    Off,
}

#[derive(clap::Args)]
pub(super) struct RestartArgs {
    #[command(flatten)]
    plain: Plain,
    /// The profile.
    profile: String,
}

#[derive(clap::Args)]
pub(super) struct BansArgs {
    #[command(flatten)]
    plain: Plain,
    /// Lift the ban of this source.
    #[arg(long)]
    lift: Option<IpAddr>,
}

#[derive(clap::Args)]
pub(super) struct DrainArgs {
    #[command(flatten)]
    plain: Plain,
    /// Take new calls again.
    #[arg(long)]
    undo: bool,
}

pub(super) fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let show = match args.what {
        None => table::status,
        Some(Part::Profile) => table::profiles,
        Some(Part::Trunk) => table::trunks,
    };
    ask(&args.plain, &Request::Status, show)
}

pub(super) fn calls(args: &CallsArgs) -> anyhow::Result<ExitCode> {
    let follow = args.follow;
    let show = if follow { table::fact } else { table::calls };
    ask(&args.plain, &Request::Calls { follow }, show)
}

pub(super) fn show(args: &OneArgs) -> anyhow::Result<ExitCode> {
    ask(&args.plain, &Request::Show { call: args.call }, table::call)
}

pub(super) fn kill(args: &KillArgs) -> anyhow::Result<ExitCode> {
    let (call, cause) = (args.call, args.cause.clone());
    ask(&args.plain, &Request::Kill { call, cause }, table::done)
}

pub(super) fn trace(args: &TraceArgs) -> anyhow::Result<ExitCode> {
    let (on, ip) = (args.switch == Switch::On, args.ip);
    ask(&args.plain, &Request::Trace { on, ip }, table::done)
}

pub(super) fn reload(args: &Plain) -> anyhow::Result<ExitCode> {
    ask(args, &Request::Reload, table::reloaded)
}

pub(super) fn restart(args: &RestartArgs) -> anyhow::Result<ExitCode> {
    let profile = args.profile.clone();
    ask(&args.plain, &Request::Restart { profile }, table::done)
}

pub(super) fn bans(args: &BansArgs) -> anyhow::Result<ExitCode> {
    let lift = args.lift;
    ask(&args.plain, &Request::Bans { lift }, table::bans)
}

pub(super) fn drain(args: &DrainArgs) -> anyhow::Result<ExitCode> {
    let undo = args.undo;
    ask(&args.plain, &Request::Drain { undo }, table::done)
}

fn ask(plain: &Plain, request: &Request, show: fn(&Value) -> String) -> anyhow::Result<ExitCode> {
    let socket: PathBuf = settings(&plain.config)?.server.ops.socket;
    let mut failed = false;
    small_runtime()?.block_on(ctl::ask(&socket, request, |answer| {
        if plain.json {
            println!("{answer}");
        }
        match answer.get("error") {
            Some(error) => {
                failed = true;
                eprintln!("{}", error.as_str().unwrap_or_default());
            }
            None if !plain.json => println!("{}", show(&answer)),
            None => {}
        }
        true
    }))?;
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
