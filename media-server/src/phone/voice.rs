//! The phone's voice: words, files, and the ring they go into.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use audio_files::sound;
use local_speech::{
    Cancel,
    voices::{SampleRate, SayRequest, Voices, VoicesConfig},
};
use media_core::{playout::Tag, resample::Resampler};
use tokio::sync::mpsc;

use crate::media::VoiceSender;

const LINE_RATE_HZ: u32 = 8_000;
/// The longest file that is played.
const LONGEST_S: u32 = 3_600;
/// Voices that are not the demo agent's, best first.
const PREFERRED: &[&str] = &["slt", "awb", "kal"];

/// Renders in the background; the sound arrives in order.
pub(super) struct Voice {
    voices: Voices,
    name: String,
}

impl Voice {
    /// The wanted voice, or the best that is installed.
    pub(super) fn open(wanted: Option<&str>) -> anyhow::Result<Self> {
        let voices = Voices::start(VoicesConfig::default())?;
        let mut names = wanted.into_iter().chain(PREFERRED.iter().copied());
        let name = names.find(|name| voices.has(name));
        let name = name.context("no voice is installed")?.to_owned();
        Ok(Self { voices, name })
    }

    /// Renders a text; the sound comes through the channel as one piece, `None` on failure.
    pub(super) fn say(&self, text: &str, to: mpsc::Sender<Option<Arc<[i16]>>>) {
        let request = SayRequest {
            text: text.to_owned(),
            voice: self.name.clone(),
            stretch: 1.0,
            rate: SampleRate::Hz8000,
        };
        let sentences = self.voices.say(request, &Cancel::default());
        tokio::spawn(async move {
            let mut pcm = Vec::new();
            let Ok(mut sentences) = sentences else {
                return drop(to.send(None).await);
            };
            while let Some(Ok(sentence)) = sentences.recv().await {
                pcm.extend_from_slice(&sentence.pcm);
            }
            let _ = to.send(Some(pcm.into())).await;
        });
    }
}

/// Reads a file for the line.
pub(super) fn load(path: &Path) -> anyhow::Result<Arc<[i16]>> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let sound = sound::read(&bytes, LINE_RATE_HZ, LONGEST_S);
    let sound = sound.with_context(|| path.display().to_string())?;
    if sound.rate_hz == LINE_RATE_HZ {
        return Ok(sound.pcm.into());
    }
    let mut resampler = Resampler::new(sound.rate_hz, LINE_RATE_HZ)?;
    let mut out = Vec::new();
    resampler.push(&sound.pcm, &mut out);
    resampler.flush(&mut out);
    Ok(out.into())
}

/// Sound that waits for room in the playout ring.
pub(super) struct Lips {
    ring: VoiceSender,
    tag: Tag,
    pcm: Arc<[i16]>,
    at: usize,
    ended: bool,
}

impl Lips {
    /// Nothing to say yet.
    pub(super) fn new(ring: VoiceSender) -> Self {
        Self {
            ring,
            tag: Tag(0),
            pcm: Arc::default(),
            at: 0,
            ended: true,
        }
    }

    /// Begins to say something new; gives its length.
    pub(super) fn say(&mut self, pcm: Arc<[i16]>) -> Duration {
        let samples = pcm.len() as u64;
        self.tag = Tag(self.tag.0 + 1);
        self.pcm = pcm;
        self.at = 0;
        self.ended = false;
        self.top_up();
        Duration::from_micros(samples * 1_000_000 / u64::from(LINE_RATE_HZ))
    }

    /// Moves what fits. Called a few times a second.
    pub(super) fn top_up(&mut self) {
        if self.ended {
            return;
        }
        let rest = self.pcm.get(self.at..).unwrap_or_default();
        self.at += self.ring.push(self.tag, rest);
        if self.at >= self.pcm.len() {
            self.ended = self.ring.end(self.tag);
        }
    }

    /// What is being said now.
    pub(super) fn tag(&self) -> Tag {
        self.tag
    }

    /// Forgets the rest of it.
    pub(super) fn hush(&mut self) {
        self.at = self.pcm.len();
        self.ended = true;
    }
}
