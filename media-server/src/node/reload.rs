//! Reload: server file, profiles and dialplans anew, all or nothing; then each profile for itself.
//!
//! Live calls keep what they began with. A profile that stays keeps its sockets; one whose addresses
//! change opens the new ones first and closes an old one when the last dialog on it is over; one that
//! is gone takes no new calls and goes with its last dialog.

use std::{path::PathBuf, sync::Arc, time::Duration};

use ractor::ActorRef;
use serde::Serialize;
use sip_core::endpoint::Admission;

use super::{Held, Msg, RETRY, State, admission, fail, listen, raise, trunks};
use crate::{
    listener,
    profile::Profile,
    services::Line,
    wire::{Tls, Wire},
};

/// How often sockets are looked at that wait for their last dialog.
const SWEEP: Duration = Duration::from_secs(1);
/// Seconds after which a caller of a profile that goes may try elsewhere.
const GONE_RETRY_S: u32 = 5;

/// What a reload did.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Profiles that are new.
    pub added: Vec<String>,
    /// Profiles that are written differently.
    pub changed: Vec<String>,
    /// Profiles that are gone, and leave with their last call.
    pub removed: Vec<String>,
    /// Sections of the server file that count only from the next start on.
    pub at_next_start: Vec<&'static str>,
    /// What is probably not meant.
    pub warnings: Vec<String>,
}

/// Reads everything anew and carries out the difference.
///
/// # Errors
/// Every fault with file, line and column; nothing has changed then.
pub(super) async fn reload(me: &ActorRef<Msg>, state: &mut State) -> Result<Reloaded, String> {
    let old = state.services.settings.current();
    let new = read(state, old.source.clone()).await?;
    let mut done = Reloaded {
        at_next_start: settings::at_next_start(&old.server, &new.server),
        warnings: new.warnings.iter().map(ToString::to_string).collect(),
        ..Reloaded::default()
    };
    state.services.copy_messages(&new.server.hep);
    state.services.stir.configure(&new.server.stir);
    let kept: Vec<Arc<str>> = state.profiles.keys().cloned().collect();
    for name in kept {
        let stays = new.profiles.iter().any(|profile| profile.name == *name);
        if !stays && retire(me, state, &name) {
            done.removed.push(name.to_string());
        }
    }
    for profile in &new.profiles {
        let name: Arc<str> = profile.name.as_str().into();
        match state.profiles.get(&name) {
            None => {
                let held = Held::of(Profile::new(profile.clone()));
                state.profiles.insert(name.clone(), held);
                raise(me, state, &name).await;
                done.added.push(profile.name.clone());
            }
            Some(held) if held.profile.settings == *profile && !held.leaving => {
                // Its files may have changed all the same.
                renew(state, &name);
            }
            Some(_) => {
                change(me, state, &name, profile).await;
                done.changed.push(profile.name.clone());
            }
        }
    }
    state.services.refresh_trunks();
    if let Err(error) = trunks::watch_all(me, state).await {
        tracing::error!(%error, "trunks are not asked");
    }
    done.removed.sort();
    tracing::info!(?done, "reloaded");
    Ok(done)
}

async fn read(state: &State, source: Option<PathBuf>) -> Result<Arc<settings::Settings>, String> {
    let services = state.services.clone();
    let read = tokio::task::spawn_blocking(move || {
        let codecs = crate::profile::codec_names();
        let known = settings::Known {
            codecs: &codecs,
            language_models: &providers::llm::kinds(),
            voices: &providers::tts::kinds(),
            recognisers: &providers::stt::kinds(),
        };
        services.settings.reload(source.as_deref(), &known)
    });
    let read = read.await.map_err(|error| error.to_string())?;
    read.map_err(|faults| {
        tracing::error!("not reloaded, the running configuration stays:\n{faults}");
        faults.to_string()
    })
}

/// The profile is gone from the files. Whether that is news.
fn retire(me: &ActorRef<Msg>, state: &mut State, name: &Arc<str>) -> bool {
    let Some(held) = state.profiles.get_mut(name).filter(|held| !held.leaving) else {
        return false;
    };
    held.leaving = true;
    let closed = Admission::Closed {
        retry_after_s: GONE_RETRY_S,
    };
    held.cell.cast(listener::Msg::Admission(closed));
    state.services.lines.remove(name);
    me.send_after(SWEEP, || Msg::Sweep);
    true
}

/// The profile is written differently.
async fn change(
    me: &ActorRef<Msg>,
    state: &mut State,
    name: &Arc<str>,
    settings: &settings::Profile,
) {
    let profile = Profile::new(settings.clone());
    let admission = admission(&state.services);
    let Some(held) = state.profiles.get_mut(name) else {
        return;
    };
    held.leaving = false;
    held.profile = profile.clone();
    held.gate.rule(settings.clone());
    held.stop_asking();
    let Some(wire) = held.wire.clone() else {
        return raise(me, state, name).await;
    };
    held.cell.cast(listener::Msg::Profile(profile.clone()));
    held.cell.cast(listener::Msg::Admission(admission));
    // What cannot be opened is trouble of its own: what was open stays, the rest is tried again.
    held.trouble = relisten(me, name, &wire, &profile).await;
    renew(state, name);
    let Some(held) = state.profiles.get_mut(name) else {
        return;
    };
    held.ask_outside();
    let line = Line {
        profile,
        wire,
        listener: held.cell.clone(),
    };
    state.services.lines.enter(line);
    me.send_after(SWEEP, || Msg::Sweep);
}

/// Certificates, authorities and bounds of connections anew. Files that cannot be read leave in place what is.
fn renew(state: &mut State, name: &Arc<str>) {
    let Some(held) = state.profiles.get_mut(name) else {
        return;
    };
    let settings = &held.profile.settings;
    let Some(wire) = &held.wire else { return };
    wire.limit(settings.streams.clone());
    match Tls::load(&settings.tls) {
        Ok(tls) => wire.certify(tls),
        Err(fault) => {
            tracing::error!(profile = %name, %fault, "the certificates before stay");
            held.trouble.get_or_insert(fault.to_string());
        }
    }
}

/// Sockets and profiles that wait for their last dialog.
pub(super) fn sweep(me: &ActorRef<Msg>, state: &mut State) {
    let book = state.services.book.clone();
    let mut waiting = false;
    state.profiles.retain(|name, held| {
        if let Some(wire) = &held.wire {
            wire.close_surplus(|local| book.uses(name, local));
            waiting |= wire.has_surplus();
        }
        let gone = held.leaving && !book.has(name);
        if gone {
            held.close();
            tracing::info!(profile = %name, "profile gone");
        }
        waiting |= held.leaving && !gone;
        !gone
    });
    if waiting {
        me.send_after(SWEEP, || Msg::Sweep);
    }
}

async fn relisten(
    me: &ActorRef<Msg>,
    name: &Arc<str>,
    wire: &Arc<Wire>,
    profile: &Profile,
) -> Option<String> {
    let error = wire.relisten(&profile.listen()).await.err()?;
    tracing::error!(profile = %name, %error, "an address cannot be opened; trying again");
    let again = name.clone();
    me.send_after(RETRY, move || Msg::Relisten(again));
    Some(error.to_string())
}

/// Tries again what could not be opened.
pub(super) async fn relisten_again(me: &ActorRef<Msg>, state: &mut State, name: &Arc<str>) {
    let Some(held) = state.profiles.get_mut(name).filter(|held| !held.leaving) else {
        return;
    };
    let (Some(wire), true) = (held.wire.clone(), held.trouble.is_some()) else {
        return;
    };
    held.trouble = relisten(me, name, &wire, &held.profile).await;
}

/// A profile's sockets are closed and opened anew, its listener rebuilt from the live dialogs.
///
/// # Errors
/// No such profile; an address that cannot be had, which is tried again.
pub(super) async fn restart(
    me: &ActorRef<Msg>,
    state: &mut State,
    name: &Arc<str>,
) -> Result<(), String> {
    let known = state.profiles.get_mut(name).filter(|held| !held.leaving);
    let held = known.ok_or_else(|| format!("there is no profile `{name}`"))?;
    held.restarts.clear();
    held.stop_asking();
    if let Some(listener) = held.listener.take() {
        state.listeners.remove(&listener.get_id());
        listener.stop(None);
    }
    let Some(wire) = held.wire.clone() else {
        raise(me, state, name).await;
        return outcome(state, name);
    };
    if let Err(error) = wire.restart(&held.profile.listen()).await {
        fail(me, state, name, &error.to_string());
    } else if let Err(error) = listen(me, state, name).await {
        fail(me, state, name, &error.to_string());
    }
    outcome(state, name)
}

fn outcome(state: &State, name: &Arc<str>) -> Result<(), String> {
    let failure = state
        .profiles
        .get(name)
        .and_then(|held| held.failure.clone());
    failure.map_or(Ok(()), Err)
}
