//! What a run showed: figures, a verdict by rules declared before, a table and JSON.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::Duration,
};

use serde::Serialize;

use super::{
    dialler::{Outcome, Run},
    ear::Heard,
    gauge::Window,
    mix::Deed,
    plan::Plan,
};
use crate::media::Lateness;

/// A generator later than this measures itself.
const MOST_LATE: Duration = Duration::from_millis(20);
/// A machine that is not ours for longer measures its neighbours.
const MOST_STOLEN_PERCENT: f64 = 5.0;
/// Calls listed one by one, those that fared worst.
const WORST: usize = 10;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The plan's name.
    pub plan: String,
    /// Whom it called.
    pub target: String,
    /// Calls placed, answered, refused, dropped.
    pub calls: Calls,
    /// Sound.
    pub sound: Sound,
    /// Processor and memory while all calls were up (or from first to last, when they come and go).
    pub hold: Window,
    /// Cost of one call.
    pub per_call: PerCall,
    /// The server's resident memory before the first call and when the last had ended.
    pub server_rss_idle_kb: Option<u64>,
    /// See `server_rss_idle_kb`.
    pub server_rss_after_kb: Option<u64>,
    /// Why nothing above counts; empty when it does.
    pub void: Vec<String>,
}

/// Signalling.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Calls {
    /// Placed.
    pub placed: usize,
    /// Answered with 200.
    pub answered: usize,
    /// Not answered, by final status; 0 for none.
    pub refused: BTreeMap<u16, usize>,
    /// Answered, and ended otherwise than by our BYE.
    pub dropped: usize,
    /// Answered or refused otherwise than the plan means.
    pub wrong: usize,
    /// Records that the server must have of them.
    pub records: usize,
    /// Calls ordered over REST: taken, and those that came, were answered and ended by who was called.
    pub ordered: Option<(usize, usize)>,
    /// INVITE → 200.
    pub setup_ms: Spread,
    /// 200 → first RTP packet; a packet that overtakes the 200 counts as 0.
    pub first_packet_ms: Spread,
}

/// Of a few values: exact.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Spread {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
}

/// Of very many values: upper edges of buckets about a tenth wide, milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Tail {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
}

/// All calls' sound together, and the worst calls.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sound {
    /// Frames we sent.
    pub sent: u64,
    /// Frames the system would not send.
    pub send_errors: u64,
    /// Packets that came.
    pub packets: u64,
    /// Packets lost on the way to us.
    pub lost: u64,
    /// Pauses of more than 40 ms between packets.
    pub gaps: u64,
    /// The longest pause.
    pub longest_gap_ms: f64,
    /// The largest interarrival jitter of a call.
    pub jitter_ms: f64,
    /// Our frames that came back; with them those whose sound was changed, that are missing in
    /// between, came again, or belong to another call.
    pub returned: u64,
    /// See `returned`.
    pub altered: u64,
    /// See `returned`.
    pub missing: u64,
    /// See `returned`.
    pub repeated: u64,
    /// See `returned`.
    pub foreign: u64,
    /// Answered calls to which nothing came.
    pub silent_calls: usize,
    /// Answered calls to which nothing of their own came back.
    pub markless_calls: usize,
    /// The first frame that came back, over all calls: how much sound is spoken into a call that does not hear yet.
    pub first_returned: u32,
    /// Arrival against each call's own 20 ms grid.
    pub arrival_late_ms: Tail,
    /// Our own sending against our grid.
    pub send_late_ms: Tail,
    /// Out and back.
    pub round_trip_ms: Tail,
    /// The calls that fared worst.
    pub worst: Vec<Worst>,
}

/// One of the worst calls.
#[derive(Debug, Clone, Serialize)]
pub struct Worst {
    /// Its number.
    pub call: u32,
    /// Frames it sent.
    pub sent: u32,
    /// What it heard.
    #[serde(flatten)]
    pub heard: Heard,
}

/// Cost of one call, where the server was looked at.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct PerCall {
    /// Server, % of one core while it is held.
    pub server_cpu_percent: Option<f64>,
    /// Server, processor time of a whole call from INVITE to BYE, when calls come and go.
    pub server_cpu_ms: Option<f64>,
    /// Calls answered a second, when calls come and go.
    pub a_second: Option<f64>,
    /// Server, resident memory above idle.
    pub server_rss_kb: Option<f64>,
    /// Generator, % of one core.
    pub own_cpu_percent: f64,
}

/// The histograms and counters of the wire.
pub(super) struct Measured {
    pub(super) arrival: Lateness,
    pub(super) send: Lateness,
    pub(super) round_trip: Lateness,
    pub(super) send_errors: u64,
    /// Frames sent, by call.
    pub(super) sent: HashMap<u32, u32>,
    /// Orders taken, and of their calls those that came and went as they should.
    pub(super) ordered: Option<(usize, usize)>,
}

impl Report {
    pub(super) fn new(plan: &Plan, run: &Run, measured: &Measured) -> Self {
        let (start, end) = &run.hold;
        let hold = start.until(end);
        let mut calls = Calls::of(plan, &run.outcomes);
        calls.ordered = measured.ordered;
        let mut report = Self {
            plan: plan.name.clone(),
            target: plan.call.to.clone(),
            per_call: per_call(plan, &hold, run.idle.rss_kb(), calls.answered),
            calls,
            sound: Sound::of(plan, &run.outcomes, measured),
            hold,
            server_rss_idle_kb: run.idle.rss_kb(),
            server_rss_after_kb: run.last.rss_kb(),
            void: Vec::new(),
        };
        report.void = report.faults(&run.idle.until(&run.last));
        report
    }

    /// The rules, in the order of the README.
    fn faults(&self, whole: &Window) -> Vec<String> {
        let late = self.sound.send_late_ms.p99;
        let most_late = MOST_LATE.as_secs_f64() * 1e3;
        let (drops, stolen) = (whole.kernel_drops, self.hold.stolen_percent);
        let rules = [
            (
                late > most_late,
                format!("the generator sent late: p99 {late:.1} ms"),
            ),
            (
                self.sound.send_errors > 0,
                format!("{} packets were not sent", self.sound.send_errors),
            ),
            (drops > 0, format!("the kernel dropped {drops} datagrams")),
            (
                stolen > MOST_STOLEN_PERCENT,
                format!("{stolen:.1} % of the machine's time was stolen"),
            ),
        ];
        let broken = rules.into_iter().filter(|(broken, _)| *broken);
        broken.map(|(_, why)| why).collect()
    }

    /// No call refused or dropped, none silent, none with another's sound, and the run counts.
    pub fn is_good(&self) -> bool {
        let calls = &self.calls;
        self.void.is_empty()
            && calls.wrong == 0
            && calls.dropped == 0
            && calls.ordered.is_none_or(|(taken, gone)| taken == gone)
            && self.sound.silent_calls == 0
            && self.sound.markless_calls == 0
            && self.sound.foreign == 0
    }
}

/// Answered, or refused where that was meant.
fn is_right(plan: &Plan, call: usize, outcome: &Outcome) -> bool {
    outcome.refused == plan.kind(call).and_then(|kind| kind.refused)
}

fn per_call(plan: &Plan, hold: &Window, idle_kb: Option<u64>, answered: usize) -> PerCall {
    let calls = answered.max(1) as f64;
    let grown = hold.server_rss_kb.zip(idle_kb);
    let passing = !plan.load.together;
    let spent_ms = |percent: f64| percent / 100.0 * hold.seconds * 1e3;
    PerCall {
        server_cpu_percent: hold.server_cpu_percent.map(|percent| percent / calls),
        server_cpu_ms: hold
            .server_cpu_percent
            .filter(|_| passing)
            .map(|p| spent_ms(p) / calls),
        a_second: passing.then_some(calls / hold.seconds.max(0.001)),
        server_rss_kb: grown.map(|(up, idle)| (up as f64 - idle as f64) / calls),
        own_cpu_percent: hold.own_cpu_percent / calls,
    }
}

impl Calls {
    fn of(plan: &Plan, outcomes: &[Outcome]) -> Self {
        let mut refused = BTreeMap::new();
        for status in outcomes.iter().filter_map(|outcome| outcome.refused) {
            *refused.entry(status).or_insert(0) += 1;
        }
        let first = |outcome: &Outcome| {
            let (answered, first) = outcome.answered_at.zip(outcome.heard.first_at)?;
            Some(first.saturating_sub(answered))
        };
        Self {
            placed: outcomes.len(),
            answered: outcomes.iter().filter(|o| o.answered_at.is_some()).count(),
            refused,
            dropped: outcomes.iter().filter(|o| o.dropped).count(),
            wrong: (0..)
                .zip(outcomes)
                .filter(|(call, o)| !is_right(plan, *call, o))
                .count(),
            records: plan.records(),
            ordered: None,
            setup_ms: Spread::of(outcomes.iter().filter_map(|o| o.setup)),
            first_packet_ms: Spread::of(outcomes.iter().filter_map(first)),
        }
    }
}

impl Sound {
    fn of(plan: &Plan, outcomes: &[Outcome], measured: &Measured) -> Self {
        let answered = || outcomes.iter().filter(|o| o.answered_at.is_some());
        let sum = |of: fn(&Heard) -> u64| outcomes.iter().map(|o| of(&o.heard)).sum();
        let largest = |of: fn(&Heard) -> f64| {
            let all = outcomes.iter().map(|o| of(&o.heard));
            all.fold(0.0, f64::max)
        };
        let mute = |of: fn(&Heard) -> u64| answered().filter(|o| of(&o.heard) == 0).count();
        let first = outcomes.iter().filter_map(|o| o.heard.first_returned);
        Self {
            sent: measured
                .sent
                .values()
                .map(|frames| u64::from(*frames))
                .sum(),
            send_errors: measured.send_errors,
            packets: sum(|heard| heard.packets),
            lost: sum(|heard| heard.lost),
            gaps: sum(|heard| heard.gaps),
            longest_gap_ms: largest(|heard| heard.longest_gap_ms),
            jitter_ms: largest(|heard| heard.jitter_ms),
            returned: sum(|heard| heard.returned),
            altered: sum(|heard| heard.altered),
            missing: sum(|heard| heard.missing),
            repeated: sum(|heard| heard.repeated),
            foreign: sum(|heard| heard.foreign),
            silent_calls: mute(|heard| heard.packets),
            markless_calls: match plan.call.returns {
                true => markless(plan, outcomes),
                false => 0,
            },
            first_returned: first.max().unwrap_or(0),
            arrival_late_ms: Tail::of(&measured.arrival),
            send_late_ms: Tail::of(&measured.send),
            round_trip_ms: Tail::of(&measured.round_trip),
            worst: worst(outcomes, &measured.sent),
        }
    }
}

/// Answered, meant to hear itself, and never did. Who is handed on at once hears nothing here.
fn markless(plan: &Plan, outcomes: &[Outcome]) -> usize {
    let hears = |call: usize| plan.kind(call).is_none_or(|k| k.does != Deed::HandedOn);
    let calls = outcomes.iter().enumerate();
    let mute = calls.filter(|(_, o)| o.answered_at.is_some() && o.heard.returned == 0);
    mute.filter(|(call, _)| hears(*call)).count()
}

fn worst(outcomes: &[Outcome], sent: &HashMap<u32, u32>) -> Vec<Worst> {
    let trouble = |heard: &Heard| {
        heard.lost + heard.gaps + heard.missing + heard.repeated + heard.altered + heard.foreign
    };
    let mut calls: Vec<_> = (0_u32..).zip(outcomes).collect();
    calls.retain(|(_, outcome)| trouble(&outcome.heard) > 0);
    calls.sort_by_key(|(_, outcome)| std::cmp::Reverse(trouble(&outcome.heard)));
    let worst = calls.into_iter().take(WORST).map(|(call, outcome)| Worst {
        call,
        sent: sent.get(&call).copied().unwrap_or(0),
        heard: outcome.heard.clone(),
    });
    worst.collect()
}

impl Spread {
    fn of(values: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = values.map(|value| value.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(rank).copied().unwrap_or(0.0)
        };
        Self {
            p50: at(50),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Tail {
    fn of(lateness: &Lateness) -> Self {
        let ms = |us: u64| us as f64 / 1e3;
        Self {
            p50: ms(lateness.p50_us),
            p99: ms(lateness.p99_us),
            p999: ms(lateness.p999_us),
            max: ms(lateness.max_us),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} / {:.1} / {:.1} ms (p50, p99, max)",
            self.p50, self.p99, self.max
        )
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            p50,
            p99,
            p999,
            max,
        } = self;
        write!(
            f,
            "{p50:.2} / {p99:.2} / {p999:.2} / {max:.2} ms (p50, p99, p99.9, max)"
        )
    }
}

/// A Markdown table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| {} | |\n|---|---|", self.plan)?;
        for (what, value) in self.rows() {
            writeln!(f, "| {what} | {value} |")?;
        }
        Ok(())
    }
}

impl Report {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = self.call_rows();
        rows.extend(self.sound_rows());
        rows.extend(self.cost_rows());
        let verdict = match self.void.is_empty() {
            true => "the run counts".to_owned(),
            false => format!("**void**: {}", self.void.join("; ")),
        };
        rows.push(("verdict", verdict));
        rows
    }

    fn call_rows(&self) -> Vec<(&'static str, String)> {
        let Calls {
            placed,
            answered,
            refused,
            dropped,
            wrong,
            records,
            ordered,
            setup_ms,
            first_packet_ms,
        } = &self.calls;
        let refused: Vec<_> = refused
            .iter()
            .map(|(status, n)| format!("{n} × {status}"))
            .collect();
        let refused = match refused.is_empty() {
            true => "0".to_owned(),
            false => refused.join(", "),
        };
        let mut rows = vec![
            (
                "calls",
                format!(
                    "{answered} of {placed} answered, {refused} refused, {dropped} dropped; {wrong} otherwise than meant, {records} records to come"
                ),
            ),
            ("INVITE → 200", setup_ms.to_string()),
            ("200 → first RTP packet", first_packet_ms.to_string()),
        ];
        let ordered = ordered.map(|(taken, gone)| format!("{taken} taken, {gone} came and went"));
        rows.extend(ordered.map(|text| ("calls ordered over REST", text)));
        rows
    }

    fn sound_rows(&self) -> Vec<(&'static str, String)> {
        let s = &self.sound;
        vec![
            (
                "packets",
                format!("{} sent, {} came, {} lost", s.sent, s.packets, s.lost),
            ),
            (
                "gaps > 40 ms",
                format!("{}, longest pause {:.1} ms", s.gaps, s.longest_gap_ms),
            ),
            (
                "own sound back",
                format!(
                    "{} frames, {} missing, {} altered, {} repeated, {} of another call, first from frame {}",
                    s.returned, s.missing, s.altered, s.repeated, s.foreign, s.first_returned
                ),
            ),
            ("round trip", s.round_trip_ms.to_string()),
            (
                "arrival against a 20 ms grid",
                s.arrival_late_ms.to_string(),
            ),
            (
                "largest jitter of a call (RFC 3550)",
                format!("{:.2} ms", s.jitter_ms),
            ),
            ("generator's send lateness", s.send_late_ms.to_string()),
        ]
    }

    fn cost_rows(&self) -> Vec<(&'static str, String)> {
        let (hold, one) = (&self.hold, &self.per_call);
        let mut rows = Vec::new();
        if let (Some(all), Some(each)) = (hold.server_cpu_percent, one.server_cpu_percent) {
            let spent = match (one.server_cpu_ms, one.a_second) {
                (Some(ms), Some(rate)) => format!(
                    "**{ms:.2} ms** for a whole call ({all:.1} % of a core in all, {rate:.0} calls a second)"
                ),
                _ => format!("**{each:.3} %** of a core ({all:.2} % in all)"),
            };
            rows.push(("server CPU per call", spent));
            let threads = hold.server_threads_percent.iter();
            let threads = threads.filter(|(_, percent)| **percent >= 0.05);
            let threads: Vec<_> = threads
                .map(|(name, percent)| format!("{name} {percent:.2}"))
                .collect();
            rows.push(("server CPU by thread, % of a core", threads.join(", ")));
        }
        let memory = (
            self.server_rss_idle_kb,
            hold.server_rss_kb,
            self.server_rss_after_kb,
        );
        if let ((Some(idle), Some(up), Some(after)), Some(each)) = (memory, one.server_rss_kb) {
            let mb = |kb: u64| kb as f64 / 1024.0;
            let text = format!(
                "**{each:.0} KB** (idle {:.1} MB, all up {:.1} MB, after {:.1} MB)",
                mb(idle),
                mb(up),
                mb(after)
            );
            rows.push(("server memory per call", text));
        }
        rows.push((
            "generator CPU per call",
            format!("{:.3} % of a core", one.own_cpu_percent),
        ));
        rows.push((
            "hold",
            format!(
                "{:.1} s; other processes {:.0} % of a core, stolen {:.1} %, kernel drops {}",
                hold.seconds, hold.others_cpu_percent, hold.stolen_percent, hold.kernel_drops
            ),
        ));
        rows
    }
}
