//! The command line.

mod ask;
mod check;
mod import;
mod route;
mod serve;
mod table;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

/// Telephony for AI voice agents: a SIP trunk points here and an agent answers.
#[derive(Parser)]
#[command(name = "media-server", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take calls.
    Serve(Config),
    /// Show every fault in config, profiles and dialplans at once, with file:line:column.
    Check(Config),
    /// What the dialplan would do with a call, step by step.
    Route(route::Args),
    /// How a running server is.
    Status(ask::StatusArgs),
    /// Live calls of a running server.
    Calls(ask::CallsArgs),
    /// One live call.
    Show(ask::OneArgs),
    /// Carry profiles, gateways and dialplans of a FreeSWITCH folder over, and list what could not be.
    ImportFreeswitch(import::Args),
    /// End a live call.
    Kill(ask::KillArgs),
    /// Write SIP messages into the server's log, or no more.
    Trace(ask::TraceArgs),
    /// Read server file, profiles and dialplans anew: all or nothing.
    Reload(ask::Plain),
    /// Close a profile's sockets and open them anew; its calls stay.
    Restart(ask::RestartArgs),
    /// Sources that are banned.
    Bans(ask::BansArgs),
    /// Take no new calls; live ones go on.
    Drain(ask::DrainArgs),
    /// The built-in phone: place a real SIP call from the terminal.
    Call(Box<crate::phone::Args>),
    /// The load generator: many calls by a plan, measured.
    Load(crate::load::Args),
    /// Flood a server on loopback with INVITEs from strangers, to measure what that costs it.
    Flood(crate::load::flood::Args),
    /// The separate agent process of load tests: returns what it hears.
    StubAgent(crate::load::stub_agent::Args),
}

/// Where the configuration is.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Config {
    /// The server file; otherwise ./sidetone.toml, otherwise built-in defaults on loopback.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Runs what the command line says; the exit code is 0 only when it went well.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(config) => serve::run(&config),
        Command::Check(config) => check::run(&config),
        Command::ImportFreeswitch(args) => import::run(&args),
        Command::Route(args) => route::run(&args),
        Command::Status(args) => ask::status(&args),
        Command::Calls(args) => ask::calls(&args),
        Command::Show(args) => ask::show(&args),
        Command::Kill(args) => ask::kill(&args),
        Command::Trace(args) => ask::trace(&args),
        Command::Reload(args) => ask::reload(&args),
        Command::Restart(args) => ask::restart(&args),
        Command::Bans(args) => ask::bans(&args),
        Command::Drain(args) => ask::drain(&args),
        Command::Call(args) => crate::phone::run(&args),
        Command::Load(args) => crate::load::run(&args),
        Command::Flood(args) => crate::load::flood::run(&args),
        Command::StubAgent(args) => crate::load::stub_agent::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("media-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checked settings, or every fault with its place.
pub(crate) fn settings(config: &Config) -> Result<settings::Settings, settings::Faults> {
    let codecs = crate::profile::codec_names();
    settings::load(
        config.config.as_deref(),
        &settings::Known {
            codecs: &codecs,
            language_models: &providers::llm::kinds(),
            voices: &providers::tts::kinds(),
            recognisers: &providers::stt::kinds(),
        },
    )
}

/// A runtime for commands that only ask.
pub(crate) fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}
