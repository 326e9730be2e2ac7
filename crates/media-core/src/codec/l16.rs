//! Linear PCM (RFC 3551 §4.5.11), 16 bit in network order, at 16 kHz.

use super::{Codec, CodecSpec, room};
use crate::{Error, Rate};

/// RFC 3551 §6: the static payload types are for 44.1 kHz; at 16 kHz the type is dynamic.
pub static SPEC: CodecSpec = CodecSpec {
    name: "L16",
    static_pt: None,
    offered_pt: 118,
    rtp_clock: 16_000,
    rate: Rate::Hz16000,
    channels: 1,
    fmtp: None,
    impairment: super::Impairment::G711,
    recovers: false,
    make: || Box::new(L16),
};

struct L16;

impl Codec for L16 {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        let refused = Error::Payload {
            codec: "L16",
            bytes: payload.len(),
        };
        let (words, rest) = payload.as_chunks::<2>();
        let out = pcm.get_mut(..words.len()).filter(|_| rest.is_empty());
        for (sample, word) in out.ok_or(refused)?.iter_mut().zip(words) {
            *sample = i16::from_be_bytes(*word);
        }
        Ok(words.len())
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        let out = room(pcm.len() * 2, payload)?;
        for (word, sample) in out.chunks_exact_mut(2).zip(pcm) {
            word.copy_from_slice(&sample.to_be_bytes());
        }
        Ok(pcm.len() * 2)
    }
}
