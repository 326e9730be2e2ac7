//! The caller's stretches of speech, each filed once although it may be recognised several times.

use std::collections::BTreeMap;

use model::transcript::{Segment, Speaker};

use crate::brain::FinalTranscript;

/// Stretches that are remembered, filed ones included: a repetition that comes later than so
/// many others would be filed again.
const MAX_REMEMBERED: usize = 64;

/// One stretch of speech.
#[derive(Debug)]
enum Stretch {
    /// Its words may still come or change; `closed` when they will change no more.
    Open { said: Option<Segment>, closed: bool },
    /// Its segment is out.
    Filed,
}

/// See the module's first line. Stretches are known by their first millisecond.
#[derive(Debug, Default)]
pub(super) struct CallerSide {
    stretches: BTreeMap<u64, Stretch>,
}

impl CallerSide {
    /// The words of a stretch; a repetition replaces them. Returns segments complete by it: its
    /// own when it was closed before, and those of earlier stretches.
    pub(super) fn said(&mut self, said: &FinalTranscript) -> Vec<Segment> {
        if let Stretch::Open { said: words, .. } = self.stretch(said.start_ms) {
            *words = Some(segment(said));
        }
        self.complete(said.start_ms)
    }

    /// The words of a stretch are final, now or when they come.
    pub(super) fn closed(&mut self, start_ms: u64) -> Vec<Segment> {
        if let Stretch::Open { closed, .. } = self.stretch(start_ms) {
            *closed = true;
        }
        self.complete(start_ms)
    }

    /// What is left when the call is over.
    pub(super) fn flush(&mut self) -> Vec<Segment> {
        self.complete(u64::MAX)
    }

    /// Words that are known and not filed.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Segment> {
        self.stretches.values().filter_map(|stretch| match stretch {
            Stretch::Open {
                said: Some(segment),
                ..
            } if !segment.text.is_empty() => Some(segment),
            Stretch::Open { .. } | Stretch::Filed => None,
        })
    }

    fn stretch(&mut self, start_ms: u64) -> &mut Stretch {
        self.stretches.entry(start_ms).or_insert(Stretch::Open {
            said: None,
            closed: false,
        })
    }

    /// Files what is known and closed up to the newest stretch, and what is known before it.
    fn complete(&mut self, newest_ms: u64) -> Vec<Segment> {
        let touched = self.stretches.range_mut(..=newest_ms);
        let mut filed: Vec<Segment> = touched
            .filter_map(|(start_ms, stretch)| stretch.file(*start_ms < newest_ms))
            .collect();
        while self.stretches.len() > MAX_REMEMBERED {
            filed.extend(
                self.stretches
                    .pop_first()
                    .and_then(|(_, mut stretch)| stretch.file(true)),
            );
        }
        filed
    }
}

impl Stretch {
    /// Its segment, if it is due; a stretch without words files nothing.
    fn file(&mut self, followed: bool) -> Option<Segment> {
        match self {
            Self::Open {
                said: said @ Some(_),
                closed,
            } if *closed || followed => {
                let segment = said.take();
                *self = Self::Filed;
                segment.filter(|segment| !segment.text.is_empty())
            }
            Self::Open { .. } | Self::Filed => None,
        }
    }
}

fn segment(said: &FinalTranscript) -> Segment {
    Segment {
        speaker: Speaker::Caller,
        text: said.text.trim().to_owned(),
        start_ms: said.start_ms,
        end_ms: said.end_ms.max(said.start_ms),
        confidence: said.confidence,
        interrupted: false,
        heard_text: None,
        timing: None,
        samples_sent: None,
        samples_total: None,
    }
}
