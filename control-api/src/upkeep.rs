//! What the office does by itself: lost calls, old answers, old events, files left behind.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::{app::App, clock::now_ms, idempotency, store::StoreError, upload};

/// How often leases are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How many looks there are between two rounds of tidying: an hour.
const TIDY: u64 = 7_200;
/// How many looks there are after a deletion that failed: half a minute.
const PURGE_AGAIN: u64 = 60;
/// How long events are kept for listeners that come back.
const EVENTS_MS: i64 = 24 * 3_600_000;

/// Runs until the office ends. `settle` is how long a provisional end waits for its owner.
pub async fn run(app: App, settle: Duration) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut purge_from) = (0_u64, 0);
    loop {
        ticks.tick().await;
        if let Err(fault) = look(&app, settle).await {
            tracing::warn!(%fault, "leases could not be looked at");
        }
        if count >= purge_from && !purge(&app).await {
            purge_from = count + PURGE_AGAIN;
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

/// Deletes the sound of erased recordings; false when that failed and is to be tried again later.
async fn purge(app: &App) -> bool {
    let due = match app.db().recordings_to_purge().await {
        Ok(due) => due,
        Err(fault) => {
            tracing::warn!(%fault, "erased recordings could not be looked for");
            return false;
        }
    };
    let mut good = true;
    for (call, stored) in due {
        let deleted = app.vault().delete(&stored).await;
        if let Err(fault) = deleted {
            tracing::error!(%call, %fault, "an erased recording is still there");
            good = false;
        } else if let Err(fault) = app.db().recording_purged(call, now_ms()).await {
            tracing::warn!(%call, %fault, "an erased recording could not be noted");
            good = false;
        }
    }
    good
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
    match upload::sweep(app.vault().root()).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "broken-off uploads removed"),
        Err(fault) => tracing::warn!(%fault, "broken-off uploads could not be removed"),
    }
}
