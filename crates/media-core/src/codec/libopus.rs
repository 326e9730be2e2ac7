//! Opus (RFC 6716, RFC 7587) through libopus. The only file that names `opus`.
//!
//! On the wire its clock is always 48 kHz and its name `opus/48000/2`; inside it runs at whatever rate suits us. We take
//! 16 kHz: all that a recogniser hears and a voice says, at a third of the cost of 48 kHz, and every peer can be spoken to.

use super::{Codec, CodecSpec, Tuning, room};
use crate::{Error, Rate};
use opus::{Application, Bandwidth, Bitrate, Channels, Decoder, Encoder, Signal};

/// RFC 7587 §4.1, dynamic payload type.
pub static SPEC: CodecSpec = CodecSpec {
    name: "opus",
    static_pt: None,
    offered_pt: 111,
    rtp_clock: 48_000,
    rate: Rate::Hz16000,
    channels: 2,
    fmtp: Some("maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1;stereo=0"),
    // No value is published for Opus: taken as G.711's, to which its own concealment compares well.
    impairment: super::Impairment::G711,
    recovers: true,
    make: || Box::new(Opus::at(16_000)),
};

/// Wideband speech needs no more.
const BITS_PER_SECOND: i32 = 24_000;
/// RFC 7587 §6.1: less is no speech.
const FEWEST_BITS_PER_SECOND: i32 = 6_000;
/// Loss from which its own redundancy is worth what it takes from a clean line.
const FEC_FROM_PERCENT: u8 = 2;
/// More than this is announced to the encoder by nobody sane.
const MOST_LOSS_PERCENT: u8 = 30;
/// An empty packet and one of two bytes hold no sound (RFC 6716 §2.1.9).
const SILENT_PACKET: usize = 2;

/// Both directions at one rate.
pub struct Opus {
    rate_hz: u32,
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
    /// Whether the far side makes use of redundancy (RFC 7587 §6.1, `useinbandfec`).
    fec_wanted: bool,
    tuning: Tuning,
}

impl Opus {
    /// One that takes and gives sound at 8, 12, 16, 24 or 48 kHz. At another rate, or without memory, it refuses every packet.
    pub fn at(rate_hz: u32) -> Self {
        let mut codec = Self {
            rate_hz,
            encoder: Encoder::new(rate_hz, Channels::Mono, Application::Voip).ok(),
            decoder: Decoder::new(rate_hz, Channels::Mono).ok(),
            fec_wanted: false,
            tuning: Tuning::default(),
        };
        codec.set(|encoder| {
            encoder.set_bitrate(Bitrate::Bits(BITS_PER_SECOND))?;
            encoder.set_signal(Signal::Voice)
        });
        codec.apply(Tuning::default());
        codec
    }

    /// A setting that the library refuses leaves the encoder as it was: it still speaks.
    fn set(&mut self, change: impl FnOnce(&mut Encoder) -> opus::Result<()>) {
        if let Some(encoder) = &mut self.encoder {
            let _ = change(encoder);
        }
    }

    fn apply(&mut self, tuning: Tuning) {
        self.tuning = tuning;
        let fec = self.fec_wanted && tuning.loss_percent >= FEC_FROM_PERCENT;
        let loss = tuning.loss_percent.min(MOST_LOSS_PERCENT);
        self.set(|encoder| {
            encoder.set_complexity(i32::from(tuning.complexity.min(10)))?;
            encoder.set_inband_fec(fec)?;
            encoder.set_packet_loss_perc(i32::from(loss))
        });
    }

    fn refused(bytes: usize) -> Error {
        Error::Payload {
            codec: "opus",
            bytes,
        }
    }
}

impl Codec for Opus {
    fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Error> {
        let refused = Self::refused(payload.len());
        let samples = opus::packet::get_nb_samples(payload, self.rate_hz);
        let samples = samples.map_err(|_| refused.clone())?;
        let out = pcm.get_mut(..samples).ok_or(refused.clone())?;
        let decoder = self.decoder.as_mut().ok_or(refused.clone())?;
        decoder.decode(payload, out, false).map_err(|_| refused)
    }

    fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> Result<usize, Error> {
        let refused = Self::refused(0);
        let out = room(MAX_PAYLOAD, payload)?;
        let encoder = self.encoder.as_mut().ok_or(refused.clone())?;
        encoder.encode(pcm, out).map_err(|_| refused)
    }

    /// RFC 7587 §6.1, as far as speech can follow it.
    fn heed(&mut self, fmtp: &str) {
        let value = |name: &str| {
            let mut pairs = fmtp.split(';').filter_map(|pair| pair.split_once('='));
            let found = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.trim().parse::<i32>().ok())
        };
        self.fec_wanted = value("useinbandfec") == Some(1);
        let bits = value("maxaveragebitrate").filter(|bits| *bits > 0);
        let bits = bits.unwrap_or(BITS_PER_SECOND);
        let bits = bits.clamp(FEWEST_BITS_PER_SECOND, BITS_PER_SECOND);
        let band = playable(value("maxplaybackrate"));
        let (silence_saved, constant) = (value("usedtx") == Some(1), value("cbr") == Some(1));
        self.set(|encoder| {
            encoder.set_bitrate(Bitrate::Bits(bits))?;
            encoder.set_dtx(silence_saved)?;
            encoder.set_vbr(!constant)?;
            encoder.set_max_bandwidth(band)
        });
        self.apply(self.tuning);
    }

    fn tune(&mut self, tuning: Tuning) {
        if tuning != self.tuning {
            self.apply(tuning);
        }
    }

    /// RFC 6716 §2.1.7: a packet may carry the one before it once more, at a lower rate; without it the decoder extrapolates.
    fn recover(&mut self, next: &[u8], lost: &mut [i16]) -> Option<usize> {
        if next.len() <= SILENT_PACKET {
            return None;
        }
        self.decoder.as_mut()?.decode(next, lost, true).ok()
    }
}

/// RFC 7587 §3.1.1: what a far side that plays so many samples a second can make use of. We say no more than wideband.
fn playable(hz: Option<i32>) -> Bandwidth {
    match hz.unwrap_or(48_000) {
        ..12_000 => Bandwidth::Narrowband,
        12_000..16_000 => Bandwidth::Mediumband,
        16_000.. => Bandwidth::Wideband,
    }
}

/// Room for a packet; at our rate it never takes a tenth of that.
const MAX_PAYLOAD: usize = 640;
