//! Telephone keys as RTP events (RFC 4733): each key once in, three ends out; as tones in the sound where it must be ([`ToneReader`]).

mod tones;

pub use tones::ToneReader;

use crate::Error;
use crate::rtp::timestamp_distance;
use std::collections::VecDeque;

/// RFC 4733 §3.2, table 3: event codes 0–15.
const KEYS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D',
];
/// Bytes of an event payload (RFC 4733 §2.3).
pub const EVENT_LEN: usize = 4;
/// Digits one order may hold.
pub const MAX_DIGITS: usize = 32;
/// RFC 4733 §2.5.1.4: the end is sent three times.
const ENDS: u8 = 3;
/// A packet of an older key is a straggler only so long; beyond that the sender's clock was set back.
const STALE_TICKS: i64 = 30 * 8_000;
/// −10 dBm0, a usual level for keys.
const VOLUME: u8 = 10;

/// One telephone key: 0–9, `*`, `#`, A–D.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u8);

impl Key {
    /// Reads a key; letters in either case.
    pub fn from_char(c: char) -> Result<Self, Error> {
        let c = c.to_ascii_uppercase();
        KEYS.iter()
            .position(|k| *k == c)
            .map(|at| Self(at as u8))
            .ok_or(Error::Key(c))
    }

    /// From the event code; none for tones that are no keys (flash, fax, …).
    pub const fn from_event(event: u8) -> Option<Self> {
        if event < 16 { Some(Self(event)) } else { None }
    }

    /// As printed on the key.
    pub fn as_char(self) -> char {
        KEYS.get(usize::from(self.0)).copied().unwrap_or('0')
    }
}

/// The payload of one event packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Event code; 0–15 are keys.
    pub code: u8,
    /// The last packets of the event.
    pub end: bool,
    /// Power in −dBm0.
    pub volume: u8,
    /// Length so far in RTP clock ticks.
    pub duration_ticks: u16,
}

impl Event {
    /// Reads a payload; further events packed behind the first (RFC 4733 §2.6) are not used by telephones.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let [code, flags, high, low, ..] = *payload else {
            return None;
        };
        let duration_ticks = u16::from_be_bytes([high, low]);
        Some(Self {
            code,
            end: flags & 0x80 != 0,
            volume: flags & 0x3f,
            duration_ticks,
        })
    }

    /// Writes the payload.
    pub const fn to_bytes(self) -> [u8; EVENT_LEN] {
        let [high, low] = self.duration_ticks.to_be_bytes();
        [
            self.code,
            (self.end as u8) << 7 | (self.volume & 0x3f),
            high,
            low,
        ]
    }
}

/// Turns event packets into keys. A key is told apart by its timestamp, so lost starts, missing or tripled ends and
/// repetitions do not matter.
#[derive(Debug, Default)]
pub struct DtmfReceiver {
    current: Option<Current>,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    ssrc: u32,
    started: u32,
    code: u8,
    /// Where the next segment of a very long key would begin (RFC 4733 §2.5.1.3).
    continues_at: u32,
}

impl DtmfReceiver {
    /// The key that this packet is the first to show.
    pub fn on_event(&mut self, ssrc: u32, timestamp: u32, payload: &[u8]) -> Option<Key> {
        let event = Event::parse(payload)?;
        if let Some(current) = self.current.as_mut().filter(|c| c.ssrc == ssrc) {
            let ahead = timestamp_distance(timestamp, current.started);
            if (-STALE_TICKS..=0).contains(&ahead) {
                current.note(timestamp, event);
                return None;
            }
            if current.is_continued_by(timestamp, event) {
                current.started = timestamp;
                current.note(timestamp, event);
                return None;
            }
        }
        let mut current = Current {
            ssrc,
            started: timestamp,
            code: event.code,
            continues_at: timestamp,
        };
        current.note(timestamp, event);
        self.current = Some(current);
        Key::from_event(event.code)
    }
}

impl Current {
    fn note(&mut self, timestamp: u32, event: Event) {
        if timestamp == self.started {
            self.continues_at = timestamp.wrapping_add(u32::from(event.duration_ticks));
        }
    }

    /// Only a key held until its 16-bit duration is used up goes on under a new timestamp.
    fn is_continued_by(&self, timestamp: u32, event: Event) -> bool {
        let length = timestamp_distance(self.continues_at, self.started);
        self.code == event.code
            && timestamp == self.continues_at
            && length > i64::from(u16::MAX) - 1_600
    }
}

/// Digits to send, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digits(Vec<Key>);

impl Digits {
    /// Reads a string of keys, at most 32.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.chars().count() > MAX_DIGITS {
            return Err(Error::TooManyDigits(MAX_DIGITS));
        }
        text.chars()
            .map(Key::from_char)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The keys.
    pub fn keys(&self) -> &[Key] {
        &self.0
    }
}

/// What the sender wants in this tick in place of sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPacket {
    /// The payload.
    pub event: Event,
    /// First packet of a key: marker bit (RFC 4733 §2.5.1.1).
    pub marker: bool,
    /// Timestamp of the key's beginning, as ticks before now.
    pub age_ticks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Idle,
    Tone {
        key: Key,
        ticks_done: u32,
    },
    Ending {
        key: Key,
        duration: u16,
        ends_left: u8,
        age: u32,
    },
    Gap {
        ticks_left: u32,
    },
}

/// Sends keys, one packet per tick: 100 ms of key, three ends, 60 ms of gap.
#[derive(Debug)]
pub struct DtmfSender {
    queue: VecDeque<Key>,
    state: Sending,
    ticks_per_frame: u32,
    /// Clock of the codec, on which timestamps count, over that of the events, on which durations do.
    clock_ratio: u32,
    refused: u64,
}

const KEY_FRAMES: u32 = 5;
const GAP_FRAMES: u32 = 3;

impl DtmfSender {
    /// A sender on an RTP clock with so many ticks per 20 ms. Durations are told on the clock that the events were agreed with
    /// (RFC 4733 §2.1), which some peers offer at 8 kHz only, whatever the codec's.
    pub fn new(ticks_per_frame: u32, event_ticks_per_frame: u32) -> Self {
        Self {
            queue: VecDeque::with_capacity(MAX_DIGITS),
            state: Sending::Idle,
            ticks_per_frame,
            clock_ratio: (ticks_per_frame / event_ticks_per_frame.max(1)).max(1),
            refused: 0,
        }
    }

    /// Queues digits; those beyond the bound are refused and counted.
    pub fn send(&mut self, digits: &Digits) {
        for key in digits.keys() {
            if self.queue.len() < MAX_DIGITS {
                self.queue.push_back(*key);
            } else {
                self.refused += 1;
            }
        }
    }

    /// Whether anything is being sent or waits.
    pub fn is_busy(&self) -> bool {
        self.state != Sending::Idle || !self.queue.is_empty()
    }

    /// Digits refused because too many waited.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Forgets all that waits and what is under way.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.state = Sending::Idle;
    }

    /// One tick: the event packet to send in place of sound, if a key is down.
    pub fn tick(&mut self) -> Option<EventPacket> {
        let mut packet = self.step()?;
        packet.event.duration_ticks /= self.clock_ratio as u16;
        Some(packet)
    }

    fn step(&mut self) -> Option<EventPacket> {
        match self.state {
            Sending::Idle => self.press(),
            Sending::Tone { key, ticks_done } => Some(self.hold(key, ticks_done)),
            Sending::Ending {
                key,
                duration,
                ends_left,
                age,
            } => Some(self.finish(key, duration, ends_left, age)),
            Sending::Gap { ticks_left } => {
                self.state = if ticks_left > 1 {
                    Sending::Gap {
                        ticks_left: ticks_left - 1,
                    }
                } else {
                    Sending::Idle
                };
                None
            }
        }
    }

    fn press(&mut self) -> Option<EventPacket> {
        let key = self.queue.pop_front()?;
        self.state = Sending::Tone {
            key,
            ticks_done: self.ticks_per_frame,
        };
        Some(packet(key, self.ticks_per_frame as u16, false, true, 0))
    }

    fn hold(&mut self, key: Key, age: u32) -> EventPacket {
        let duration = age + self.ticks_per_frame;
        if duration >= KEY_FRAMES * self.ticks_per_frame {
            return self.finish(key, duration as u16, ENDS, age);
        }
        self.state = Sending::Tone {
            key,
            ticks_done: duration,
        };
        packet(key, duration as u16, false, false, age)
    }

    fn finish(&mut self, key: Key, duration: u16, ends_left: u8, age: u32) -> EventPacket {
        self.state = if ends_left > 1 {
            Sending::Ending {
                key,
                duration,
                ends_left: ends_left - 1,
                age: age + self.ticks_per_frame,
            }
        } else {
            Sending::Gap {
                ticks_left: GAP_FRAMES,
            }
        };
        packet(key, duration, true, false, age)
    }
}

const fn packet(
    key: Key,
    duration_ticks: u16,
    end: bool,
    marker: bool,
    age_ticks: u32,
) -> EventPacket {
    EventPacket {
        event: Event {
            code: key.0,
            end,
            volume: VOLUME,
            duration_ticks,
        },
        marker,
        age_ticks,
    }
}
