//! Keys of the caller's: as events, or as tones where no events are agreed on.

use super::{Digit, DigitBy, Leg, LegEventKind};
use crate::dtmf::Key;
use crate::jitter::Stamp;

impl Leg {
    pub(super) fn on_event(&mut self, stamp: Stamp, payload: &[u8]) {
        // A repeated number may still be the first sight of a key, so the receiver judges by itself.
        self.jitter.note(self.now, stamp);
        if let Some(key) = self.keys.on_event(stamp.ssrc, stamp.timestamp, payload) {
            self.tell_key(key, DigitBy::Event);
        }
    }

    /// What the caller's frame of the tick shows, where the far side has no other way.
    pub(super) fn read_tones(&mut self) {
        let tones = self.tones.as_mut();
        let tones = tones.filter(|_| self.line.telephone_event().is_none());
        if let Some(key) = tones.and_then(|tones| tones.hear(&self.caller)) {
            self.tell_key(key, DigitBy::Tones);
        }
    }

    fn tell_key(&mut self, key: Key, by: DigitBy) {
        let key = key.as_char();
        self.tell(LegEventKind::Digit(Digit { key, by }));
    }
}
