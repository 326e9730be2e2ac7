//! Reading prompt files: RIFF WAVE with 16-bit PCM, any rate, one or two channels.

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

/// Why a file is not such a WAV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// No RIFF WAVE header.
    #[error("not a RIFF WAVE file")]
    NotWave,
    /// No usable `fmt ` chunk before the data.
    #[error("no 'fmt ' chunk before the data")]
    NoFormat,
    /// Not 16-bit PCM in one or two channels.
    #[error("not 16-bit PCM in one or two channels")]
    Unsupported,
    /// No `data` chunk.
    #[error("no 'data' chunk")]
    NoData,
}

impl Wav {
    /// Reads a whole file. A data chunk that claims more than there is ends with the file.
    ///
    /// # Errors
    /// [`WavError`].
    pub fn read(bytes: &[u8]) -> Result<Self, WavError> {
        let riff = bytes.get(..4) == Some(b"RIFF") && bytes.get(8..12) == Some(b"WAVE");
        let mut rest = bytes.get(12..).filter(|_| riff).ok_or(WavError::NotWave)?;
        let mut format = None;
        while let Some((name, body, next)) = chunk(rest) {
            match name {
                b"fmt " => format = Some(read_format(body)?),
                b"data" => {
                    let (rate_hz, channels) = format.ok_or(WavError::NoFormat)?;
                    return Ok(Self {
                        rate_hz,
                        channels,
                        samples: samples(body),
                    });
                }
                _ => {}
            }
            rest = next;
        }
        Err(WavError::NoData)
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

fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let name = bytes.get(..4)?;
    let length: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
    let body = bytes.get(8..)?;
    let end = length.min(body.len());
    // Chunks are padded to an even length.
    let next = body.get(end + (end & 1)..).unwrap_or_default();
    Some((name, body.get(..end)?, next))
}

fn read_format(body: &[u8]) -> Result<(u32, u16), WavError> {
    let short = |at: usize| -> Option<u16> {
        Some(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?))
    };
    let rate: [u8; 4] = body
        .get(4..8)
        .and_then(|b| b.try_into().ok())
        .ok_or(WavError::NoFormat)?;
    let channels = short(2).ok_or(WavError::NoFormat)?;
    let pcm = matches!(short(0), Some(1 | 0xFFFE)) && short(14) == Some(16);
    let rate_hz = u32::from_le_bytes(rate);
    if !pcm || !matches!(channels, 1 | 2) || !(4_000..=192_000).contains(&rate_hz) {
        return Err(WavError::Unsupported);
    }
    Ok((rate_hz, channels))
}

fn samples(body: &[u8]) -> Vec<i16> {
    let (pairs, _) = body.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut out = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
        out.extend_from_slice(&channels.to_le_bytes());
        out.extend_from_slice(&8_000u32.to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&bits.to_le_bytes());
        out.extend_from_slice(b"data");
        out.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
        out.extend_from_slice(data);
        out
    }

    #[test]
    fn stereo_is_read_and_split() {
        let wav = Wav::read(&file(2, 16, &[1, 0, 3, 0, 5, 0, 7, 0])).unwrap();
        assert_eq!((wav.rate_hz, wav.channels), (8_000, 2));
        assert_eq!((wav.channel(0), wav.channel(1)), (vec![1, 5], vec![3, 7]));
        assert_eq!(wav.mono(), vec![2, 6]);
    }

    #[test]
    fn what_cannot_be_played_is_named() {
        assert_eq!(Wav::read(b"RIFX"), Err(WavError::NotWave));
        assert_eq!(Wav::read(&file(1, 8, &[])), Err(WavError::Unsupported));
        assert_eq!(Wav::read(b"RIFF\0\0\0\0WAVE"), Err(WavError::NoData));
    }

    #[test]
    fn no_bytes_whatever_panic() {
        let whole = file(1, 16, &[1, 2, 3, 4]);
        for end in 0..whole.len() {
            let _ = Wav::read(&whole[..end]);
        }
    }
}
