//! Telephone keys as tones (ITU-T Q.23): each once and in order through a telephone line, none in half an hour of speech.

#[path = "network/sim.rs"]
mod sim;

use media_core::codec::{self, CodecSpec};
use media_core::dtmf::{Digits, Key, ToneReader};
use media_core::leg::{Command, Leg, LegConfig, LegEventKind, Mode, Wire};
use media_core::{FRAME, Frame, Rate};
use sim::{Dice, Sim, Talker, config, far_end};
use std::time::Duration;

const KEYS: &str = "123A456B789C*0#D11550##";
/// Debian: asterisk-core-sounds-en-wav.
const PROMPTS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";

/// Keys as a telephone dials them: so long each, so long between them, the columns louder by so much.
fn dialled(rate: Rate, on_ms: u64, off_ms: u64, twist_db: f32) -> Vec<i16> {
    let mut pcm = vec![0; 777];
    for key in KEYS.chars() {
        let mut tone = Key::from_char(key).expect("a key").tone();
        let mut sound: Vec<i16> = Vec::new();
        while sound.len() < rate.samples(on_ms) {
            sound.extend(tone.next_frame(rate).samples());
        }
        sound.truncate(rate.samples(on_ms));
        pcm.extend(tilted(&sound, rate, twist_db));
        pcm.resize(pcm.len() + rate.samples(off_ms), 0);
    }
    pcm.resize(pcm.len() + rate.samples(100), 0);
    pcm
}

/// High frequencies louder (first difference) or softer (first sum), by about so much.
fn tilted(pcm: &[i16], rate: Rate, twist_db: f32) -> Vec<i16> {
    let weight = twist_db / 12.0 * (rate.hz() as f32 / 8_000.0);
    let mut before = 0.0;
    let tilt = |sample: &i16| {
        let now = f32::from(*sample);
        let out = (now - weight * before) * 0.5;
        before = now;
        out as i16
    };
    pcm.iter().map(tilt).collect()
}

fn read(rate: Rate, pcm: &[i16]) -> String {
    let mut reader = ToneReader::default();
    let frames = pcm.chunks_exact(rate.frame_len());
    let keys = frames.filter_map(|f| reader.hear(&Frame::from_samples(rate, f)));
    keys.map(Key::as_char).collect()
}

fn coded(spec: &CodecSpec, pcm: &[i16]) -> Vec<i16> {
    let (mut codec, mut payload) = ((spec.make)(), vec![0; pcm.len()]);
    let bytes = codec.encode(pcm, &mut payload).expect("room");
    let mut out = vec![0; pcm.len()];
    for (payload, out) in payload[..bytes].chunks(400).zip(out.chunks_mut(400)) {
        codec.decode(payload, out).expect("sound");
    }
    out
}

#[test]
fn each_key_is_read_once_and_in_order_through_both_laws() {
    for law in [&codec::pcmu::SPEC, &codec::pcma::SPEC] {
        for (on_ms, off_ms) in [(40, 40), (50, 45), (70, 50), (100, 100), (400, 60)] {
            for twist_db in [-3.0, 0.0, 3.0] {
                let heard = coded(law, &dialled(Rate::Hz8000, on_ms, off_ms, twist_db));
                let story = format!("{} {on_ms}/{off_ms} ms, {twist_db} dB", law.name);
                assert_eq!(read(Rate::Hz8000, &heard), KEYS, "{story}");
            }
        }
    }
    assert_eq!(
        read(Rate::Hz16000, &dialled(Rate::Hz16000, 60, 60, 0.0)),
        KEYS
    );
}

#[test]
fn noise_under_them_changes_nothing_and_noise_alone_is_no_key() {
    let mut dice = Dice(1);
    let mut noise = |peak: u64| dice.below(2 * peak + 1) as i16 - peak as i16;
    let mut pcm = dialled(Rate::Hz8000, 80, 80, 0.0);
    pcm.iter_mut().for_each(|s| *s += noise(600));
    assert_eq!(read(Rate::Hz8000, &pcm), KEYS);
    let hiss: Vec<i16> = (0..8_000 * 120).map(|_| noise(8_000)).collect();
    assert_eq!(read(Rate::Hz8000, &hiss), "");
}

#[test]
fn what_is_too_short_or_a_single_tone_or_a_dial_tone_is_no_key() {
    assert_eq!(read(Rate::Hz8000, &dialled(Rate::Hz8000, 20, 100, 0.0)), "");
    for tones in [
        [697.0, 0.0],
        [1_336.0, 0.0],
        [350.0, 440.0],
        [440.0, 480.0],
        [697.0, 770.0],
        [720.0, 1_250.0],
    ] {
        let mut tone = media_core::tone::Tone::new(tones, -10.0, 1_000, 0);
        let pcm: Vec<i16> = (0..50)
            .flat_map(|_| tone.next_frame(Rate::Hz8000).samples().to_vec())
            .collect();
        assert_eq!(read(Rate::Hz8000, &pcm), "", "{tones:?}");
    }
}

/// The whole package, and once more as by a lower and a higher voice: over an hour.
#[test]
fn half_an_hour_of_speech_holds_no_key() {
    let test = "half_an_hour_of_speech_holds_no_key";
    let mut files = Vec::new();
    find_wavs(PROMPTS.as_ref(), &mut files);
    if files.is_empty() {
        println!("SKIP {test}: needs the prompts of a system package");
        return;
    }
    let mut minutes = 0.0;
    for file in files {
        let bytes = std::fs::read(&file).expect("a prompt");
        let speech: Vec<i16> = bytes[44..]
            .chunks_exact(2)
            .map(|b| i16::from_le_bytes([b[0], b[1]]))
            .collect();
        for percent in [87, 100, 115] {
            let at = |n: usize| speech[n * percent / 100];
            let pcm: Vec<i16> = (0..speech.len() * 100 / percent).map(at).collect();
            minutes += pcm.len() as f64 / 480_000.0;
            let keys = read(Rate::Hz8000, &pcm);
            assert_eq!(keys, "", "{} at {percent} %", file.display());
        }
    }
    println!("{minutes:.0} minutes of speech");
    assert!(minutes >= 30.0, "{minutes} minutes");
}

fn find_wavs(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find_wavs(&path, found);
        } else if path.extension().is_some_and(|end| end == "wav") {
            found.push(path);
        }
    }
}

fn without_events(keys_in_band: bool) -> LegConfig {
    let mut config = LegConfig {
        keys_in_band,
        ..config()
    };
    config.negotiated.telephone_event = None;
    config
}

fn keys_heard(sim: &Sim) -> String {
    let key = |event: &LegEventKind| match event {
        LegEventKind::Digit(digit) => Some(digit.key),
        _ => None,
    };
    sim.events.iter().filter_map(key).collect()
}

/// A far side that dials in the sound, three in a hundred packets lost.
fn dial_into(config: LegConfig) -> Sim {
    let mut sim = Sim::new(config, 7);
    let mut talker = Talker::new(0, 0);
    let heard = dialled(Rate::Hz8000, 80, 80, 0.0);
    for (n, pcm) in (0..).zip(heard.chunks_exact(160)) {
        let mut payload = [0; 160];
        let mut codec = (codec::pcmu::SPEC.make)();
        codec.encode(pcm, &mut payload).expect("room");
        let bytes = talker.packet(&payload);
        talker.skip();
        if !sim.dice.percent(3) {
            sim.post(FRAME * n + Duration::from_millis(30), bytes);
        }
    }
    sim.run_until(FRAME * (heard.len() as u32 / 160 + 20));
    sim
}

#[test]
fn a_leg_reads_them_where_it_is_told_to_and_no_event_was_agreed() {
    assert_eq!(keys_heard(&dial_into(without_events(true))), KEYS);
    assert_eq!(keys_heard(&dial_into(without_events(false))), "");
    let agreed = LegConfig {
        keys_in_band: true,
        ..config()
    };
    assert_eq!(keys_heard(&dial_into(agreed)), "", "events were agreed");
}

#[test]
fn a_leg_sends_them_in_the_sound_and_another_reads_them() {
    let mut sender = Leg::new(
        LegConfig {
            mode: Mode::Mute,
            ..without_events(true)
        },
        Wire::default(),
        Duration::ZERO,
    );
    let digits = Digits::parse(KEYS).expect("keys");
    sender.handle(Duration::ZERO, Command::SendDigits(digits));
    let mut sim = Sim::new(without_events(true), 1);
    let mut sent = 0;
    for n in 0..400 {
        let packet = sender.tick(FRAME * n).packet.to_vec();
        sim.post(FRAME * n + Duration::from_millis(30), packet);
        while let Some(event) = sender.poll_event() {
            sent += u32::from(event.kind == LegEventKind::DigitsSent);
        }
    }
    sim.run_until(FRAME * 410);
    assert_eq!(keys_heard(&sim), KEYS);
    assert_eq!(sent, 1, "and tells when all are sent");
    assert_eq!(sim.leg.stats().heard.map(|s| s.source), Some(far_end()));
}
