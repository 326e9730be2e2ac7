//! The Calls actor: admits calls and files their records, whatever happens to them.
//!
//! Supervised by the Node. Supervises every Call and never restarts one: when a Call dies, the far
//! sides get the BYE they are owed from the dialog seeds, and the record gets its `ended`. Dies
//! only of a fault of its own.

mod admission;

use std::{collections::HashMap, sync::Arc, time::Duration};

use model::{EndReason, FactKind, command::Outcome};
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use sip_core::{
    dialog::{DialogInput, DialogSeed, Refusal},
    endpoint::NewInvite,
    value::Reason,
};

use crate::{
    call::{self, Facing},
    dialog::{self, DialogActor, Origin},
    dossier::Dossier,
    listener,
    profile::Profile,
    registrar::Identity,
    services::{Line, Services},
    trunk_book::Arrived,
    wire::Wire,
};
use admission::{Admission, Wait};

/// What Calls is told.
pub enum Msg {
    /// A listener got a new INVITE.
    Invite(Box<Invite>),
    /// The office orders a call.
    Place(Box<call::Order>),
    /// Say goodbye on a dialog whose Call is gone (or was never ours in this life).
    SayGoodbye(Box<Goodbye>),
}

/// An INVITE and where it came in.
pub struct Invite {
    /// The profile.
    pub profile: Arc<Profile>,
    /// Its sockets.
    pub wire: Arc<Wire>,
    /// Its listener.
    pub listener: listener::Cell,
    /// The request and its dialog id.
    pub invite: NewInvite,
    /// Its trunk, tenant and parties.
    pub arrived: Arrived,
    /// Whose password the caller knew; none where no password is asked for.
    pub identity: Option<Arc<Identity>>,
    /// When the listener had it.
    pub received: Duration,
}

/// A dialog to be ended from its seed.
pub struct Goodbye {
    /// Whose.
    pub dossier: Arc<Dossier>,
    /// Which leg.
    pub leg: u8,
    /// Its last seed.
    pub seed: DialogSeed,
    /// What the far side is told.
    pub reason: Reason,
    /// Over which profile.
    pub line: Line,
}

/// What Calls needs.
#[derive(Clone)]
pub struct Args {
    /// Everything shared.
    pub services: Arc<Services>,
}

/// Calls alive and the admission meters.
pub struct State {
    services: Arc<Services>,
    admission: Admission,
    live: HashMap<ActorId, (Arc<Dossier>, Line)>,
}

/// The actor.
pub struct Calls;

impl Actor for Calls {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, _me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        Ok(State {
            services: args.services,
            admission: Admission::default(),
            live: HashMap::new(),
        })
    }

    async fn handle(
        &self,
        me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Invite(invite) => take(&me, state, *invite).await,
            Msg::Place(order) => place(&me, state, order).await,
            Msg::SayGoodbye(goodbye) => say_goodbye(&me, state, *goodbye).await,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(cell, error) => {
                bury(&me, state, &cell, Some(error.to_string()));
            }
            SupervisionEvent::ActorTerminated(cell, ..) => bury(&me, state, &cell, None),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

async fn take(me: &ActorRef<Msg>, state: &mut State, invite: Invite) {
    let source = invite.invite.flow.remote.ip();
    let trunk = invite.profile.settings.trunk_of(source);
    let tenant = invite.arrived.tenant;
    if let Err(refused) = state
        .admission
        .admit(&state.services, &invite.profile, trunk, tenant)
    {
        let mut refusal = Refusal::new(503);
        refusal.retry_after_s = Some(refused.retry_after_s);
        let labels = [&*invite.profile.name, refused.why.name()];
        state
            .services
            .metrics
            .refused
            .with_label_values(&labels)
            .inc();
        let listener = invite.listener.clone();
        listener.cast(listener::Msg::Refuse(Box::new(invite.invite), refusal));
        return;
    }
    let dossier = state.services.open_dossier();
    let args = call::Args {
        services: state.services.clone(),
        dossier: dossier.clone(),
        profile: invite.profile.clone(),
        wire: invite.wire.clone(),
        listener: invite.listener.clone(),
        facing: Facing::Invited(Box::new(invite.invite.clone())),
        arrived: invite.arrived.clone(),
        identity: invite.identity.clone(),
        received: invite.received,
    };
    match Actor::spawn_linked(None, call::CallActor, args, me.get_cell()).await {
        Ok((actor, _)) => {
            let line = Line {
                profile: invite.profile.clone(),
                wire: invite.wire.clone(),
                listener: invite.listener.clone(),
            };
            state.live.insert(actor.get_id(), (dossier.clone(), line));
        }
        Err(error) => {
            tracing::error!(call_id = %dossier.call(), %error, "a call could not be started");
            let refusal = Refusal::new(500);
            invite
                .listener
                .cast(listener::Msg::Refuse(Box::new(invite.invite), refusal));
        }
    }
}

/// An ordered call lives under the id that the office gave it. Until its way is known it stands on
/// any profile that is up.
async fn place(me: &ActorRef<Msg>, state: &mut State, order: Box<call::Order>) {
    let services = state.services.clone();
    let line = services.lines.all().into_iter().next();
    let (Some(line), true) = (line, services.accepting()) else {
        return refuse(&services, *order, "this switch takes no calls");
    };
    let leave = order
        .tenant
        .map_or(Ok(()), |tenant| state.admission.order(&services, tenant));
    match leave {
        Ok(()) => {}
        // Paced and not failed, while whoever ordered it waits.
        Err(Wait::For(time)) if order.is_wanted() => {
            me.send_after(time, move || Msg::Place(order));
            return;
        }
        Err(Wait::For(_) | Wait::ForAnEnd) => {
            return refuse(
                &services,
                *order,
                "the tenant has as many calls as it may have",
            );
        }
    }
    let dossier = services.dossier_of(order.call);
    let args = call::Args {
        services: services.clone(),
        dossier: dossier.clone(),
        profile: line.profile.clone(),
        wire: line.wire.clone(),
        listener: line.listener.clone(),
        arrived: order.arrived(),
        identity: None,
        facing: Facing::Ordered(order),
        received: services.clock.now(),
    };
    match Actor::spawn_linked(None, call::CallActor, args, me.get_cell()).await {
        Ok((actor, _)) => {
            state.live.insert(actor.get_id(), (dossier, line));
        }
        Err(error) => {
            tracing::error!(call_id = %dossier.call(), %error, "a call could not be placed");
        }
    }
}

/// A call that nobody places: whoever ordered it is told, and it has its record.
fn refuse(services: &Services, mut order: call::Order, why: &str) {
    if let Some(reply) = order.reply.take() {
        let why = why.to_owned();
        let _ = reply.send(Outcome::Refused { why });
    }
    if let Some(meets) = order.meets() {
        (meets.watch)(503);
    }
    let dossier = services.dossier_of(order.call);
    dossier.write(FactKind::Started(order.started(services)));
    dossier.end(EndReason::Capacity, Some(503), Some(42));
    services.metrics.ended(dossier.ended());
}

/// A Call is gone. If it left without its `ended`, it broke: hang up for it and say so.
fn bury(me: &ActorRef<Msg>, state: &mut State, cell: &ActorCell, error: Option<String>) {
    let Some((dossier, line)) = state.live.remove(&cell.get_id()) else {
        return;
    };
    let services = &state.services;
    services.calls.remove(dossier.call());
    if let Some(error) = error {
        tracing::error!(call_id = %dossier.call(), error, "a call broke");
        services.metrics.restarts.with_label_values(&["call"]).inc();
    }
    let orphans = services.book.of_call(dossier.call());
    if dossier.ended().is_none() {
        dossier.end(EndReason::InternalError, None, Some(41));
    }
    services.metrics.ended(dossier.ended());
    goodbyes(me, &dossier, &line, orphans);
}

/// Dialogs of a Call that ended well are stopped with it; their last words may still be due.
fn goodbyes(
    me: &ActorRef<Msg>,
    dossier: &Arc<Dossier>,
    line: &Line,
    orphans: Vec<(u8, DialogSeed)>,
) {
    for (leg, seed) in orphans {
        let goodbye = Goodbye {
            dossier: dossier.clone(),
            leg,
            seed,
            reason: Reason::q850(41, "temporary failure"),
            line: line.clone(),
        };
        let _ = me.cast(Msg::SayGoodbye(Box::new(goodbye)));
    }
}

async fn say_goodbye(me: &ActorRef<Msg>, state: &State, goodbye: Goodbye) {
    let services = &state.services;
    let flow = goodbye.seed.flow;
    let args = dialog::Args {
        origin: Origin::Resumed(Box::new(goodbye.seed)),
        config: goodbye.line.profile.dialog_config(&flow),
        tokens: services.fork_tokens(),
        profile: goodbye.line.profile.name.clone(),
        wire: goodbye.line.wire,
        listener: goodbye.line.listener,
        book: services.book.clone(),
        dossier: goodbye.dossier.clone(),
        leg: goodbye.leg,
        clock: services.clock,
        ladder: services.ladder(),
        events: Arc::new(|_| {}),
        undelivered: Some(unreachable(services, &goodbye.dossier)),
        hops: None,
    };
    let listener = args.listener.clone();
    let spawned = Actor::spawn_linked(None, DialogActor, args, me.get_cell()).await;
    if let Ok((dialog, _)) = spawned {
        if let Some(id) = services.book.id_of(goodbye.dossier.call(), &dialog) {
            listener.cast(listener::Msg::Adopt(id));
        }
        let hangup = DialogInput::Hangup {
            reason: Some(goodbye.reason),
        };
        let _ = dialog.cast(dialog::Msg::Input(Box::new(hangup)));
    }
}

/// Counts the far sides that could not be told (a TCP caller whose connection died with us).
fn unreachable(services: &Arc<Services>, dossier: &Arc<Dossier>) -> dialog::Undelivered {
    let (services, call) = (services.clone(), dossier.call());
    Arc::new(move || {
        services.metrics.unreachable.inc();
        tracing::warn!(call_id = %call, "the far side could not be reached for its BYE");
    })
}
