//! A recording in other forms. The master is stereo WAV, caller left, agent right; what is made of it is never kept, so that
//! there is one thing to delete. Each form has a length that is known beforehand, and can begin at any of its bytes.

use std::ops::Range;

use crate::{
    FileError,
    ogg_opus::{Shape, Writer},
    wav::{HEADER_LEN, Layout, header},
};

/// Bytes of both channels' sample in the master.
const PAIR: u64 = 4;
/// Bytes of a sample in a mixed WAV.
const SAMPLE: u64 = 2;

/// What a recording is made into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Both sides in one channel, 16-bit WAV.
    MixedWav,
    /// Ogg/Opus, both sides in one channel or caller left and agent right.
    Opus {
        /// Whether both sides are in one channel.
        mixed: bool,
    },
}

/// The master: where its samples are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    rate_hz: u32,
    data: Range<u64>,
}

impl Master {
    /// Reads the head of a master of `file_bytes` bytes.
    ///
    /// # Errors
    /// [`FileError`] of a WAV; [`FileError::Unsupported`] when it is not stereo.
    pub fn read(head: &[u8], file_bytes: u64) -> Result<Self, FileError> {
        let layout = Layout::read(head)?;
        if layout.channels != 2 {
            return Err(FileError::Unsupported);
        }
        let room = file_bytes.saturating_sub(layout.data_at);
        let bytes = layout.data_bytes.min(room) / PAIR * PAIR;
        Ok(Self {
            rate_hz: layout.rate_hz,
            data: layout.data_at..layout.data_at + bytes,
        })
    }

    /// Samples of each channel.
    pub fn samples(&self) -> u64 {
        (self.data.end - self.data.start) / PAIR
    }
}

/// A form being made, piece by piece.
pub struct Export {
    maker: Maker,
    length: u64,
    /// Where the master is to be read.
    source: Range<u64>,
    /// What comes out first and is not wanted.
    skip: u64,
    /// A sample of which only a part has come.
    torn: Vec<u8>,
}

enum Maker {
    /// The header, or what is wanted of it.
    Mixed {
        header: Vec<u8>,
    },
    Opus {
        writer: Box<Writer>,
        mixed: bool,
    },
}

impl Export {
    /// The form from its byte `from` on; `serial` names the stream of an Ogg file.
    ///
    /// # Errors
    /// [`FileError::Rate`] when Opus does not know the master's rate.
    pub fn new(master: &Master, form: Form, serial: u32, from: u64) -> Result<Self, FileError> {
        match form {
            Form::MixedWav => Ok(Self::mixed(master, from)),
            Form::Opus { mixed } => Self::opus(master, mixed, serial, from),
        }
    }

    /// Each sample stands for itself: it begins where it is wanted.
    fn mixed(master: &Master, from: u64) -> Self {
        let samples = master.samples();
        let data_bytes = u32::try_from(samples * SAMPLE).unwrap_or(u32::MAX);
        let header = header(master.rate_hz, 1, data_bytes);
        let before = from.saturating_sub(HEADER_LEN as u64);
        let begin = master.data.start + before / SAMPLE * PAIR;
        let header = match from < HEADER_LEN as u64 {
            true => header.to_vec(),
            false => Vec::new(),
        };
        let skip = if header.is_empty() {
            before % SAMPLE
        } else {
            from
        };
        Self {
            maker: Maker::Mixed { header },
            length: HEADER_LEN as u64 + samples * SAMPLE,
            source: begin.min(master.data.end)..master.data.end,
            skip,
            torn: Vec::new(),
        }
    }

    /// Each packet hangs on those before it: it is made from the beginning.
    fn opus(master: &Master, mixed: bool, serial: u32, from: u64) -> Result<Self, FileError> {
        let shape = Shape {
            rate_hz: master.rate_hz,
            channels: if mixed { 1 } else { 2 },
            samples: master.samples(),
        };
        let writer = Box::new(Writer::new(shape, serial)?);
        Ok(Self {
            length: writer.file_len(),
            maker: Maker::Opus { writer, mixed },
            source: master.data.clone(),
            skip: from,
            torn: Vec::new(),
        })
    }

    /// Bytes of the whole form.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Which bytes of the master it needs, in order.
    pub fn source(&self) -> Range<u64> {
        self.source.clone()
    }

    /// Takes the next bytes of the master, however cut, and gives what is ready of the form.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = std::mem::take(&mut self.torn);
        whole.extend_from_slice(bytes);
        let (pairs, rest) = whole.as_chunks::<4>();
        self.torn = rest.to_vec();
        let mut out = Vec::new();
        match &mut self.maker {
            Maker::Mixed { header } => {
                out.append(header);
                out.extend(mixed(pairs).flat_map(i16::to_le_bytes));
            }
            Maker::Opus {
                writer,
                mixed: true,
            } => {
                writer.push(&mixed(pairs).collect::<Vec<_>>(), &mut out);
            }
            Maker::Opus { writer, .. } => {
                writer.push(&both(pairs).collect::<Vec<_>>(), &mut out);
            }
        }
        self.wanted(out)
    }

    /// The master is over: what is left of the form.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        match &mut self.maker {
            Maker::Mixed { header } => out.append(header),
            Maker::Opus { writer, .. } => writer.finish(&mut out),
        }
        self.wanted(out)
    }

    fn wanted(&mut self, mut out: Vec<u8>) -> Vec<u8> {
        let skipped = usize::try_from(self.skip)
            .unwrap_or(usize::MAX)
            .min(out.len());
        self.skip -= skipped as u64;
        out.drain(..skipped);
        out
    }
}

fn sides(pair: &[u8; 4]) -> [i16; 2] {
    let [l0, l1, r0, r1] = *pair;
    [i16::from_le_bytes([l0, l1]), i16::from_le_bytes([r0, r1])]
}

fn both(pairs: &[[u8; 4]]) -> impl Iterator<Item = i16> {
    pairs.iter().flat_map(sides)
}

/// Both sides as loud as they are: where they are too loud together, at the limit.
fn mixed(pairs: &[[u8; 4]]) -> impl Iterator<Item = i16> {
    pairs.iter().map(|pair| {
        let [caller, agent] = sides(pair);
        caller.saturating_add(agent)
    })
}
