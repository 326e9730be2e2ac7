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
#[test]
fn every_codec_in_the_table_round_trips_a_frame_and_refuses_what_does_not_fit() {
    for spec in codec::ALL {
        let len = spec.rate.frame_len();
        let tone: Vec<i16> = (0..len)
            .map(|i| (8_000.0 * (i as f32 * 0.3).sin()) as i16)
            .collect();
        let mut law = (spec.make)();
        let mut payload = vec![0; len * 2];
        let bytes = law.encode(&tone, &mut payload).expect("encodes a frame");
        let mut back = vec![0; len];
        assert_eq!(
            law.decode(&payload[..bytes], &mut back),
            Ok(len),
            "{}",
            spec.name
        );
        let error: f64 = tone
            .iter()
            .zip(&back)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum();
        let power: f64 = tone.iter().map(|a| f64::from(*a).powi(2)).sum();
        assert!(
            10.0 * (power / error).log10() > 30.0,
            "{}: signal to noise",
            spec.name
        );
        assert!(
            law.encode(&tone, &mut [0; 3]).is_err(),
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
