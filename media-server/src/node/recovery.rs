//! After a crash: every far side of a lost conversation gets its BYE, every lost conversation its
//! one `ended`.

use std::sync::Arc;

use model::FactKind;
use sip_core::{dialog::DialogSeed, value::Reason};

use super::State;
use crate::{
    calls::{Goodbye, Msg},
    dossier::Dossier,
    journal::LostCall,
    media,
    services::{Line, Services},
};

/// Ends what an earlier life of this node left open.
pub(super) fn say_goodbyes(state: &mut State) {
    for lost in std::mem::take(&mut state.lost) {
        let services = state.services.clone();
        let watcher = Arc::new(|_: &model::Fact| {});
        let dossier = Dossier::reopen(&lost, services.journal.clone(), services.clock, watcher);
        tracing::warn!(call_id = %lost.call, "a conversation was lost with this node's earlier life");
        for (leg, bytes) in &lost.seeds {
            farewell(state, &dossier, *leg, bytes);
        }
        if lost.recording_open {
            tokio::spawn(end_recorded(services, lost, dossier));
        } else {
            end(&services, &lost, &dossier, 0);
        }
    }
}

fn end(services: &Services, lost: &LostCall, dossier: &Dossier, recorded_ms: u64) {
    dossier.end_lost(lost, recorded_ms);
    services.metrics.ended(dossier.ended());
}

fn farewell(state: &State, dossier: &Arc<Dossier>, leg: u8, bytes: &[u8]) {
    let Ok(mut seed) = serde_json::from_slice::<DialogSeed>(bytes) else {
        tracing::error!(call_id = %dossier.call(), "a dialog seed cannot be read");
        return;
    };
    // Its stream died with the process: a new connection is tried.
    seed.flow.connection = 0;
    let Some(line) = line_of(&state.services, &seed) else {
        state.services.metrics.unreachable.inc();
        tracing::warn!(call_id = %dossier.call(), "no profile is up to say goodbye from");
        return;
    };
    let goodbye = Goodbye {
        dossier: dossier.clone(),
        leg,
        seed,
        reason: Reason::q850(41, "temporary failure"),
        line,
    };
    let _ = state.calls.cast(Msg::SayGoodbye(Box::new(goodbye)));
}

/// The profile whose socket the dialog used; any other that is up will do as well.
fn line_of(services: &Services, seed: &DialogSeed) -> Option<Line> {
    let lines = services.lines.all();
    let local = seed.flow.local;
    let same = |line: &&Line| line.profile.listen().iter().any(|(_, addr)| *addr == local);
    lines.iter().find(same).or(lines.first()).cloned()
}

/// A lost call with a recording: its header is made to count what is there, which tells how long
/// the call was; then it is handed over.
async fn end_recorded(services: Arc<Services>, lost: LostCall, dossier: Arc<Dossier>) {
    let call = lost.call;
    let path = services.spool.join(format!("{call}.wav"));
    let file = path.clone();
    let mended = tokio::task::spawn_blocking(move || media::mend(&file)).await;
    let mended = mended.map_err(std::io::Error::other).flatten();
    end(&services, &lost, &dossier, *mended.as_ref().unwrap_or(&0));
    let duration_ms = match mended {
        Ok(duration_ms) => duration_ms,
        Err(error) => {
            tracing::error!(call_id = %call, %error, "its recording is lost");
            return;
        }
    };
    match services.uploader.ready(call, &path).await {
        Ok(file) => dossier.write(FactKind::RecordingReady {
            duration_ms,
            bytes: file.bytes,
            sha256: file.sha256,
        }),
        Err(error) => tracing::error!(call_id = %call, %error, "its recording is lost"),
    }
}

/// The calls' supervisor broke and took its calls along: the same for every one of them.
pub(super) fn end_orphans(state: &State) {
    let services = &state.services;
    for entry in services.calls.all() {
        services.calls.remove(entry.dossier.call());
        entry
            .dossier
            .end(model::EndReason::InternalError, None, Some(41));
        let Some(line) = services.lines.get(&entry.profile) else {
            continue;
        };
        for (leg, seed) in services.book.of_call(entry.dossier.call()) {
            let goodbye = Goodbye {
                dossier: entry.dossier.clone(),
                leg,
                seed,
                reason: Reason::q850(41, "temporary failure"),
                line: line.clone(),
            };
            let _ = state.calls.cast(Msg::SayGoodbye(Box::new(goodbye)));
        }
    }
}
