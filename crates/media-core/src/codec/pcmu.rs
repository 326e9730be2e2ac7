//! G.711 µ-law (ITU-T G.711 §3, table 2), exact against the G.191 sweep.

use super::{Codec, CodecSpec, expand, room};
use crate::{Error, Rate};

/// RFC 3551 §4.5.14, payload type 0.
pub static SPEC: CodecSpec = CodecSpec {
    name: "PCMU",
    static_pt: Some(0),
    offered_pt: 0,
    rtp_clock: 8_000,
    rate: Rate::Hz8000,
    channels: 1,
    fmtp: None,
    impairment: super::Impairment::G711,
    recovers: false,
    make: || Box::new(Pcmu),
};

/// The two lowest bits of a 16-bit sample never reach a µ-law codeword, so a quarter of the table suffices.
static ENCODE: [u8; 16_384] = encode_table();
static DECODE: [i16; 256] = decode_table();

struct Pcmu;

impl Codec for Pcmu {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        expand("PCMU", &DECODE, payload, pcm)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        for (code, &sample) in room(pcm.len(), payload)?.iter_mut().zip(pcm) {
            *code = ENCODE[usize::from((sample as u16) >> 2)];
        }
        Ok(pcm.len())
    }
}

/// 14-bit magnitude with the bias of 33, then segment and step; all bits but the sign are sent inverted.
const fn compress(sample: i16) -> u8 {
    let magnitude = (if sample < 0 { !sample } else { sample } >> 2) as u32 + 33;
    let magnitude = if magnitude > 0x1fff {
        0x1fff
    } else {
        magnitude
    };
    let segment = 26 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 1)) & 0x0f;
    let code = !((segment << 4 | step) as u8) & 0x7f;
    if sample < 0 { code } else { code | 0x80 }
}

const fn value(code: u8) -> i16 {
    let inverted = !code;
    let segment = ((inverted >> 4) & 7) as i32;
    let step = (inverted & 0x0f) as i32;
    let magnitude = (((step << 1) + 33) << segment) - 33;
    (if code < 0x80 { -magnitude } else { magnitude } * 4) as i16
}

const fn encode_table() -> [u8; 16_384] {
    let mut table = [0; 16_384];
    let mut i = 0;
    while i < table.len() {
        table[i] = compress(((i as u16) << 2) as i16);
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
