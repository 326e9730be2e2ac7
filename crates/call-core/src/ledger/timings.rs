//! Where a turn's milliseconds went (DESIGN §5.8): put together from what brain, voice and leg say.

use model::transcript::TurnTimings;

use crate::brain::{BrainNote, UtteranceId};

/// A turn whose answer has not reached the wire.
#[derive(Debug, Clone, Copy)]
struct Running {
    turn: u32,
    speech_end_ms: u64,
    decided_ms: u64,
    transcript_ms: Option<u64>,
    answer: Option<Answer>,
}

/// The first words of an answer.
#[derive(Debug, Clone, Copy)]
struct Answer {
    utterance: UtteranceId,
    words_ms: u64,
    sound_ms: Option<u64>,
}

/// Follows one turn at a time.
#[derive(Debug, Default)]
pub(super) struct TurnClock {
    running: Option<Running>,
}

impl TurnClock {
    /// A note of the brain; returns the turn before it, unanswered, when a new one begins. A turn
    /// that is taken again (the caller went on) replaces itself.
    pub(super) fn note(&mut self, note: &BrainNote) -> Option<TurnTimings> {
        match note {
            BrainNote::TurnTaken {
                turn,
                speech_end_ms,
                decided_ms,
            } => self.begin(*turn, *speech_end_ms, *decided_ms),
            BrainNote::Answering {
                turn,
                utterance,
                transcript_ms,
                words_ms,
            } => {
                self.answer(*turn, *utterance, *transcript_ms, *words_ms);
                None
            }
            BrainNote::Interrupted { .. }
            | BrainNote::FalseAlarm { .. }
            | BrainNote::SpeechDiscarded { .. } => None,
        }
    }

    fn begin(&mut self, turn: u32, speech_end_ms: u64, decided_ms: u64) -> Option<TurnTimings> {
        let before = self.running.replace(Running {
            turn,
            speech_end_ms,
            decided_ms,
            transcript_ms: None,
            answer: None,
        });
        before
            .filter(|before| before.turn != turn)
            .map(|before| before.timings(None))
    }

    fn answer(
        &mut self,
        turn: u32,
        utterance: UtteranceId,
        transcript_ms: Option<u64>,
        words_ms: u64,
    ) {
        if let Some(running) = self.running.as_mut().filter(|running| running.turn == turn) {
            running.transcript_ms = transcript_ms;
            running.answer.get_or_insert(Answer {
                utterance,
                words_ms,
                sound_ms: None,
            });
        }
    }

    /// The voice gave the first sound of an utterance.
    pub(super) fn first_sound(&mut self, utterance: UtteranceId, at_ms: u64) {
        let answer = self
            .running
            .as_mut()
            .and_then(|running| running.answer.as_mut());
        if let Some(answer) = answer.filter(|answer| answer.utterance == utterance) {
            answer.sound_ms.get_or_insert(at_ms);
        }
    }

    /// An utterance's first sample was sent; returns the turn that it answers.
    pub(super) fn first_packet(
        &mut self,
        utterance: UtteranceId,
        at_ms: u64,
    ) -> Option<TurnTimings> {
        let answers = |running: &mut Running| {
            running
                .answer
                .is_some_and(|answer| answer.utterance == utterance)
        };
        let running = self.running.take_if(answers)?;
        Some(running.timings(Some(at_ms)))
    }

    /// The turn that was never answered, at the end of the call.
    pub(super) fn flush(&mut self) -> Option<TurnTimings> {
        self.running.take().map(|running| running.timings(None))
    }
}

impl Running {
    fn timings(&self, first_packet_ms: Option<u64>) -> TurnTimings {
        let since_end = |at_ms: u64| at_ms.saturating_sub(self.speech_end_ms);
        let answer = self.answer.as_ref();
        TurnTimings {
            turn: self.turn,
            endpoint_ms: Some(since_end(self.decided_ms)),
            transcript_ms: self.transcript_ms.map(since_end),
            brain_ms: answer.map(|answer| answer.words_ms.saturating_sub(self.decided_ms)),
            voice_ms: answer.and_then(|answer| {
                answer
                    .sound_ms
                    .map(|at_ms| at_ms.saturating_sub(answer.words_ms))
            }),
            first_packet_ms: first_packet_ms.map(since_end),
        }
    }
}
