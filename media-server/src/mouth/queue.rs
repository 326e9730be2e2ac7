//! Sound that waits for room in the playout ring.

use std::{collections::VecDeque, sync::Arc};

use media_core::playout::Tag;

use crate::media::VoiceSender;

/// Rendered sound one call may hold: two minutes at 8 kHz. What is beyond is not kept.
const MAX_SAMPLES: usize = 120 * 8_000;

/// See the module.
pub(super) struct Queue {
    voice: VoiceSender,
    items: VecDeque<Item>,
    held: usize,
    latest: (Tag, u64),
    /// The newest tag of which something is in the ring.
    in_ring: Tag,
}

enum Item {
    Sound {
        tag: Tag,
        pcm: Arc<[i16]>,
        at: usize,
        repeat: bool,
    },
    End(Tag),
}

impl Item {
    fn tag(&self) -> Tag {
        match self {
            Self::Sound { tag, .. } | Self::End(tag) => *tag,
        }
    }
}

impl Queue {
    pub(super) fn new(voice: VoiceSender) -> Self {
        Self {
            voice,
            items: VecDeque::new(),
            held: 0,
            latest: (Tag(0), 0),
            in_ring: Tag(0),
        }
    }

    pub(super) fn into_sender(self) -> VoiceSender {
        self.voice
    }

    /// Samples of `tag` that were ever queued here (tags rise: only the newest can still grow).
    pub(super) fn pushed(&self, tag: Tag) -> u64 {
        if self.latest.0 == tag {
            self.latest.1
        } else {
            0
        }
    }

    pub(super) fn push(&mut self, tag: Tag, pcm: Arc<[i16]>, repeat: bool) {
        let length = pcm.len();
        if self.latest.0 != tag {
            self.latest = (tag, 0);
        }
        if self.held + length > MAX_SAMPLES {
            tracing::warn!(
                tag = tag.0,
                "too much speech is waiting; the rest is not kept"
            );
            return;
        }
        self.latest.1 += length as u64;
        self.held += length;
        self.items.push_back(Item::Sound {
            tag,
            pcm,
            at: 0,
            repeat,
        });
    }

    /// Nothing more of `tag` follows.
    pub(super) fn end(&mut self, tag: Tag) {
        self.items.push_back(Item::End(tag));
    }

    /// Forgets everything up to this tag; the tags of which something was waiting.
    pub(super) fn cut_through(&mut self, cut: Tag) -> Vec<Tag> {
        let tags = self.items.iter().map(Item::tag);
        let gone = tags.filter(|tag| *tag <= cut).collect();
        self.items.retain(|item| item.tag() > cut);
        let held = self.items.iter().map(|item| match item {
            Item::Sound { pcm, at, .. } => pcm.len() - at,
            Item::End(_) => 0,
        });
        self.held = held.sum();
        gone
    }

    /// Whether the leg knows of an utterance.
    pub(super) fn has_reached_leg(&self, tag: Tag) -> bool {
        tag <= self.in_ring
    }

    /// Whether something waits for room.
    pub(super) fn is_pending(&self) -> bool {
        !self.items.is_empty()
    }

    /// Moves into the ring what fits.
    pub(super) fn top_up(&mut self) {
        while let Some(item) = self.items.front_mut() {
            match item {
                Item::End(tag) => {
                    if !self.voice.end(*tag) {
                        return;
                    }
                    self.in_ring = self.in_ring.max(*tag);
                }
                Item::Sound {
                    tag,
                    pcm,
                    at,
                    repeat,
                } => {
                    let taken = self.voice.push(*tag, pcm.get(*at..).unwrap_or_default());
                    if taken > 0 {
                        self.in_ring = self.in_ring.max(*tag);
                    }
                    *at += taken;
                    self.held = self.held.saturating_sub(taken);
                    if *at < pcm.len() {
                        return;
                    }
                    if *repeat && !pcm.is_empty() {
                        self.held += pcm.len();
                        *at = 0;
                        continue;
                    }
                }
            }
            self.items.pop_front();
        }
    }
}
