//! The sound of a call, pure: RTP in, 20 ms frames out, and the other way round.
//!
//! Nothing here reads a clock, opens a socket or starts a thread. Time is an argument, `now: Duration`, monotonic since the
//! node's start; one *tick* is 20 ms and yields exactly one packet per leg. The wall clock is not used at all, so it may jump.
//!
//! ```text
//! packet ─ rtp ─ codec ─► jitter ─┬─► recogniser frames (in order, before smoothing)
//!                                 └─► caller frame of the tick ─► recording, echo, bridge
//! playout ─────► mix ─► codec ─ rtp ─► packet of the tick       (dtmf takes its place while digits are sent)
//! ```
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod codec;
pub mod conceal;
pub mod conference;
pub mod dtmf;
pub mod error;
pub mod frame;
pub mod jitter;
pub mod leg;
pub mod mix;
pub mod noise;
pub mod playout;
pub mod quality;
pub mod recording;
pub mod resample;
pub mod rtcp;
pub mod rtp;
pub mod srtp;
pub mod stretch;
pub mod tone;
pub mod vad;

pub use error::Error;
pub use frame::{FRAME, FRAME_MS, Frame, MAX_FRAME_LEN, Rate};
pub use leg::{Leg, VOICE_RATE};
