//! The caller's telephone: speaks by the script and listens to every packet.

use media_core::{
    codec::{self, Codec},
    rtp::{self, HEADER_LEN, Packet},
};

/// Static payload type of PCMU (RFC 3551 §6).
const PCMU: u8 = 0;
const FRAME_SAMPLES: usize = 160;

/// What a caller does, and when (milliseconds since the answer).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When it begins.
    pub at_ms: u64,
    /// What.
    pub deed: Deed,
}

/// See [`Act`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Speaks for so long. An empty text is a cough: sound without words.
    Speak {
        /// How long.
        ms: u64,
        /// What the recogniser makes of it.
        text: String,
    },
    /// Presses a key.
    Press(char),
    /// Hangs up.
    HangUp,
}

/// Sends 20 ms of PCMU a tick and decodes what comes.
pub struct Phone {
    codec: Box<dyn Codec>,
    seq: u16,
    timestamp: u32,
    ssrc: u32,
    noise: u32,
    /// Packets that could be read.
    pub received: u64,
    /// Packets that could not.
    pub malformed: u64,
}

impl Phone {
    /// A phone with its own SSRC.
    pub fn new(ssrc: u32) -> Self {
        Self {
            codec: (codec::pcmu::SPEC.make)(),
            seq: 65_500,
            timestamp: u32::MAX - 8_000,
            ssrc,
            noise: ssrc | 1,
            received: 0,
            malformed: 0,
        }
    }

    /// The next 20 ms as an RTP packet: loud while the caller speaks, else the hiss of a line.
    pub fn frame(&mut self, speaking: bool) -> Vec<u8> {
        let level = if speaking { 6_000 } else { 12 };
        let pcm: Vec<i16> = (0..FRAME_SAMPLES).map(|_| self.hiss(level)).collect();
        let mut payload = [0; FRAME_SAMPLES];
        let length = self.codec.encode(&pcm, &mut payload).unwrap_or(0);
        let packet = Packet {
            payload_type: PCMU,
            marker: false,
            seq: self.seq,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            payload: payload.get(..length).unwrap_or_default(),
        };
        let mut out = vec![0; HEADER_LEN + FRAME_SAMPLES];
        let length = rtp::build(&packet, &mut out).unwrap_or(0);
        out.truncate(length);
        self.seq = self.seq.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        out
    }

    /// A datagram came.
    pub fn receive(&mut self, datagram: &[u8]) {
        match rtp::parse(datagram) {
            Ok(_) => self.received += 1,
            Err(_) => self.malformed += 1,
        }
    }

    /// Noise of this amplitude (xorshift).
    fn hiss(&mut self, level: i16) -> i16 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        let swing = i32::from(level) * 2 + 1;
        let value = (self.noise >> 8) as i32 % swing - i32::from(level);
        i16::try_from(value).unwrap_or(0)
    }
}
