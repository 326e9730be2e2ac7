//! The load generator: `media-server load`, and the agent process it measures against.
//!
//! Many calls from one process: real SIP dialogs over one UDP socket, the sound of all calls over a
//! few. Each 20 ms of sound is marked, so that what comes back tells whose it is, whether it is
//! whole and how long it took. It calls loopback and namespaces of its own, nothing else.

mod callee;
mod dialler;
mod ear;
pub mod flood;
mod gauge;
mod manners;
mod mark;
mod mix;
mod orders;
mod plan;
mod report;
pub mod stub_agent;
mod wire;

use std::{
    net::SocketAddr, path::PathBuf, process::ExitCode, sync::atomic::Ordering, time::Instant,
};

use anyhow::Context;

pub use ear::Heard;
pub use gauge::Window;
pub use mix::{Deed, Kind};
pub use orders::{Desk, Orders};
pub use plan::Plan;
pub use report::{Calls, PerCall, Report, Sound, Spread, Tail, Worst};

use crate::media::lateness::Histogram;
use callee::Callees;
use dialler::Dialler;
use orders::Orderer;
use report::Measured;
use wire::Wire;

/// Place many calls and measure what comes back.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// The plan, see `loadtest/plans`.
    pub plan: PathBuf,
    /// Call this address instead of the plan's: loopback, or the plan's namespace.
    #[arg(long, value_name = "ADDRESS")]
    pub target: Option<SocketAddr>,
    /// Answer calls at this loopback address meanwhile: `echo`, `holds`, `leaves`, `rings`, `busy`, `password` there.
    #[arg(long, value_name = "ADDRESS")]
    pub answer: Option<SocketAddr>,
    /// The office that takes the plan's orders: `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL", requires = "key_file", requires = "answer")]
    pub api: Option<String>,
    /// A file with the key for it.
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The server's process: its processor time and memory are measured.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Write the result as JSON, `-` for standard output instead of the table.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Runs a plan and prints its table. Exit code 0 when every call went well and the run counts, 3
/// when it does not count, 1 otherwise.
///
/// # Errors
/// A plan that is refused, sockets or threads that cannot be had.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut plan = Plan::load(&args.plan)?;
    if let Some(target) = args.target {
        plan = plan.towards(target)?;
    }
    let desk = args.api.clone().zip(args.key_file.clone());
    let beside = Beside {
        server_pid: args.server_pid,
        answer: args.answer,
        desk: desk.map(|(api, key_file)| Desk { api, key_file }),
    };
    let report = generate(&plan, &beside)?;
    let json = serde_json::to_string_pretty(&report)?;
    match args.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => println!("{json}"),
        Some(path) => {
            print!("{report}");
            std::fs::write(path, json)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print!("{report}"),
    }
    Ok(match (report.is_good(), report.void.is_empty()) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(3),
    })
}

/// What a run has beside its plan.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The server's process: its processor time and memory are measured.
    pub server_pid: Option<u32>,
    /// Calls that come to this loopback address are answered.
    pub answer: Option<SocketAddr>,
    /// Takes the plan's orders.
    pub desk: Option<Desk>,
}

/// Places the plan's calls, holds them, ends them. Blocks until the last has ended.
///
/// # Errors
/// Sockets or threads that cannot be had, orders that are not taken.
pub fn generate(plan: &Plan, beside: &Beside) -> anyhow::Result<Report> {
    let epoch = Instant::now();
    let callees = beside.answer.map(|at| Callees::open(at, plan, epoch));
    let callees = callees.transpose()?;
    let orderer = match (plan.orders, &beside.desk, beside.answer) {
        (Some(orders), Some(desk), Some(at)) => Some(Orderer::start(orders, desk, at)?),
        (Some(_), ..) => anyhow::bail!("orders: give --answer, --api and --key-file"),
        (None, ..) => None,
    };
    let local = local_ip(plan.address()?)?;
    let wire = Wire::open(local, plan.rtp.sockets, epoch)?;
    let run = Dialler::open(plan, &wire, beside.server_pid, epoch)?.run()?;
    let ordered = orderer.map(Orderer::finish).transpose()?;
    let left = callees.map_or(0, |callees| callees.rest(ordered.unwrap_or(0)));
    let shared = std::sync::Arc::clone(wire.shared());
    let sent = wire.close();
    let summary = |histogram: &Histogram| Histogram::summary([histogram].into_iter());
    let measured = Measured {
        arrival: summary(&shared.ears.lateness),
        send: summary(&shared.lateness),
        round_trip: summary(&shared.ears.round_trip),
        send_errors: shared.send_errors.load(Ordering::Relaxed),
        sent,
        ordered: ordered.map(|ordered| (ordered, left)),
    };
    Ok(Report::new(plan, &run, &measured))
}

/// Our address as the target sees it: what the kernel would send from.
fn local_ip(target: SocketAddr) -> anyhow::Result<std::net::IpAddr> {
    let any = match target {
        SocketAddr::V4(_) => "0.0.0.0:0",
        SocketAddr::V6(_) => "[::]:0",
    };
    let probe = std::net::UdpSocket::bind(any)?;
    probe.connect(target)?;
    Ok(probe.local_addr()?.ip())
}
