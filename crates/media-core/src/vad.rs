//! The cheap gate in front of the neural detector, and the reflex that pauses the agent at speech onset.
//!
//! Both look at energy over an adaptive noise floor only: a few nanoseconds a frame, good enough to say "maybe speech".

use crate::frame::SILENCE_DBOV;
use crate::playout::Tag;
use std::time::Duration;

/// The floor is never taken for lower than this, so that line noise after digital silence is not speech.
const LOWEST_FLOOR_DBOV: f32 = -60.0;
/// Nor for higher: a room this loud is a conversation.
const HIGHEST_FLOOR_DBOV: f32 = -30.0;
/// Per 20 ms frame: down at once by half the way, up by 2 dB a second.
const FLOOR_RISE_DB: f32 = 0.04;
const CANDIDATE_DB: f32 = 6.0;
const HANGOVER_FRAMES: u32 = 15;

/// What the gate says of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gauge {
    /// Power of the frame.
    pub level_dbov: f32,
    /// The leg's noise floor.
    pub floor_dbov: f32,
    /// Maybe speech, or within 300 ms after it: worth the neural detector's time.
    pub candidate: bool,
    /// Above the floor, though perhaps too soft to count: speech often begins so.
    pub audible: bool,
    /// Loud enough to count towards the reflex.
    pub loud: bool,
}

/// Energy gate with an adaptive noise floor.
#[derive(Debug, Clone)]
pub struct Gate {
    floor_dbov: f32,
    hangover: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            floor_dbov: -50.0,
            hangover: 0,
        }
    }
}

impl Gate {
    /// Judges the power of the next 20 ms.
    pub fn judge(&mut self, level_dbov: f32) -> Gauge {
        let over = level_dbov - self.floor_dbov;
        self.hangover = if over >= CANDIDATE_DB {
            HANGOVER_FRAMES
        } else {
            self.hangover.saturating_sub(1)
        };
        let gauge = Gauge {
            level_dbov,
            floor_dbov: self.floor_dbov,
            candidate: self.hangover > 0,
            audible: over >= CANDIDATE_DB,
            loud: over >= Reflex::ONSET_DB,
        };
        self.follow(level_dbov);
        gauge
    }

    fn follow(&mut self, level_dbov: f32) {
        // Digital silence is the far side's suppression, not the room.
        if level_dbov <= SILENCE_DBOV {
            return;
        }
        let step = (level_dbov - self.floor_dbov) / 2.0;
        let floor = self.floor_dbov + step.min(FLOOR_RISE_DB);
        self.floor_dbov = floor.clamp(LOWEST_FLOOR_DBOV, HIGHEST_FLOOR_DBOV);
    }
}

/// What the reflex wants done to the playout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReflexAction {
    /// Speech began: fall silent.
    Pause {
        /// Frames since it began, up to and with this one.
        onset_frames: u8,
    },
    /// Nobody confirmed it in time: go on at the very sample.
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReflexState {
    /// Watching the caller.
    Watching,
    /// Paused, waiting to be confirmed.
    Paused { since: Duration, tag: Tag },
    /// Confirmed: the pause now belongs to whoever confirmed it.
    Held,
}

/// Pauses at ≥ 3 of 5 frames 12 dB over the floor. Works with nobody above it alive.
#[derive(Debug)]
pub struct Reflex {
    armed: bool,
    state: ReflexState,
    /// One bit per recent frame, newest lowest: it was loud.
    recent: u8,
    /// The same: it was above the floor.
    audible: u8,
    struck: Option<(Tag, u8)>,
}

impl Reflex {
    /// How far over the floor a frame must be to count.
    pub const ONSET_DB: f32 = 12.0;
    /// An unconfirmed pause ends by itself.
    pub const LIMIT: Duration = Duration::from_millis(300);
    const FRAMES: u32 = 3;
    const OF: u8 = 0b1_1111;
    const STRIKES: u8 = 2;

    /// A reflex, armed or not.
    pub const fn new(armed: bool) -> Self {
        Self {
            armed,
            state: ReflexState::Watching,
            recent: 0,
            audible: 0,
            struck: None,
        }
    }

    /// Switches it; disarming leaves a pause under way to its limit.
    pub const fn arm(&mut self, armed: bool) {
        self.armed = armed;
    }

    /// Whether it is switched on.
    pub const fn is_armed(&self) -> bool {
        self.armed
    }

    /// Somebody else pauses: a pause of ours is now theirs, and does not end by itself.
    pub const fn hold(&mut self) {
        self.state = ReflexState::Held;
    }

    /// Whether the criterion holds right now.
    pub const fn is_onset(&self) -> bool {
        (self.recent & Self::OF).count_ones() >= Self::FRAMES
    }

    /// One caller frame, and what is being said to him meanwhile.
    pub fn on_frame(
        &mut self,
        now: Duration,
        gauge: &Gauge,
        speaking: Option<Tag>,
    ) -> Option<ReflexAction> {
        self.recent = self.recent << 1 | u8::from(gauge.loud);
        self.audible = self.audible << 1 | u8::from(gauge.audible);
        let tag = speaking?;
        if !self.armed
            || self.state != ReflexState::Watching
            || !self.is_onset()
            || self.is_off_for(tag)
        {
            return None;
        }
        self.state = ReflexState::Paused { since: now, tag };
        let onset_frames = self.onset_frames();
        Some(ReflexAction::Pause { onset_frames })
    }

    /// How many frames ago the speech began: the oldest loud frame of those that count, and what
    /// was softer but above the floor right before it.
    fn onset_frames(&self) -> u8 {
        let loud = u8::BITS - (self.recent & Self::OF).leading_zeros();
        let soft = (self.audible >> loud).trailing_ones();
        (loud + soft) as u8
    }

    /// When the pause will end by itself.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            ReflexState::Paused { since, .. } => Some(since + Self::LIMIT),
            ReflexState::Watching | ReflexState::Held => None,
        }
    }

    /// Ends an unconfirmed pause; early or spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Duration) -> Option<ReflexAction> {
        let ReflexState::Paused { since, tag } = self.state else {
            return None;
        };
        if now < since + Self::LIMIT {
            return None;
        }
        let strikes = self.struck.filter(|(t, _)| *t == tag).map_or(0, |(_, n)| n);
        self.struck = Some((tag, strikes.saturating_add(1)));
        self.release();
        Some(ReflexAction::Resume)
    }

    /// It was speech: the pause stays until somebody resumes or cuts. False when there was no pause to confirm.
    pub fn confirm(&mut self) -> bool {
        let paused = matches!(self.state, ReflexState::Paused { .. });
        if paused {
            self.state = ReflexState::Held;
        }
        paused
    }

    /// The playout was resumed, cut or paused by somebody else: watch afresh.
    pub const fn release(&mut self) {
        self.state = ReflexState::Watching;
        self.recent = 0;
        self.audible = 0;
    }

    fn is_off_for(&self, tag: Tag) -> bool {
        self.struck
            .is_some_and(|(t, strikes)| t == tag && strikes >= Self::STRIKES)
    }
}
