//! What every request handler shares.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::http::Method;
use serde_json::Value;
use tokio::sync::watch;

use crate::{auth::Access, clock::now_ms, envelope::Keys, store::Db, vault::Vault};

/// The office's shared state; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    db: Db,
    vault: Vault,
    node_keys: Vec<String>,
    envelope: Keys,
    lease: Duration,
    started_ms: i64,
    routes: RouteTable,
    bell: watch::Sender<u64>,
    closing: watch::Sender<bool>,
}

/// The routes as their document declares them.
pub struct RouteTable {
    /// The OpenAPI document.
    pub document: Value,
    /// What each route asks of its caller.
    pub access: HashMap<(Method, String), Access>,
}

/// What the shared state is made of.
pub struct AppParts {
    /// The database.
    pub db: Db,
    /// Where recordings are kept.
    pub vault: Vault,
    /// Keys of switches.
    pub node_keys: Vec<String>,
    /// The keys that seal passwords.
    pub envelope: Keys,
    /// How long a silent switch counts as alive.
    pub lease: Duration,
    /// The routes.
    pub routes: RouteTable,
}

impl App {
    /// The shared state; the lease clock of the switches starts here.
    pub fn new(parts: AppParts) -> Self {
        Self(Arc::new(Inner {
            db: parts.db,
            vault: parts.vault,
            node_keys: parts.node_keys,
            envelope: parts.envelope,
            lease: parts.lease,
            started_ms: now_ms(),
            routes: parts.routes,
            bell: watch::Sender::new(0),
            closing: watch::Sender::new(false),
        }))
    }

    /// The database.
    pub fn db(&self) -> &Db {
        &self.0.db
    }

    /// Where recordings are kept.
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// Keys of switches.
    pub fn node_keys(&self) -> &[String] {
        &self.0.node_keys
    }

    /// The keys that seal passwords in the database.
    pub fn envelope(&self) -> &Keys {
        &self.0.envelope
    }

    /// Switches seen since this instant count as alive.
    pub fn alive_since(&self) -> i64 {
        let lease = i64::try_from(self.0.lease.as_millis()).unwrap_or(i64::MAX);
        now_ms().saturating_sub(lease)
    }

    /// The same, unless this process is too young to judge: its own absence must end nobody's call.
    pub fn judged_since(&self) -> Option<i64> {
        let since = self.alive_since();
        (self.0.started_ms <= since).then_some(since)
    }

    /// What a route asks of its caller; `None` when it declares nothing.
    pub fn access(&self, method: &Method, path: &str) -> Option<Access> {
        let key = (method.clone(), path.to_owned());
        self.0.routes.access.get(&key).copied()
    }

    /// Whether any method of a path declares something.
    pub fn knows_path(&self, path: &str) -> bool {
        self.0.routes.access.keys().any(|(_, known)| known == path)
    }

    /// The OpenAPI document.
    pub fn document(&self) -> &Value {
        &self.0.routes.document
    }

    /// Tells those who wait that something was committed.
    pub fn ring(&self) {
        self.0
            .bell
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Hears `ring`.
    pub fn bell(&self) -> watch::Receiver<u64> {
        self.0.bell.subscribe()
    }

    /// Ends streams and long polls.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Becomes true when the office closes.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.0.closing.subscribe()
    }

    /// Waits for the bell, for at most `longest`; false when the office closes. Other replicas
    /// ring no bell here, so `longest` is also how late their news is seen.
    pub async fn wait(&self, bell: &mut watch::Receiver<u64>, longest: Duration) -> bool {
        let mut closing = self.closing();
        tokio::select! {
            _ = closing.wait_for(|closing| *closing) => false,
            _ = tokio::time::timeout(longest, bell.changed()) => true,
        }
    }
}
