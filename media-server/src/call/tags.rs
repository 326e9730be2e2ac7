//! Playout tags: one rising counter per call, shared by the Brain's utterances and the dialplan's
//! prompts.

use std::collections::BTreeMap;

use call_core::brain::UtteranceId;
use media_core::playout::Tag;

/// Who wanted an utterance said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The Brain, under its own id.
    Brain(UtteranceId),
    /// An order of the office, under a number of its own.
    Order(u64),
    /// The dialplan (`play`, `say`), under its own tag.
    Plan(u64),
}

/// Tags in use.
#[derive(Debug, Default)]
pub(super) struct Tags {
    last: u64,
    live: BTreeMap<u64, Origin>,
}

impl Tags {
    /// The tag of an utterance, a new one at its first piece.
    pub(super) fn of(&mut self, origin: Origin) -> Tag {
        let known = self.live.iter().find(|(_, o)| **o == origin);
        if let Some((tag, _)) = known {
            return Tag(*tag);
        }
        self.last += 1;
        self.live.insert(self.last, origin);
        Tag(self.last)
    }

    /// Whose tag it is.
    pub(super) fn origin(&self, tag: Tag) -> Option<Origin> {
        self.live.get(&tag.0).copied()
    }

    /// The live tag of an origin.
    pub(super) fn find(&self, origin: Origin) -> Option<Tag> {
        let mut known = self.live.iter().filter(|(_, o)| **o == origin);
        known.next().map(|(tag, _)| Tag(*tag))
    }

    /// The utterance is over.
    pub(super) fn close(&mut self, tag: Tag) {
        self.live.remove(&tag.0);
    }

    /// Whether nobody is saying anything.
    pub(super) fn are_quiet(&self) -> bool {
        self.live.is_empty()
    }

    /// The newest tag given out.
    pub(super) fn newest(&self) -> Tag {
        Tag(self.last)
    }

    /// Tags for somebody who counts on their own, from here on.
    pub(super) fn reserve(&mut self) -> Tag {
        let first = Tag(self.last);
        self.last += 1 << 40;
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_brain_that_counts_from_one_again_gets_new_tags() {
        let mut tags = Tags::default();
        let first = tags.of(Origin::Brain(UtteranceId(1)));
        tags.close(first);
        let prompt = tags.of(Origin::Plan(1));
        let second = tags.of(Origin::Brain(UtteranceId(1)));
        assert!(first < prompt && prompt < second);
        assert_eq!(tags.origin(second), Some(Origin::Brain(UtteranceId(1))));
    }

    #[test]
    fn pieces_of_one_utterance_share_their_tag() {
        let mut tags = Tags::default();
        let origin = Origin::Brain(UtteranceId(7));
        assert_eq!(tags.of(origin), tags.of(origin));
    }
}
