//! What we can do, and what was agreed: plain data.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::crypto::{AgreedSrtp, SrtpPolicy};

/// A codec that the media side handles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecCapability {
    /// The encoding name of its rtpmap, e.g. `PCMU`.
    pub name: String,
    /// Its static payload type, or the dynamic one we offer it under.
    pub payload_type: u8,
    /// The RTP clock rate in its rtpmap.
    pub clock_rate_hz: u32,
    /// Channels in its rtpmap.
    pub channels: u8,
    /// Our format parameters, if any.
    pub fmtp: Option<String>,
}

/// Whose order of preference decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Negotiation {
    /// The offerer's (RFC 3264 §6.1 advises it).
    #[default]
    Offerer,
    /// Ours.
    Local,
}

/// What may be agreed in a call: handed in once per dialog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaPolicy {
    /// Codecs in our order.
    pub codecs: Vec<CodecCapability>,
    /// The payload type we offer telephone-event under (RFC 4733); `None` never agrees to it.
    pub telephone_event: Option<u8>,
    /// Whose order decides.
    pub negotiation: Negotiation,
    /// Milliseconds of sound in each packet that we send.
    pub ptime_ms: u16,
    /// Whether we serve RTCP: with RTP where both can (RFC 5761), else on the next port. Otherwise nothing is said of it.
    pub rtcp_mux: bool,
    /// Whether media is encrypted (RFC 4568).
    #[serde(default)]
    pub srtp: SrtpPolicy,
}

/// Where we receive RTP; RTCP is on the next port unless multiplexed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaAddress {
    /// The address the far side can reach.
    pub ip: IpAddr,
    /// The UDP port.
    pub port: u16,
}

/// Who sends (RFC 3264 §5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Both.
    #[default]
    SendRecv,
    /// Only the describer.
    SendOnly,
    /// Only the other side.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    pub(crate) fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether the describer sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describer receives.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::of(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self::of(
            self.sends() && other.sends(),
            self.receives() && other.receives(),
        )
    }

    /// The attribute's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) const ALL: [Self; 4] = [
        Self::SendRecv,
        Self::SendOnly,
        Self::RecvOnly,
        Self::Inactive,
    ];
}

/// The agreed codec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedCodec {
    /// Its name as in our capabilities.
    pub name: String,
    /// RTP clock rate.
    pub clock_rate_hz: u32,
    /// Channels.
    pub channels: u8,
    /// The payload type we send: from the far side's description.
    pub send_payload_type: u8,
    /// The payload type we receive: from ours.
    pub receive_payload_type: u8,
    /// The far side's format parameters.
    pub fmtp: Option<String>,
}

/// The agreed telephone-event format (RFC 4733).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedEvent {
    /// The payload type we send.
    pub send_payload_type: u8,
    /// The payload type we receive.
    pub receive_payload_type: u8,
    /// Its clock rate: the codec's wherever the far side offers that.
    pub clock_rate_hz: u32,
    /// The events that both sides know: what our answer lists.
    #[serde(default)]
    pub events: EventSet,
}

/// Events of RFC 4733 by number; those from 32 on (tones, line signals) are not ours to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventSet(u32);

impl EventSet {
    /// What we can take: 0–9, `*`, `#`, A–D and flash.
    pub const OURS: Self = Self(0x1_ffff);

    /// The list of an fmtp, `0-15,66`; without a readable one it is the digits (RFC 4733 §2.4.1).
    pub fn of(fmtp: Option<&str>) -> Self {
        let join = |list: &str| {
            let mut elements = list.split(',');
            elements.try_fold(0, |bits, element| Some(bits | Self::range(element)?))
        };
        let listed = fmtp.and_then(join).filter(|bits| *bits != 0);
        listed.map_or(Self::default(), Self)
    }

    /// One element as bits.
    fn range(text: &str) -> Option<u32> {
        let mut ends = text.split('-').map(|end| end.trim().parse::<u8>().ok());
        let first = ends.next()??;
        let last = match ends.next() {
            Some(last) => last?,
            None => first,
        };
        let bits = (first..=last.min(31)).filter(|bit| *bit < 32);
        Some(bits.fold(0, |bits, bit| bits | (1 << bit)))
    }

    /// What both know.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Default for EventSet {
    fn default() -> Self {
        Self(0xffff)
    }
}

impl fmt::Display for EventSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bit = 0;
        let mut first = true;
        while bit < 32 {
            let run = (self.0 >> bit).trailing_ones();
            if run > 0 {
                let comma = if std::mem::take(&mut first) { "" } else { "," };
                match run {
                    1 => write!(f, "{comma}{bit}")?,
                    more => write!(f, "{comma}{bit}-{}", bit + more - 1)?,
                }
            }
            bit += run.max(1);
        }
        Ok(())
    }
}

/// What a media leg must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedMedia {
    /// Where we send RTP; `None` while the far side gives `0.0.0.0` or a host name (then see `remote_host`).
    pub remote: Option<SocketAddr>,
    /// The far side's connection address or host name as written.
    pub remote_host: String,
    /// The far side's RTP port.
    pub remote_port: u16,
    /// Where we send RTCP; `None` when it is not known or multiplexed onto `remote`.
    pub remote_rtcp: Option<SocketAddr>,
    /// The codec.
    pub codec: AgreedCodec,
    /// Digits as events, when agreed.
    pub telephone_event: Option<AgreedEvent>,
    /// The payload type of comfort noise (RFC 3389), when the far side offers it on the codec's clock. We take it; we send none.
    #[serde(default)]
    pub comfort_noise: Option<u8>,
    /// What *we* do.
    pub direction: Direction,
    /// The far side holds us: by sendonly, inactive or a null address.
    pub on_hold: bool,
    /// Milliseconds in each packet we send: our policy, less when the far side's maxptime says so.
    pub ptime_ms: u16,
    /// What the far side would like to receive, when it says so.
    pub remote_ptime_ms: Option<u16>,
    /// RTP and RTCP share a port.
    pub rtcp_mux: bool,
    /// The far side asks for VoIP metrics in our reports (RFC 3611 §5.1).
    #[serde(default)]
    pub voip_metrics: bool,
    /// What both directions are encrypted with; `None` is plain RTP.
    #[serde(default)]
    pub srtp: Option<AgreedSrtp>,
}
