//! RTCP of one leg (RFC 3550 §6): what we sent and heard, told every five seconds, and what the far side tells.

use super::redundancy::Redundancy;
use super::{Leg, LegEventKind, RtcpPath, Wire};
use crate::Error;
use crate::codec::Tuning;
use crate::quality::{self, Bursts, Heard};
use crate::rtcp::{self, Report, ReportBlock, SenderInfo, VoipMetrics};
use crate::rtp::{Packet, seq_distance};
use std::net::SocketAddr;
use std::time::Duration;

/// RFC 3550 §6.2: the least interval, which is right for two parties.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);
/// The first report comes sooner, each leg's at a time of its own.
const FIRST_AFTER: Duration = Duration::from_millis(1_000);
const SPREAD_MS: u32 = 2_000;
/// Sender reports that the far side may still refer to.
const REMEMBERED: usize = 4;
/// RFC 3550 §6.4: whoever sent nothing for so many intervals is no sender.
const SILENT_REPORTS: u8 = 2;
/// Room of a compound: sender report, name, VoIP metrics, farewell.
pub(super) const MAX_COMPOUND: usize = 128;
/// Clocks that count whole milliseconds say that they kept a report for longer than it was away.
const COARSE: Duration = Duration::from_millis(10);
/// A step of the transit time by more is another clock, not jitter.
const CLOCK_STEP_SECONDS: u32 = 1;

/// Both sides of the books.
#[derive(Debug)]
pub(super) struct Reporter {
    due: Duration,
    packets: u32,
    octets: u32,
    /// Packets as of the last report, and reports in a row before which none was sent.
    told: u32,
    silent: u8,
    hearing: Option<Hearing>,
    /// The middle of the far side's last sender report's NTP time, and when it came.
    last_sr: Option<(u32, Duration)>,
    /// Ours, by the same name, and when they left.
    sent: [(u32, Duration); REMEMBERED],
    next: usize,
    remote: Option<ReportBlock>,
    /// How the far side says that it hears us.
    told_voip: Option<VoipMetrics>,
    redundancy: Redundancy,
    round_trip: Option<Duration>,
    buffer: [u8; MAX_COMPOUND],
}

/// One incoming stream (RFC 3550 appendices A.1, A.3, A.8).
#[derive(Debug, Clone, Copy)]
struct Hearing {
    ssrc: u32,
    first: u32,
    newest: u32,
    received: u32,
    expected_before: u32,
    received_before: u32,
    transit: u32,
    /// In 1/16 of a tick.
    jitter: u32,
    bursts: Bursts,
}

impl Reporter {
    pub(super) fn new(now: Duration, wire: &Wire) -> Self {
        let spread = Duration::from_millis(u64::from(wire.ssrc % SPREAD_MS));
        Self {
            due: now + FIRST_AFTER + spread,
            packets: 0,
            octets: 0,
            told: 0,
            silent: SILENT_REPORTS,
            hearing: None,
            last_sr: None,
            sent: [(0, Duration::ZERO); REMEMBERED],
            next: 0,
            remote: None,
            told_voip: None,
            redundancy: Redundancy::default(),
            round_trip: None,
            buffer: [0; MAX_COMPOUND],
        }
    }

    pub(super) const fn on_sent(&mut self, payload_bytes: usize) {
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
    }

    /// A packet of sound, on a clock of so many hertz.
    pub(super) fn on_heard(&mut self, now: Duration, packet: &Packet<'_>, clock_hz: u32) {
        let ticks = now.as_micros() as u64 * u64::from(clock_hz) / 1_000_000;
        let transit = (ticks as u32).wrapping_sub(packet.timestamp);
        match &mut self.hearing {
            Some(hearing) if hearing.ssrc == packet.ssrc => {
                hearing.hear(packet.seq, transit, clock_hz);
            }
            Some(_) | None => self.hearing = Some(Hearing::new(packet, transit)),
        }
    }

    /// A report of the far side's; the loss in percent to expect from now on, when it tells of ours.
    pub(super) fn on_report(&mut self, now: Duration, ours: u32, report: &Report) -> Option<u8> {
        let block = match *report {
            Report::Sender { info, block, .. } => {
                self.last_sr = Some(((info.ntp >> 16) as u32, now));
                block
            }
            Report::Receiver { block, .. } => block,
            Report::Bye { .. } => return None,
        };
        let block = block.filter(|block| block.ssrc == ours)?;
        self.remote = Some(block);
        self.measure(now, &block);
        Some(self.redundancy.on_report(block.fraction_lost))
    }

    /// RFC 3550 §6.4.1: since our report left, without the time the far side kept it.
    fn measure(&mut self, now: Duration, block: &ReportBlock) {
        let named = |(name, _): &&(u32, Duration)| *name == block.last_sr && *name != 0;
        let Some((_, left)) = self.sent.iter().find(named) else {
            return;
        };
        let kept_us = u64::from(block.delay_since_last_sr) * 1_000_000 / 65_536;
        let kept = Duration::from_micros(kept_us);
        let passed = now.saturating_sub(*left);
        if kept <= passed + COARSE {
            self.round_trip = Some(passed.saturating_sub(kept));
        }
    }

    /// When the next report is due.
    pub(super) const fn poll_timeout(&self) -> Duration {
        self.due
    }

    /// The report, if it is due. `ntp` is the wall clock, handed in (RFC 3550 §4).
    pub(super) fn report(
        &mut self,
        now: Duration,
        ntp: u64,
        wire: &Wire,
        metrics: Option<&VoipMetrics>,
    ) -> Option<&[u8]> {
        if now < self.due {
            return None;
        }
        self.due = now + REPORT_EVERY;
        let len = self.write(now, ntp, wire, metrics, false).ok()?;
        self.buffer.get(..len)
    }

    /// The last report, with a farewell (RFC 3550 §6.6).
    pub(super) fn farewell(
        &mut self,
        now: Duration,
        ntp: u64,
        wire: &Wire,
        metrics: Option<&VoipMetrics>,
    ) -> Option<&[u8]> {
        let len = self.write(now, ntp, wire, metrics, true).ok()?;
        self.buffer.get(..len)
    }

    fn write(
        &mut self,
        now: Duration,
        ntp: u64,
        wire: &Wire,
        metrics: Option<&VoipMetrics>,
        bye: bool,
    ) -> Result<usize, Error> {
        let report = self.compose(now, ntp, wire);
        let mut len = rtcp::build(&report, &mut self.buffer)?;
        len += rtcp::build_name(wire.ssrc, self.buffer.get_mut(len..).unwrap_or(&mut []))?;
        if let Some(metrics) = metrics {
            let rest = self.buffer.get_mut(len..).unwrap_or(&mut []);
            len += rtcp::build_voip_metrics(wire.ssrc, metrics, rest)?;
        }
        if bye {
            let ssrc = Some(wire.ssrc);
            let rest = self.buffer.get_mut(len..).unwrap_or(&mut []);
            len += rtcp::build(&Report::Bye { ssrc }, rest)?;
        }
        Ok(len)
    }

    /// A sender report, or a receiver report while we rest (RFC 3550 §6.4).
    fn compose(&mut self, now: Duration, ntp: u64, wire: &Wire) -> Report {
        let rested = self.packets == self.told;
        self.silent = if rested {
            self.silent.saturating_add(1)
        } else {
            0
        };
        self.told = self.packets;
        let (ssrc, block) = (wire.ssrc, self.block(now));
        if self.silent >= SILENT_REPORTS {
            return Report::Receiver { ssrc, block };
        }
        if let Some(slot) = self.sent.get_mut(self.next) {
            *slot = ((ntp >> 16) as u32, now);
        }
        self.next = (self.next + 1) % REMEMBERED;
        let info = SenderInfo {
            ntp,
            rtp_timestamp: wire.timestamp,
            packets: self.packets,
            octets: self.octets,
        };
        Report::Sender { ssrc, info, block }
    }

    fn block(&mut self, now: Duration) -> Option<ReportBlock> {
        let hearing = self.hearing.as_mut()?;
        let (last_sr, came) = self.last_sr.unwrap_or((0, now));
        let kept = now.saturating_sub(came).as_micros() * 65_536 / 1_000_000;
        Some(ReportBlock {
            ssrc: hearing.ssrc,
            fraction_lost: hearing.fraction_lost(),
            cumulative_lost: hearing.lost(),
            highest_seq: hearing.newest,
            jitter_ticks: hearing.jitter >> 4,
            last_sr,
            delay_since_last_sr: kept as u32,
        })
    }

    pub(super) const fn told_voip(&self) -> Option<VoipMetrics> {
        self.told_voip
    }

    pub(super) const fn remote(&self) -> Option<ReportBlock> {
        self.remote
    }

    pub(super) fn round_trip_us(&self) -> Option<u32> {
        self.round_trip.map(|time| time.as_micros() as u32)
    }

    pub(super) fn jitter_us(&self, clock_hz: u32) -> u32 {
        let sixteenths = self.hearing.map_or(0, |hearing| u64::from(hearing.jitter));
        (sixteenths * 1_000_000 / 16 / u64::from(clock_hz.max(1))) as u32
    }
}

impl Hearing {
    fn new(packet: &Packet<'_>, transit: u32) -> Self {
        // A round ahead, so that a packet that comes before the first cannot fall below zero.
        let first = u32::from(packet.seq) + (1 << 16);
        Self {
            ssrc: packet.ssrc,
            first,
            newest: first,
            received: 1,
            expected_before: 0,
            received_before: 0,
            transit,
            jitter: 0,
            bursts: Bursts::default(),
        }
    }

    fn hear(&mut self, seq: u16, transit: u32, clock_hz: u32) {
        let ahead = seq_distance(seq, self.newest as u16);
        if ahead > 0 {
            self.newest = self.newest.wrapping_add(ahead as u32);
            // What is overtaken counts as lost here: such a packet is mostly late too.
            (1..ahead).for_each(|_| self.bursts.lost());
            self.bursts.received();
        }
        self.received = self.received.wrapping_add(1);
        let step = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        self.transit = transit;
        if step < clock_hz * CLOCK_STEP_SECONDS {
            self.jitter = (self.jitter + step).saturating_sub((self.jitter + 8) >> 4);
        }
    }

    const fn expected(&self) -> u32 {
        self.newest.wrapping_sub(self.first).wrapping_add(1)
    }

    /// 24 bits, signed: packets that came twice make it negative.
    fn lost(&self) -> i32 {
        let lost = i64::from(self.expected()) - i64::from(self.received);
        lost.clamp(-0x80_0000, 0x7f_ffff) as i32
    }

    /// Since the last report.
    fn fraction_lost(&mut self) -> u8 {
        let expected = self.expected().wrapping_sub(self.expected_before);
        let received = self.received.wrapping_sub(self.received_before);
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = expected.saturating_sub(received);
        ((u64::from(lost) << 8) / u64::from(expected.max(1))).min(255) as u8
    }
}

impl Leg {
    /// The RTCP compound that is due, and where it goes. `ntp` is the wall clock as a 32.32 fixed-point number (RFC 3550 §4).
    pub fn poll_report(&mut self, now: Duration, ntp: u64) -> Option<(&[u8], SocketAddr)> {
        if now < self.reports.poll_timeout() {
            return None;
        }
        let (to, wire) = (self.rtcp_target()?, self.speaker.wire());
        let metrics = self.voip_metrics();
        let report = self.reports.report(now, ntp, &wire, metrics.as_ref());
        Some((report?, to))
    }

    /// The last RTCP compound of this leg, with a farewell.
    pub fn farewell(&mut self, now: Duration, ntp: u64) -> Option<(&[u8], SocketAddr)> {
        let (to, wire) = (self.rtcp_target()?, self.speaker.wire());
        let metrics = self.voip_metrics();
        let report = self.reports.farewell(now, ntp, &wire, metrics.as_ref());
        Some((report?, to))
    }

    /// What the caller suffers on the way to us: what was lost and what was late, and half the round trip with our buffer.
    pub(super) fn mos_centi(&self) -> u16 {
        self.suffered().map_or(0, quality::mos_centi)
    }

    fn suffered(&self) -> Option<Heard> {
        let jitter = self.jitter.counters();
        let came = jitter.received + jitter.lost;
        let unheard = (jitter.lost + jitter.late).saturating_sub(jitter.recovered);
        let buffer_ms = self.delay_sum_ms / self.ticks.max(1);
        let way_ms = self.reports.round_trip_us().unwrap_or(0) as f32 / 2_000.0;
        (jitter.received > 0).then(|| Heard {
            loss_percent: unheard as f32 * 100.0 / came as f32,
            delay_ms: way_ms + buffer_ms as f32 + crate::FRAME_MS as f32,
            impairment: self.line.spec().impairment,
        })
    }

    /// RFC 3611 §4.7, where the far side asks for it and there is something to tell.
    fn voip_metrics(&self) -> Option<VoipMetrics> {
        let suffered = self.suffered().filter(|_| self.voip_metrics)?;
        let hearing = self.reports.hearing?;
        let counters = self.jitter.counters();
        let due = (counters.received + counters.lost).max(1);
        let rate = |packets: u64| (packets * 256 / due).min(255) as u8;
        let bursts = hearing.bursts.figures();
        let packets_ms = |packets: u32| clipped(u64::from(packets) * crate::FRAME_MS);
        let buffer_ms = self.delay_sum_ms / self.ticks.max(1);
        let tenths = |heard| (quality::mos_centi(heard) / 10) as u8;
        let undelayed = Heard {
            delay_ms: 0.0,
            ..suffered
        };
        Some(VoipMetrics {
            ssrc: hearing.ssrc,
            loss_rate: rate(counters.lost),
            discard_rate: rate(counters.late),
            burst_density: bursts.burst_density,
            gap_density: bursts.gap_density,
            burst_ms: packets_ms(bursts.burst_packets),
            gap_ms: packets_ms(bursts.gap_packets),
            round_trip_ms: clipped(u64::from(self.reports.round_trip_us().unwrap_or(0)) / 1_000),
            end_system_ms: clipped(buffer_ms + 2 * crate::FRAME_MS),
            rating: quality::rating(suffered) as u8,
            listening: tenths(undelayed),
            conversational: tenths(suffered),
            buffer_ms: clipped(self.jitter.target_ms().unsigned_abs()),
            buffer_cap_ms: clipped(crate::jitter::CAP_MS),
        })
    }

    pub(super) fn on_rtcp(&mut self, src: SocketAddr, bytes: &[u8]) {
        if !self.reports_from(src) {
            return;
        }
        for report in rtcp::parse(bytes) {
            match report {
                Ok(Report::Bye { .. }) => self.tell(LegEventKind::RemoteBye),
                Ok(report) => self.on_report(&report),
                Err(_) => self.stats.malformed += 1,
            }
        }
        let ours = self.speaker.wire().ssrc;
        let about_us = rtcp::voip_metrics(bytes).filter(|metrics| metrics.ssrc == ours);
        if let Some(metrics) = about_us.last() {
            self.reports.told_voip = Some(metrics);
        }
    }

    /// Reports come from where media does; over ports of their own, from the same host.
    fn reports_from(&mut self, src: SocketAddr) -> bool {
        let host = self.source.source().map(|source| source.ip());
        match &mut self.rtcp {
            RtcpPath::Muxed => self.source.is_locked_to(src),
            RtcpPath::Apart(to) if host == Some(src.ip()) => {
                *to = Some(src);
                true
            }
            RtcpPath::Apart(_) => false,
        }
    }

    /// What our packets suffer decides how much redundancy they get.
    fn on_report(&mut self, report: &Report) {
        let ours = self.speaker.wire().ssrc;
        if let Some(loss_percent) = self.reports.on_report(self.now, ours, report) {
            self.tune(Tuning {
                loss_percent,
                ..self.tuning
            });
        }
    }

    fn rtcp_target(&self) -> Option<SocketAddr> {
        match self.rtcp {
            RtcpPath::Muxed => self.source.target(),
            RtcpPath::Apart(to) => to,
        }
    }
}

/// Into sixteen bits.
fn clipped(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
