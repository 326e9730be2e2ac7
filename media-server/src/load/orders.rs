//! Calls that the server is told to place, over its REST API (`POST /v1/calls`): an agent calls our own number `leaves`.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, bail};
use egress::{Egress, EgressConfig, Policy, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use super::wire;

/// How many, how fast.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// In all.
    pub calls: u32,
    /// A second.
    pub per_second: u32,
}

/// The office and what opens it.
#[derive(Debug, Clone)]
pub struct Desk {
    /// `http://127.0.0.1:8080`.
    pub api: String,
    /// A file with a key that may order calls.
    pub key_file: PathBuf,
}

/// The thread that orders.
pub(super) struct Orderer {
    thread: JoinHandle<anyhow::Result<()>>,
    taken: Arc<AtomicUsize>,
}

impl Orderer {
    /// Begins to order calls to `leaves` at this address.
    ///
    /// # Errors
    /// A key that cannot be read, an office that is not on loopback, a thread that cannot be had.
    pub(super) fn start(orders: Orders, desk: &Desk, callee: SocketAddr) -> anyhow::Result<Self> {
        let rest = desk.api.strip_prefix("http://").unwrap_or_default();
        let at: SocketAddr = rest.parse().context("the office is http://ADDRESS:PORT")?;
        if !at.ip().is_loopback() {
            bail!("the office must be on this machine, not at {at}");
        }
        let key = std::fs::read_to_string(&desk.key_file);
        let key = key.with_context(|| format!("cannot read {}", desk.key_file.display()))?;
        let office = Office {
            egress: Egress::new(EgressConfig::default())?,
            api: desk.api.clone(),
            key: key.trim().to_owned(),
        };
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = wire::thread("load-orders", move || {
            runtime.block_on(office.order(orders, callee, &count))
        })?;
        Ok(Self { thread, taken })
    }

    /// Waits for the last order; how many were taken.
    ///
    /// # Errors
    /// The office could not be reached, or refused one.
    pub(super) fn finish(self) -> anyhow::Result<usize> {
        match self.thread.join() {
            Ok(done) => done?,
            Err(_) => bail!("the thread that orders calls panicked"),
        }
        Ok(self.taken.load(Ordering::Relaxed))
    }
}

struct Office {
    egress: Egress,
    api: String,
    key: String,
}

impl Office {
    async fn order(
        &self,
        orders: Orders,
        callee: SocketAddr,
        taken: &AtomicUsize,
    ) -> anyhow::Result<()> {
        let tenant = self.first("/v1/tenants").await?;
        let agent = self.first("/v1/agents").await?;
        let wish = json!({ "to": format!("sip:leaves@{callee}"), "agent_id": agent });
        let mut pace = tokio::time::interval(Duration::from_secs(1) / orders.per_second.max(1));
        for _ in 0..orders.calls {
            pace.tick().await;
            let request = Request::post(format!("{}/v1/calls", self.api)).json(&wish);
            let call = self.send(request.header("x-tenant-id", &tenant)).await?;
            if call["state"] != "queued" {
                bail!("POST /v1/calls: {call}");
            }
            taken.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The id of the first in a list.
    async fn first(&self, path: &str) -> anyhow::Result<String> {
        let list = self
            .send(Request::get(format!("{}{path}", self.api)))
            .await?;
        let id = list["data"][0]["id"].as_str();
        Ok(id
            .with_context(|| format!("{path}: nothing there"))?
            .to_owned())
    }

    async fn send(&self, request: Request) -> anyhow::Result<Value> {
        let request = request.bearer(&self.key);
        let response = self.egress.send(Policy::Named, request).await?;
        Ok(response.json().await?)
    }
}
