//! The stereo recording: caller left, agent right, one frame of each per call tick.
//!
//! The timeline is the local send tick, so a file's length is ticks × 20 ms whatever the network did. The header is
//! rewritten as the file grows; a process killed in between leaves a file that is valid to its last rewrite.

use crate::{Frame, MAX_FRAME_LEN, Rate};

/// Bytes of the header, after which the samples begin.
pub const WAV_HEADER_LEN: usize = 44;
/// Samples of one interleaved tick at the highest rate.
pub const MAX_STEREO_LEN: usize = MAX_FRAME_LEN * 2;
/// Largest data chunk a WAV header can name.
pub const MAX_DATA_BYTES: u32 = u32::MAX - 36;

const CHANNELS: u16 = 2;
const BITS: u16 = 16;

/// The RIFF/WAVE header of a 16-bit stereo file that so far holds `data_bytes` bytes of samples.
pub fn wav_header(rate: Rate, data_bytes: u32) -> [u8; WAV_HEADER_LEN] {
    let data_bytes = data_bytes.min(MAX_DATA_BYTES);
    let block = CHANNELS * BITS / 8;
    let mut header = [0; WAV_HEADER_LEN];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &(data_bytes + 36).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &CHANNELS.to_le_bytes(),
        &rate.hz().to_le_bytes(),
        &(rate.hz() * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &BITS.to_le_bytes(),
        b"data",
        &data_bytes.to_le_bytes(),
    ];
    for (to, from) in header.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
        *to = *from;
    }
    header
}

/// One tick as interleaved samples; returns how many were written (320 or 640).
pub fn interleave(caller: &Frame, agent: &Frame, out: &mut [i16; MAX_STEREO_LEN]) -> usize {
    for (pair, (left, right)) in out
        .chunks_exact_mut(2)
        .zip(caller.samples().iter().zip(agent.samples()))
    {
        pair.copy_from_slice(&[*left, *right]);
    }
    caller.rate().frame_len() * 2
}

/// Bytes of `ticks` call ticks in the file.
pub const fn bytes_of(rate: Rate, ticks: u64) -> u64 {
    ticks * rate.frame_len() as u64 * 4
}
