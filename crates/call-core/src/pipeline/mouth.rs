//! What the agent says: utterances from their first word to the leg's last report.

use std::collections::VecDeque;

use super::sentences::Sentences;
use crate::brain::{BrainEffect, UtteranceId};

/// What an utterance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Greeting, disclosure, idle prompt, farewell, apology: the pipeline's own words.
    Own,
    /// The dialogue's words.
    Answer,
    /// Words over a wait; they answer nothing.
    Filler,
}

/// An utterance that is not over.
#[derive(Debug)]
struct Spoken {
    id: UtteranceId,
    role: Role,
    protected: bool,
    started: bool,
    /// Kept for protected ones only: they are said again when a cut takes them along unheard.
    text: String,
}

/// See the module's first line.
#[derive(Debug)]
pub(super) struct Mouth {
    next: UtteranceId,
    /// In the order in which they play.
    said: VecDeque<Spoken>,
    /// The last of `said` still takes text.
    open: bool,
    sentences: Sentences,
    /// Something was heard since everything was last silent.
    begun: bool,
}

impl Default for Mouth {
    fn default() -> Self {
        Self {
            next: UtteranceId(1),
            said: VecDeque::new(),
            open: false,
            sentences: Sentences::default(),
            begun: false,
        }
    }
}

impl Mouth {
    pub(super) fn number_from(&mut self, first: UtteranceId) {
        self.next = self.next.max(first);
    }

    /// A whole utterance.
    pub(super) fn say(
        &mut self,
        role: Role,
        text: &str,
        protected: bool,
        out: &mut VecDeque<BrainEffect>,
    ) {
        self.close(out);
        if !text.trim().is_empty() {
            self.stream(role, text, true, protected, out);
        }
    }

    /// More text of an utterance, which begins with its first whole piece.
    pub(super) fn stream(
        &mut self,
        role: Role,
        text: &str,
        last: bool,
        protected: bool,
        out: &mut VecDeque<BrainEffect>,
    ) {
        let other = self
            .said
            .back()
            .is_some_and(|open| open.protected != protected || open.role != role);
        if self.open && other {
            self.close(out);
        }
        self.sentences.push(text);
        while let Some(piece) = self.sentences.next_piece() {
            self.emit(role, piece, false, protected, out);
        }
        if last {
            let rest = self.sentences.finish();
            if self.open || !rest.is_empty() {
                self.emit(role, rest, true, protected, out);
            }
        }
    }

    /// No more text of the open utterance follows.
    pub(super) fn close(&mut self, out: &mut VecDeque<BrainEffect>) {
        let rest = self.sentences.finish();
        let open = self
            .said
            .back()
            .filter(|_| self.open)
            .map(|open| (open.role, open.protected));
        match open {
            Some((role, protected)) => self.emit(role, rest, true, protected, out),
            None if rest.is_empty() => {}
            None => self.emit(Role::Answer, rest, true, false, out),
        }
    }

    fn emit(
        &mut self,
        role: Role,
        text: String,
        last: bool,
        protected: bool,
        out: &mut VecDeque<BrainEffect>,
    ) {
        if !self.open {
            let id = self.next;
            self.next = UtteranceId(id.0 + 1);
            self.said.push_back(Spoken {
                id,
                role,
                protected,
                started: false,
                text: String::new(),
            });
        }
        self.open = !last;
        if let Some(spoken) = self.said.back_mut() {
            if protected {
                spoken.text.push(' ');
                spoken.text.push_str(&text);
            }
            out.push_back(BrainEffect::Say {
                utterance: spoken.id,
                text,
                last,
                protected,
            });
        }
    }

    /// The leg sends it: returns whether the caller may cut it, and what it is for.
    pub(super) fn started(&mut self, id: UtteranceId) -> Option<(Role, bool)> {
        let spoken = self.said.iter_mut().find(|spoken| spoken.id == id)?;
        spoken.started = true;
        self.begun |= spoken.role != Role::Filler;
        Some((spoken.role, spoken.protected))
    }

    /// It is over, or never will be heard. `None` when it was given up before.
    pub(super) fn over(&mut self, id: UtteranceId) -> Option<Role> {
        let index = self.said.iter().position(|spoken| spoken.id == id)?;
        if self.open && index + 1 == self.said.len() {
            self.open = false;
            self.sentences.finish();
        }
        let spoken = self.said.remove(index)?;
        self.begun &= !self.said.is_empty();
        Some(spoken.role)
    }

    /// Cuts everything, and says again what is protected and was not heard.
    pub(super) fn cut(&mut self, out: &mut VecDeque<BrainEffect>) {
        self.sentences.finish();
        self.open = false;
        self.begun = false;
        if self.said.is_empty() {
            return;
        }
        out.push_back(BrainEffect::Cut);
        let unheard: Vec<Spoken> = self
            .said
            .drain(..)
            .filter(|spoken| spoken.protected && !spoken.started)
            .collect();
        for spoken in unheard {
            self.stream(spoken.role, &spoken.text, true, true, out);
        }
    }

    /// Whether an answer is being heard; a pause between its parts does not end it.
    pub(super) fn is_heard(&self) -> bool {
        self.begun && !self.said.is_empty()
    }

    /// Nothing is said or about to be.
    pub(super) fn is_silent(&self) -> bool {
        self.said.is_empty()
    }

    /// Whether what is heard now, or next, may not be cut.
    pub(super) fn is_protected(&self) -> bool {
        self.said.front().is_some_and(|spoken| spoken.protected)
    }

    /// The utterance that plays last.
    pub(super) fn last(&self) -> Option<UtteranceId> {
        self.said.back().map(|spoken| spoken.id)
    }

    /// The utterance that takes the next piece of text, or the next number.
    pub(super) fn next_id(&self) -> UtteranceId {
        self.next
    }
}
