//! Speech that is said again and again: greetings and prompts, rendered once.
//!
//! While a phone rings, the agent's greeting is rendered into this cache; when the call is answered
//! its first sample is there.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use model::agent::VoiceConfig;
use providers::{
    Providers,
    tts::{SpeakRequest, SpeechEvent},
};
use tokio::time::Instant;

/// Texts kept; the one not asked for longest goes first.
const MAX_ENTRIES: usize = 32;
/// A text longer than this is rendered when it is said: it is no greeting.
const MAX_TEXT_BYTES: usize = 400;

/// What another voice said in place of the one that was asked for is kept for the call that rings.
const STAND_IN: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Default)]
pub struct SpeechCache {
    entries: Mutex<VecDeque<Entry>>,
}

struct Entry {
    text: String,
    voice: VoiceConfig,
    events: Vec<SpeechEvent>,
    until: Option<Instant>,
}

impl SpeechCache {
    /// The events of a rendered text: plans and sound, without the end.
    pub fn get(&self, text: &str, voice: &VoiceConfig) -> Option<Vec<SpeechEvent>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let at = entries
            .iter()
            .position(|e| e.text == text && e.voice == *voice && e.is_fresh())?;
        let entry = entries.remove(at)?;
        let events = entry.events.clone();
        entries.push_front(entry);
        Some(events)
    }

    /// Renders a text unless it is there. A voice that fails now is asked again when it counts.
    pub async fn warm(&self, providers: &Providers, text: &str, voice: &VoiceConfig) {
        if text.len() > MAX_TEXT_BYTES || self.get(text, voice).is_some() {
            return;
        }
        if let Some(events) = render(providers, text, voice).await {
            let stands_in = |event: &SpeechEvent| matches!(event, SpeechEvent::Trouble(_));
            let until = events
                .iter()
                .any(stands_in)
                .then(|| Instant::now() + STAND_IN);
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.push_front(Entry {
                text: text.to_owned(),
                voice: voice.clone(),
                events,
                until,
            });
            entries.truncate(MAX_ENTRIES);
        }
    }
}

impl Entry {
    fn is_fresh(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

async fn render(
    providers: &Providers,
    text: &str,
    voice: &VoiceConfig,
) -> Option<Vec<SpeechEvent>> {
    let request = SpeakRequest {
        text: text.to_owned(),
        voice: voice.name.clone(),
        rate: voice.rate,
    };
    let mut speech = providers.tts(&voice.provider).ok()?.speak(request).ok()?;
    let mut events = Vec::new();
    loop {
        match speech.next().await? {
            SpeechEvent::Done => return Some(events),
            SpeechEvent::Failed(_) => return None,
            event => events.push(event),
        }
    }
}
