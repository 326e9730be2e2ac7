//! `media-server serve`.

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{Config, settings};
use crate::{
    ctl, http,
    node::{self, Options},
};

/// Serves until SIGTERM or SIGINT.
pub(super) fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let settings = settings(config)?;
    logging();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.thread_name("signalling").enable_all().build()?;
    runtime.block_on(serve(settings))?;
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(ExitCode::SUCCESS)
}

fn logging() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing::Level::INFO.into())
        .parse_lossy(settings::variable("SIDETONE_LOG").map_or_else(
            || "info,hyper=warn,rustls=warn,sqlx=warn,ractor=error".to_owned(),
            |level| level.expose().to_owned(),
        ));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}

async fn serve(settings: settings::Settings) -> anyhow::Result<()> {
    let (ops, socket) = (settings.server.ops.bind, settings.server.ops.socket.clone());
    let handle = node::start(Options::of(settings)).await?;
    let listener = TcpListener::bind(ops).await;
    let listener = listener.with_context(|| format!("the ops port {ops}"))?;
    let http = http::serve(listener, handle.node.clone(), handle.services.clone());
    let control = ctl::serve(&socket, handle.node.clone(), handle.services.clone());
    let control = control.with_context(|| format!("the socket {}", socket.display()))?;
    greet(&handle, ops);
    until_told(&handle).await?;
    let limit = handle.services.settings.current().server.limits.drain;
    tracing::info!(calls = handle.services.calls.len(), ?limit, "draining");
    let mut again = signal(SignalKind::terminate())?;
    tokio::select! {
        () = handle.drain(limit) => {}
        // Whoever asks twice is in a hurry: every call gets its BYE now.
        _ = again.recv() => handle.drain(Duration::ZERO).await,
    }
    http.abort();
    control.abort();
    handle.stop().await;
    Ok(())
}

fn greet(handle: &node::NodeHandle, ops: std::net::SocketAddr) {
    let office = handle.office().map(|office| {
        let key = office.admin_key();
        (office.base_url(), key.path.display().to_string())
    });
    match office {
        Some((url, key)) => tracing::info!(%ops, office = url, admin_key_file = key, "ready"),
        None => tracing::info!(%ops, "ready"),
    }
}

/// SIGTERM and SIGINT end it, SIGHUP reloads.
async fn until_told(handle: &node::NodeHandle) -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = term.recv() => return Ok(()),
            _ = int.recv() => return Ok(()),
            // Its outcome is in the log.
            _ = hup.recv() => drop(handle.node.call(node::Msg::Reload, None).await),
        }
    }
}
