//! Every metric name of the switch. Labels are bounded: never a call id or a number.

use media_core::leg::Quality;
use model::{EndReason, fact::MediaStats};
use prometheus::{
    Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::services::Services;

const MOS: [f64; 8] = [2.0, 2.5, 3.0, 3.5, 4.0, 4.2, 4.3, 4.4];
const MILLISECONDS: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0];
const PERCENT: [f64; 6] = [0.1, 0.5, 1.0, 3.0, 5.0, 12.0];

/// The counters that code increments. Gauges are read from their owners when asked for.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Calls refused by admission before they became calls.
    pub refused: IntCounterVec,
    /// Proofs of who calls, by what became of them.
    pub attested: IntCounterVec,
    /// Far sides that could not be told that their call is over.
    pub unreachable: IntCounter,
    /// Actors and media machines restarted, by kind.
    pub restarts: IntCounterVec,
    ended: IntCounterVec,
    guard: IntGaugeVec,
    mos: Histogram,
    remote_mos: Histogram,
    jitter: Histogram,
    loss: Histogram,
    round_trip: Histogram,
    quality: IntGaugeVec,
    active: IntGauge,
    profiles: IntGaugeVec,
    media: IntGaugeVec,
    journal: IntGaugeVec,
    recogniser: IntGaugeVec,
    dialogs: IntGauge,
    tasks: IntGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let counter = |name, help| keep(&registry, IntCounter::new(name, help));
        let counters = |name, help, label: &[&str]| {
            keep(&registry, IntCounterVec::new(Opts::new(name, help), label))
        };
        let gauge = |name, help| keep(&registry, IntGauge::new(name, help));
        let gauges = |name, help, label: &[&str]| {
            keep(&registry, IntGaugeVec::new(Opts::new(name, help), label))
        };
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            keep(&registry, Histogram::with_opts(options))
        };
        Self {
            refused: counters(
                "ms_calls_refused_total",
                "INVITEs refused by admission, which leave no record",
                &["profile", "reason"],
            ),
            attested: counters(
                "ms_calls_attested_total",
                "calls of which a proof of who calls was wanted, by what became of it",
                &["verstat"],
            ),
            guard: gauges(
                "ms_sip_blocked",
                "packets that were not parsed, by reason, and sources banned now",
                &["profile", "reason"],
            ),
            unreachable: counter(
                "ms_farewells_unreachable_total",
                "far sides that got no BYE",
            ),
            restarts: counters(
                "ms_actor_restarts_total",
                "restarts after a fault",
                &["actor"],
            ),
            mos: histogram("ms_call_mos", "mean opinion score of a call", &MOS),
            remote_mos: histogram(
                "ms_call_remote_mos",
                "mean opinion score of our sound, as far sides tell it (RFC 3611)",
                &MOS,
            ),
            jitter: histogram("ms_call_jitter_ms", "jitter of a call", &MILLISECONDS),
            loss: histogram("ms_call_loss_percent", "packets lost in a call", &PERCENT),
            round_trip: histogram("ms_call_round_trip_ms", "to the far side", &MILLISECONDS),
            quality: gauges(
                "ms_calls_by_quality",
                "calls alive by how well their caller is heard, over five seconds",
                &["quality"],
            ),
            ended: counters("ms_calls_total", "calls ended", &["end_reason"]),
            active: gauge("ms_calls_active", "calls alive"),
            profiles: gauges("ms_profiles", "SIP profiles by state", &["state"]),
            media: gauges(
                "ms_media",
                "media threads: legs, lateness, drops, ports",
                &["what"],
            ),
            journal: gauges("ms_journal", "journal: queue, bytes, facts", &["what"]),
            recogniser: gauges("ms_recogniser", "local recogniser pool", &["what"]),
            dialogs: gauge("ms_dialogs_active", "SIP dialogs alive"),
            tasks: gauge("ms_tasks", "tasks alive, actors and timers among them"),
            registry,
        }
    }
}

/// One call among those of its quality, until it is dropped.
#[derive(Debug)]
pub struct QualityCount(IntGauge);

impl Drop for QualityCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A name can only clash with itself, in this file.
fn keep<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let collector = made.unwrap_or_else(|e| panic!("a metric of this file is malformed: {e}"));
    if let Err(e) = registry.register(Box::new(collector.clone())) {
        panic!("a metric of this file is there twice: {e}");
    }
    collector
}

impl Metrics {
    /// A call ended.
    pub fn ended(&self, reason: Option<EndReason>) {
        let reason = reason.unwrap_or(EndReason::InternalError);
        self.ended.with_label_values(&[reason.as_str()]).inc();
    }

    /// A call whose caller is heard like this, from now on.
    pub fn sounds(&self, quality: Quality) -> QualityCount {
        let gauge = self.quality.with_label_values(&[quality.as_str()]);
        gauge.inc();
        QualityCount(gauge)
    }

    /// How a call's media was, at its end. A call without any says nothing.
    pub fn heard(&self, media: &MediaStats) {
        if media.packets_in == 0 {
            return;
        }
        self.mos.observe(media.mos.into());
        self.jitter.observe(media.jitter_ms.into());
        self.loss.observe(media.loss_percent.into());
        if let Some(mos) = media.remote_mos {
            self.remote_mos.observe(mos.into());
        }
        if let Some(round_trip_ms) = media.round_trip_ms {
            self.round_trip.observe(round_trip_ms.into());
        }
    }

    /// The text a Prometheus server reads.
    pub fn render(
        &self,
        services: &Services,
        profiles_up: usize,
        profiles_failed: usize,
    ) -> String {
        self.active.set(number(services.calls.len()));
        self.dialogs.set(number(services.book.len()));
        let runtime = tokio::runtime::Handle::current().metrics();
        self.tasks.set(number(runtime.num_alive_tasks()));
        self.set(
            &self.profiles,
            &[
                ("up", profiles_up as u64),
                ("failed", profiles_failed as u64),
            ],
        );
        self.set(&self.media, &services.media_numbers());
        self.set(&self.journal, &services.journal_numbers());
        self.set(&self.recogniser, &services.recogniser_numbers());
        self.guards(services);
        let mut out = Vec::new();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), &mut out);
        match encoded {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }

    fn guards(&self, services: &Services) {
        let now = services.clock.now();
        for line in services.lines.all() {
            let gate = line.wire.gate();
            let banned = ("banned_sources", gate.bans(now).len() as u64);
            for (what, value) in gate.dropped().numbers().into_iter().chain([banned]) {
                let value = i64::try_from(value).unwrap_or(i64::MAX);
                let labels = [&*line.profile.name, what];
                self.guard.with_label_values(&labels).set(value);
            }
        }
    }

    fn set(&self, gauges: &IntGaugeVec, values: &[(&str, u64)]) {
        for (what, value) in values {
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            gauges.with_label_values(&[what]).set(value);
        }
    }
}

fn number(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
