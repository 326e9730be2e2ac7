//! Resampling, tones, mixing, concealment, the recording's shape.

#[path = "network/sim.rs"]
mod sim;

use media_core::conceal::Concealer;
use media_core::frame::level_dbov;
use media_core::leg::{Command, Leg, LegConfig, Mode, Wire};
use media_core::recording::{MAX_STEREO_LEN, WAV_HEADER_LEN, bytes_of, interleave, wav_header};
use media_core::resample::Resampler;
use media_core::tone::Tone;
use media_core::{FRAME, Frame, Rate, mix};
use sim::{Talker, config, far_end};
use std::time::Duration;

fn sine(hz: f32, rate: f32, seconds: f32) -> Vec<i16> {
    (0..(rate * seconds) as usize)
        .map(|i| (10_000.0 * (i as f32 * hz * std::f32::consts::TAU / rate).sin()) as i16)
        .collect()
}

#[test]
fn resampling_keeps_the_length_and_the_telephone_band_and_removes_what_would_alias() {
    for (from, to) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (24_000, 8_000),
        (22_050, 8_000),
        (48_000, 16_000),
        (24_000, 16_000),
    ] {
        for (hz, kept) in [
            (400.0, true),
            (3_200.0, true),
            (5_500.0, to > 8_000 && from > 8_000),
        ] {
            if hz * 2.0 > from as f32 {
                continue;
            }
            let mut resampler = Resampler::new(from, to).expect("rates");
            let mut out = Vec::new();
            for chunk in sine(hz, from as f32, 1.0).chunks(333) {
                resampler.push(chunk, &mut out);
            }
            resampler.flush(&mut out);
            let expected = to as f32;
            assert!(
                (out.len() as f32 - expected).abs() <= to as f32 * 0.03,
                "{from}→{to}: {} samples",
                out.len()
            );
            let level = level_dbov(&out[out.len() / 4..out.len() / 2]);
            let reference = level_dbov(&sine(hz, from as f32, 0.25));
            if kept {
                assert!(
                    (level - reference).abs() < 0.7,
                    "{from}→{to} at {hz}: {level} for {reference}"
                );
            } else {
                assert!(level < -55.0, "{from}→{to} at {hz} leaks {level} dBov");
            }
        }
    }
    assert!(Resampler::new(0, 8_000).is_err());
}

#[test]
fn a_frame_becomes_exactly_a_frame_at_the_other_rate() {
    let mut up = Resampler::new(8_000, 16_000).expect("rates");
    let mut tone = Tone::sine(1_000.0, -16.0);
    let frames: Vec<Frame> = (0..10)
        .map(|_| up.frame(&tone.next_frame(Rate::Hz8000)))
        .collect();
    assert!(frames.iter().all(|f| f.rate() == Rate::Hz16000));
    assert!(
        (frames[5].level_dbov() + 16.0).abs() < 0.3,
        "{:?}",
        frames[5]
    );
}

#[test]
fn tones_have_their_level_and_cadence() {
    let mut tone = Tone::sine(1_000.0, -16.0);
    assert!((tone.next_frame(Rate::Hz8000).level_dbov() + 16.0).abs() < 0.2);
    let mut ringback = Tone::ringback();
    let on: Vec<bool> = (0..500)
        .map(|_| ringback.next_frame(Rate::Hz8000).level_dbov() > -60.0)
        .collect();
    assert!(on[..50].iter().all(|b| *b) && on[50..250].iter().all(|b| !*b) && on[250]);
}

#[test]
fn mixing_saturates_and_leaves_other_rates_alone() {
    let mut a = Frame::from_samples(Rate::Hz8000, &[30_000, -30_000, 5]);
    mix::mix(
        &mut a,
        &Frame::from_samples(Rate::Hz8000, &[30_000, -30_000, 6]),
    );
    assert_eq!(&a.samples()[..3], [32_767, -32_768, 11]);
    let before = a;
    mix::mix(&mut a, &Frame::silence(Rate::Hz16000));
    assert_eq!(a, before);
}

/// A vowel at 125 Hz whose formants are harmonics of it.
fn vowel(sample: u64) -> i16 {
    let t = sample as f32 / 8_000.0;
    let wave = |hz: f32| (t * hz * std::f32::consts::TAU).sin();
    (6_000.0 * (1.0 - (t * 125.0).fract()) * (wave(750.0) + 0.5 * wave(1_250.0))) as i16
}

#[test]
fn a_lost_vowel_is_made_up_more_like_itself_than_silence_and_a_long_loss_fades() {
    let mut concealer = Concealer::new(Rate::Hz8000);
    for n in 0..10 {
        let mut pcm: Vec<i16> = (n * 160..n * 160 + 160).map(vowel).collect();
        concealer.observe(&mut pcm);
    }
    let mut made = [0; 160];
    concealer.fill(&mut made);
    let truth: Vec<i16> = (1_600..1_760).map(vowel).collect();
    let error: f64 = made
        .iter()
        .zip(&truth)
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    let power: f64 = truth.iter().map(|a| f64::from(*a).powi(2)).sum();
    assert!(
        error < power / 20.0,
        "13 dB better than silence: {}",
        10.0 * (power / error).log10()
    );
    let mut long = [0; 1_600];
    concealer.fill(&mut long);
    assert!(concealer.is_silent());
    assert!(long[1_000..].iter().all(|s| *s == 0));
}

/// The vowel, and what stands in for 20 ms of it: extrapolated, or led into what is known to follow.
fn without_a_frame(bridged: bool) -> (Vec<i16>, Vec<i16>) {
    let truth: Vec<i16> = (0..2_400).map(vowel).collect();
    let mut made = truth.clone();
    let mut concealer = Concealer::new(Rate::Hz8000);
    concealer.observe(&mut made[..1_600]);
    if bridged {
        concealer.bridge(160, &truth[1_760..1_920]);
    }
    concealer.fill(&mut made[1_600..1_760]);
    concealer.observe(&mut made[1_760..1_920]);
    (truth, made)
}

fn error_of(truth: &[i16], made: &[i16]) -> f64 {
    let pairs = made.iter().zip(truth);
    pairs
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum()
}

#[test]
fn a_hole_whose_end_is_known_runs_into_what_follows_and_leaves_that_alone() {
    let (truth, bridged) = without_a_frame(true);
    assert_eq!(bridged[1_760..], truth[1_760..]);
    let (_, extrapolated) = without_a_frame(false);
    let hole = 1_600..1_760;
    let error = |made: &[i16]| error_of(&truth[hole.clone()], &made[hole.clone()]);
    assert!(
        error(&bridged) < error(&extrapolated),
        "{} for {}",
        error(&bridged),
        error(&extrapolated)
    );
    let step = |pcm: &[i16]| {
        let steps = pcm.windows(2).map(|w| (w[1] - w[0]).unsigned_abs());
        steps.max().unwrap_or(0)
    };
    assert!(
        step(&bridged[1_740..1_780]) <= step(&truth[1_500..2_000]),
        "no seam at the end"
    );
}

#[test]
fn a_bridge_that_cannot_be_built_changes_nothing() {
    let filled = |gap: usize, after: &[i16]| {
        let mut concealer = Concealer::new(Rate::Hz8000);
        let mut pcm: Vec<i16> = (0..1_600).map(vowel).collect();
        concealer.observe(&mut pcm);
        concealer.bridge(gap, after);
        let mut out = vec![0; 160];
        concealer.fill(&mut out);
        out
    };
    let after: Vec<i16> = (1_760..1_920).map(vowel).collect();
    let extrapolated = filled(0, &after);
    assert_eq!(
        filled(160, &after[..20]),
        extrapolated,
        "too little is known"
    );
    assert_eq!(filled(481, &after), extrapolated, "the hole is too long");
    assert_ne!(filled(160, &after), extrapolated);
    let mut deaf = Concealer::new(Rate::Hz16000);
    deaf.bridge(160, &after);
    let mut out = [7; 320];
    deaf.fill(&mut out);
    assert_eq!(out, [0; 320], "who has heard nothing makes silence");
}

#[test]
fn the_recording_header_describes_what_follows() {
    let header = wav_header(Rate::Hz8000, 3_200);
    assert_eq!(header.len(), WAV_HEADER_LEN);
    assert_eq!(
        (&header[..4], &header[8..16], &header[36..40]),
        (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..])
    );
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four"));
    assert_eq!(
        (word(4), word(24), word(28), word(40)),
        (3_236, 8_000, 32_000, 3_200)
    );
    assert_eq!(bytes_of(Rate::Hz8000, 5), 3_200);
    let mut out = [0; MAX_STEREO_LEN];
    let (caller, agent) = (
        Frame::from_samples(Rate::Hz8000, &[1, 2]),
        Frame::from_samples(Rate::Hz8000, &[-1, -2]),
    );
    assert_eq!(interleave(&caller, &agent, &mut out), 320);
    assert_eq!(&out[..4], [1, -1, 2, -2], "caller left, agent right");
}

fn leg(mode: Mode) -> Leg {
    Leg::new(
        LegConfig { mode, ..config() },
        Wire::default(),
        Duration::ZERO,
    )
}

#[test]
fn echo_gives_every_frame_back_through_buffer_and_codec() {
    let (mut leg, mut talker) = (leg(Mode::Echo), Talker::new(0, 0));
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let mut copy = Talker {
            phase: talker.phase,
            ..Talker::new(0, 0)
        };
        said.extend(copy.frame());
        leg.on_packet(FRAME * n, far_end(), &talker.say());
        let tick = leg.tick(FRAME * n);
        assert_eq!(tick.agent, tick.caller);
        heard.extend_from_slice(tick.agent.samples());
    }
    let delay = (0..1_600).find(|d| {
        heard[d + 8_000..d + 16_000]
            .iter()
            .zip(&said[8_000..])
            .all(|(a, b)| (a - b).abs() < 400)
    });
    assert!(
        delay.is_some_and(|d| d <= 480),
        "{delay:?} samples of delay"
    );
}

#[test]
fn a_bridge_sends_the_peers_frames_with_an_announcement_mixed_in_and_mute_sends_silence() {
    let mut leg = leg(Mode::Bridge);
    leg.push_bridge(&Frame::from_samples(Rate::Hz8000, &[100; 160]));
    leg.playout().push(media_core::playout::Tag(1), &[23; 160]);
    assert_eq!(leg.tick(FRAME).agent.samples()[0], 123);
    assert_eq!(
        leg.tick(FRAME * 2).agent.samples()[0],
        0,
        "nothing from the peer is silence"
    );
    leg.push_bridge(&Frame::from_samples(Rate::Hz16000, &[1_000; 320]));
    assert_eq!(leg.tick(FRAME * 3).agent.rate(), Rate::Hz8000);
    leg.handle(FRAME, Command::SetMode(Mode::Mute));
    leg.push_bridge(&Frame::from_samples(Rate::Hz8000, &[100; 160]));
    assert!(leg.tick(FRAME * 4).agent.samples().iter().all(|s| *s == 0));
}

#[test]
fn skipped_ticks_move_timestamp_and_timeline_but_not_the_sequence() {
    let mut leg = leg(Mode::Mute);
    let first = media_core::rtp::parse(leg.tick(FRAME).packet).map(|p| (p.seq, p.timestamp));
    leg.skip_ticks(10);
    let second = media_core::rtp::parse(leg.tick(FRAME * 12).packet).map(|p| (p.seq, p.timestamp));
    assert_eq!((first, second), (Ok((0, 0)), Ok((1, 11 * 160))));
    assert_eq!(leg.wire().tick, 12);
}
