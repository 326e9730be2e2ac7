//! Offer and answer (RFC 3264): one audio stream, codecs handed in as data.
//!
//! A [`Session`] belongs to one dialog. It answers offers with exactly the agreed codec (and telephone-event), declines what it
//! cannot take with port 0 in order, makes offers, and counts its SDP version up only when its description changes.

mod capability;
mod crypto;
mod negotiate;
mod session;

pub use capability::{
    AgreedCodec, AgreedEvent, AgreedMedia, CodecCapability, Direction, EventSet, MediaAddress,
    MediaPolicy, Negotiation,
};
pub use crypto::{AgreedSrtp, CryptoLine, CryptoSuite, MasterKey, SrtpPolicy};
pub use session::{Session, SessionSeed};

use crate::sdp::SdpError;

/// Why nothing could be agreed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferAnswerError {
    /// The body is no usable SDP (answered 400).
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// No audio line that we can take: none, declined, or over a transport we do not speak (488).
    #[error("no audio line that we can take")]
    NoAudio,
    /// Encryption is required, and the far side has none that we share (488).
    #[error("encrypted media is required, and no crypto suite is in common")]
    NoEncryption,
    /// No codec in common (488).
    #[error("no codec in common")]
    NoCommonCodec,
    /// The answer does not fit the offer.
    #[error("the answer does not fit the offer: {0}")]
    Mismatch(&'static str),
}

impl OfferAnswerError {
    /// The status an offer in a request is refused with (RFC 3261 §21.4.26, §21.4.1).
    pub fn status(&self) -> u16 {
        match self {
            Self::Sdp(_) => 400,
            Self::NoAudio | Self::NoEncryption | Self::NoCommonCodec | Self::Mismatch(_) => 488,
        }
    }
}
