//! What can go wrong with sound on the wire, worded for whoever reads the counter or the log line.

/// Every fault of this crate. Wire faults are counted by the leg and never end a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// RFC 3550 §5.1: the fixed header, its CSRC list, extension or padding does not fit.
    #[error("malformed RTP packet: {0}")]
    Rtp(&'static str),
    /// RFC 3550 §6.4: a compound packet's length field runs past its end.
    #[error("malformed RTCP packet: {0}")]
    Rtcp(&'static str),
    /// RFC 3711: the packet is not from who holds the key, comes a second time, or cannot be sealed.
    #[error("SRTP: {0}")]
    Srtp(&'static str),
    /// The payload holds more audio than a packet may (100 ms) or is not whole samples.
    #[error("a {codec} payload of {bytes} bytes cannot be decoded")]
    Payload {
        /// Name of the codec as in SDP.
        codec: &'static str,
        /// Length of the refused payload.
        bytes: usize,
    },
    /// The output buffer handed in is shorter than the result.
    #[error("output buffer of {have} is too short, {need} needed")]
    Room {
        /// Elements needed.
        need: usize,
        /// Elements there.
        have: usize,
    },
    /// No telephone key.
    #[error("'{0}' is not a telephone key (0-9 * # A-D)")]
    Key(char),
    /// More digits than one order may hold.
    #[error("more than {0} digits in one order")]
    TooManyDigits(usize),
    /// The resampler cannot be built for this pair of rates.
    #[error("cannot resample {from_hz} Hz to {to_hz} Hz: {reason}")]
    Resample {
        /// Source rate in hertz.
        from_hz: u32,
        /// Target rate in hertz.
        to_hz: u32,
        /// What stands in the way.
        reason: String,
    },
}
