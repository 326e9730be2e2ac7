//! A room's sound: everybody hears all others and nobody himself.
//!
//! The room is as wide as its widest party: narrow voices are lifted, and each leg brings what it gets to its own line's
//! rate. Sums are kept in 32 bits and cut once, at the end, so that a loud third voice does not make a fourth disappear.

use crate::resample::Resampler;
use crate::{Frame, MAX_FRAME_LEN, Rate};

/// Frames below this are a line's noise: twenty of them together would be heard.
const NOISE_DBOV: f32 = -60.0;

/// A party's place in the room; free for another once the party has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place(usize);

/// The sound of one room. One tick is: [`Self::say`] for whoever has a frame, [`Self::tick`], [`Self::hear`] for everybody.
#[derive(Default)]
pub struct Conference {
    places: Vec<Option<Party>>,
    sum: Sum,
    rate: Option<Rate>,
}

struct Sum([i32; MAX_FRAME_LEN]);

impl Default for Sum {
    fn default() -> Self {
        Self([0; MAX_FRAME_LEN])
    }
}

struct Party {
    /// What it says in this tick, at the room's rate once the tick is summed up.
    said: Option<Frame>,
    lift: Option<Resampler>,
}

impl Conference {
    /// Somebody comes in.
    pub fn join(&mut self) -> Place {
        let party = Party {
            said: None,
            lift: None,
        };
        let free = self.places.iter().position(Option::is_none);
        let at = free.unwrap_or(self.places.len());
        match self.places.get_mut(at) {
            Some(place) => *place = Some(party),
            None => self.places.push(Some(party)),
        }
        Place(at)
    }

    /// Somebody goes; with the last one the room forgets how wide it was.
    pub fn leave(&mut self, place: Place) {
        if let Some(party) = self.places.get_mut(place.0) {
            *party = None;
        }
        if self.parties() == 0 {
            *self = Self::default();
        }
    }

    /// How many are in.
    pub fn parties(&self) -> usize {
        self.places.iter().flatten().count()
    }

    /// What a party says in this tick; silence when it is not called.
    pub fn say(&mut self, place: Place, frame: &Frame) {
        if frame.rate() == Rate::Hz16000 {
            self.rate = Some(Rate::Hz16000);
        }
        if let Some(Some(party)) = self.places.get_mut(place.0) {
            party.said = Some(*frame);
        }
    }

    /// Adds up what was said since the last tick.
    pub fn tick(&mut self) {
        let rate = self.rate();
        self.sum = Sum::default();
        for party in self.places.iter_mut().flatten() {
            party.bring_to(rate);
            for (sum, sample) in self.sum.0.iter_mut().zip(party.samples()) {
                *sum += i32::from(*sample);
            }
        }
    }

    /// What a party hears of the tick, at the room's rate. What it said itself is not in it, and counts no longer.
    pub fn hear(&mut self, place: Place) -> Frame {
        let mut heard = Frame::silence(self.rate());
        let Some(Some(party)) = self.places.get_mut(place.0) else {
            return heard;
        };
        let mut own = party.samples().iter().copied().chain(std::iter::repeat(0));
        for (to, sum) in heard.samples_mut().iter_mut().zip(&self.sum.0) {
            let others = sum - i32::from(own.next().unwrap_or(0));
            *to = others.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        }
        drop(own);
        party.said = None;
        heard
    }

    fn rate(&self) -> Rate {
        self.rate.unwrap_or(Rate::Hz8000)
    }
}

impl Party {
    /// Noise is nothing; a voice gets the room's rate.
    fn bring_to(&mut self, rate: Rate) {
        let Some(said) = self.said.take() else {
            return;
        };
        let voice = said.level_dbov() > NOISE_DBOV;
        if said.rate() == rate {
            self.said = voice.then_some(said);
            return;
        }
        // The resampler is fed all the time, lest a voice begin with what was left in it.
        let from = said.rate().hz();
        if self.lift.as_ref().is_none_or(|lift| lift.from_hz() != from) {
            self.lift = Resampler::new(from, rate.hz()).ok();
        }
        self.said = self.lift.as_mut().map(|lift| lift.frame(&said));
    }

    fn samples(&self) -> &[i16] {
        self.said.as_ref().map_or(&[], Frame::samples)
    }
}
