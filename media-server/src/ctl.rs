//! The runtime commands: one JSON line in, JSON lines out, over a unix socket that only the
//! server's own user may open.

use std::{path::Path, sync::Arc};

use call_core::call::KillCause;
use model::CallId;
use ractor::ActorRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::broadcast::error::RecvError,
    task::JoinHandle,
};

use crate::{call, http, node, services::Services};

/// The longest command line that is read.
const MAX_LINE: u64 = 4_096;

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
    },
    /// Take no new calls.
    Drain,
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
            found.map_or_else(unknown, |entry| describe(services, &entry))
        }
        Request::Kill { call } => match services.calls.get(call) {
            Some(entry) => {
                let _ = entry.actor.cast(call::Msg::Kill(KillCause::Operator));
                json!({ "ok": true })
            }
            None => unknown(),
        },
        Request::Drain => {
            let _ = node.cast(node::Msg::Drain);
            json!({ "ok": true, "calls": services.calls.len() })
        }
    }
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
        "profiles": http::profiles(node).await,
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

fn describe(services: &Services, entry: &crate::services::Entry) -> Value {
    let age = services.clock.now().saturating_sub(entry.since);
    json!({
        "call": entry.dossier.call(),
        "profile": &*entry.profile,
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
