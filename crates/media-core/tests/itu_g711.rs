//! G.711 is exact: every codeword and every decoded sample of the ITU-T G.191 sweep.

use media_core::codec::{self, Codec};
use std::path::PathBuf;

fn vector(name: &str) -> Option<Vec<u16>> {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/itu-g191/g711"
    ))
    .join(name);
    let bytes = std::fs::read(path).ok()?;
    Some(
        bytes
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect(),
    )
}

fn run(mut law: Box<dyn Codec>, code_file: &str, decoded_file: &str) -> Option<()> {
    let source: Vec<i16> = vector("sweep.src")?.iter().map(|&w| w as i16).collect();
    let codes: Vec<u8> = vector(code_file)?.iter().map(|&w| w as u8).collect();
    let decoded: Vec<i16> = vector(decoded_file)?.iter().map(|&w| w as i16).collect();
    assert_eq!(source.len(), 65_536);
    let mut encoded = vec![0; source.len()];
    assert_eq!(law.encode(&source, &mut encoded), Ok(source.len()));
    assert_eq!(
        encoded.iter().zip(&codes).filter(|(a, b)| a != b).count(),
        0,
        "codewords differ from {code_file}"
    );
    let mut back = vec![0; codes.len()];
    assert_eq!(law.decode(&codes, &mut back), Ok(codes.len()));
    assert_eq!(
        back.iter().zip(&decoded).filter(|(a, b)| a != b).count(),
        0,
        "samples differ from {decoded_file}"
    );
    Some(())
}

#[test]
fn mu_law_matches_every_codeword_of_the_itu_sweep() {
    if run((codec::pcmu::SPEC.make)(), "sweep-r.u", "sweep-r.reu").is_none() {
        println!("SKIP mu_law_matches_every_codeword_of_the_itu_sweep: vectors are not here");
    }
}

#[test]
fn a_law_matches_every_codeword_of_the_itu_sweep() {
    if run((codec::pcma::SPEC.make)(), "sweep-r.a", "sweep-r.rea").is_none() {
        println!("SKIP a_law_matches_every_codeword_of_the_itu_sweep: vectors are not here");
    }
}

/// Each line of the table keeps its promises, whatever codec is added.
/// Codecs with filters answer later than they are asked: this many samples per 20 ms at 8 kHz at most.
const LATEST: usize = 320;

/// Signal to noise over the last frames, at the delay at which it is best.
fn signal_to_noise_db(sent: &[i16], back: &[i16], frame: usize) -> f64 {
    let judged = sent.len() - 4 * frame..sent.len() - 2 * frame;
    let at = |delay: usize| {
        let (mut power, mut error) = (0.0, 0.0);
        for i in judged.clone() {
            let (a, b) = (f64::from(sent[i]), f64::from(back[i + delay]));
            (power, error) = (power + a * a, error + (a - b) * (a - b));
        }
        10.0 * (power / error.max(1.0)).log10()
    };
    (0..=LATEST.min(2 * frame - 1))
        .map(at)
        .fold(f64::MIN, f64::max)
}

#[test]
fn every_codec_in_the_table_round_trips_a_tone_and_refuses_what_does_not_fit() {
    for spec in codec::ALL {
        let len = spec.rate.frame_len();
        let step = 2_400.0 / len as f32 * 0.02;
        let tone: Vec<i16> = (0..len * 12)
            .map(|i| (8_000.0 * (i as f32 * step).sin()) as i16)
            .collect();
        let mut law = (spec.make)();
        let mut payload = vec![0; len * 2];
        let mut heard = Vec::new();
        for frame in tone.chunks(len) {
            let bytes = law.encode(frame, &mut payload).expect("encodes a frame");
            let mut back = vec![0; len];
            let decoded = law.decode(&payload[..bytes], &mut back);
            assert_eq!(decoded, Ok(len), "{}", spec.name);
            heard.extend(back);
        }
        let clear_db = signal_to_noise_db(&tone, &heard, len);
        println!("{}: {clear_db:.1} dB", spec.name);
        assert!(clear_db > 30.0, "{}: {clear_db:.1} dB", spec.name);
        let mut back = vec![0; len];
        assert!(
            law.encode(&tone[..len], &mut [0; 3]).is_err(),
            "{}: short output",
            spec.name
        );
        assert!(
            law.decode(&vec![0; 100_000], &mut back).is_err(),
            "{}: long payload",
            spec.name
        );
        assert!(std::ptr::eq(
            codec::by_name(&spec.name.to_lowercase()).expect("by name"),
            *spec
        ));
    }
}
