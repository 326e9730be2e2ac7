//! G.722 is exact: every codeword, and every sample of all three modes, of the ITU-T G.191 test sequences.

use media_core::codec::g722::{Decoder, Encoder, Mode};
use std::path::PathBuf;

fn vector(name: &str) -> Option<Vec<i16>> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/itu-g191/g722"
    );
    let bytes = std::fs::read(PathBuf::from(folder).join(name)).ok()?;
    let words = bytes.chunks_exact(2);
    Some(words.map(|b| i16::from_le_bytes([b[0], b[1]])).collect())
}

/// Nothing when the test data is not here.
fn differences() -> Option<Vec<(&'static str, usize)>> {
    let sound = vector("inpsp.bin")?;
    let codes: Vec<u8> = vector("codspw.cod")?.iter().map(|w| *w as u8).collect();
    let mut encoder = Encoder::default();
    let encoded = sound.chunks_exact(2).map(|p| encoder.step([p[0], p[1]]));
    let wrong = encoded.zip(&codes).filter(|(a, b)| a != *b).count();
    let mut found = vec![("codewords", wrong)];
    assert_eq!((sound.len(), codes.len()), (97_536, 48_768));
    let modes = [
        (Mode::One, "outsp1.bin"),
        (Mode::Two, "outsp2.bin"),
        (Mode::Three, "outsp3.bin"),
    ];
    for (mode, file) in modes {
        let expected = vector(file)?;
        let mut decoder = Decoder::new(mode);
        let decoded = codes.iter().flat_map(|code| decoder.step(*code));
        let wrong = decoded.zip(&expected).filter(|(a, b)| a != *b).count();
        found.push((file, wrong));
    }
    Some(found)
}

#[test]
fn every_codeword_and_every_sample_of_all_three_modes() {
    let Some(found) = differences() else {
        println!(
            "SKIP every_codeword_and_every_sample_of_all_three_modes: the ITU vectors are not here"
        );
        return;
    };
    for (what, wrong) in found {
        assert_eq!(wrong, 0, "{what}");
    }
}
