//! One piece of caller speech between two silences.

use crate::brain::FinalTranscript;

/// What is known of its words.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Words {
    /// The recogniser has not given its last word; `partial` is what it has given.
    Awaited { partial: String },
    /// Recognised at `arrived_ms`; an empty text means that there was none.
    Known {
        text: String,
        confidence: Option<f32>,
        arrived_ms: u64,
    },
}

/// The end of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    at_ms: u64,
    speech_ms: u64,
    /// When we learnt of it.
    arrived_ms: u64,
}

/// See the module's first line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stretch {
    start_ms: u64,
    end: Option<End>,
    words: Words,
    /// It began while the agent could be interrupted.
    over_agent: bool,
}

impl Stretch {
    pub(super) fn open(start_ms: u64, over_agent: bool) -> Self {
        let words = Words::Awaited {
            partial: String::new(),
        };
        Self {
            start_ms,
            end: None,
            words,
            over_agent,
        }
    }

    pub(super) fn start_ms(&self) -> u64 {
        self.start_ms
    }

    pub(super) fn end_ms(&self) -> Option<u64> {
        self.end.map(|end| end.at_ms)
    }

    pub(super) fn speech_ms(&self) -> u64 {
        self.end.map_or(0, |end| end.speech_ms)
    }

    pub(super) fn ended_at_ms(&self) -> Option<u64> {
        self.end.map(|end| end.arrived_ms)
    }

    pub(super) fn words(&self) -> &Words {
        &self.words
    }

    pub(super) fn over_agent(&self) -> bool {
        self.over_agent
    }

    /// The agent fell silent for it: it does not interrupt what is said next.
    pub(super) fn agent_yielded(&mut self) {
        self.over_agent = false;
    }

    pub(super) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self.words, Words::Awaited { .. })
    }

    /// The words known so far, final or not.
    pub(super) fn text(&self) -> &str {
        match &self.words {
            Words::Awaited { partial: text } | Words::Known { text, .. } => text,
        }
    }

    /// Whether an end of speech at `at_ms` is this stretch's own, told once more.
    pub(super) fn covers(&self, at_ms: u64) -> bool {
        self.end.is_some_and(|end| {
            (self.start_ms..=end.at_ms + super::ONSET_TOLERANCE_MS).contains(&at_ms)
        })
    }

    pub(super) fn began_within(&self, from_ms: u64, to_ms: u64) -> bool {
        (from_ms..=to_ms).contains(&self.start_ms)
    }

    pub(super) fn end(&mut self, at_ms: u64, speech_ms: u64, arrived_ms: u64) {
        self.end = Some(End {
            at_ms: at_ms.max(self.start_ms),
            speech_ms,
            arrived_ms,
        });
    }

    pub(super) fn partial(&mut self, text: String) {
        if let Words::Awaited { partial } = &mut self.words {
            *partial = text;
        }
    }

    /// Its Final is given up: what was heard so far has to do.
    pub(super) fn settle_for_partial(&mut self, arrived_ms: u64) {
        if let Words::Awaited { partial } = &mut self.words {
            let text = std::mem::take(partial);
            self.words = Words::Known {
                text,
                confidence: None,
                arrived_ms,
            };
        }
    }
}

/// One Final for all stretches that it covers: they become one.
pub(super) fn absorb(
    stretches: &mut Vec<Stretch>,
    first: usize,
    covered: impl Fn(&Stretch) -> bool,
    said: &FinalTranscript,
    arrived_ms: u64,
) {
    let parts: Vec<Stretch> = stretches
        .extract_if(.., |stretch| covered(stretch))
        .collect();
    let text = said.text.trim().to_owned();
    let words = Words::Known {
        text,
        confidence: said.confidence,
        arrived_ms,
    };
    let speech_ms = parts.iter().map(Stretch::speech_ms).sum::<u64>();
    let last_end = parts
        .iter()
        .filter_map(|part| part.end)
        .max_by_key(|end| end.at_ms);
    // A Final says by itself that its stretch has ended, unless the caller is known to have gone on.
    let open = parts.iter().any(Stretch::is_open) && parts.iter().any(|part| !part.is_open());
    let at_ms = last_end.map_or(said.end_ms, |end| end.at_ms.max(said.end_ms));
    let end = End {
        at_ms,
        speech_ms: if speech_ms == 0 {
            said.end_ms.saturating_sub(said.start_ms)
        } else {
            speech_ms
        },
        arrived_ms: last_end.map_or(arrived_ms, |end| end.arrived_ms),
    };
    let whole = Stretch {
        start_ms: parts
            .iter()
            .map(Stretch::start_ms)
            .min()
            .unwrap_or(said.start_ms),
        end: (!open).then_some(end),
        words,
        over_agent: parts.iter().any(Stretch::over_agent),
    };
    stretches.insert(first.min(stretches.len()), whole);
}
