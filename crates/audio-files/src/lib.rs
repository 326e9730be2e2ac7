//! Sound in files, pure: bytes in, bytes out.
//!
//! ```text
//! export    a recording (stereo WAV) as mixed WAV or Ogg/Opus, in pieces, from any byte of the result
//! sound     a prompt (WAV or Ogg/Opus) as samples for the line
//! wav       RIFF WAVE with 16-bit PCM
//! ogg       pages and packets (RFC 3533)
//! ogg_opus  Opus in them (RFC 7845); alone names `opus` here
//! ```
//!
//! The switch and the office both use it; it knows neither.

mod error;
pub mod export;
pub mod ogg;
pub mod ogg_opus;
pub mod sound;
pub mod wav;

pub use error::FileError;
