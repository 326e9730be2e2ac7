//! The tools an agent may run: beside the audio, each with its idempotency key.

use call_core::brain::{ToolOutcome, ToolRequest};
use model::{
    booking::{BookingOutcome, BookingRequest},
    command::TransferDestination,
};
use ractor::ActorRef;
use serde_json::Value;
use tokio::time::Instant;

use super::{Args, Msg, Wish};

/// Runs one tool as a task; the result comes back as a message, the fact goes to the record.
pub(super) fn run(me: &ActorRef<Msg>, args: &Args, request: ToolRequest) {
    let (me, args) = (me.clone(), args.clone());
    tokio::spawn(async move {
        let begun = Instant::now();
        let outcome = one(&args, &request).await;
        let leaves = leaving(&request, &outcome);
        (args.wishes)(Wish::Tool {
            name: request.name.clone(),
            key: key_of(&args, &request),
            outcome: outcome.clone(),
            denied: denied(&args, &request).is_some(),
            took: begun.elapsed(),
        });
        match leaves {
            // The agent waits for it until it leaves: what it would say now nobody is meant to hear.
            Some(destination) => (args.wishes)(Wish::Transfer { destination }),
            None => drop(me.cast(Msg::ToolDone(request.id, outcome))),
        }
    });
}

/// `call/turn/tool`: the same run keeps its key across retries and restarts of the agent.
fn key_of(args: &Args, request: &ToolRequest) -> String {
    format!("{}/{}/{}", args.call, request.id.0, request.name)
}

async fn one(args: &Args, request: &ToolRequest) -> ToolOutcome {
    if let Some(why) = denied(args, request) {
        return failed(why);
    }
    match request.name.as_str() {
        "book_table" => book(args, request).await,
        "transfer" => transfer(args, request),
        other => failed(format!("there is no tool '{other}'")),
    }
}

/// Why a tool is refused before it runs: what the agent was not granted, whom nobody named.
fn denied(args: &Args, request: &ToolRequest) -> Option<String> {
    if !args.published.config.tools.contains(&request.name) {
        return Some(format!("the agent was not granted '{}'", request.name));
    }
    let unnamed = request.name == "transfer" && named(args, request).is_none();
    unnamed.then(|| "there is no destination of that name".to_owned())
}

/// The destination of this name among those that the agent was given.
fn named<'a>(args: &'a Args, request: &ToolRequest) -> Option<&'a TransferDestination> {
    let wanted = request.arguments.get("destination").and_then(Value::as_str);
    let mut known = args.published.config.transfers.iter();
    known.find(|destination| Some(destination.name.as_str()) == wanted)
}

async fn book(args: &Args, request: &ToolRequest) -> ToolOutcome {
    let booking = match booking(args, request) {
        Ok(booking) => booking,
        Err(why) => return failed(why),
    };
    match args.office.book(&booking).await {
        Ok(outcome) => answer(&outcome),
        Err(error) => failed(error.to_string()),
    }
}

/// Only names that the agent was given; the number behind one is never the model's.
fn transfer(args: &Args, request: &ToolRequest) -> ToolOutcome {
    match named(args, request) {
        Some(destination) => ToolOutcome::Ok(serde_json::json!({
            "outcome": "transferring",
            "destination": destination.name,
        })),
        None => failed("there is no destination of that name"),
    }
}

/// The destination of a transfer that begins.
fn leaving(request: &ToolRequest, outcome: &ToolOutcome) -> Option<String> {
    let ToolOutcome::Ok(value) = outcome else {
        return None;
    };
    let destination = value.get("destination").and_then(Value::as_str);
    destination
        .filter(|_| request.name == "transfer")
        .map(str::to_owned)
}

fn answer(outcome: &BookingOutcome) -> ToolOutcome {
    match serde_json::to_value(outcome) {
        Ok(value) => ToolOutcome::Ok(value),
        Err(error) => failed(error.to_string()),
    }
}

/// Identity comes from the call; only time, party and phone from the caller's words.
fn booking(args: &Args, request: &ToolRequest) -> Result<BookingRequest, String> {
    let field = |name: &str| request.arguments.get(name);
    let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
    let party = field("party_size").and_then(Value::as_u64);
    let rules = args.published.config.booking_rules();
    Ok(BookingRequest {
        idempotency_key: key_of(args, request),
        tenant: args.published.tenant,
        agent: args.published.agent.id,
        agent_version: args.published.agent.version,
        call: args.call,
        resource: rules.map_or_else(|| "tables".into(), |rules| rules.resource),
        starts_local: text("starts_local").ok_or("starts_local is missing")?,
        party_size: party
            .and_then(|n| u32::try_from(n).ok())
            .ok_or("party_size is missing")?,
        phone: text("phone")
            .or_else(|| args.context.caller_number.clone())
            .unwrap_or_default(),
    })
}

fn failed(why: impl Into<String>) -> ToolOutcome {
    ToolOutcome::Failed { why: why.into() }
}
