//! RIFF WAVE with 16-bit PCM, any rate, one or two channels.

use crate::FileError;

/// Bytes of the header that [`header`] writes, after which the samples begin.
pub const HEADER_LEN: usize = 44;
/// Bytes that hold the head of any file of ours.
pub const HEAD_LEN: usize = 4_096;
/// What the RIFF size counts of the header.
const RIFF_REST: u32 = 36;
const SAMPLE_BYTES: u16 = 2;

/// Where the samples of a file are, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Samples a second and channel.
    pub rate_hz: u32,
    /// One or two.
    pub channels: u16,
    /// Where the first sample is, bytes from the beginning.
    pub data_at: u64,
    /// How many bytes of samples the file says it has; it may have fewer.
    pub data_bytes: u64,
}

impl Layout {
    /// Reads the head of a file: the chunks up to the beginning of the data.
    ///
    /// # Errors
    /// [`FileError`] of a WAV.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let riff = bytes.get(..4) == Some(b"RIFF") && bytes.get(8..12) == Some(b"WAVE");
        let (mut at, mut format) = (12_usize, None);
        if !riff {
            return Err(FileError::NotWave);
        }
        while let Some((name, length)) = chunk(bytes, at) {
            let body = at.saturating_add(8);
            match &name {
                b"fmt " => format = Some(read_format(bytes.get(body..).unwrap_or_default())?),
                b"data" => {
                    let (rate_hz, channels) = format.ok_or(FileError::NoFormat)?;
                    return Ok(Self {
                        rate_hz,
                        channels,
                        data_at: body as u64,
                        data_bytes: u64::from(length),
                    });
                }
                _ => {}
            }
            // Chunks are padded to an even length.
            let padded = (length as usize).saturating_add(length as usize & 1);
            at = body.saturating_add(padded);
        }
        Err(FileError::NoData)
    }
}

/// A read file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// Samples a second and channel.
    pub rate_hz: u32,
    /// One or two.
    pub channels: u16,
    /// Samples, channels interleaved.
    pub samples: Vec<i16>,
}

impl Wav {
    /// Reads a whole file. A data chunk that claims more than there is ends with the file.
    ///
    /// # Errors
    /// [`FileError`] of a WAV.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let layout = Layout::read(bytes)?;
        let from = usize::try_from(layout.data_at).unwrap_or(usize::MAX);
        let there = bytes.get(from..).unwrap_or_default();
        let length = usize::try_from(layout.data_bytes).unwrap_or(usize::MAX);
        let (pairs, _) = there[..length.min(there.len())].as_chunks::<2>();
        Ok(Self {
            rate_hz: layout.rate_hz,
            channels: layout.channels,
            samples: pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect(),
        })
    }

    /// One channel: the mean of two.
    pub fn mono(&self) -> Vec<i16> {
        match self.channels {
            2 => {
                let (pairs, _) = self.samples.as_chunks::<2>();
                pairs
                    .iter()
                    .map(|[left, right]| left.midpoint(*right))
                    .collect()
            }
            _ => self.samples.clone(),
        }
    }

    /// One channel of a stereo file; the only one of a mono file.
    pub fn channel(&self, index: usize) -> Vec<i16> {
        let step = usize::from(self.channels.max(1));
        let index = index.min(step - 1);
        self.samples
            .iter()
            .skip(index)
            .step_by(step)
            .copied()
            .collect()
    }
}

/// The header of a file with `data_bytes` bytes of 16-bit samples.
pub fn header(rate_hz: u32, channels: u16, data_bytes: u32) -> [u8; HEADER_LEN] {
    let block = channels * SAMPLE_BYTES;
    let mut header = [0; HEADER_LEN];
    let fields: [&[u8]; 13] = [
        b"RIFF",
        &data_bytes.saturating_add(RIFF_REST).to_le_bytes(),
        b"WAVE",
        b"fmt ",
        &16_u32.to_le_bytes(),
        &1_u16.to_le_bytes(),
        &channels.to_le_bytes(),
        &rate_hz.to_le_bytes(),
        &(rate_hz * u32::from(block)).to_le_bytes(),
        &block.to_le_bytes(),
        &(SAMPLE_BYTES * 8).to_le_bytes(),
        b"data",
        &data_bytes.to_le_bytes(),
    ];
    for (to, from) in header.iter_mut().zip(fields.iter().flat_map(|f| f.iter())) {
        *to = *from;
    }
    header
}

/// Name and length of the chunk at `at`.
fn chunk(bytes: &[u8], at: usize) -> Option<([u8; 4], u32)> {
    let head = bytes.get(at..)?.first_chunk::<8>()?;
    let [n0, n1, n2, n3, l0, l1, l2, l3] = *head;
    Some(([n0, n1, n2, n3], u32::from_le_bytes([l0, l1, l2, l3])))
}

fn read_format(body: &[u8]) -> Result<(u32, u16), FileError> {
    let short = |at: usize| -> Option<u16> {
        Some(u16::from_le_bytes(*body.get(at..)?.first_chunk::<2>()?))
    };
    let rate = body.get(4..).and_then(|rest| rest.first_chunk::<4>());
    let rate_hz = u32::from_le_bytes(*rate.ok_or(FileError::NoFormat)?);
    let channels = short(2).ok_or(FileError::NoFormat)?;
    let pcm = matches!(short(0), Some(1 | 0xFFFE)) && short(14) == Some(16);
    if !pcm || !matches!(channels, 1 | 2) || !(4_000..=192_000).contains(&rate_hz) {
        return Err(FileError::Unsupported);
    }
    Ok((rate_hz, channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channels: u16, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap();
        [&header(8_000, channels, length), data].concat()
    }

    #[test]
    fn stereo_is_read_and_split() {
        let wav = Wav::read(&file(2, &[1, 0, 3, 0, 5, 0, 7, 0])).unwrap();
        assert_eq!((wav.rate_hz, wav.channels), (8_000, 2));
        assert_eq!((wav.channel(0), wav.channel(1)), (vec![1, 5], vec![3, 7]));
        assert_eq!(wav.mono(), vec![2, 6]);
    }

    #[test]
    fn chunks_before_the_data_are_stepped_over() {
        let whole = file(1, &[1, 0]);
        let odd = [&whole[..36], b"LIST\x03\0\0\0abc\0", &whole[36..]].concat();
        let layout = Layout::read(&odd).unwrap();
        assert_eq!((layout.data_at, layout.data_bytes), (56, 2));
        assert_eq!(Wav::read(&odd).unwrap().samples, [1]);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        assert_eq!(Wav::read(b"RIFX"), Err(FileError::NotWave));
        assert_eq!(Wav::read(&file(3, &[])), Err(FileError::Unsupported));
        assert_eq!(Wav::read(b"RIFF\0\0\0\0WAVE"), Err(FileError::NoData));
        assert_eq!(
            Wav::read(b"RIFF\0\0\0\0WAVEdata\0\0\0\0"),
            Err(FileError::NoFormat)
        );
    }

    #[test]
    fn no_bytes_whatever_panic() {
        let whole = file(1, &[1, 2, 3, 4]);
        for end in 0..whole.len() {
            let _ = Wav::read(&whole[..end]);
        }
        let mut huge = whole;
        huge[40..44].fill(0xFF);
        assert_eq!(Wav::read(&huge).unwrap().samples.len(), 2);
    }
}
