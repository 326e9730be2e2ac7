//! What each call hears, measured packet by packet.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use media_core::rtp::{self, Packet};
use serde::Serialize;

use super::mark::{Noise, Reader};
use crate::media::lateness::Histogram;

/// Sources that no call has claimed yet: the first packet may overtake the 200.
const MAX_STRANGERS: usize = 4_096;
/// What was there longer before the claim is another call's leftover.
const STRANGER_FOR: Duration = Duration::from_secs(2);
/// Packets that settle the grid before lateness is counted.
const SETTLING: u64 = 25;
/// A pause between two packets that a listener notices.
const GAP: Duration = Duration::from_millis(40);
const RTP_CLOCK_HZ: i64 = 8_000;

/// All ears of a run.
pub(super) struct Ears {
    ears: Mutex<HashMap<SocketAddr, Ear>>,
    noise: Noise,
    /// Arrival later than the call's own 20 ms grid.
    pub(super) lateness: Histogram,
    /// Our sound out and back.
    pub(super) round_trip: Histogram,
}

/// One call's ear.
pub(super) struct Ear {
    call: Option<u32>,
    reader: Reader,
    first_at: Duration,
    last_at: Duration,
    ssrc: u32,
    first_seq: u16,
    /// Packets of this source.
    source_packets: u64,
    /// Distance of the newest packet from the first, in packets.
    newest: i64,
    grid: Grid,
    marks: Marks,
    heard: Heard,
}

/// The earliest moment at which timestamp 0 could have arrived, microseconds.
struct Grid {
    first_timestamp: u32,
    origin_us: i64,
    last_transit_us: Option<i64>,
}

#[derive(Default)]
struct Marks {
    first: Option<u32>,
    newest: u32,
}

/// The figures of a call.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Heard {
    /// RTP packets that came.
    pub packets: u64,
    /// Packets that never came, by sequence number.
    pub lost: u64,
    /// Packets after which more than 40 ms passed without another.
    pub gaps: u64,
    /// The longest time between two packets.
    pub longest_gap_ms: f64,
    /// Interarrival jitter at the end (RFC 3550 §6.4.1).
    pub jitter_ms: f64,
    /// Our frames that came back, each counted once.
    pub returned: u64,
    /// Of these, frames with another sound behind their mark.
    pub altered: u64,
    /// Frames between the first and the last returned that did not come back.
    pub missing: u64,
    /// Frames that came back again, or after a later one.
    pub repeated: u64,
    /// Frames of another call: somebody else's sound.
    pub foreign: u64,
    /// Our first frame that came back.
    pub first_returned: Option<u32>,
    /// First packet, on the generator's clock.
    #[serde(skip)]
    pub first_at: Option<Duration>,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self {
            ears: Mutex::default(),
            noise: Noise::new(),
            lateness: Histogram::new(),
            round_trip: Histogram::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Ear>> {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call's far side sends from here.
    pub(super) fn claim(&self, source: SocketAddr, call: u32, now: Duration) {
        let mut ears = self.lock();
        let fresh =
            |ear: &Ear| ear.call.is_none() && now.saturating_sub(ear.first_at) < STRANGER_FOR;
        match ears.get_mut(&source).filter(|ear| fresh(ear)) {
            Some(ear) => ear.claim(call),
            None => {
                ears.insert(source, Ear::silent(Some(call)));
            }
        }
    }

    /// The call is over.
    pub(super) fn take(&self, source: SocketAddr) -> Heard {
        let ear = self.lock().remove(&source);
        ear.map(Ear::finish).unwrap_or_default()
    }

    /// A datagram.
    pub(super) fn hear(&self, now: Duration, source: SocketAddr, bytes: &[u8]) {
        if rtp::is_rtcp(bytes) {
            return;
        }
        let Ok(packet) = rtp::parse(bytes) else {
            return;
        };
        let mut ears = self.lock();
        if !ears.contains_key(&source) {
            let strangers = ears.values().filter(|ear| ear.call.is_none()).count();
            if strangers >= MAX_STRANGERS {
                return;
            }
            ears.insert(source, Ear::silent(None));
        }
        if let Some(ear) = ears.get_mut(&source) {
            ear.hear(now, &packet, self);
        }
    }
}

impl Ear {
    fn silent(call: Option<u32>) -> Self {
        Self {
            call,
            reader: Reader::new(),
            first_at: Duration::ZERO,
            last_at: Duration::ZERO,
            ssrc: 0,
            first_seq: 0,
            source_packets: 0,
            newest: 0,
            grid: Grid {
                first_timestamp: 0,
                origin_us: 0,
                last_transit_us: None,
            },
            marks: Marks::default(),
            heard: Heard::default(),
        }
    }

    fn claim(&mut self, call: u32) {
        self.call = Some(call);
    }

    fn hear(&mut self, now: Duration, packet: &Packet<'_>, all: &Ears) {
        if self.heard.packets == 0 || packet.ssrc != self.ssrc {
            self.begin(now, packet);
        }
        self.count(now, packet);
        self.time(now, packet, &all.lateness);
        if let Some((mark, intact)) = self.reader.hear(packet.payload, &all.noise) {
            self.mark(mark.call, mark.frame, intact);
            all.round_trip.record(mark.age(now));
        }
    }

    /// The first packet, or the first of another source: what was counted before stays.
    fn begin(&mut self, now: Duration, packet: &Packet<'_>) {
        if self.heard.packets == 0 {
            self.first_at = now;
            self.heard.first_at = Some(now);
        } else {
            self.heard.lost += self.lost_so_far();
        }
        self.ssrc = packet.ssrc;
        self.first_seq = packet.seq;
        self.newest = -1;
        self.last_at = now;
        self.grid = Grid {
            first_timestamp: packet.timestamp,
            origin_us: now.as_micros() as i64,
            last_transit_us: None,
        };
        self.source_packets = 0;
    }

    fn count(&mut self, now: Duration, packet: &Packet<'_>) {
        self.heard.packets += 1;
        self.source_packets += 1;
        let reached = self.first_seq.wrapping_add(self.newest as u16);
        let ahead = i64::from(rtp::seq_distance(packet.seq, reached));
        self.newest = self.newest.max(self.newest + ahead);
        let gap = now.saturating_sub(self.last_at);
        self.heard.gaps += u64::from(gap > GAP);
        self.heard.longest_gap_ms = self.heard.longest_gap_ms.max(gap.as_secs_f64() * 1e3);
        self.last_at = now;
    }

    fn time(&mut self, now: Duration, packet: &Packet<'_>, lateness: &Histogram) {
        let ticks = rtp::timestamp_distance(packet.timestamp, self.grid.first_timestamp);
        let transit_us = now.as_micros() as i64 - ticks * 1_000_000 / RTP_CLOCK_HZ;
        if let Some(last) = self.grid.last_transit_us {
            let change_ms = (transit_us - last).unsigned_abs() as f64 / 1e3;
            self.heard.jitter_ms += (change_ms - self.heard.jitter_ms) / 16.0;
        }
        self.grid.last_transit_us = Some(transit_us);
        self.grid.origin_us = self.grid.origin_us.min(transit_us);
        if self.source_packets > SETTLING {
            let late_us = (transit_us - self.grid.origin_us).unsigned_abs();
            lateness.record(Duration::from_micros(late_us));
        }
    }

    fn mark(&mut self, call: u32, frame: u32, intact: bool) {
        if self.call.is_some_and(|mine| mine != call) {
            self.heard.foreign += 1;
            return;
        }
        if self.marks.first.is_some() && frame <= self.marks.newest {
            self.heard.repeated += 1;
            return;
        }
        self.heard.missing += match self.marks.first {
            Some(_) => u64::from(frame - self.marks.newest - 1),
            None => 0,
        };
        self.marks.first.get_or_insert(frame);
        self.marks.newest = frame;
        self.heard.returned += 1;
        self.heard.altered += u64::from(!intact);
    }

    fn lost_so_far(&self) -> u64 {
        let expected = u64::try_from(self.newest + 1).unwrap_or(0);
        expected.saturating_sub(self.source_packets)
    }

    fn finish(mut self) -> Heard {
        self.heard.lost += self.lost_so_far();
        self.heard.first_returned = self.marks.first;
        self.heard
    }
}

#[cfg(test)]
mod tests {
    use super::super::mark::{FRAME, Mark};
    use super::*;

    const CALL: u32 = 7;

    struct Rig {
        ears: Ears,
        source: SocketAddr,
    }

    impl Rig {
        fn new() -> Self {
            let (ears, source) = (Ears::new(), SocketAddr::from(([127, 0, 0, 1], 20_000)));
            ears.claim(source, CALL, Duration::ZERO);
            Self { ears, source }
        }

        /// Packet `number` at `at_ms`, with the frame `frame` of `call` in it.
        fn packet(&self, number: u16, at_ms: u64, call: u32, frame: u32) {
            let (mut words, mut bytes) = ([0; FRAME], [0; FRAME + rtp::HEADER_LEN]);
            let sent_us = (at_ms as u32 - 5) * 1_000;
            let mark = Mark {
                call,
                frame,
                sent_us,
            };
            self.ears.noise.write(mark, &mut words);
            let packet = Packet {
                payload_type: 0,
                marker: false,
                seq: 65_530_u16.wrapping_add(number),
                timestamp: u32::from(number) * 160,
                ssrc: 1,
                payload: &words,
            };
            rtp::build(&packet, &mut bytes).unwrap();
            self.ears
                .hear(Duration::from_millis(at_ms), self.source, &bytes);
        }

        fn finish(self) -> (Heard, u64, u64) {
            let late = Histogram::summary([&self.ears.lateness].into_iter()).max_us;
            let age = Histogram::summary([&self.ears.round_trip].into_iter()).max_us;
            (self.ears.take(self.source), late, age)
        }
    }

    #[test]
    fn an_even_stream_has_no_fault() {
        let rig = Rig::new();
        for number in 0..100 {
            rig.packet(number, 100 + u64::from(number) * 20, CALL, number.into());
        }
        let (heard, late_us, age_us) = rig.finish();
        assert_eq!((heard.packets, heard.lost, heard.gaps), (100, 0, 0));
        assert_eq!((heard.returned, heard.missing, heard.altered), (100, 0, 0));
        assert_eq!((late_us, age_us), (0, 5_000));
    }

    #[test]
    fn loss_gaps_lateness_and_crosstalk_are_each_counted() {
        let rig = Rig::new();
        for number in (0..100).filter(|number| *number != 50) {
            let late = if number == 60 { 7 } else { 0 };
            let at_ms = 100 + u64::from(number) * 20 + late;
            let (call, frame) = match number {
                70 => (CALL + 1, 70),
                80 => (CALL, 79),
                _ => (CALL, number.into()),
            };
            rig.packet(number, at_ms, call, frame);
        }
        rig.packet(100, 2_160, CALL, 100);
        let (heard, late_us, _) = rig.finish();
        assert_eq!((heard.packets, heard.lost), (100, 1));
        assert_eq!(heard.gaps, 1, "{heard:?}");
        assert_eq!((heard.foreign, heard.repeated, heard.missing), (1, 1, 3));
        assert_eq!(late_us, 60_000);
    }

    #[test]
    fn a_packet_that_overtakes_the_answer_counts() {
        let rig = Rig::new();
        rig.ears.take(rig.source);
        rig.packet(0, 100, CALL, 0);
        rig.ears.claim(rig.source, CALL, Duration::from_millis(101));
        rig.packet(1, 120, CALL, 1);
        let (heard, ..) = rig.finish();
        assert_eq!((heard.packets, heard.returned), (2, 2));
        assert_eq!(heard.first_at, Some(Duration::from_millis(100)));
    }
}
