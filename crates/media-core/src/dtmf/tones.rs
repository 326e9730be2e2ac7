//! Telephone keys as two tones in the sound (ITU-T Q.23), told from speech after Q.24: for far sides without RFC 4733.
//!
//! The power at the eight frequencies by Goertzel's filter, over 12.75 ms, twice as often. A key is down when three looks in a
//! row see the same two tones, level with each other and with little else; it is up again after five looks without it, so
//! that neither a click nor a lost packet makes two of one press.

use super::Key;
use crate::tone::Tone;
use crate::{Frame, Rate};

/// ITU-T Q.23, in hertz.
const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
/// ITU-T Q.23, in hertz.
const COLUMNS: [f32; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];
const LAYOUT: [[char; 4]; 4] = [
    ['1', '2', '3', 'A'],
    ['4', '5', '6', 'B'],
    ['7', '8', '9', 'C'],
    ['*', '0', '#', 'D'],
];
/// Looks are at 8 kHz, and so far apart that a neighbour's tone falls into the filter's null.
const HZ: f32 = 8_000.0;
const WINDOW: usize = 102;
const HOP: usize = WINDOW / 2;
/// Looks in a row that make a press: 25 ms (Q.24 §2.4 wants 40 ms taken, 23 ms refused).
const DOWN_AFTER: u8 = 3;
/// Looks in a row without it that end it: a pause of 40 ms is one, a gap of 10 ms is none.
const UP_AFTER: u8 = 5;
/// −36 dBov for each tone.
const QUIETEST: f32 = 500.0;
/// A tone above all others of its group by 8 dB.
const ABOVE_OTHERS: f32 = 6.3;
/// Q.24 §2.3: the columns may be 4 dB above the rows, and 8 dB below.
const COLUMNS_ABOVE: f32 = 2.5;
const ROWS_ABOVE: f32 = 6.3;
/// Of all the power so much must lie in the two tones.
const SHARE: f32 = 0.8;
/// What we send: each tone at −10 dBm0 or so, and both together.
const SENT_DBOV: f32 = -12.0;

/// Reads keys from sound.
#[derive(Debug)]
pub struct ToneReader {
    window: [f32; WINDOW],
    filled: usize,
    coefficients: [[f32; 4]; 2],
    /// What the last looks saw, and how often in a row.
    seen: Option<Key>,
    times: u8,
    /// The key that is down, and looks since it was last seen.
    down: Option<Key>,
    without: u8,
}

impl Default for ToneReader {
    fn default() -> Self {
        let of = |hz: f32| 2.0 * (std::f32::consts::TAU * hz / HZ).cos();
        Self {
            window: [0.0; WINDOW],
            filled: 0,
            coefficients: [ROWS.map(of), COLUMNS.map(of)],
            seen: None,
            times: 0,
            down: None,
            without: 0,
        }
    }
}

impl ToneReader {
    /// The next 20 ms; the key whose press they show. No two presses fit into a frame.
    pub fn hear(&mut self, frame: &Frame) -> Option<Key> {
        let mut pressed = None;
        let pairs = match frame.rate() {
            Rate::Hz8000 => 1,
            Rate::Hz16000 => 2,
        };
        for samples in frame.samples().chunks_exact(pairs) {
            let sum: i32 = samples.iter().map(|s| i32::from(*s)).sum();
            pressed = self.push(sum as f32 / pairs as f32).or(pressed);
        }
        pressed
    }

    fn push(&mut self, sample: f32) -> Option<Key> {
        if let Some(slot) = self.window.get_mut(self.filled) {
            *slot = sample;
        }
        self.filled += 1;
        if self.filled < WINDOW {
            return None;
        }
        let seen = self.look();
        self.window.copy_within(HOP.., 0);
        self.filled = WINDOW - HOP;
        self.judge(seen)
    }

    fn judge(&mut self, seen: Option<Key>) -> Option<Key> {
        self.times = match seen == self.seen {
            true => self.times.saturating_add(1),
            false => 1,
        };
        self.seen = seen;
        if self.down.is_some() && seen == self.down {
            self.without = 0;
            return None;
        }
        self.without = self.without.saturating_add(1);
        if self.without >= UP_AFTER {
            self.down = None;
        }
        let key = seen.filter(|_| self.times >= DOWN_AFTER)?;
        (self.down, self.without) = (Some(key), 0);
        Some(key)
    }

    /// The key that this window shows.
    fn look(&self) -> Option<Key> {
        let all: f32 = self.window.iter().map(|s| s * s).sum();
        if all < QUIETEST * QUIETEST * WINDOW as f32 {
            return None;
        }
        let [rows, columns] = self.coefficients.map(|group| group.map(|c| self.power(c)));
        let (row, row_power) = loudest(rows)?;
        let (column, column_power) = loudest(columns)?;
        let level =
            column_power <= row_power * COLUMNS_ABOVE && row_power <= column_power * ROWS_ABOVE;
        // A sine of amplitude A has A²·N²/4 here and A²·N/2 in the sum of squares.
        let share = (row_power + column_power) / (all * WINDOW as f32 / 2.0);
        let loud = row_power.min(column_power) >= (QUIETEST * WINDOW as f32 / 2.0).powi(2);
        let key = *LAYOUT.get(row)?.get(column)?;
        Key::from_char(key)
            .ok()
            .filter(|_| level && loud && share >= SHARE)
    }

    /// Goertzel's filter: the squared magnitude at one frequency.
    fn power(&self, coefficient: f32) -> f32 {
        let (mut last, mut before) = (0.0_f32, 0.0_f32);
        for sample in &self.window {
            (last, before) = (sample + coefficient * last - before, last);
        }
        last * last + before * before - coefficient * last * before
    }
}

/// The one that stands out of its group.
fn loudest(group: [f32; 4]) -> Option<(usize, f32)> {
    let (at, power) = (0..)
        .zip(group)
        .max_by(|a: &(usize, f32), b| a.1.total_cmp(&b.1))?;
    let others = (0..).zip(group).filter(|(other, _)| *other != at);
    let stands_out = others
        .into_iter()
        .all(|(_, other)| other * ABOVE_OTHERS < power);
    stands_out.then_some((at, power))
}

impl Key {
    /// Its two tones, without an end.
    pub fn tone(self) -> Tone {
        let key = self.as_char();
        let place = LAYOUT.iter().enumerate().find_map(|(row, keys)| {
            let column = keys.iter().position(|k| *k == key)?;
            Some([*ROWS.get(row)?, *COLUMNS.get(column)?])
        });
        Tone::new(place.unwrap_or_default(), SENT_DBOV, 20, 0)
    }
}
