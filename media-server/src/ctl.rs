//! The runtime commands: one JSON line in, JSON lines out, over a unix socket that only the
//! server's own user may open.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use call_core::{call::KillCause, dialplan::action::HangupCause};
use model::CallId;
use ractor::{ActorRef, rpc::CallResult};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::broadcast::error::RecvError,
    task::JoinHandle,
};

use crate::{
    call, http, node,
    services::{Entry, Line, Services},
    tap,
};

/// The longest command line that is read.
const MAX_LINE: u64 = 4_096;
/// A reload reads files and opens sockets.
const CHANGE_LIMIT: Duration = Duration::from_secs(30);

/// What can be asked of a running server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How everything is.
    Status,
    /// Live calls; with `follow`, every fact as it happens.
    Calls {
        /// Go on.
        follow: bool,
    },
    /// One live call.
    Show {
        /// Which.
        call: CallId,
    },
    /// End a call.
    Kill {
        /// Which.
        call: CallId,
        /// A cause as in dialplans (`busy`), or Q.850's number.
        #[serde(default)]
        cause: Option<String>,
    },
    /// Write SIP messages into the log, or no more.
    Trace {
        /// From now on, or no more.
        on: bool,
        /// Only to and from this address.
        #[serde(default)]
        ip: Option<IpAddr>,
    },
    /// Read the configuration anew, all or nothing.
    Reload,
    /// Close a profile's sockets and open them anew.
    Restart {
        /// Which.
        profile: String,
    },
    /// Sources that are banned.
    Bans {
        /// Lift the ban of this one.
        #[serde(default)]
        lift: Option<IpAddr>,
    },
    /// Take no new calls, or take them again.
    Drain {
        /// Take them again.
        #[serde(default)]
        undo: bool,
    },
}

/// Why the server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("no server answers at {path}: {source}")]
pub struct CtlError {
    /// The socket.
    pub path: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// Listens until the task is aborted.
///
/// # Errors
/// When the socket cannot be made; a stale one is replaced.
pub fn serve(
    path: &Path,
    node: ActorRef<node::Msg>,
    services: Arc<Services>,
) -> std::io::Result<JoinHandle<()>> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    restrict(path)?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, node.clone(), services.clone()));
        }
    }))
}

fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

async fn converse(stream: UnixStream, node: ActorRef<node::Msg>, services: Arc<Services>) {
    use tokio::io::AsyncReadExt;
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(MAX_LINE)).lines();
    let Ok(Some(line)) = lines.next_line().await else {
        return;
    };
    match serde_json::from_str(&line) {
        Ok(Request::Calls { follow: true }) => follow(&mut write, &services).await,
        Ok(request) => {
            let answer = answer(request, &node, &services).await;
            say(&mut write, &answer).await;
        }
        Err(error) => {
            say(&mut write, &json!({ "error": error.to_string() })).await;
        }
    }
}

async fn answer(request: Request, node: &ActorRef<node::Msg>, services: &Services) -> Value {
    match request {
        Request::Status => status(node, services).await,
        Request::Calls { .. } => Value::Array(calls(services)),
        Request::Show { call } => {
            let found = services.calls.get(call);
            found.map_or_else(unknown, |entry| show(services, &entry))
        }
        Request::Kill { call, cause } => kill(services, call, cause.as_deref()),
        Request::Trace { on, ip } => {
            services.tap.trace(on.then_some(tap::Filter { ip }));
            json!({ "ok": true, "trace": on, "ip": ip })
        }
        Request::Reload => match node.call(node::Msg::Reload, Some(CHANGE_LIMIT)).await {
            Ok(CallResult::Success(Ok(done))) => json!({ "ok": true, "reloaded": done }),
            Ok(CallResult::Success(Err(faults))) => json!({ "error": faults }),
            _ => no_answer(),
        },
        Request::Restart { profile } => restart(node, &profile).await,
        Request::Bans { lift } => bans(services, lift),
        Request::Drain { undo } => {
            let _ = node.cast(match undo {
                false => node::Msg::Drain,
                true => node::Msg::Undrain,
            });
            json!({ "ok": true, "calls": services.calls.len() })
        }
    }
}

fn kill(services: &Services, call: CallId, cause: Option<&str>) -> Value {
    let named = match cause.map(cause_of) {
        None => KillCause::Operator,
        Some(Some(cause)) => KillCause::OperatorWith(cause),
        Some(None) => {
            let names = HangupCause::ALL.map(HangupCause::name).join(", ");
            return json!({ "error": format!("no such cause; there is {names}, and their Q.850 numbers") });
        }
    };
    let Some(entry) = services.calls.get(call) else {
        return unknown();
    };
    let _ = entry.actor.cast(call::Msg::Kill(named));
    json!({ "ok": true, "call": call })
}

/// `busy`, `17`.
fn cause_of(text: &str) -> Option<HangupCause> {
    let is_it = |cause: &HangupCause| cause.name() == text || cause.q850().to_string() == text;
    HangupCause::ALL.into_iter().find(is_it)
}

async fn restart(node: &ActorRef<node::Msg>, profile: &str) -> Value {
    let name: Arc<str> = profile.into();
    let done = node.call(|reply| node::Msg::Restart(name, reply), Some(CHANGE_LIMIT));
    match done.await {
        Ok(CallResult::Success(Ok(()))) => json!({ "ok": true, "profile": profile }),
        Ok(CallResult::Success(Err(why))) => json!({ "error": why }),
        _ => no_answer(),
    }
}

fn no_answer() -> Value {
    json!({ "error": "the node does not answer" })
}

fn bans(services: &Services, lift: Option<IpAddr>) -> Value {
    let now = services.clock.now();
    let lines = services.lines.all();
    if let Some(source) = lift {
        let lifted = lines.iter().filter(|line| line.wire.gate().lift(source));
        return json!({ "ok": true, "lifted": lifted.count() });
    }
    let of = |line: &Line| {
        let bans = line.wire.gate().bans(now).into_iter();
        let name = line.profile.name.to_string();
        bans.map(move |ban| json!({ "profile": name, "source": ban.source, "seconds_left": ban.seconds_left }))
    };
    lines.iter().flat_map(of).collect()
}

fn unknown() -> Value {
    json!({ "error": "no live call has this id" })
}

async fn status(node: &ActorRef<node::Msg>, services: &Services) -> Value {
    json!({
        "node": services.journal.node(),
        "boot": services.journal.boot(),
        "accepting": services.accepting(),
        "calls": services.calls.len(),
        "dialogs": services.book.len(),
        "snapshot": services.snapshots.current().revision,
        "office_reachable": services.office.reachable(),
        "facts_trouble": services.office.shipping().trouble(),
        "recogniser": services.models.is_some(),
        "draining": services.is_draining(),
        "profiles": http::profiles(node).await,
        "registrations": services.registrar.listing(),
        "media": numbers(&services.media_numbers()),
        "journal": numbers(&services.journal_numbers()),
    })
}

fn numbers(values: &[(&'static str, u64)]) -> Value {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect()
}

fn calls(services: &Services) -> Vec<Value> {
    let all = services.calls.all();
    all.iter().map(|entry| describe(services, entry)).collect()
}

/// A call with its legs.
fn show(services: &Services, entry: &Entry) -> Value {
    let mut shown = describe(services, entry);
    let legs = services.book.of_call(entry.dossier.call()).into_iter();
    let legs = legs.map(|(leg, seed)| {
        json!({
            "leg": leg,
            "sip_call_id": String::from_utf8_lossy(&seed.id.call_id),
            "transport": seed.flow.transport.via_name(),
            "local": seed.flow.local,
            "remote": seed.flow.remote,
        })
    });
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("legs".to_owned(), legs.collect());
    }
    shown
}

fn describe(services: &Services, entry: &Entry) -> Value {
    let age = services.clock.now().saturating_sub(entry.since);
    json!({
        "call": entry.dossier.call(),
        "profile": &*entry.profile,
        "trunk": entry.trunk,
        "from": entry.from,
        "to": entry.to,
        "seconds": age.as_secs(),
    })
}

/// Every fact as it happens. Who is too slow is told how many he missed.
async fn follow(write: &mut OwnedWriteHalf, services: &Services) {
    let mut facts = services.watch.subscribe();
    loop {
        let line = match facts.recv().await {
            Ok(fact) => serde_json::to_value(&*fact).unwrap_or_default(),
            Err(RecvError::Lagged(missed)) => json!({ "missed": missed }),
            Err(RecvError::Closed) => return,
        };
        if !say(write, &line).await {
            return;
        }
    }
}

async fn say(write: &mut OwnedWriteHalf, value: &Value) -> bool {
    write
        .write_all(format!("{value}\n").as_bytes())
        .await
        .is_ok()
}

/// Asks a running server; each answer line goes to `each` until it says stop (false).
///
/// # Errors
/// When nobody answers at the socket.
pub async fn ask(
    path: &Path,
    request: &Request,
    mut each: impl FnMut(Value) -> bool,
) -> Result<(), CtlError> {
    let fail = |source| CtlError {
        path: path.display().to_string(),
        source,
    };
    let stream = UnixStream::connect(path).await.map_err(fail)?;
    let (read, mut write) = stream.into_split();
    let line = serde_json::to_string(request).unwrap_or_default() + "\n";
    write.write_all(line.as_bytes()).await.map_err(fail)?;
    let mut lines = BufReader::new(read).lines();
    while let Some(line) = lines.next_line().await.map_err(fail)? {
        if !each(serde_json::from_str(&line).unwrap_or(Value::String(line))) {
            break;
        }
    }
    Ok(())
}
