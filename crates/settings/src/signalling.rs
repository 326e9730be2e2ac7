//! What a profile says about the life of its dialogs: session timers and reliable ringing.

use call_core::document::Fault;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Profile;
use crate::check::Read;

/// The session timer (RFC 4028): both sides learn within `expires` that the other one is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionTimer {
    /// Seconds we ask for. 0 asks for none; one that the far side asks for is kept all the same.
    pub expires: u32,
    /// Seconds below which an interval is refused with 422: at least 90 (RFC 4028 §4), less on loopback only.
    #[schemars(range(min = 1))]
    pub min: u32,
}

impl Default for SessionTimer {
    fn default() -> SessionTimer {
        SessionTimer {
            expires: 1800,
            min: 90,
        }
    }
}

/// When ringing is acknowledged (100rel, RFC 3262).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prack {
    /// Never; a caller who requires it is refused 420.
    Never,
    /// When the caller requires it.
    #[default]
    Asked,
    /// Whenever the far side can.
    Always,
}

/// The RFC's lower bound (RFC 4028 §4).
const FLOOR_S: u32 = 90;

pub(crate) fn session_timer(profile: &Read<Profile>, faults: &mut Vec<Fault>) {
    let timer = profile.value.session_timer;
    let at = |field: &str, message: String| {
        let pointer = format!("/session_timer/{field}");
        profile.document.fault(&pointer, message)
    };
    if timer.min < FLOOR_S && !profile.value.is_loopback() {
        let message = format!("a session timer below {FLOOR_S} s is for loopback only (RFC 4028)");
        faults.push(at("min", message));
    }
    if timer.expires != 0 && timer.expires < timer.min {
        let message = format!("`expires` is less than `min`, {} s", timer.min);
        faults.push(at("expires", message));
    }
}
