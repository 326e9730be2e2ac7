//! Format parameters of Opus (RFC 7587 §6.1) as a profile wants them: what we ask for, and what becomes of what is asked of us.

use settings::{Dtx, Opus};

/// Our parameters, from those of the codec table.
pub(super) fn asked(usual: &str, opus: &Opus) -> String {
    let mut parameters: Vec<String> = usual
        .split(';')
        .filter(|parameter| opus.fec || !parameter.starts_with("useinbandfec"))
        .map(str::to_owned)
        .collect();
    if opus.dtx == Dtx::On {
        parameters.push("usedtx=1".into());
    }
    if opus.bitrate < *Opus::BITRATES.end() {
        parameters.push(format!("maxaveragebitrate={}", opus.bitrate));
    }
    parameters.join(";")
}

/// Theirs, within what the profile allows: of two values for one parameter the encoder takes the first.
pub(super) fn allowed(theirs: &str, opus: &Opus) -> String {
    let mut first = Vec::new();
    if opus.dtx == Dtx::Off {
        first.push("usedtx=0".to_owned());
    }
    if !opus.fec {
        first.push("useinbandfec=0".to_owned());
    }
    if wanted(theirs).is_none_or(|bits| bits > opus.bitrate) {
        first.push(format!("maxaveragebitrate={}", opus.bitrate));
    }
    first.push(theirs.to_owned());
    first.join(";")
}

fn wanted(theirs: &str) -> Option<u32> {
    let mut pairs = theirs.split(';').filter_map(|pair| pair.split_once('='));
    let (_, bits) =
        pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("maxaveragebitrate"))?;
    bits.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{allowed, asked};
    use media_core::codec::{Codec, libopus};
    use settings::{Dtx, Opus};

    const PLAIN: Opus = Opus {
        dtx: Dtx::On,
        fec: false,
        bitrate: 12_000,
    };

    #[test]
    fn a_profile_asks_for_what_it_wants() {
        let usual = libopus::SPEC.fmtp.expect("parameters");
        assert_eq!(asked(usual, &Opus::default()), usual);
        assert_eq!(
            asked(usual, &PLAIN),
            "maxplaybackrate=16000;sprop-maxcapturerate=16000;stereo=0;usedtx=1;maxaveragebitrate=12000"
        );
    }

    /// A second of a voice-like tone and a second of silence, in bytes, with what the encoder is left with.
    fn bytes(theirs: &str, opus: &Opus) -> (usize, usize) {
        let mut codec = libopus::Opus::at(16_000);
        codec.heed(&allowed(theirs, opus));
        let mut sent = |loud: f32| -> usize {
            let packet = |n: usize| {
                let pcm: Vec<i16> = (0..320)
                    .map(|at| ((((n * 320 + at) * at) % 211) as f32 * loud) as i16)
                    .collect();
                codec.encode(&pcm, &mut [0; 640]).expect("sound")
            };
            (0..50).map(packet).sum()
        };
        (sent(40.0), sent(0.0))
    }

    #[test]
    fn what_is_asked_of_us_is_given_within_what_the_profile_allows() {
        let (free, narrow) = (
            Opus::default(),
            Opus {
                bitrate: 8_000,
                ..Opus::default()
            },
        );
        let never = Opus {
            dtx: Dtx::Off,
            ..Opus::default()
        };
        let (sound, silence) = bytes("usedtx=1", &free);
        assert!(bytes("usedtx=1", &narrow).0 * 2 < sound, "{sound}");
        assert!(bytes("maxaveragebitrate=8000", &free).0 * 2 < sound);
        assert!(bytes("maxaveragebitrate=99000", &free).0 <= sound);
        assert!(bytes("maxaveragebitrate=99000", &narrow).0 * 2 < sound);
        let (_, whole) = bytes("usedtx=1", &never);
        assert!(silence * 2 < whole, "{silence} of {whole}");
        let (_, unasked) = bytes("", &PLAIN);
        assert!(silence * 2 < unasked, "{silence} of {unasked}");
    }
}
