//! G.711 A-law (ITU-T G.711 §3, table 1), exact against the G.191 sweep.

use super::{Codec, CodecSpec, expand, room};
use crate::{Error, Rate};

/// RFC 3551 §4.5.14, payload type 8.
pub static SPEC: CodecSpec = CodecSpec {
    name: "PCMA",
    static_pt: Some(8),
    offered_pt: 8,
    rtp_clock: 8_000,
    rate: Rate::Hz8000,
    channels: 1,
    fmtp: None,
    impairment: super::Impairment::G711,
    recovers: false,
    make: || Box::new(Pcma),
};

/// The four lowest bits of a 16-bit sample never reach an A-law codeword.
static ENCODE: [u8; 4_096] = encode_table();
static DECODE: [i16; 256] = decode_table();

struct Pcma;

impl Codec for Pcma {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        expand("PCMA", &DECODE, payload, pcm)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        for (code, &sample) in room(pcm.len(), payload)?.iter_mut().zip(pcm) {
            *code = ENCODE[usize::from((sample as u16) >> 4)];
        }
        Ok(pcm.len())
    }
}

/// 12-bit magnitude: two linear segments, then six that double; even bits are sent inverted.
const fn compress(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } >> 4) as u32;
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 28 - magnitude.leading_zeros();
        segment << 4 | ((magnitude >> (segment - 1)) & 0x0f)
    };
    (if sample < 0 { code } else { code | 0x80 }) as u8 ^ 0x55
}

const fn value(code: u8) -> i16 {
    let plain = code ^ 0x55;
    let segment = (plain >> 4 & 7) as u32;
    let step = (plain & 0x0f) as i32;
    let magnitude = if segment == 0 {
        step << 4 | 8
    } else {
        (step << 4 | 0x108) << (segment - 1)
    };
    (if plain < 0x80 { -magnitude } else { magnitude }) as i16
}

const fn encode_table() -> [u8; 4_096] {
    let mut table = [0; 4_096];
    let mut i = 0;
    while i < table.len() {
        table[i] = compress(((i as u16) << 4) as i16);
        i += 1;
    }
    table
}

const fn decode_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < table.len() {
        table[i] = value(i as u8);
        i += 1;
    }
    table
}
