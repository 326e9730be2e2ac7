//! Opus in Ogg (RFC 7845). The only file here that names `opus`.
//!
//! Files are written at a constant bit rate, so that the length of a file and the place of each packet are known before anything
//! is encoded: a server can announce it and give out any part of it, and nobody has to keep it.

use opus::{Application, Bitrate, Channels, Decoder, Encoder, Signal};

use crate::{
    FileError,
    ogg::{Packets, PageWriter, page_len},
};

/// RFC 7845 §4: positions always count at this rate.
const CLOCK_HZ: u32 = 48_000;
const FRAMES_PER_SECOND: u32 = 50;
/// One page a second.
const PACKETS_ON_A_PAGE: u64 = 50;
const BITS_PER_SECOND_AND_CHANNEL: u32 = 24_000;
/// Half of what there is: what is left over would not be heard at telephone rates.
const COMPLEXITY: i32 = 5;
const VENDOR: &[u8] = b"sidetone";
const HEAD_BYTES: usize = 19;
const TAGS_BYTES: usize = 8 + 4 + VENDOR.len() + 4;
/// RFC 6716 §3.4: the longest packet.
const LONGEST_PACKET_MS: usize = 120;

/// What encodes, for whoever must know whether two files were made alike.
pub fn encoder() -> &'static str {
    opus::version()
}

/// The shape of a file that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// 8, 12, 16, 24 or 48 kHz.
    pub rate_hz: u32,
    /// One or two.
    pub channels: u16,
    /// Samples of each channel.
    pub samples: u64,
}

impl Shape {
    fn frame(&self) -> usize {
        (self.rate_hz / FRAMES_PER_SECOND) as usize
    }

    fn packet_bytes(&self) -> usize {
        (BITS_PER_SECOND_AND_CHANNEL / 8 / FRAMES_PER_SECOND) as usize * usize::from(self.channels)
    }

    fn packets(&self, lookahead: u64) -> u64 {
        (self.samples + lookahead)
            .div_ceil(self.frame() as u64)
            .max(1)
    }

    fn ticks(&self, samples: u64) -> u64 {
        samples * u64::from(CLOCK_HZ / self.rate_hz)
    }
}

/// Encodes a file piece by piece.
pub struct Writer {
    encoder: Encoder,
    shape: Shape,
    pages: PageWriter,
    lookahead: u64,
    /// Interleaved samples that fill no packet yet.
    waiting: Vec<i16>,
    /// Packets that fill no page yet, one after the other.
    page: Vec<u8>,
    packets_done: u64,
    begun: bool,
}

impl Writer {
    /// A file of this shape.
    ///
    /// # Errors
    /// [`FileError::Rate`] when Opus does not know the rate.
    pub fn new(shape: Shape, serial: u32) -> Result<Self, FileError> {
        let refused = FileError::Rate {
            rate_hz: shape.rate_hz,
        };
        let mut encoder = encoder_for(&shape).map_err(|_| refused)?;
        let lookahead = encoder.get_lookahead().map_err(|_| refused)?;
        Ok(Self {
            encoder,
            shape,
            pages: PageWriter::new(serial),
            lookahead: u64::from(lookahead.unsigned_abs()),
            waiting: Vec::new(),
            page: Vec::new(),
            packets_done: 0,
            begun: false,
        })
    }

    /// How many bytes the whole file will have.
    pub fn file_len(&self) -> u64 {
        let packets = self.shape.packets(self.lookahead);
        let page = |packets: u64| {
            page_len(std::iter::repeat_n(
                self.shape.packet_bytes(),
                packets as usize,
            ))
        };
        let (full, rest) = (packets / PACKETS_ON_A_PAGE, packets % PACKETS_ON_A_PAGE);
        let heads = [HEAD_BYTES, TAGS_BYTES].map(|bytes| page_len(std::iter::once(bytes)));
        let last = if rest > 0 { page(rest) } else { 0 };
        heads.iter().sum::<u64>() + full * page(PACKETS_ON_A_PAGE) + last
    }

    /// Takes samples (channels interleaved) and appends what is ready of the file.
    pub fn push(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        self.heads(out);
        self.waiting.extend_from_slice(pcm);
        let frame = self.shape.frame() * usize::from(self.shape.channels);
        let whole = self.waiting.len() / frame * frame;
        let waiting = std::mem::take(&mut self.waiting);
        for pcm in waiting[..whole].chunks_exact(frame) {
            self.packet(pcm, out);
        }
        self.waiting = waiting[whole..].to_vec();
    }

    /// Ends the file: what is still in the encoder comes out, and the last page.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.heads(out);
        let silence = vec![0; self.shape.frame() * usize::from(self.shape.channels)];
        while self.packets_done < self.shape.packets(self.lookahead) {
            let missing = silence.len() - self.waiting.len();
            self.push(&silence[..missing], out);
        }
    }

    fn heads(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let skip = self.shape.ticks(self.lookahead) as u16;
        // RFC 7845 §5.1: version, channels, samples to skip, rate of the original, gain, mapping.
        let mut head = b"OpusHead\x01".to_vec();
        head.push(self.shape.channels as u8);
        head.extend_from_slice(&skip.to_le_bytes());
        head.extend_from_slice(&self.shape.rate_hz.to_le_bytes());
        head.extend_from_slice(&[0; 3]);
        // §5.2: the vendor, and no comments.
        let mut tags = b"OpusTags".to_vec();
        tags.extend_from_slice(&(VENDOR.len() as u32).to_le_bytes());
        tags.extend_from_slice(VENDOR);
        tags.extend_from_slice(&[0; 4]);
        for packet in [head, tags] {
            self.pages
                .page(std::iter::once(packet.as_slice()), 0, false, out);
        }
    }

    /// Encodes one packet; nothing beyond what the shape announced.
    fn packet(&mut self, pcm: &[i16], out: &mut Vec<u8>) {
        let packets = self.shape.packets(self.lookahead);
        if self.packets_done >= packets {
            return;
        }
        let bytes = self.shape.packet_bytes();
        let at = self.page.len();
        self.page.resize(at + bytes, 0);
        // Constant rate: exactly as many bytes as there is room. What it refuses stays a packet of zeros: 10 ms of nothing.
        let _ = self.encoder.encode(pcm, &mut self.page[at..]);
        self.packets_done += 1;
        let last = self.packets_done == packets;
        if last || self.packets_done.is_multiple_of(PACKETS_ON_A_PAGE) {
            let encoded = self.packets_done * self.shape.frame() as u64;
            let played = encoded.min(self.shape.samples + self.lookahead);
            let position = self.shape.ticks(played);
            let packets = self.page.chunks(bytes);
            self.pages.page(packets, position, last, out);
            self.page.clear();
        }
    }
}

fn encoder_for(shape: &Shape) -> opus::Result<Encoder> {
    let channels = match shape.channels {
        2 => Channels::Stereo,
        _ => Channels::Mono,
    };
    let mut encoder = Encoder::new(shape.rate_hz, channels, Application::Voip)?;
    let bits = BITS_PER_SECOND_AND_CHANNEL * u32::from(shape.channels);
    encoder.set_bitrate(Bitrate::Bits(bits as i32))?;
    encoder.set_vbr(false)?;
    encoder.set_signal(Signal::Voice)?;
    encoder.set_complexity(COMPLEXITY)?;
    Ok(encoder)
}

/// What the first packet says (RFC 7845 §5.1).
struct Head {
    skip: u64,
    gain: i32,
}

impl Head {
    fn read(packet: &[u8]) -> Result<Self, FileError> {
        let head = packet
            .first_chunk::<HEAD_BYTES>()
            .ok_or(FileError::NotOpus)?;
        let version = head[8] & 0xF0 == 0;
        let channels = matches!(head[9], 1 | 2) && head[18] == 0;
        if !(head.starts_with(b"OpusHead") && version && channels) {
            return Err(FileError::NotOpus);
        }
        Ok(Self {
            skip: u64::from(u16::from_le_bytes([head[10], head[11]])),
            gain: i32::from(i16::from_le_bytes([head[16], head[17]])),
        })
    }
}

/// Whether a file is whole, Opus, and at most `most_s` seconds long. Its packets are counted, not decoded.
///
/// # Errors
/// [`FileError`] of Ogg and Opus; [`FileError::TooLong`].
pub fn check(file: &[u8], most_s: u32) -> Result<(), FileError> {
    let mut packets = Packets::new(file);
    let first = packets.next().ok_or(FileError::NotOpus)??;
    Head::read(&first.bytes)?;
    packets.next().ok_or(FileError::NotOpus)??;
    let (most, mut ticks) = (u64::from(most_s) * u64::from(CLOCK_HZ), 0);
    for packet in packets {
        let samples = opus::packet::get_nb_samples(&packet?.bytes, CLOCK_HZ);
        ticks += samples.map_err(|_| FileError::BrokenPacket)? as u64;
        if ticks > most {
            return Err(FileError::TooLong { most_s });
        }
    }
    Ok(())
}

/// Decodes a file into one channel at 8, 12, 16, 24 or 48 kHz, at most `most_s` seconds of it.
///
/// # Errors
/// [`FileError`] of Ogg and Opus; [`FileError::TooLong`].
pub fn decode(file: &[u8], rate_hz: u32, most_s: u32) -> Result<Vec<i16>, FileError> {
    let mut packets = Packets::new(file);
    let first = packets.next().ok_or(FileError::NotOpus)??;
    let head = Head::read(&first.bytes)?;
    // §5.2: the second packet holds the tags.
    packets.next().ok_or(FileError::NotOpus)??;
    let rate = |_| FileError::Rate { rate_hz };
    let mut decoder = Decoder::new(rate_hz, Channels::Mono).map_err(rate)?;
    let _ = decoder.set_gain(head.gain);
    let per_tick = u64::from(CLOCK_HZ / rate_hz);
    let most = u64::from(most_s) * u64::from(rate_hz);
    let mut room = vec![0; rate_hz as usize / 1_000 * LONGEST_PACKET_MS];
    let (mut pcm, mut end) = (Vec::new(), None);
    for packet in packets {
        let packet = packet?;
        let made = decoder.decode(&packet.bytes, &mut room, false);
        pcm.extend_from_slice(&room[..made.map_err(|_| FileError::BrokenPacket)?]);
        end = packet.position.or(end);
        if pcm.len() as u64 > most + head.skip {
            return Err(FileError::TooLong { most_s });
        }
    }
    // §4.5: the last position cuts the end off; §4.2: what is to be skipped counts in it.
    let end = end.map_or(u64::MAX, |end| end / per_tick);
    pcm.truncate(usize::try_from(end).unwrap_or(usize::MAX));
    let skip = usize::try_from(head.skip / per_tick).unwrap_or(usize::MAX);
    pcm.drain(..skip.min(pcm.len()));
    Ok(pcm)
}
