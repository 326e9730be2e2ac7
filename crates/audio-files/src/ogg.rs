//! Ogg: packets in pages (RFC 3533). One logical stream is written and read; others in the same file are stepped over.

use crate::FileError;

/// RFC 3533 §6: capture pattern to number of segments.
const HEAD_LEN: usize = 27;
/// A packet of this many bytes or more takes another segment.
const SEGMENT: usize = 255;
/// The largest packet that is put together: 120 ms of Opus take at most 61 kB (RFC 6716 §3.4).
const LARGEST_PACKET: usize = 64 * 1024;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// The position of a page on which no packet ends.
const NO_POSITION: u64 = u64::MAX;

/// Bytes that a page with these packets takes. Each packet ends in it.
pub fn page_len(packets: impl Iterator<Item = usize>) -> u64 {
    let bytes = packets.map(|bytes| (bytes / SEGMENT + 1 + bytes) as u64);
    HEAD_LEN as u64 + bytes.sum::<u64>()
}

/// Writes pages.
#[derive(Debug)]
pub struct PageWriter {
    serial: u32,
    sequence: u32,
}

impl PageWriter {
    /// The pages of a stream with this serial number.
    pub fn new(serial: u32) -> Self {
        Self {
            serial,
            sequence: 0,
        }
    }

    /// Appends a page. Its packets end in it, and take at most 255 segments.
    pub fn page<'a>(
        &mut self,
        packets: impl Iterator<Item = &'a [u8]> + Clone,
        position: u64,
        last: bool,
        out: &mut Vec<u8>,
    ) {
        let from = out.len();
        let first = if self.sequence == 0 { FIRST } else { 0 };
        out.extend_from_slice(b"OggS\0");
        out.push(first | if last { LAST } else { 0 });
        out.extend_from_slice(&position.to_le_bytes());
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&[0; 5]);
        for packet in packets.clone() {
            out.extend(std::iter::repeat_n(SEGMENT as u8, packet.len() / SEGMENT));
            out.push((packet.len() % SEGMENT) as u8);
        }
        let segments = out.len() - from - HEAD_LEN;
        packets.for_each(|packet| out.extend_from_slice(packet));
        out[from + HEAD_LEN - 1] = segments as u8;
        let sum = checksum([&out[from..]]);
        out[from + 22..from + 26].copy_from_slice(&sum.to_le_bytes());
        self.sequence += 1;
    }
}

/// A packet, and where its page ends on the stream's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The position of the page that it ends in, if it is the last that does.
    pub position: Option<u64>,
}

/// Reads the packets of the first stream of a file.
#[derive(Debug)]
pub struct Packets<'a> {
    file: &'a [u8],
    at: usize,
    serial: Option<u32>,
    /// What of a page is left: lengths and bytes of its segments, and its position.
    lengths: &'a [u8],
    bytes: &'a [u8],
    position: u64,
    /// A packet that goes on in the next page.
    begun: Vec<u8>,
    over: bool,
}

impl<'a> Packets<'a> {
    /// The packets of a whole file.
    pub fn new(file: &'a [u8]) -> Self {
        Self {
            file,
            at: 0,
            serial: None,
            lengths: &[],
            bytes: &[],
            position: 0,
            begun: Vec::new(),
            over: false,
        }
    }

    /// The next page of our stream; none at the end of the file.
    fn next_page(&mut self) -> Result<bool, FileError> {
        while let Some(rest) = self.file.get(self.at..).filter(|rest| !rest.is_empty()) {
            let page = Page::read(rest).ok_or(FileError::BrokenPage { at: self.at })?;
            self.at += page.length;
            if *self.serial.get_or_insert(page.serial) != page.serial {
                continue;
            }
            if page.flags & CONTINUED == 0 {
                self.begun.clear();
            }
            (self.lengths, self.bytes) = (page.lengths, page.bytes);
            self.position = page.position;
            return Ok(true);
        }
        Ok(false)
    }

    /// The next packet that ends in this page.
    fn in_page(&mut self) -> Result<Option<Packet>, FileError> {
        while let Some((&length, lengths)) = self.lengths.split_first() {
            let length = usize::from(length);
            let (segment, bytes) = self.bytes.split_at(length.min(self.bytes.len()));
            (self.lengths, self.bytes) = (lengths, bytes);
            if self.begun.len() + length > LARGEST_PACKET {
                return Err(FileError::BrokenPacket);
            }
            self.begun.extend_from_slice(segment);
            if length < SEGMENT {
                let more = self
                    .lengths
                    .iter()
                    .any(|&length| usize::from(length) < SEGMENT);
                let position = Some(self.position).filter(|&at| !more && at != NO_POSITION);
                let bytes = std::mem::take(&mut self.begun);
                return Ok(Some(Packet { bytes, position }));
            }
        }
        Ok(None)
    }

    fn step(&mut self) -> Result<Option<Packet>, FileError> {
        loop {
            if let Some(packet) = self.in_page()? {
                return Ok(Some(packet));
            }
            if !self.next_page()? {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Packets<'_> {
    type Item = Result<Packet, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let packet = self.step().transpose();
        self.over = !matches!(packet, Some(Ok(_)));
        packet
    }
}

struct Page<'a> {
    flags: u8,
    position: u64,
    serial: u32,
    lengths: &'a [u8],
    bytes: &'a [u8],
    length: usize,
}

impl<'a> Page<'a> {
    /// The page that a slice begins with, whole and unchanged.
    fn read(from: &'a [u8]) -> Option<Self> {
        let head = from.first_chunk::<HEAD_LEN>()?;
        let segments = usize::from(head[HEAD_LEN - 1]);
        let lengths = from.get(HEAD_LEN..HEAD_LEN + segments)?;
        let body: usize = lengths.iter().map(|&length| usize::from(length)).sum();
        let length = HEAD_LEN + segments + body;
        let bytes = from.get(HEAD_LEN + segments..length)?;
        let sum = u32::from_le_bytes(*head[22..].first_chunk()?);
        let counted = checksum([&head[..22], &[0; 4], &from[26..length]]);
        (head.starts_with(b"OggS\0") && sum == counted).then_some(Self {
            flags: head[5],
            position: u64::from_le_bytes(*head[6..].first_chunk()?),
            serial: u32::from_le_bytes(*head[14..].first_chunk()?),
            lengths,
            bytes,
            length,
        })
    }
}

/// RFC 3533 §6 (8): the CRC of the whole page with this field zero, polynomial 0x04C11DB7, nothing reflected.
fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = parts.into_iter().flatten();
    bytes.fold(0, |sum, &byte| {
        let index = usize::from((sum >> 24) as u8 ^ byte);
        (sum << 8) ^ TABLE[index]
    })
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut sum = (index as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            let high = sum & 0x8000_0000 != 0;
            sum = (sum << 1) ^ if high { 0x04C1_1DB7 } else { 0 };
            bit += 1;
        }
        table[index] = sum;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(packets: &[Vec<u8>]) -> Vec<u8> {
        let (mut pages, mut out) = (PageWriter::new(7), Vec::new());
        for (index, packet) in packets.iter().enumerate() {
            let last = index + 1 == packets.len();
            let alone = std::iter::once(packet.as_slice());
            pages.page(alone, index as u64 * 960, last, &mut out);
        }
        out
    }

    #[test]
    fn packets_of_any_length_come_back() {
        let packets: Vec<Vec<u8>> = [0, 1, 254, 255, 256, 510, 5_000]
            .iter()
            .map(|&length| (0..length).map(|n| n as u8).collect())
            .collect();
        let file = written(&packets);
        let lengths = packets
            .iter()
            .map(|packet| page_len([packet.len()].into_iter()));
        assert_eq!(file.len() as u64, lengths.sum::<u64>());
        let read: Vec<Packet> = Packets::new(&file).collect::<Result<_, _>>().unwrap();
        let bytes: Vec<Vec<u8>> = read.iter().map(|packet| packet.bytes.clone()).collect();
        assert_eq!(bytes, packets);
        assert_eq!(read[2].position, Some(1_920));
    }

    #[test]
    fn a_packet_over_two_pages_is_one_and_another_stream_is_stepped_over() {
        let long = vec![9_u8; SEGMENT];
        let mut file = written(&[long, b"end".to_vec()]);
        // The first page ends inside its packet: the closing segment of length 0 is taken off.
        file.remove(HEAD_LEN + 1);
        file[HEAD_LEN - 1] = 1;
        let first = HEAD_LEN + 1 + SEGMENT;
        file[first + 5] |= CONTINUED;
        let mut other = Vec::new();
        PageWriter::new(8).page(std::iter::once(&b"other"[..]), 0, true, &mut other);
        let mut whole = file[..first].to_vec();
        whole.extend(other);
        whole.extend(&file[first..]);
        for at in [0, first + HEAD_LEN + 1 + 5] {
            mend(&mut whole[at..]);
        }
        let read: Vec<Packet> = Packets::new(&whole).collect::<Result<_, _>>().unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].bytes.len(), SEGMENT + 3);
    }

    /// Puts the checksum of the page right that a slice begins with.
    fn mend(page: &mut [u8]) {
        let segments = usize::from(page[HEAD_LEN - 1]);
        let lengths = &page[HEAD_LEN..HEAD_LEN + segments];
        let body: usize = lengths.iter().map(|&length| usize::from(length)).sum();
        page[22..26].fill(0);
        let sum = checksum([&page[..HEAD_LEN + segments + body]]);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
    }

    #[test]
    fn a_changed_byte_is_noticed_and_none_panics() {
        let file = written(&[b"one".to_vec(), vec![5; 700]]);
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 0x10;
            let all: Result<Vec<Packet>, FileError> = Packets::new(&changed).collect();
            assert!(all.is_err(), "byte {at}");
            let _ = Packets::new(&file[..at]).count();
        }
    }
}
