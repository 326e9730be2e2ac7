//! RTP packets (RFC 3550 §5.1). The only file that names `rtp-rs`.

use crate::Error;
use rtp_rs::{RtpPacketBuilder, RtpReader, RtpReaderError, Seq};

/// Bytes of the header we send: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;

/// One parsed packet; the payload borrows from the datagram, padding already removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Payload type, 0–127.
    pub payload_type: u8,
    /// First packet of a talkspurt or event.
    pub marker: bool,
    /// Sequence number, wraps at 65,536.
    pub seq: u16,
    /// In ticks of the payload's RTP clock, wraps at 2³².
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// The payload proper.
    pub payload: &'a [u8],
}

/// Reads one datagram.
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, Error> {
    let reader = RtpReader::new(bytes).map_err(|e| Error::Rtp(reason(&e)))?;
    Ok(Packet {
        payload_type: reader.payload_type(),
        marker: reader.mark(),
        seq: reader.sequence_number().into(),
        timestamp: reader.timestamp(),
        ssrc: reader.ssrc(),
        payload: reader.payload(),
    })
}

fn reason(error: &RtpReaderError) -> &'static str {
    match error {
        RtpReaderError::BufferTooShort(_) => "shorter than the 12-byte header",
        RtpReaderError::UnsupportedVersion(_) => "version is not 2",
        RtpReaderError::HeadersTruncated { .. } => "CSRC list or extension runs past the end",
        RtpReaderError::PaddingLengthInvalid(_) => {
            "padding length is zero or longer than the payload"
        }
    }
}

/// Writes one datagram into `out` and returns its length; does not allocate.
pub fn build(packet: &Packet<'_>, out: &mut [u8]) -> Result<usize, Error> {
    let need = HEADER_LEN + packet.payload.len();
    let have = out.len();
    RtpPacketBuilder::new()
        .payload_type(packet.payload_type & 0x7f)
        .marked(packet.marker)
        .sequence(Seq::from(packet.seq))
        .timestamp(packet.timestamp)
        .ssrc(packet.ssrc)
        .payload(packet.payload)
        .build_into(out)
        .map_err(|_| Error::Room { need, have })
}

/// RFC 5761 §4: on a shared port, packet types 192–223 are RTCP.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind))
}

/// How far `seq` lies ahead of `reference`, wrap-safe: negative when it is older.
pub const fn seq_distance(seq: u16, reference: u16) -> i32 {
    seq.wrapping_sub(reference) as i16 as i32
}

/// How far `timestamp` lies ahead of `reference`, wrap-safe.
pub const fn timestamp_distance(timestamp: u32, reference: u32) -> i64 {
    timestamp.wrapping_sub(reference) as i32 as i64
}
