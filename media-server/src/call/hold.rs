//! A call that its far side holds: agent, hearing and playout rest until it is back.

use call_core::{
    brain::BrainInput,
    call::{Input, LineNews},
};
use media_core::leg::{Command, LegConfig};
use sip_core::offer_answer::AgreedMedia;

use super::{State, ears, floor, media};

/// What the agreed media says of hold: by `sendonly`, `inactive` or a null address (RFC 3264 §8.4, RFC 2543).
pub(super) fn noted(state: &mut State, agreed: &AgreedMedia) {
    let news = match agreed.on_hold {
        true => LineNews::Held,
        false => LineNews::Resumed,
    };
    state.inbox.push_back(Input::Line(news));
}

/// Carries out what the call machine made of it.
pub(super) fn set(state: &mut State, held: bool) {
    state.media.held = held;
    if held {
        floor::feed(state, BrainInput::Hold(true));
        ears::close_utterance(state);
    }
    apply(state);
    if !held {
        floor::feed(state, BrainInput::Hold(false));
    }
}

/// Tells the leg, also one that was put in place of another.
pub(super) fn apply(state: &State) {
    let held = state.media.held;
    let timeouts = match held {
        true => state.args.profile.hold_timeouts(),
        false => state.args.profile.media_timeouts(),
    };
    media::command(state, Command::SetTimeouts(timeouts));
    media::command(state, Command::SetSending(!held));
    if held {
        media::command(state, Command::Listen(None));
        return media::command(state, Command::Pause);
    }
    let ears = state
        .media
        .config()
        .and_then(|config: &LegConfig| config.ears);
    media::command(state, Command::Listen(ears));
    media::command(state, Command::Resume);
}
