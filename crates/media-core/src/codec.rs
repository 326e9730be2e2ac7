//! Codecs by table: adding one is one file and one line in [`ALL`], which the conformance tests walk.

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
    /// RTP clock in hertz; for G.722 it differs from the sample rate (RFC 3551 §4.5.2).
    pub rtp_clock: u32,
    /// Rate of the PCM on our side.
    pub rate: Rate,
    /// A fresh instance for one leg.
    pub make: fn() -> Box<dyn Codec>,
}

impl CodecSpec {
    /// RTP clock ticks in one 20 ms frame.
    pub const fn ticks_per_frame(&self) -> u32 {
        self.rtp_clock / 50
    }
}

/// Every codec, in our order of preference.
pub static ALL: &[&CodecSpec] = &[&pcmu::SPEC, &pcma::SPEC];

/// Finds a codec by its SDP name, in any case.
pub fn by_name(name: &str) -> Option<&'static CodecSpec> {
    ALL.iter()
        .copied()
        .find(|spec| spec.name.eq_ignore_ascii_case(name))
}

/// Both directions of one codec on one leg.
pub trait Codec: Send {
    /// Payload to PCM; returns the number of samples written. Never panics on any payload.
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error>;
    /// PCM to payload; returns the number of bytes written.
    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error>;
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
