//! Prompts: WAV or Ogg/Opus, told apart by what is in them.

use crate::{
    FileError, ogg_opus,
    wav::{Layout, Wav},
};

/// Sound of one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// Samples a second: the file's own for WAV, what was asked for with Opus.
    pub rate_hz: u32,
    /// The samples; of two channels their mean.
    pub pcm: Vec<i16>,
}

/// Whether [`read`] would take a file, without decoding it.
///
/// # Errors
/// [`FileError`].
pub fn check(bytes: &[u8], most_s: u32) -> Result<(), FileError> {
    if bytes.starts_with(b"OggS") {
        return ogg_opus::check(bytes, most_s);
    }
    if !bytes.starts_with(b"RIFF") {
        return Err(FileError::Unknown);
    }
    let layout = Layout::read(bytes)?;
    let there = (bytes.len() as u64).saturating_sub(layout.data_at);
    let second = u64::from(layout.rate_hz) * u64::from(layout.channels) * 2;
    if layout.data_bytes.min(there) / second >= u64::from(most_s) {
        return Err(FileError::TooLong { most_s });
    }
    Ok(())
}

/// Reads a whole file of at most `most_s` seconds. `rate_hz` is what Opus is decoded at.
///
/// # Errors
/// [`FileError`].
pub fn read(bytes: &[u8], rate_hz: u32, most_s: u32) -> Result<Sound, FileError> {
    if bytes.starts_with(b"OggS") {
        let pcm = ogg_opus::decode(bytes, rate_hz, most_s)?;
        return Ok(Sound { rate_hz, pcm });
    }
    check(bytes, most_s)?;
    let wav = Wav::read(bytes)?;
    Ok(Sound {
        rate_hz: wav.rate_hz,
        pcm: wav.mono(),
    })
}
