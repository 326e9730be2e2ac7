//! The playout queue: what the agent says, and at every tick which utterance and which sample of it was sent.

use crate::frame::FRAME_MS;
use std::collections::VecDeque;

/// Utterances that may wait.
pub const MAX_UTTERANCES: usize = 64;
/// Events kept until somebody reads them; more than one tick can produce.
const MAX_EVENTS: usize = MAX_UTTERANCES * 4;

/// Names an utterance. Opaque, but strictly increasing in the order in which utterances are pushed; 0 is "none".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tag(pub u64);

/// The utterance under way and how many of its samples have been sent, at the line rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The utterance; `Tag(0)` before the first.
    pub tag: Tag,
    /// Samples of it that went to the wire.
    pub samples_sent: u64,
}

/// Who asked for a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseBy {
    /// The media thread itself, at speech onset.
    Reflex {
        /// Frames of 20 ms since the speech began, up to and with the one that tipped the scales.
        onset_frames: u8,
    },
    /// A command.
    Owner,
}

impl PauseBy {
    /// Call time at which the speech began that paused the playout at `paused_ms`.
    pub const fn onset_ms(self, paused_ms: u64) -> Option<u64> {
        match self {
            Self::Reflex { onset_frames } => {
                Some(paused_ms.saturating_sub(onset_frames as u64 * FRAME_MS))
            }
            Self::Owner => None,
        }
    }
}

/// The truth about what was said. Exactly one `Cut` or `Finished` ends each utterance that was ever pushed or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlayoutEvent {
    /// Its first sample goes out in this tick.
    Started {
        /// Which.
        tag: Tag,
    },
    /// It stands still.
    Paused {
        /// Which.
        tag: Tag,
        /// Sent so far.
        samples_sent: u64,
        /// By whom.
        by: PauseBy,
    },
    /// It goes on at the next sample.
    Resumed {
        /// Which.
        tag: Tag,
        /// Sent so far.
        samples_sent: u64,
    },
    /// The rest was thrown away.
    Cut {
        /// Which.
        tag: Tag,
        /// Sent in all.
        samples_sent: u64,
    },
    /// All of it was sent.
    Finished {
        /// Which.
        tag: Tag,
        /// Sent in all.
        samples_sent: u64,
    },
}

#[derive(Debug, Clone, Copy)]
struct Utterance {
    tag: Tag,
    queued: usize,
    sent: u64,
    started: bool,
    ended: bool,
}

/// Bounded queue of utterances over one ring of samples.
#[derive(Debug)]
pub struct Playout {
    ring: Box<[i16]>,
    read: usize,
    filled: usize,
    utterances: VecDeque<Utterance>,
    events: VecDeque<PlayoutEvent>,
    pause: Option<PauseBy>,
    /// The utterance a `Paused` was told of.
    paused_tag: Option<Tag>,
    newest: Tag,
    cut_through: Tag,
    position: Position,
    discarded: u64,
    starved: u64,
}

impl Playout {
    /// A queue with room for `samples`; goes on counting where `position` stands when its utterance is pushed again.
    pub fn new(samples: usize, position: Position) -> Self {
        Self {
            ring: vec![0; samples].into(),
            read: 0,
            filled: 0,
            utterances: VecDeque::with_capacity(MAX_UTTERANCES),
            events: VecDeque::with_capacity(MAX_EVENTS),
            pause: None,
            paused_tag: None,
            newest: Tag(position.tag.0.saturating_sub(1)),
            cut_through: Tag(0),
            position,
            discarded: 0,
            starved: 0,
        }
    }

    /// Samples that can be pushed now; 0 also when too many utterances wait.
    pub fn room(&self) -> usize {
        if self.utterances.len() >= MAX_UTTERANCES || self.events.len() >= MAX_EVENTS / 2 {
            return 0;
        }
        self.ring.len() - self.filled
    }

    /// Samples waiting.
    pub const fn buffered(&self) -> usize {
        self.filled
    }

    /// What is being said: the utterance that has begun and is not over.
    pub fn speaking(&self) -> Option<Tag> {
        self.utterances.front().filter(|u| u.started).map(|u| u.tag)
    }

    /// Whether a pause holds it.
    pub const fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    /// The utterance last sent from, and how far.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Samples pushed for utterances that were cut already, or out of order.
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Samples of silence sent because an unfinished utterance had none ready.
    pub const fn starved(&self) -> u64 {
        self.starved
    }

    /// Adds sound to an utterance; returns how many samples were taken. Sound of a cut utterance is taken and discarded.
    pub fn push(&mut self, tag: Tag, pcm: &[i16]) -> usize {
        if !self.is_welcome(tag) {
            self.discarded += pcm.len() as u64;
            return pcm.len();
        }
        let take = pcm.len().min(self.room());
        if take == 0 || !self.open(tag) {
            return 0;
        }
        self.write(&pcm[..take]);
        if let Some(last) = self.utterances.back_mut() {
            last.queued += take;
        }
        take
    }

    /// Nothing more will come for this utterance. False when there is no room to note it; try again.
    pub fn end(&mut self, tag: Tag) -> bool {
        if !self.is_welcome(tag) {
            return true;
        }
        if !self.open(tag) {
            return false;
        }
        if let Some(last) = self.utterances.back_mut() {
            last.ended = true;
        }
        true
    }

    /// Fills `out` with what is to be sent now, silence where there is nothing; returns the samples of speech in it.
    pub fn pull(&mut self, out: &mut [i16]) -> usize {
        let mut done = 0;
        while self.pause.is_none() && done < out.len() {
            let Some(front) = self.utterances.front().copied() else {
                break;
            };
            done += self.send_from(front, &mut out[done..]);
            if !self.retire() {
                break;
            }
        }
        if self.pause.is_none() && self.speaking().is_some() {
            self.starved += (out.len() - done) as u64;
        }
        out[done..].fill(0);
        done
    }

    /// Stands still at once; the next `pull` gives silence.
    pub fn pause(&mut self, by: PauseBy) {
        if self.pause.is_none() {
            self.tell_paused(by);
        }
        self.pause = Some(by);
    }

    /// Goes on at the very sample.
    pub fn resume(&mut self) {
        self.pause = None;
        let Some(tag) = self.paused_tag.take() else {
            return;
        };
        if let Some(front) = self.utterances.front().filter(|u| u.tag == tag) {
            let samples_sent = front.sent;
            self.tell(PlayoutEvent::Resumed { tag, samples_sent });
        }
    }

    /// Throws away this utterance and all before it, now and for ever, and lifts a pause.
    pub fn cut_through(&mut self, tag: Tag) {
        self.cut_through = self.cut_through.max(tag);
        while let Some(front) = self.utterances.front().copied().filter(|u| u.tag <= tag) {
            self.utterances.pop_front();
            self.skip(front.queued);
            self.tell(PlayoutEvent::Cut {
                tag: front.tag,
                samples_sent: front.sent,
            });
        }
        self.pause = None;
        self.paused_tag = None;
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<PlayoutEvent> {
        self.events.pop_front()
    }

    fn is_welcome(&self, tag: Tag) -> bool {
        let finished = match self.utterances.back() {
            Some(last) => tag < last.tag || (tag == last.tag && last.ended),
            None => tag <= self.newest,
        };
        tag > self.cut_through && !finished
    }

    /// Makes `tag` the last utterance; the one before it is thereby ended.
    fn open(&mut self, tag: Tag) -> bool {
        if self.utterances.back().is_some_and(|u| u.tag == tag) {
            return true;
        }
        if self.utterances.len() >= MAX_UTTERANCES || self.events.len() >= MAX_EVENTS / 2 {
            return false;
        }
        if let Some(last) = self.utterances.back_mut() {
            last.ended = true;
        }
        let resumed = self.position.tag == tag && self.newest < tag;
        let sent = if resumed {
            self.position.samples_sent
        } else {
            0
        };
        self.utterances.push_back(Utterance {
            tag,
            queued: 0,
            sent,
            started: resumed,
            ended: false,
        });
        self.newest = tag;
        true
    }

    fn send_from(&mut self, front: Utterance, out: &mut [i16]) -> usize {
        let take = front.queued.min(out.len());
        if take == 0 {
            return 0;
        }
        if !front.started {
            self.tell(PlayoutEvent::Started { tag: front.tag });
        }
        self.copy_out(&mut out[..take]);
        let sent = front.sent + take as u64;
        self.position = Position {
            tag: front.tag,
            samples_sent: sent,
        };
        if let Some(u) = self.utterances.front_mut() {
            *u = Utterance {
                queued: front.queued - take,
                sent,
                started: true,
                ..front
            };
        }
        take
    }

    /// Lets a finished front go; false when there is nothing more to take from.
    fn retire(&mut self) -> bool {
        let Some(front) = self
            .utterances
            .front()
            .copied()
            .filter(|u| u.queued == 0 && u.ended)
        else {
            return false;
        };
        self.utterances.pop_front();
        self.tell(PlayoutEvent::Finished {
            tag: front.tag,
            samples_sent: front.sent,
        });
        true
    }

    fn tell_paused(&mut self, by: PauseBy) {
        let Some(front) = self.utterances.front().copied() else {
            return;
        };
        self.paused_tag = Some(front.tag);
        self.tell(PlayoutEvent::Paused {
            tag: front.tag,
            samples_sent: front.sent,
            by,
        });
    }

    /// Cannot overflow while the owner drains once a tick: room is refused at half.
    fn tell(&mut self, event: PlayoutEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }

    fn write(&mut self, pcm: &[i16]) {
        let at = (self.read + self.filled) % self.ring.len();
        let (head, tail) = pcm.split_at((self.ring.len() - at).min(pcm.len()));
        self.ring[at..at + head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
        self.filled += pcm.len();
    }

    fn copy_out(&mut self, out: &mut [i16]) {
        let first = (self.ring.len() - self.read).min(out.len());
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.ring[self.read..self.read + head.len()]);
        tail.copy_from_slice(&self.ring[..tail.len()]);
        let n = out.len();
        self.skip(n);
    }

    fn skip(&mut self, n: usize) {
        self.read = (self.read + n) % self.ring.len().max(1);
        self.filled -= n;
    }
}
