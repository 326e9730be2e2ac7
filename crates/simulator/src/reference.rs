//! What a call must have been, computed from the wire and the script alone.

use std::collections::BTreeMap;

use call_core::brain::UtteranceId;
use media_core::{
    codec::{self, Codec},
    rtp,
};

use crate::voice::{SOUNDS, sound_of, word_samples};

/// Listens where our packets leave, before any network.
pub struct WireTap {
    codec: Box<dyn Codec>,
    levels: Vec<i16>,
    last: Option<(u16, u32)>,
    current: u64,
    /// Samples sent of each utterance.
    pub samples: BTreeMap<UtteranceId, u64>,
    /// Packets whose number or time did not follow the one before.
    pub broken: u64,
    /// Packets.
    pub packets: u64,
}

impl Default for WireTap {
    fn default() -> Self {
        let mut codec = (codec::pcmu::SPEC.make)();
        let levels = (0..SOUNDS)
            .map(|nth| through(codec.as_mut(), sound_of(UtteranceId(nth))))
            .collect();
        Self {
            codec,
            levels,
            last: None,
            current: 0,
            samples: BTreeMap::new(),
            broken: 0,
            packets: 0,
        }
    }
}

/// A level after the codec.
fn through(codec: &mut dyn Codec, level: i16) -> i16 {
    let (mut byte, mut pcm) = ([0; 1], [0; 1]);
    let _ = codec.encode(&[level], &mut byte);
    let _ = codec.decode(&byte, &mut pcm);
    pcm[0]
}

impl WireTap {
    /// A packet leaves.
    pub fn packet(&mut self, datagram: &[u8]) {
        self.packets += 1;
        let Ok(packet) = rtp::parse(datagram) else {
            self.broken += 1;
            return;
        };
        let follows = |(seq, timestamp): (u16, u32)| {
            packet.seq == seq.wrapping_add(1) && packet.timestamp == timestamp.wrapping_add(160)
        };
        self.broken += u64::from(!self.last.is_none_or(follows));
        self.last = Some((packet.seq, packet.timestamp));
        let mut pcm = [0; 160];
        let length = self.codec.decode(packet.payload, &mut pcm).unwrap_or(0);
        pcm.iter()
            .take(length)
            .for_each(|sample| self.sample(*sample));
    }

    fn sample(&mut self, sample: i16) {
        let Some(sound) = self.levels.iter().position(|level| *level == sample) else {
            return;
        };
        let sound = sound as u64;
        // Utterances play in the order of their numbers, so the next with this sound is meant.
        self.current += (sound + SOUNDS - self.current % SOUNDS) % SOUNDS;
        *self.samples.entry(UtteranceId(self.current)).or_default() += 1;
    }
}

/// The words of which at least half was sent, by the voice's own rule.
pub fn heard_words(text: &str, samples: u64) -> String {
    let mut at = 0;
    let heard = text.split_whitespace().take_while(|word| {
        let half = at + word_samples(word).div_ceil(2);
        at += word_samples(word);
        samples >= half
    });
    heard.collect::<Vec<_>>().join(" ")
}
