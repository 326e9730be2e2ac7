//! What the call says: the ledger, the mouth, and where playout truly is.

use std::{ops::Range, sync::Arc};

use call_core::{
    brain::{BrainInput, PlayoutKind, PlayoutReport, UtteranceId},
    call::Input,
    digits::DigitEvent,
    ledger::{Ledger, LedgerConfig, LedgerEvent, Sound, SpokenWord, VoiceEnd},
};
use media_core::{
    leg::Command,
    playout::{PlayoutEvent, Tag},
};
use model::{FactKind, agent::VoiceConfig, transcript::Timing};
use providers::tts::SpeechPlan;

use super::{
    Msg, State, ears, floor, handing, media,
    tags::{Origin, Tags},
};
use crate::mouth::{self, Mouth, Report};

/// See the module.
pub(super) struct Speech {
    /// What was meant, said and heard.
    pub(super) ledger: Ledger,
    /// Whose utterance each tag is.
    pub(super) tags: Tags,
    mouth: Option<Mouth>,
    masked: bool,
    /// What the caller says is an answer to the call itself.
    pub(super) asking: bool,
    /// What began before is nobody's business any more, call time.
    pub(super) deaf_until_ms: u64,
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            ledger: Ledger::new(LedgerConfig::default()),
            tags: Tags::default(),
            mouth: None,
            masked: false,
            asking: false,
            deaf_until_ms: 0,
        }
    }
}

/// Opens the mouth at the first thing to be said.
fn mouth(state: &mut State) -> Option<&Mouth> {
    if state.speech.mouth.is_none() {
        let voice = state.media.voice.take()?;
        let me = state.me.clone();
        let reports: mouth::Reports = Arc::new(move |report| drop(me.cast(Msg::Mouth(report))));
        let services = state.services();
        let (providers, cache) = (services.providers.clone(), services.speech_cache.clone());
        state.speech.mouth = Some(Mouth::open(voice, providers, cache, reports));
    }
    state.speech.mouth.as_ref()
}

/// Hands words to the mouth and enters them into the ledger.
pub(super) fn speak(
    state: &mut State,
    origin: Origin,
    text: String,
    voice: VoiceConfig,
    last: bool,
) {
    let tag = state.speech.tags.of(origin);
    let offset = state.speech.ledger.plan(UtteranceId(tag.0), &text);
    let command = mouth::Command::Speak {
        tag,
        offset,
        text,
        voice,
        last,
    };
    tell_mouth(state, tag, command);
}

/// The words of sound a Brain makes itself: for the record.
pub(super) fn sound_text(state: &mut State, origin: Origin, text: &str) {
    let tag = state.speech.tags.of(origin);
    state.speech.ledger.plan(UtteranceId(tag.0), text);
}

/// Hands sound to the mouth.
pub(super) fn play(state: &mut State, origin: Origin, pcm: Arc<[i16]>, last: bool, repeat: bool) {
    let tag = state.speech.tags.of(origin);
    let command = mouth::Command::Sound {
        tag,
        pcm,
        last,
        repeat,
    };
    tell_mouth(state, tag, command);
}

fn tell_mouth(state: &mut State, tag: Tag, command: mouth::Command) {
    let told = mouth(state).is_some_and(|mouth| mouth.tell(command));
    if !told {
        over(state, tag, mouth::End::Failed("the mouth is full".into()));
    }
}

/// The dialplan's `say`.
pub(super) fn say(state: &mut State, tag: u64, text: &str, voice: Option<String>) {
    let mut config = VoiceConfig::default();
    if let Some(name) = voice {
        config.name = name;
    }
    speak(state, Origin::Plan(tag), text.to_owned(), config, true);
}

/// What the mouth reports.
pub(super) fn mouth_report(state: &mut State, report: Report) {
    match report {
        Report::Planned {
            tag,
            offset,
            samples_before,
            plan,
        } => planned(state, tag, offset, samples_before, &plan),
        Report::Rendered {
            tag,
            samples,
            first,
        } => rendered(state, tag, samples, first),
        Report::Trouble { error } => state.dossier().write(FactKind::ProviderTrouble {
            role: "tts".into(),
            provider: error.provider,
            what: error.why,
        }),
        Report::Over { tag, end } => over(state, tag, end),
    }
    drain(state);
}

fn planned(state: &mut State, tag: Tag, offset: usize, before: u64, plan: &SpeechPlan) {
    let words = plan.words.iter().map(|word| SpokenWord {
        source: shift(&word.source, offset),
        samples: word.samples.start + before..word.samples.end + before,
    });
    let sound = Sound {
        samples: 0,
        words: words.collect(),
        timing: plan.timing,
    };
    state.speech.ledger.extend(UtteranceId(tag.0), sound);
}

fn shift(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

fn rendered(state: &mut State, tag: Tag, samples: u64, first: bool) {
    let utterance = UtteranceId(tag.0);
    let now_ms = state.media.now_ms();
    if first {
        state.speech.ledger.first_sound(utterance, now_ms);
    }
    let sound = Sound {
        samples,
        words: Vec::new(),
        timing: Timing::Exact,
    };
    state.speech.ledger.extend(utterance, sound);
}

/// Nothing more of an utterance will be rendered.
fn over(state: &mut State, tag: Tag, end: mouth::End) {
    let voice_end = match &end {
        mouth::End::Complete => VoiceEnd::Complete,
        mouth::End::Cut { .. } | mouth::End::Failed(_) => VoiceEnd::CutShort,
    };
    let utterance = UtteranceId(tag.0);
    state.speech.ledger.voice_over(utterance, voice_end);
    match end {
        mouth::End::Failed(why) => voice_failed(state, tag, why),
        mouth::End::Cut { unheard: true } => {
            let tick = state.media.now_ms() / media_core::frame::FRAME_MS;
            let cut = PlayoutEvent::Cut {
                tag,
                samples_sent: 0,
            };
            playout(state, &cut, tick);
        }
        mouth::End::Complete | mouth::End::Cut { unheard: false } => {}
    }
}

fn voice_failed(state: &mut State, tag: Tag, why: String) {
    state.dossier().write(FactKind::ProviderTrouble {
        role: "tts".into(),
        provider: floor::voice_provider(state),
        what: why.clone(),
    });
    match state.speech.tags.origin(tag) {
        Some(Origin::Brain(utterance)) => {
            floor::feed(state, BrainInput::VoiceFailed { utterance, why });
        }
        Some(Origin::Plan(tag)) => state
            .inbox
            .push_back(Input::PlayFailed { tag, reason: why }),
        Some(Origin::Order(_)) | None => {}
    }
}

/// What the playout queue did: the ledger first, then whoever wanted it said.
pub(super) fn playout(state: &mut State, event: &PlayoutEvent, tick: u64) {
    let at_ms = tick * media_core::frame::FRAME_MS;
    let (tag, kind, samples_sent) = translate(event, at_ms);
    let report = |utterance| PlayoutReport {
        utterance,
        kind,
        samples_sent,
        at_ms,
    };
    state.speech.ledger.playout(report(UtteranceId(tag.0)));
    let origin = state.speech.tags.origin(tag);
    let ended = matches!(kind, PlayoutKind::Cut | PlayoutKind::Finished);
    if ended {
        floor::utterance_over(state, tag);
        state.speech.tags.close(tag);
        handing::utterance_over(state);
    }
    match origin {
        Some(Origin::Brain(utterance)) => {
            floor::feed(state, BrainInput::Playout(report(utterance)));
        }
        Some(Origin::Plan(tag)) if ended => state.inbox.push_back(Input::PlayFinished { tag }),
        Some(Origin::Plan(_) | Origin::Order(_)) | None => {}
    }
    drain_with(state, origin.map(|origin| (tag, origin)));
}

fn translate(event: &PlayoutEvent, at_ms: u64) -> (Tag, PlayoutKind, u64) {
    match *event {
        PlayoutEvent::Started { tag } => (tag, PlayoutKind::Started, 0),
        PlayoutEvent::Paused {
            tag,
            samples_sent,
            by,
        } => {
            let onset_ms = by.onset_ms(at_ms);
            (tag, PlayoutKind::Paused { onset_ms }, samples_sent)
        }
        PlayoutEvent::Resumed { tag, samples_sent } => (tag, PlayoutKind::Resumed, samples_sent),
        PlayoutEvent::Cut { tag, samples_sent } => (tag, PlayoutKind::Cut, samples_sent),
        PlayoutEvent::Finished { tag, samples_sent } => (tag, PlayoutKind::Finished, samples_sent),
    }
}

/// Writes what the ledger has settled, and tells the Brain what was heard.
pub(super) fn drain(state: &mut State) {
    drain_with(state, None);
}

fn drain_with(state: &mut State, closed: Option<(Tag, Origin)>) {
    while let Some(event) = state.speech.ledger.poll_event() {
        match event {
            LedgerEvent::Segment(segment) => state.dossier().write(FactKind::Segment(segment)),
            LedgerEvent::Interrupted { yield_ms } => {
                state.dossier().write(FactKind::Interrupted { yield_ms });
            }
            LedgerEvent::FalsePause { paused_ms } => {
                state.dossier().write(FactKind::FalsePause { paused_ms });
            }
            LedgerEvent::Turn(turn) => state.dossier().write(FactKind::Turn(turn)),
            LedgerEvent::Heard {
                utterance,
                text,
                interrupted,
            } => heard(state, Tag(utterance.0), closed, text, interrupted),
        }
    }
}

fn heard(
    state: &mut State,
    tag: Tag,
    closed: Option<(Tag, Origin)>,
    text: String,
    interrupted: bool,
) {
    let closed = closed.filter(|(t, _)| *t == tag).map(|(_, origin)| origin);
    let origin = closed.or_else(|| state.speech.tags.origin(tag));
    if let Some(Origin::Brain(utterance)) = origin {
        floor::feed(
            state,
            BrainInput::Heard {
                utterance,
                text,
                interrupted,
            },
        );
    }
}

/// Cuts what is playing and forgets what is queued.
pub(super) fn cut(state: &State) {
    let newest = state.speech.tags.newest();
    media::command(state, Command::CutThrough(newest));
    if let Some(mouth) = &state.speech.mouth {
        mouth.tell(mouth::Command::CutThrough(newest));
    }
}

/// A digit from either way; the call machine's collector counts each press once.
pub(super) fn digit(state: &mut State, event: DigitEvent) {
    state.inbox.push_back(Input::Digit(event));
}

/// Secret digits: nothing of the caller is recognised meanwhile.
pub(super) fn mask(state: &mut State, masked: bool) {
    state.speech.masked = masked;
    ears::mask(state, masked);
}

/// No sound flows any more: what the agent said is settled at the seat's last number.
pub(super) fn silence(state: &mut State) {
    let at = state.media.position();
    let at = at
        .filter(|p| p.tag.0 != 0)
        .map(|p| (UtteranceId(p.tag.0), p.samples_sent));
    let now_ms = state.media.now_ms();
    state.speech.mouth = None;
    state.speech.ledger.evicted(at, now_ms);
    drain(state);
}

/// The caller's last words are there, or waited for no longer: the conversation is whole.
pub(super) fn finish(state: &mut State) {
    let now_ms = state.media.now_ms();
    state.speech.ledger.finish(None, now_ms);
    drain(state);
}
