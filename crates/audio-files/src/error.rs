//! Why a file cannot be read or made.

/// Why a file cannot be read or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Neither of the two.
    #[error("neither RIFF WAVE nor Ogg")]
    Unknown,
    /// No RIFF WAVE header.
    #[error("not a RIFF WAVE file")]
    NotWave,
    /// No usable `fmt ` chunk before the data.
    #[error("no 'fmt ' chunk before the data")]
    NoFormat,
    /// Not 16-bit PCM in one or two channels.
    #[error("not 16-bit PCM in one or two channels")]
    Unsupported,
    /// No `data` chunk.
    #[error("no 'data' chunk")]
    NoData,
    /// Its bytes are no Ogg pages (RFC 3533 §6), or were changed on the way.
    #[error("an Ogg page is broken at byte {at}")]
    BrokenPage {
        /// Where the page begins.
        at: usize,
    },
    /// An Ogg stream of something else than Opus in one or two channels.
    #[error("not Opus in one or two channels")]
    NotOpus,
    /// A packet that is no Opus.
    #[error("an Opus packet is broken")]
    BrokenPacket,
    /// More sound than is taken.
    #[error("longer than {most_s} s")]
    TooLong {
        /// The longest, seconds.
        most_s: u32,
    },
    /// A rate that Opus does not know.
    #[error("Opus does not know {rate_hz} Hz")]
    Rate {
        /// The rate.
        rate_hz: u32,
    },
}
