//! Codecs by table: adding one is one file and one line in [`ALL`], which the conformance tests walk.

pub mod g722;
pub mod l16;
pub mod libopus;
pub mod pcma;
pub mod pcmu;

use crate::{Error, Rate};

/// Longest audio one packet may carry; longer payloads are refused and counted.
pub const MAX_PACKET_MS: u64 = 100;

/// One codec as SDP and the leg need to know it.
#[derive(Debug)]
pub struct CodecSpec {
    /// Encoding name as registered for `a=rtpmap` (RFC 3551 §6).
    pub name: &'static str,
    /// Static payload type where one is assigned.
    pub static_pt: Option<u8>,
    /// The payload type we offer it under: the static one, or a dynamic one that no other row has.
    pub offered_pt: u8,
    /// RTP clock in hertz; for G.722 and Opus it differs from the sample rate (RFC 3551 §4.5.2, RFC 7587 §4.1).
    pub rtp_clock: u32,
    /// Rate of the PCM on our side.
    pub rate: Rate,
    /// Channels in `a=rtpmap`; the sound is mono all the same (RFC 7587 §7).
    pub channels: u8,
    /// Our `a=fmtp`.
    pub fmtp: Option<&'static str>,
    /// What it takes from the quality of a call.
    pub impairment: Impairment,
    /// Whether [`Codec::recover`] can make up a lost packet from the next one, and packets must therefore be decoded in order.
    pub recovers: bool,
    /// A fresh instance for one leg.
    pub make: fn() -> Box<dyn Codec>,
}

/// The E-model's view of a codec (ITU-T G.113 appendix I).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Equipment impairment Ie.
    pub equipment: f32,
    /// Packet-loss robustness Bpl, with our concealment.
    pub robustness: f32,
}

impl Impairment {
    /// G.711 with concealment after its appendix I (ITU-T G.113 table I.3).
    pub const G711: Self = Self {
        equipment: 0.0,
        robustness: 25.1,
    };
}

impl CodecSpec {
    /// RTP clock ticks in one 20 ms frame.
    pub const fn ticks_per_frame(&self) -> u32 {
        self.rtp_clock / 50
    }
}

/// Every codec, in our order of preference.
pub static ALL: &[&CodecSpec] = &[
    &pcmu::SPEC,
    &pcma::SPEC,
    &g722::SPEC,
    &libopus::SPEC,
    &l16::SPEC,
];

/// Finds a codec by its SDP name, in any case.
pub fn by_name(name: &str) -> Option<&'static CodecSpec> {
    ALL.iter()
        .copied()
        .find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// How an encoder may be set while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Of our packets so many do not arrive, as the far side reports; redundancy is added accordingly.
    pub loss_percent: u8,
    /// How much work is put into a packet, 0–10: the knob that is turned down under load.
    pub complexity: u8,
}

impl Tuning {
    /// Where more work begins to be heard no more.
    pub const USUAL_COMPLEXITY: u8 = 5;
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            loss_percent: 0,
            complexity: Self::USUAL_COMPLEXITY,
        }
    }
}

/// Both directions of one codec on one leg.
pub trait Codec: Send {
    /// Payload to PCM; returns the number of samples written. Never panics on any payload.
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error>;
    /// PCM to payload; returns the number of bytes written.
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error>;
    /// The far side's `a=fmtp`: what it would like to get.
    fn heed(&mut self, _fmtp: &str) {}
    /// Sets the encoder anew.
    fn tune(&mut self, _tuning: Tuning) {}
    /// Makes up the packet lost right before `next`, as long as `lost`; to be called before `next` is decoded.
    fn recover(&mut self, _next: &[u8], _lost: &mut [i16]) -> Option<usize> {
        None
    }
}

/// Shared by the two G.711 laws: one byte a sample, by table.
fn expand(
    codec: &'static str,
    table: &[i16; 256],
    payload: &[u8],
    pcm: &mut [i16],
) -> Result<usize, Error> {
    let out = pcm.get_mut(..payload.len()).ok_or(Error::Payload {
        codec,
        bytes: payload.len(),
    })?;
    for (sample, &code) in out.iter_mut().zip(payload) {
        *sample = table[usize::from(code)];
    }
    Ok(payload.len())
}

fn room(need: usize, out: &mut [u8]) -> Result<&mut [u8], Error> {
    let have = out.len();
    out.get_mut(..need).ok_or(Error::Room { need, have })
}
