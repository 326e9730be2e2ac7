//! The dialplan's `play`: a WAV or Ogg/Opus file below the media folder, or a built-in prompt.

use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use audio_files::sound;
use call_core::call::Input;
use media_core::resample::Resampler;
use model::agent::VoiceConfig;
use settings::{LARGEST_SOUND_BYTES, LONGEST_SOUND_S};

use super::{Msg, State, speech, tags::Origin};

const LINE_RATE_HZ: u32 = 8_000;
/// Words of the built-in prompts, spoken by the voice that is always there.
const BUILT_IN: &[(&str, &str)] = &[
    (
        "welcome",
        "Welcome. This is the built in prompt of your telephone server. It plays until you hang \
         up, so that you can listen to the line for as long as you like. Thank you for testing.",
    ),
    ("goodbye", "Goodbye."),
    (
        "unavailable",
        "The person you are calling is not available.",
    ),
];

/// Starts a prompt: words at once, a file when it has been read.
pub(super) fn play(state: &mut State, tag: u64, source: &str, repeat: bool) {
    if let Some(name) = source.strip_prefix("prompt:") {
        return built_in(state, tag, name, repeat);
    }
    let folder = state
        .services()
        .settings
        .current()
        .server
        .data
        .media_dir
        .clone();
    let (me, source) = (state.me.clone(), source.to_owned());
    tokio::task::spawn_blocking(move || {
        let sound = below(&folder, &source).and_then(|path| load(&path));
        let _ = me.cast(Msg::PromptRead { tag, sound, repeat });
    });
}

fn built_in(state: &mut State, tag: u64, name: &str, repeat: bool) {
    let words = BUILT_IN.iter().find(|(known, _)| *known == name);
    let Some((_, text)) = words else {
        let reason = format!("there is no built-in prompt '{name}'");
        return state.inbox.push_back(Input::PlayFailed { tag, reason });
    };
    if !repeat {
        let voice = always_there();
        return speech::speak(state, Origin::Plan(tag), (*text).into(), voice, true);
    }
    let (me, providers) = (state.me.clone(), state.services().providers.clone());
    tokio::spawn(async move {
        let sound = render(&providers, text).await;
        let _ = me.cast(Msg::PromptRead { tag, sound, repeat });
    });
}

fn always_there() -> VoiceConfig {
    VoiceConfig {
        name: "kal".into(),
        ..VoiceConfig::default()
    }
}

async fn render(providers: &providers::Providers, text: &str) -> Result<Arc<[i16]>, String> {
    use providers::tts::{SpeakRequest, SpeechEvent};
    let voice = always_there();
    let request = SpeakRequest {
        text: text.into(),
        voice: voice.name,
        rate: voice.rate,
    };
    let tts = providers.tts(&voice.provider);
    let speech = tts.and_then(|tts| tts.speak(request));
    let mut speech = speech.map_err(|e| e.to_string())?;
    let mut pcm = Vec::new();
    while let Some(event) = speech.next().await {
        match event {
            SpeechEvent::Audio(sound) => pcm.extend_from_slice(&sound),
            SpeechEvent::Failed(error) => return Err(error.to_string()),
            SpeechEvent::Plan(_) | SpeechEvent::Trouble(_) | SpeechEvent::Done => {}
        }
    }
    Ok(pcm.into())
}

/// The file was read.
pub(super) fn read(state: &mut State, tag: u64, sound: Result<Arc<[i16]>, String>, repeat: bool) {
    match sound {
        Ok(pcm) => speech::play(state, Origin::Plan(tag), pcm, !repeat, repeat),
        Err(reason) => state.inbox.push_back(Input::PlayFailed { tag, reason }),
    }
}

/// The file's path, which must stay below the media folder.
fn below(folder: &Path, source: &str) -> Result<PathBuf, String> {
    let relative = Path::new(source);
    let plain = relative
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    match plain {
        true => Ok(folder.join(relative)),
        false => Err(format!(
            "'{source}' is not a file name below the media folder"
        )),
    }
}

fn load(path: &Path) -> Result<Arc<[i16]>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let length = std::fs::metadata(path).map_err(|e| fail(&e))?.len();
    if length > LARGEST_SOUND_BYTES {
        return Err(fail(&"too long for a prompt"));
    }
    let bytes = std::fs::read(path).map_err(|e| fail(&e))?;
    let sound = sound::read(&bytes, LINE_RATE_HZ, LONGEST_SOUND_S).map_err(|e| fail(&e))?;
    to_line(sound.rate_hz, sound.pcm).map_err(|e| fail(&e))
}

fn to_line(rate_hz: u32, pcm: Vec<i16>) -> Result<Arc<[i16]>, media_core::Error> {
    if rate_hz == LINE_RATE_HZ {
        return Ok(pcm.into());
    }
    let mut resampler = Resampler::new(rate_hz, LINE_RATE_HZ)?;
    let mut out = Vec::new();
    resampler.push(&pcm, &mut out);
    resampler.flush(&mut out);
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of this file has as much on the line, whatever its rate.
    #[test]
    fn prompts_of_any_rate_and_kind_are_read_for_the_line() {
        let folder = tempfile::tempdir().unwrap();
        for rate_hz in [8_000, 16_000, 44_100_u32] {
            let bytes = [
                audio_files::wav::header(rate_hz, 1, rate_hz * 2).to_vec(),
                vec![0; rate_hz as usize * 2],
            ];
            let path = folder.path().join("prompt.wav");
            std::fs::write(&path, bytes.concat()).unwrap();
            let read = load(&path).unwrap();
            assert!((8_000..8_200).contains(&read.len()), "{}", read.len());
        }
        let shape = audio_files::ogg_opus::Shape {
            rate_hz: 48_000,
            channels: 2,
            samples: 48_000,
        };
        let (mut opus, mut bytes) = (
            audio_files::ogg_opus::Writer::new(shape, 1).unwrap(),
            Vec::new(),
        );
        opus.push(&vec![0; 96_000], &mut bytes);
        opus.finish(&mut bytes);
        let path = folder.path().join("prompt.opus");
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(load(&path).unwrap().len(), 8_000);
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let why = load(&path).unwrap_err();
        assert!(why.contains("an Ogg page is broken"), "{why}");
    }

    #[test]
    fn a_prompt_cannot_leave_the_media_folder() {
        let folder = Path::new("/srv/media");
        assert!(below(folder, "../etc/passwd").is_err());
        assert!(below(folder, "/etc/passwd").is_err());
        assert_eq!(below(folder, "a/b.wav"), Ok(folder.join("a/b.wav")));
    }
}
