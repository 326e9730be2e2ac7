//! The prompts of the Debian package `asterisk-core-sounds-en-wav`, as a telephone hears them.
//! Only their names are committed; sound and transcripts (CC-BY-SA) stay in the package.
#![allow(dead_code)] // each user takes its part

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use local_speech::{
    Cancel, DecodeKind, DecodeRequest, EAR_FRAME, EarEvent, Ears, EarsConfig, Models, Pool,
    SampleRate, SayRequest, UtteranceId, Voices, halfband,
};

const NAMES: &str = include_str!("prompts.tsv");
const SOUNDS: &str = "/usr/share/asterisk/sounds/en_US_f_Allison";
const TRANSCRIPTS: &str = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz";

/// One prompt: what it says, and where its sound lies.
pub struct Prompt {
    pub name: String,
    pub transcript: String,
    file: PathBuf,
}

/// Where the tests look for the models.
pub fn models_folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models")).to_path_buf()
}

/// Why the corpus cannot be used here, if so.
pub fn missing() -> Option<String> {
    [SOUNDS, TRANSCRIPTS]
        .into_iter()
        .find(|p| !Path::new(p).exists())
        .map(|p| format!("{p} is missing: install the Debian package asterisk-core-sounds-en-wav"))
}

/// All prompts of the committed list, with their transcripts from the package.
pub fn prompts() -> Result<Vec<Prompt>> {
    if let Some(reason) = missing() {
        bail!(reason);
    }
    let output = Command::new("gzip").args(["-dc", TRANSCRIPTS]).output()?;
    ensure!(output.status.success(), "gzip could not read {TRANSCRIPTS}");
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    NAMES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|name| prompt(name, &table))
        .collect()
}

fn prompt(name: &str, table: &str) -> Result<Prompt> {
    let transcript = table
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("the package has no transcript of {name}"))?;
    Ok(Prompt {
        name: name.to_owned(),
        transcript: transcript.trim().to_owned(),
        file: PathBuf::from(format!("{name}.wav")),
    })
}

/// The samples of any sound of the package, by its path there.
pub fn sound_of(name: &Path) -> Result<Vec<i16>> {
    let file = Path::new(SOUNDS).join(name);
    wav_8k(&std::fs::read(&file)?)
        .with_context(|| format!("{} is no 8 kHz PCM16 WAV", file.display()))
}

/// A text said by one of our voices, at 8 kHz.
pub fn say(voices: &Voices, voice: &str, text: &str) -> Result<Vec<i16>> {
    let request = SayRequest {
        text: text.to_owned(),
        voice: voice.to_owned(),
        stretch: 1.0,
        rate: SampleRate::Hz8000,
    };
    let mut receiver = voices.say(request, &Cancel::new())?;
    let mut sound = Vec::new();
    while let Some(sentence) = receiver.blocking_recv() {
        sound.extend_from_slice(&sentence?.pcm);
    }
    Ok(sound)
}

impl Prompt {
    /// The prompt at 16 kHz after µ-law at 8 kHz, half a second of quiet before and two after;
    /// made louder or softer by `gain_db`, with white noise `noise_db` below its speech.
    pub fn telephone_sound(&self, gain_db: f32, noise_db: Option<f32>) -> Result<Vec<i16>> {
        let pcm = sound_of(&self.file)?;
        let gain = 10_f32.powf(gain_db / 20.0);
        let power: f32 = pcm.iter().map(|s| f32::from(*s).powi(2)).sum();
        let level = gain * (power / pcm.len().max(1) as f32).sqrt();
        let noise = noise_db.map_or(0.0, |db| level * 10_f32.powf(-db / 20.0));
        let mut line = vec![0.0; 4000];
        line.extend(pcm.iter().map(|s| f32::from(*s) * gain));
        line.resize(line.len() + 16_000, 0.0);
        let mut seed = 1_u32;
        let noisy = line
            .iter()
            .map(|s| (s + noise * unit_noise(&mut seed)) as i16);
        Ok(through_the_telephone(noisy))
    }
}

/// White noise of power 1, the same at each run.
pub fn unit_noise(seed: &mut u32) -> f32 {
    *seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    let uniform = (*seed >> 8) as f32 / (1 << 24) as f32;
    (uniform - 0.5) * 12_f32.sqrt()
}

/// 8 kHz sound as the listener gets it: through µ-law, at 16 kHz, with quiet around it.
pub fn telephone(pcm: &[i16]) -> Vec<i16> {
    let silence = |n| std::iter::repeat_n(0, n);
    let line = silence(4000).chain(pcm.iter().copied());
    through_the_telephone(line.chain(silence(16_000)))
}

fn through_the_telephone(line: impl Iterator<Item = i16>) -> Vec<i16> {
    let narrow: Vec<i16> = line.map(through_mulaw).collect();
    let mut wide = Vec::new();
    halfband::Up2::default().push(&narrow, &mut wide);
    wide.resize(wide.len().next_multiple_of(EAR_FRAME), 0);
    wide
}

/// The samples of a mono 16-bit 8 kHz WAV file.
fn wav_8k(bytes: &[u8]) -> Option<Vec<i16>> {
    let u32_at = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let mut at = 12;
    let mut rate = 0;
    loop {
        let size = u32_at(at + 4)? as usize;
        match bytes.get(at..at + 4)? {
            b"fmt " => rate = u32_at(at + 12)?,
            b"data" if rate == 8000 => {
                let end = (at + 8 + size).min(bytes.len());
                let samples = bytes.get(at + 8..end)?.chunks_exact(2);
                return Some(samples.map(|b| i16::from_le_bytes([b[0], b[1]])).collect());
            }
            _ => {}
        }
        at += 8 + size.next_multiple_of(2);
    }
}

/// G.711 µ-law and back (ITU-T G.711 table 2a), by its segments.
fn through_mulaw(sample: i16) -> i16 {
    let magnitude = (i32::from(sample).abs() + 132).min(32_635 + 132);
    let segment = (magnitude >> 7).ilog2();
    let step = 1 << (segment + 3);
    let decoded = (magnitude & !(step - 1)) + step / 2 - 132;
    (if sample < 0 { -decoded } else { decoded }) as i16
}

/// What the ears made of a sound.
pub struct Hearing {
    pub events: Vec<EarEvent>,
}

impl Hearing {
    /// Runs a listener over 16 kHz sound. `always`: every frame is a candidate; else a plain
    /// level gate plays the part of the cheap gate.
    pub fn of(
        models: &Arc<Models>,
        config: EarsConfig,
        sound: &[i16],
        always: bool,
    ) -> Result<Hearing> {
        let mut ears = Ears::new(models, config)?;
        let mut events = Vec::new();
        for (i, frame) in sound.chunks_exact(EAR_FRAME).enumerate() {
            ears.push(frame, 20 * i as u64, always || loud(frame))?;
            events.extend(std::iter::from_fn(|| ears.poll_event()));
        }
        ears.finish();
        events.extend(std::iter::from_fn(|| ears.poll_event()));
        Ok(Hearing { events })
    }

    /// The text of all closed utterances, one after the other. Runs partials too.
    pub fn text(self, pool: &Pool) -> Result<String> {
        let mut finals: Vec<DecodeRequest> = Vec::new();
        let mut text = String::new();
        for event in self.events {
            match event {
                EarEvent::Decode(request) if request.kind == DecodeKind::Partial => {
                    recognise(pool, request)?;
                }
                EarEvent::Decode(request) => finals.push(request),
                EarEvent::Closed {
                    utterance, pass, ..
                } => {
                    let request = finals
                        .iter()
                        .find(|r| r.utterance == utterance && r.pass == pass)
                        .context("a closed utterance had its final pass")?;
                    text.push_str(&recognise(pool, request.clone())?);
                    text.push(' ');
                }
                EarEvent::SpeechStarted { .. }
                | EarEvent::SpeechEnded { .. }
                | EarEvent::SpeechResumed { .. } => {}
            }
        }
        Ok(text.trim().to_owned())
    }
}

fn loud(frame: &[i16]) -> bool {
    let power: f32 = frame.iter().map(|s| f32::from(*s).powi(2)).sum();
    (power / frame.len() as f32).sqrt() > 60.0
}

fn recognise(pool: &Pool, request: DecodeRequest) -> Result<String> {
    let outcome = pool.transcribe(request, &Cancel::new())?;
    Ok(outcome.blocking_recv()??.text)
}

/// The recogniser alone: the whole sound in one pass, no ears.
pub fn recognise_whole(pool: &Pool, sound: &[i16]) -> Result<String> {
    let audio: Vec<f32> = sound.iter().map(|s| f32::from(*s) / 32_768.0).collect();
    let ms = (sound.len() / 16) as u32;
    let request = DecodeRequest {
        utterance: UtteranceId(1),
        pass: 1,
        kind: DecodeKind::Final,
        audio: audio.into(),
        start_ms: 0,
        end_ms: u64::from(ms),
        speech_ms: ms,
    };
    recognise(pool, request)
}
