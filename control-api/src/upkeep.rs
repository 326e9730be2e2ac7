//! What the office does by itself: lost calls, old answers, old events, files left behind.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{app::App, clock::now_ms, idempotency, store::StoreError, upload};

/// How often leases are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks there are between two rounds of tidying: an hour.
const TIDY: u64 = 7_200;
/// How long events are kept for listeners that come back.
const EVENTS_MS: i64 = 24 * 3_600_000;

/// Runs until the office ends. `settle` is how long a provisional end waits for its owner.
pub async fn run(app: App, settle: Duration) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut count = 0_u64;
    loop {
        ticks.tick().await;
        if let Err(fault) = look(&app, settle).await {
            tracing::warn!(%fault, "leases could not be looked at");
        }
        if count.is_multiple_of(TIDY) {
            tidy(&app).await;
        }
        count += 1;
    }
}

/// Ends the calls of switches that fell silent, and tells of those whose owner never came back.
async fn look(app: &App, settle: Duration) -> Result<(), StoreError> {
    let now = now_ms();
    let mut changed = 0;
    if let Some(since) = app.judged_since() {
        changed += app.db().lose_calls(since, now).await?;
    }
    let settle = i64::try_from(settle.as_millis()).unwrap_or(i64::MAX);
    let before = now.saturating_sub(settle);
    changed += app.db().settle_lost_calls(before, now).await?;
    changed += app.db().expire_orders(before, now).await?;
    if changed > 0 {
        tracing::warn!(calls = changed, "calls of silent switches");
        app.ring();
    }
    Ok(())
}

async fn tidy(app: &App) {
    if let Err(fault) = idempotency::prune(app).await {
        tracing::warn!(%fault, "old answers could not be removed");
    }
    if let Err(fault) = app.db().prune_events(now_ms() - EVENTS_MS).await {
        tracing::warn!(%fault, "old events could not be removed");
    }
    if let Err(fault) = app.db().prune_registrations(now_ms()).await {
        tracing::warn!(%fault, "old registrations could not be removed");
    }
    match upload::sweep(app.vault().folder()).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "broken-off uploads removed"),
        Err(fault) => tracing::warn!(%fault, "broken-off uploads could not be removed"),
    }
}
