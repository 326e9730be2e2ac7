//! Decoded sound by position: a ring of samples and the spans of it that are known.

/// Spans kept at most; touching ones are merged, so each stands for a hole.
const MAX_SPANS: usize = 48;

/// A known stretch, `[start, end)` in samples of the stream's own line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First sample.
    pub start: i64,
    /// One past the last.
    pub end: i64,
}

/// What is at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// So many samples are known.
    Known(usize),
    /// So many are missing before the next known one.
    Missing(usize),
    /// Nothing is known from here on.
    Empty,
}

/// Holds half a second of sound; never allocates after construction.
#[derive(Debug)]
pub struct Store {
    ring: Box<[i16]>,
    spans: Vec<Span>,
}

impl Store {
    /// `len` samples of room, a power of two.
    pub fn new(len: usize) -> Self {
        Self {
            ring: vec![0; len.next_power_of_two()].into(),
            spans: Vec::with_capacity(MAX_SPANS + 1),
        }
    }

    /// One past the last known sample.
    pub fn end(&self) -> Option<i64> {
        self.spans.last().map(|span| span.end)
    }

    /// What is at `position`, looking at most `limit` samples ahead.
    pub fn run(&self, position: i64, limit: usize) -> Run {
        let Some(span) = self.spans.iter().find(|span| span.end > position) else {
            return Run::Empty;
        };
        if span.start > position {
            return Run::Missing(((span.start - position) as usize).min(limit));
        }
        Run::Known(((span.end - position) as usize).min(limit))
    }

    /// Copies known samples; the caller has asked `run` before.
    pub fn copy(&self, position: i64, out: &mut [i16]) {
        let at = self.slot(position);
        let first = (self.ring.len() - at).min(out.len());
        let (head, tail) = out.split_at_mut(first);
        head.copy_from_slice(&self.ring[at..at + head.len()]);
        tail.copy_from_slice(&self.ring[..tail.len()]);
    }

    /// Writes sound at `position`. What is known already stays. False when there is no room for another hole.
    pub fn insert(&mut self, position: i64, pcm: &[i16]) -> bool {
        let new = Span {
            start: position,
            end: position + pcm.len() as i64,
        };
        if pcm.is_empty() || self.spans.len() >= MAX_SPANS {
            return pcm.is_empty();
        }
        self.write_unknown(new, pcm);
        self.merge(new);
        true
    }

    /// Forgets what lies before `position`.
    pub fn discard_before(&mut self, position: i64) {
        let gone = self
            .spans
            .iter()
            .take_while(|span| span.end <= position)
            .count();
        self.spans.drain(..gone);
        if let Some(first) = self.spans.first_mut() {
            first.start = first.start.max(position);
        }
    }

    fn slot(&self, position: i64) -> usize {
        position as usize & (self.ring.len() - 1)
    }

    fn write_unknown(&mut self, new: Span, pcm: &[i16]) {
        let mut at = new.start;
        for index in 0..=self.spans.len() {
            let known = self.spans.get(index).copied().unwrap_or(Span {
                start: new.end,
                end: new.end,
            });
            let until = known.start.min(new.end);
            if until > at {
                self.write(
                    at,
                    &pcm[(at - new.start) as usize..(until - new.start) as usize],
                );
            }
            at = at.max(known.end);
            if at >= new.end {
                break;
            }
        }
    }

    fn write(&mut self, position: i64, pcm: &[i16]) {
        let at = self.slot(position);
        let (head, tail) = pcm.split_at((self.ring.len() - at).min(pcm.len()));
        self.ring[at..at + head.len()].copy_from_slice(head);
        self.ring[..tail.len()].copy_from_slice(tail);
    }

    fn merge(&mut self, new: Span) {
        let first = self
            .spans
            .iter()
            .take_while(|span| span.end < new.start)
            .count();
        let touching = self
            .spans
            .iter()
            .skip(first)
            .take_while(|span| span.start <= new.end)
            .count();
        let merged = self
            .spans
            .iter()
            .skip(first)
            .take(touching)
            .fold(new, |a, b| Span {
                start: a.start.min(b.start),
                end: a.end.max(b.end),
            });
        self.spans.drain(first..first + touching);
        self.spans.insert(first, merged);
    }
}
