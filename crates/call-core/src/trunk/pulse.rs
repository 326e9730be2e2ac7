//! Whether a trunk is alive, out of one answer after the other, without flapping.

/// What is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PulseState {
    /// Never asked, or no verdict yet: it may be called.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

/// Counts answers. The first one decides at once; after that a change of mind takes several in a
/// row, so that one lost packet takes nobody off the air.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    state: PulseState,
    against: u8,
    to_fall: u8,
    to_rise: u8,
}

impl Default for Pulse {
    /// Three failures take it down, two answers bring it up.
    fn default() -> Pulse {
        Pulse::new(3, 2)
    }
}

impl Pulse {
    /// `to_fall` failures in a row take it down, `to_rise` answers bring it up; both at least one.
    pub fn new(to_fall: u8, to_rise: u8) -> Pulse {
        Pulse {
            state: PulseState::Unknown,
            against: 0,
            to_fall: to_fall.max(1),
            to_rise: to_rise.max(1),
        }
    }

    /// What is believed now.
    pub fn state(&self) -> PulseState {
        self.state
    }

    /// The trunk answered, or did not. True when that changed what is believed.
    pub fn heard(&mut self, alive: bool) -> bool {
        let (agrees, needed) = match self.state {
            PulseState::Unknown => (false, 1),
            PulseState::Up => (alive, self.to_fall),
            PulseState::Down => (!alive, self.to_rise),
        };
        if agrees {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        if self.against < needed {
            return false;
        }
        self.against = 0;
        self.state = if alive {
            PulseState::Up
        } else {
            PulseState::Down
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &str) -> PulseState {
        let mut pulse = Pulse::default();
        for answer in answers.chars() {
            pulse.heard(answer == '+');
        }
        pulse.state()
    }

    #[test]
    fn the_first_answer_decides_and_changes_of_mind_take_several() {
        for (answers, state) in [
            ("", PulseState::Unknown),
            ("+", PulseState::Up),
            ("-", PulseState::Down),
            ("+--", PulseState::Up),
            ("+--+--+", PulseState::Up),
            ("+---", PulseState::Down),
            ("-+", PulseState::Down),
            ("-+-+-+", PulseState::Down),
            ("-++", PulseState::Up),
        ] {
            assert_eq!(after(answers), state, "{answers}");
        }
    }
}
