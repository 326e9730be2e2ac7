//! One leg on its media thread: machine, socket, ring ends. What panics in here takes this leg out, nothing else.

use super::meters::{Meters, count};
use super::panics;
use super::rings::{CHUNK, Order, SeatEvent, ThreadEnds};
use super::shared::Shared;
use media_core::leg::{Command, Leg, LegStats, Mode};
use media_core::{FRAME, FRAME_MS, Frame, VOICE_RATE};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Datagrams read at most in one go; a flood waits in the kernel and is dropped there.
const MAX_READS: usize = 32;
/// Room kept in the event ring for an eviction and the truth about utterances.
const RESERVED_EVENTS: usize = 8;
/// Sound kept inside the machine; all else stays in the ring, where it survives an eviction.
const TOP_UP_FRAMES: usize = 2;
/// Figures are published every so many ticks.
const PUBLISH_EVERY: u64 = 5;

/// Moments between two ticks at which the socket is read.
pub(super) const LISTEN_MOMENTS: usize = 3;
/// After so many empty reads a moment is only probed.
const QUIET_READS: u8 = 10;
/// Every so many ticks.
const PROBE_EVERY: u64 = 8;

/// Largest datagram looked at.
pub(super) const MAX_DATAGRAM: usize = 2_048;

pub(super) struct Seated {
    pub(super) leg: Leg,
    pub(super) ends: ThreadEnds,
    pub(super) shared: Arc<Shared>,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) ear_batch: usize,
    pub(super) ears_waiting: usize,
    /// Slot of the previous machine's last tick: the ticks since then are made good at the first one.
    pub(super) resumes_from: Option<Duration>,
    /// The wall clock when media time began.
    pub(super) ntp_at_epoch: u64,
    /// Reads in a row that found nothing, at each of the moments between ticks.
    pub(super) quiet: [u8; LISTEN_MOMENTS],
    /// The last tick found datagrams that were not read between ticks.
    pub(super) behind: bool,
    /// What the machine's encoder was last set to.
    pub(super) complexity: u8,
    /// What this leg panicked with.
    pub(super) confession: Option<String>,
}

/// What became of a leg in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    Leaves,
}

impl Seated {
    /// Between ticks: what has arrived goes in, recogniser frames go out. A far end sends at a steady phase, so the moments
    /// at which nothing ever comes are only probed now and then.
    pub(super) fn listen(
        &mut self,
        moment: usize,
        now: Duration,
        buffer: &mut [u8],
        meters: &Meters,
    ) -> Fate {
        let quiet = self.quiet.get(moment).copied().unwrap_or(0);
        if quiet >= QUIET_READS && !self.shared.tick().is_multiple_of(PROBE_EVERY) {
            return Fate::Stays;
        }
        self.guarded(meters, |seated| {
            // One packet in 20 ms is usual: a second read would find nothing. Whoever sends more left some for the last tick.
            let most = if seated.behind { MAX_READS } else { 1 };
            let any = seated.receive(now, buffer, meters, most) > 0;
            if let Some(count) = seated.quiet.get_mut(moment) {
                *count = if any { 0 } else { quiet.saturating_add(1) };
            }
            if any {
                seated.hand_out(now, meters);
            }
        })
    }

    /// The tick of this leg's slot.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        slot: Duration,
        buffer: &mut [u8],
        meters: &Meters,
        complexity: u8,
    ) -> Fate {
        self.guarded(meters, |seated| {
            seated.tune(slot, complexity);
            seated.make_good(slot);
            seated.behind = seated.receive(now, buffer, meters, MAX_READS) > 0;
            seated.obey(slot);
            seated.top_up();
            seated.exchange();
            seated.send(slot, meters);
            seated.report(now, meters);
            seated.hand_out(slot, meters);
        })
    }

    /// Ticks that no thread could hold.
    pub(super) fn skip(&mut self, ticks: u64) {
        self.leg.skip_ticks(ticks);
        if let Some(tap) = &mut self.ends.tap {
            tap.skip(ticks);
        }
    }

    fn guarded(&mut self, meters: &Meters, step: impl FnOnce(&mut Self)) -> Fate {
        if self.shared.stop.load(Ordering::Acquire) {
            self.shared.publish(stats(&self.leg, &self.ends));
            self.take_leave(meters);
            return Fate::Leaves;
        }
        match catch_unwind(AssertUnwindSafe(|| step(self))) {
            Ok(()) => Fate::Stays,
            Err(_) => {
                count(&meters.evictions);
                self.confession = Some(panics::last());
                Fate::Leaves
            }
        }
    }

    /// Off the thread. After a panic the ring ends wait in the seat for the next machine, and the actor learns of it once
    /// they do; position and stream are as of the last whole tick.
    pub(super) fn leave(self) {
        let Self {
            leg,
            mut ends,
            shared,
            confession,
            ..
        } = self;
        // A machine that panicked may do so again while it is taken apart.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(leg)));
        let Some(reason) = confession.filter(|_| !shared.stop.load(Ordering::Acquire)) else {
            drop(ends);
            return shared.close();
        };
        let mut returned = shared.returned();
        let position = shared.position.load();
        let _ = ends.events.push(SeatEvent::Evicted { position, reason });
        *returned = Some(ends);
        drop(returned);
        shared.event_wake.notify_one();
    }

    /// What the thread can afford.
    fn tune(&mut self, now: Duration, complexity: u8) {
        if self.complexity != complexity {
            self.complexity = complexity;
            self.leg.handle(now, Command::SetComplexity(complexity));
        }
    }

    fn make_good(&mut self, slot: Duration) {
        let Some(last) = self.resumes_from.take() else {
            return;
        };
        let passed = slot.saturating_sub(last).as_micros() as u64 + FRAME_MS * 500;
        let missed = (passed / (FRAME_MS * 1_000)).saturating_sub(1);
        self.skip(missed);
        if self.ends.bridge.is_some() {
            self.leg.handle(slot, Command::SetMode(Mode::Bridge));
        }
    }

    /// At most so many datagrams; how many came.
    fn receive(&mut self, now: Duration, buffer: &mut [u8], meters: &Meters, most: usize) -> usize {
        let mut came = 0;
        for _ in 0..most {
            count(&meters.reads);
            match self.socket.recv_from(buffer) {
                Ok((len, from)) => {
                    came += 1;
                    self.take(now, from, buffer.get(..len).unwrap_or(&[]));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    count(&meters.empty_reads);
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    count(&meters.receive_errors);
                    break;
                }
            }
        }
        came
    }

    /// What is sealed is opened here; what is not true goes no further than a counter.
    fn take(&mut self, now: Duration, from: SocketAddr, datagram: &[u8]) {
        match &mut self.ends.srtp {
            None => self.leg.on_packet(now, from, datagram),
            Some(srtp) => {
                if let Ok(packet) = srtp.open(datagram) {
                    self.leg.on_packet(now, from, packet);
                }
            }
        }
    }

    fn obey(&mut self, now: Duration) {
        while let Ok(order) = self.ends.orders.pop() {
            match order {
                Order::Leg(command) => {
                    if matches!(&command, Command::SetMode(mode) if *mode != Mode::Bridge) {
                        self.ends.bridge = None;
                    }
                    if let Command::Renegotiate(negotiated) = &command
                        && self.ends.protect(negotiated.srtp.as_ref()).is_err()
                    {
                        continue;
                    }
                    self.leg.handle(now, command);
                }
                Order::Record(tap) => self.ends.tap = Some(tap),
                Order::StopRecording => self.ends.tap = None,
                Order::Mute(mute) => {
                    if let Some(tap) = &mut self.ends.tap {
                        tap.mute(mute);
                    }
                }
                Order::Bridge(ends) => self.ends.bridge = Some(ends),
                Order::Rtcp(ends) => self.ends.rtcp = Some(ends),
            }
        }
    }

    fn top_up(&mut self) {
        let enough = TOP_UP_FRAMES * VOICE_RATE.frame_len();
        let playout = self.leg.playout();
        while playout.buffered() < enough && playout.room() >= CHUNK {
            let Ok(chunk) = self.ends.voice.pop() else {
                return;
            };
            playout.push(chunk.tag, chunk.pcm.get(..chunk.len).unwrap_or(&[]));
            if chunk.end {
                playout.end(chunk.tag);
            }
        }
    }

    /// The peer's frame for this tick; of what has piled up only the newest two are kept.
    fn exchange(&mut self) {
        let Some(bridge) = &mut self.ends.bridge else {
            return;
        };
        while bridge.from_peer.slots() > 2 {
            let _ = bridge.from_peer.pop();
        }
        if let Ok(frame) = bridge.from_peer.pop() {
            self.leg.push_bridge(&frame);
        }
    }

    fn send(&mut self, slot: Duration, meters: &Meters) {
        let Self {
            leg,
            ends,
            shared,
            socket,
            ..
        } = self;
        let tick = leg.tick(slot);
        if let Some(to) = tick.to {
            ends.send_rtp(socket, tick.packet, to, meters);
            if !tick.second_packet.is_empty() {
                ends.send_rtp(socket, tick.second_packet, to, meters);
            }
        }
        if let Some(tap) = &mut ends.tap {
            tap.write(tick.tick, tick.caller, tick.agent);
        }
        if let Some(bridge) = &mut ends.bridge {
            let frame: Frame = *tick.caller;
            let _ = bridge.to_peer.push(frame);
        }
        let number = tick.tick;
        shared.store_wire(leg.wire(), slot);
        if number.is_multiple_of(PUBLISH_EVERY) {
            shared.publish(stats(leg, ends));
        }
    }

    /// RTCP both ways: what came on a port of its own goes in, our report goes out when it is due.
    fn report(&mut self, now: Duration, meters: &Meters) {
        while let Some(compound) = self.ends.rtcp.as_mut().and_then(|r| r.came.pop().ok()) {
            if media_core::rtp::is_rtcp(compound.bytes()) {
                self.take(compound.at, compound.from, compound.bytes());
            }
        }
        let ntp = super::ntp_after(self.ntp_at_epoch, now);
        let Self {
            leg, ends, socket, ..
        } = self;
        let Some((report, to)) = leg.poll_report(now, ntp) else {
            return;
        };
        ends.send_rtcp(socket, report, to, meters);
    }

    /// RFC 3550 §6.6: a last report, and BYE.
    fn take_leave(&mut self, meters: &Meters) {
        let now = self.shared.last_tick().unwrap_or_default();
        let ntp = super::ntp_after(self.ntp_at_epoch, now);
        let Self {
            leg, ends, socket, ..
        } = self;
        if let Some((report, to)) = leg.farewell(now, ntp) {
            ends.send_rtcp(socket, report, to, meters);
        }
    }

    fn hand_out(&mut self, now: Duration, meters: &Meters) {
        while let Some(frame) = self.leg.poll_ear(now) {
            if self.ends.ears.push(frame).is_ok() {
                self.ears_waiting += 1;
            } else if !self.ends.ears.is_abandoned() {
                count(&self.shared.ear_drops);
                count(&meters.ear_drops);
            }
        }
        if self.ears_waiting >= self.ear_batch {
            self.ears_waiting = 0;
            self.shared.ear_wake.notify_one();
        }
        self.hand_out_events();
    }

    fn hand_out_events(&mut self) {
        let mut any = false;
        while self.ends.events.slots() > RESERVED_EVENTS {
            let Some(event) = self.leg.poll_event() else {
                break;
            };
            any = self.ends.events.push(SeatEvent::Leg(event)).is_ok();
        }
        if any {
            self.shared.event_wake.notify_one();
        }
    }
}

fn stats(leg: &Leg, ends: &ThreadEnds) -> LegStats {
    LegStats {
        not_authentic: ends.srtp.as_ref().map_or(0, |srtp| srtp.refused()),
        ..leg.stats()
    }
}

/// Where the next tick of a slot lies.
pub(super) const fn slot_time(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// How far behind a thread may be before ticks are given up.
pub(super) const PATIENCE: Duration = FRAME.saturating_mul(3);
