//! The Leg actor: the only controller of one media machine.
//!
//! Supervised by its Call, which holds the seat (socket, keys, SSRC, recorder) and restarts a leg
//! once. Supervises nobody. Dies of a fault of its own; the machine in the media thread goes on
//! sending meanwhile, reflex included. A machine that panics is evicted by its media thread and
//! reported here; the Call puts a new one on the same seat.
//!
//! No sound passes through this mailbox: only commands and facts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use media_core::leg::{Command, LegEvent};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use crate::media::{LegControl, LegEvents, Mute, RecordingSpec, RtcpPort, SeatEvent};

/// What a Leg is told.
pub enum Msg {
    /// Do this to the machine.
    Command(Command),
    /// Begin to record.
    Record(RecordingSpec),
    /// End the recording.
    StopRecording,
    /// Make the recording silent, or end that.
    MuteRecording(Mute),
    /// RTCP comes on a port of its own from now on.
    Rtcp(RtcpPort),
    /// Something happened in the media thread.
    Seat(SeatEvent),
    /// Test seam: break this actor.
    Panic,
}

/// What a Leg tells its Call.
pub enum Report {
    /// Something happened on the leg.
    Event(LegEvent),
    /// The machine broke and is gone from its media thread.
    Evicted {
        /// What broke.
        reason: String,
    },
    /// The recording could not be begun.
    RecordingFailed {
        /// Why.
        why: String,
    },
}

/// The command ring and the event ring of one leg; they outlive the actor.
#[derive(Clone)]
pub struct Hands {
    /// Commands into the media thread.
    pub control: Arc<Mutex<LegControl>>,
    /// Events out of it; one forwarder at a time.
    pub events: Arc<tokio::sync::Mutex<LegEvents>>,
}

impl Hands {
    /// Takes the two control halves of a seat's rings.
    pub fn new(control: LegControl, events: LegEvents) -> Self {
        Self {
            control: Arc::new(Mutex::new(control)),
            events: Arc::new(tokio::sync::Mutex::new(events)),
        }
    }

    /// The commands, for what concerns more than this leg.
    pub fn lock(&self) -> MutexGuard<'_, LegControl> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Receives the leg's reports, in order.
pub type Reports = Arc<dyn Fn(Report) + Send + Sync>;

/// What a Leg needs.
#[derive(Clone)]
pub struct Args {
    /// Its rings.
    pub hands: Hands,
    /// Who hears of it.
    pub reports: Reports,
}

/// The rings and the task that forwards events.
pub struct State {
    args: Args,
    _forwarder: Forwarder,
}

/// Ends with the state, also when the actor panics: an event that it took for an actor that is no
/// more would be lost to the successor.
struct Forwarder(JoinHandle<()>);

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The actor.
pub struct Leg;

impl Actor for Leg {
    type Msg = Msg;
    type State = State;
    type Arguments = Args;

    async fn pre_start(&self, me: ActorRef<Msg>, args: Args) -> Result<State, ActorProcessingErr> {
        let forwarder = tokio::spawn(forward(me, args.hands.clone()));
        Ok(State {
            args,
            _forwarder: Forwarder(forwarder),
        })
    }

    async fn handle(
        &self,
        _me: ActorRef<Msg>,
        msg: Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Command(command) => send(state, command),
            Msg::Record(spec) => record(state, spec),
            Msg::Rtcp(port) => drop(state.args.hands.lock().take_rtcp(port)),
            Msg::StopRecording => state.args.hands.lock().stop_recording(),
            Msg::MuteRecording(wanted) => mute(state, wanted),
            Msg::Seat(SeatEvent::Leg(event)) => (state.args.reports)(Report::Event(event)),
            Msg::Seat(SeatEvent::Evicted { reason, .. }) => {
                (state.args.reports)(Report::Evicted { reason });
            }
            Msg::Panic => panic!("injected into the leg actor"),
        }
        Ok(())
    }
}

/// Moves events from the ring to the actor until the seat is gone or the actor is.
async fn forward(me: ActorRef<Msg>, hands: Hands) {
    let mut events = hands.events.lock().await;
    while let Some(event) = events.event().await {
        if me.cast(Msg::Seat(event)).is_err() {
            return;
        }
    }
}

/// A full command ring means a media thread that has stood still for long: the media timeout ends
/// such a call, so the command is only reported.
fn send(state: &State, command: Command) {
    if state.args.hands.lock().send(command).is_err() {
        tracing::error!("the media thread takes no commands");
    }
}

/// A secret that cannot be kept out ends the recording.
fn mute(state: &State, mute: Mute) {
    let mut control = state.args.hands.lock();
    if control.mute_recording(mute).is_err() {
        tracing::error!("the recording could not be made silent: it ends");
        control.stop_recording();
    }
}

fn record(state: &State, spec: RecordingSpec) {
    let begun = state.args.hands.lock().record(spec);
    if let Err(error) = begun {
        let why = error.to_string();
        (state.args.reports)(Report::RecordingFailed { why });
    }
}
