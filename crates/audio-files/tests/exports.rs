//! What recordings are exported as: as long as announced, the same from any byte, and read by programs that are not ours.

use audio_files::{
    export::{Export, Form, Master},
    ogg_opus, sound, wav,
};
use std::{path::Path, process::Command};

const FORMS: [Form; 3] = [
    Form::MixedWav,
    Form::Opus { mixed: true },
    Form::Opus { mixed: false },
];
const CALLER_HZ: f64 = 440.0;
const AGENT_HZ: f64 = 1_000.0;

/// A sine of this loudness.
fn tone(rate_hz: u32, hz: f64, at: u64) -> i16 {
    let turn = at as f64 / f64::from(rate_hz) * hz;
    (8_000.0 * (turn * std::f64::consts::TAU).sin()) as i16
}

/// A master with one tone on each side.
fn master(rate_hz: u32, samples: u64) -> Vec<u8> {
    let bytes = u32::try_from(samples * 4).unwrap();
    let mut file = wav::header(rate_hz, 2, bytes).to_vec();
    for at in 0..samples {
        for hz in [CALLER_HZ, AGENT_HZ] {
            file.extend(tone(rate_hz, hz, at).to_le_bytes());
        }
    }
    file
}

/// The form from a byte on, made of pieces of `step` bytes.
fn export(file: &[u8], form: Form, from: u64, step: usize) -> Vec<u8> {
    let of = Master::read(&file[..file.len().min(wav::HEAD_LEN)], file.len() as u64).unwrap();
    let mut export = Export::new(&of, form, 7, from).unwrap();
    let wanted = export.source();
    let wanted = &file[wanted.start as usize..wanted.end as usize];
    let mut out: Vec<u8> = wanted
        .chunks(step)
        .flat_map(|bytes| export.push(bytes))
        .collect();
    out.extend(export.finish());
    assert_eq!(
        out.len() as u64,
        export.length().saturating_sub(from),
        "{form:?}"
    );
    out
}

/// How much of a tone there is, against everything (Goertzel).
fn share(pcm: &[i16], rate_hz: u32, hz: f64) -> f64 {
    let turn = hz / f64::from(rate_hz) * std::f64::consts::TAU;
    let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
    for (at, &sample) in pcm.iter().enumerate() {
        let sample = f64::from(sample);
        re += sample * (turn * at as f64).cos();
        im += sample * (turn * at as f64).sin();
        all += sample * sample;
    }
    2.0 * (re * re + im * im) / (all * pcm.len() as f64)
}

#[test]
fn each_form_is_as_long_as_announced_and_the_same_from_any_byte() {
    for (rate_hz, samples) in [(8_000, 20_011), (16_000, 16_000), (8_000, 1), (8_000, 0)] {
        let file = master(rate_hz, samples);
        for form in FORMS {
            let whole = export(&file, form, 0, 64 * 1024);
            assert_eq!(
                export(&file, form, 0, 7),
                whole,
                "{form:?}: however it is cut"
            );
            let length = whole.len() as u64;
            for from in [
                1,
                43,
                44,
                45,
                99,
                100,
                length / 2,
                length - 1,
                length,
                length + 9,
            ] {
                let rest = whole.get(from as usize..).unwrap_or_default();
                assert_eq!(
                    export(&file, form, from, 5_000),
                    rest,
                    "{form:?} from {from}"
                );
            }
        }
    }
}

#[test]
fn both_sides_are_in_the_mix() {
    for rate_hz in [8_000, 16_000] {
        let samples = u64::from(rate_hz) * 3;
        let file = master(rate_hz, samples);
        for form in [Form::MixedWav, Form::Opus { mixed: true }] {
            let made = export(&file, form, 0, 8_192);
            let sound = sound::read(&made, rate_hz, 10).unwrap();
            assert_eq!(sound.rate_hz, rate_hz);
            // To the sample: what the encoder adds at both ends is cut off again.
            assert_eq!(sound.pcm.len() as u64, samples, "{form:?}");
            for hz in [CALLER_HZ, AGENT_HZ] {
                let share = share(&sound.pcm, rate_hz, hz);
                assert!((0.4..0.6).contains(&share), "{form:?}: {share} of {hz} Hz");
            }
        }
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    assert!(Master::read(b"RIFF", 4).is_err());
    assert!(
        Master::read(&wav::header(8_000, 1, 0), 44).is_err(),
        "one side"
    );
    let strange = wav::header(11_025, 2, 400);
    let strange = Master::read(&strange, 444).unwrap();
    assert!(Export::new(&strange, Form::Opus { mixed: true }, 1, 0).is_err());
    // A file that was cut off has what is there.
    let cut = Master::read(&wav::header(8_000, 2, 4_000_000), 47).unwrap();
    assert_eq!(cut.samples(), 0);
}

#[test]
fn bytes_of_strangers_are_decoded_or_refused() {
    let file = export(&master(8_000, 4_000), Form::Opus { mixed: false }, 0, 8_192);
    for at in 0..file.len() {
        let _ = sound::read(&file[..at], 8_000, 10);
        let mut changed = file.clone();
        changed[at] ^= 0x55;
        assert!(sound::read(&changed, 8_000, 10).is_err(), "byte {at}");
        assert!(sound::check(&changed, 10).is_err(), "byte {at}");
    }
    assert!(sound::check(&file, 1).is_ok());
    let long = export(&master(8_000, 24_000), Form::Opus { mixed: true }, 0, 8_192);
    assert!(sound::read(&long, 8_000, 1).is_err() && sound::check(&long, 1).is_err());
    assert!(sound::read(b"MThd", 8_000, 1).is_err());
}

/// Whether a program is installed.
fn have(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn decoded_elsewhere(folder: &Path, ogg: &Path) -> wav::Wav {
    let decoded = folder.join("decoded.wav");
    let run = Command::new("opusdec")
        .args(["--quiet", "--rate", "8000"])
        .args([ogg, &decoded])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    wav::Wav::read(&std::fs::read(&decoded).unwrap()).unwrap()
}

#[test]
fn ogg_opus_is_read_by_the_programs_of_those_who_made_it() {
    if !have("opusinfo") || !have("opusdec") {
        println!(
            "SKIP ogg_opus_is_read_by_the_programs_of_those_who_made_it: opus-tools is missing"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ogg = folder.path().join("call.opus");
    let samples = 8_000 * 3 + 123;
    let file = master(8_000, samples);
    std::fs::write(&ogg, export(&file, Form::Opus { mixed: false }, 0, 8_192)).unwrap();
    let info = Command::new("opusinfo").arg(&ogg).output().unwrap();
    let said = String::from_utf8_lossy(&info.stdout).into_owned();
    assert!(info.status.success(), "{said}");
    for wrong in ["WARNING", "ERROR", "Hole"] {
        assert!(!said.contains(wrong), "{said}");
    }
    assert!(said.contains("0m:03.015s"), "{said}");
    let decoded = decoded_elsewhere(folder.path(), &ogg);
    assert_eq!((decoded.channels, decoded.rate_hz), (2, 8_000));
    assert!(decoded.samples.len().abs_diff(samples as usize * 2) <= 2);
    for (channel, hz, other) in [(0, CALLER_HZ, AGENT_HZ), (1, AGENT_HZ, CALLER_HZ)] {
        let pcm = decoded.channel(channel);
        assert!(share(&pcm, 8_000, hz) > 0.95, "channel {channel}");
        assert!(share(&pcm, 8_000, other) < 0.01, "channel {channel}");
    }
    // And the other way: a file of theirs.
    let wav = folder.path().join("call.wav");
    let theirs = folder.path().join("theirs.opus");
    std::fs::write(&wav, &file).unwrap();
    let run = Command::new("opusenc")
        .args(["--quiet", "--downmix-mono"])
        .args([&wav, &theirs])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let sound = sound::read(&std::fs::read(&theirs).unwrap(), 16_000, 10).unwrap();
    assert!(sound.pcm.len().abs_diff(samples as usize * 2) <= 2);
    assert!(share(&sound.pcm, 16_000, CALLER_HZ) > 0.4);
    assert!(!ogg_opus::encoder().is_empty());
}
