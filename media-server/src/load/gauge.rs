//! What the machine says about a run: processor time of the server's process (by thread name) and
//! of our own, resident memory, stolen time, datagrams the kernel dropped. All from `/proc`.

use std::{collections::BTreeMap, fs, time::Instant};

use serde::Serialize;

/// `/proc` counts processor time in hundredths of a second (`USER_HZ`, fixed for programs on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    at: Instant,
    server: Option<Process>,
    own_ticks: u64,
    machine: Machine,
    dropped: u64,
}

#[derive(Debug, Clone, Default)]
struct Process {
    ticks: u64,
    threads: BTreeMap<String, u64>,
    rss_kb: u64,
}

/// `/proc/stat`, ticks of all processors.
#[derive(Debug, Clone, Copy, Default)]
struct Machine {
    busy: u64,
    stolen: u64,
    all: u64,
}

/// What happened between two looks.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Window {
    /// How long.
    pub seconds: f64,
    /// The server's processor time, % of one core.
    pub server_cpu_percent: Option<f64>,
    /// The same by thread name.
    pub server_threads_percent: BTreeMap<String, f64>,
    /// The server's resident memory at the end.
    pub server_rss_kb: Option<u64>,
    /// Our own processor time, % of one core.
    pub own_cpu_percent: f64,
    /// What all other processes took, % of one core.
    pub others_cpu_percent: f64,
    /// Time the hypervisor gave to others, % of all processors.
    pub stolen_percent: f64,
    /// Datagrams the kernel dropped on this machine for want of room in a socket.
    pub kernel_drops: u64,
}

impl Sample {
    /// Looks. `server` is its process id.
    pub(super) fn take(server: Option<u32>) -> Self {
        Self {
            at: Instant::now(),
            server: server.map(|pid| process(&format!("/proc/{pid}"))),
            own_ticks: ticks("/proc/self/stat"),
            machine: machine(),
            dropped: drops(),
        }
    }

    /// The server's resident memory.
    pub(super) fn rss_kb(&self) -> Option<u64> {
        self.server.as_ref().map(|server| server.rss_kb)
    }

    /// From this look to a later one.
    pub(super) fn until(&self, end: &Self) -> Window {
        let seconds = end.at.saturating_duration_since(self.at).as_secs_f64();
        let percent = |ticks: u64| ticks as f64 / TICKS_PER_SECOND / seconds.max(0.001) * 100.0;
        let server = self.server.as_ref().zip(end.server.as_ref());
        let server_ticks = server.map(|(before, after)| after.ticks.saturating_sub(before.ticks));
        let own_ticks = end.own_ticks.saturating_sub(self.own_ticks);
        let busy = end.machine.busy.saturating_sub(self.machine.busy);
        let others = busy.saturating_sub(own_ticks + server_ticks.unwrap_or(0));
        let all = end.machine.all.saturating_sub(self.machine.all).max(1);
        let stolen = end.machine.stolen.saturating_sub(self.machine.stolen);
        Window {
            seconds,
            server_cpu_percent: server_ticks.map(percent),
            server_threads_percent: server.map_or_else(BTreeMap::new, |(before, after)| {
                let spent = after.threads.iter().map(|(name, ticks)| {
                    let before = before.threads.get(name).copied().unwrap_or(0);
                    (name.clone(), percent(ticks.saturating_sub(before)))
                });
                spent.collect()
            }),
            server_rss_kb: end.rss_kb(),
            own_cpu_percent: percent(own_ticks),
            others_cpu_percent: percent(others),
            stolen_percent: stolen as f64 / all as f64 * 100.0,
            kernel_drops: end.dropped.saturating_sub(self.dropped),
        }
    }
}

fn process(folder: &str) -> Process {
    let mut threads = BTreeMap::new();
    let tasks = fs::read_dir(format!("{folder}/task"));
    for task in tasks.into_iter().flatten().flatten() {
        let path = task.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let spent = ticks(&path.join("stat").to_string_lossy());
        *threads.entry(name.trim().to_owned()).or_insert(0) += spent;
    }
    Process {
        ticks: ticks(&format!("{folder}/stat")),
        threads,
        rss_kb: rss_kb(&fs::read_to_string(format!("{folder}/status")).unwrap_or_default()),
    }
}

fn ticks(stat: &str) -> u64 {
    ticks_of(&fs::read_to_string(stat).unwrap_or_default())
}

/// utime + stime: fields 14 and 15, counted after the name, which may contain spaces (`man 5 proc`).
fn ticks_of(stat: &str) -> u64 {
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let fields = after.split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum()
}

fn rss_kb(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

fn machine() -> Machine {
    machine_of(&fs::read_to_string("/proc/stat").unwrap_or_default())
}

/// `cpu user nice system idle iowait irq softirq steal …` (guest time is inside user time).
fn machine_of(stat: &str) -> Machine {
    let line = stat.lines().next().unwrap_or_default();
    let fields = line.split_whitespace().skip(1).take(8);
    let fields: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    let [user, nice, system, idle, waiting, irq, soft_irq, stolen] = fields[..] else {
        return Machine::default();
    };
    let busy = user + nice + system + irq + soft_irq;
    Machine {
        busy,
        stolen,
        all: busy + idle + waiting + stolen,
    }
}

fn drops() -> u64 {
    let named = |path: &str| drops_of(&fs::read_to_string(path).unwrap_or_default());
    named("/proc/net/snmp")
}

/// `RcvbufErrors` + `SndbufErrors` of the `Udp:` pair of lines.
fn drops_of(snmp: &str) -> u64 {
    let mut udp = snmp.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (Some(names), Some(values)) = (udp.next(), udp.next()) else {
        return 0;
    };
    let pairs = names.split_whitespace().zip(values.split_whitespace());
    pairs
        .filter(|(name, _)| ["RcvbufErrors", "SndbufErrors"].contains(name))
        .filter_map(|(_, value)| value.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 120 30 0 0 20 0";
        assert_eq!(ticks_of(stat), 150);
        assert_eq!(ticks_of(""), 0);
    }

    #[test]
    fn memory_drops_and_stolen_time_are_read_by_name() {
        assert_eq!(rss_kb("Name:\tx\nVmRSS:\t   4711 kB\n"), 4_711);
        let snmp =
            "Ip: A\nIp: 1\nUdp: InDatagrams NoPorts RcvbufErrors SndbufErrors\nUdp: 9 8 3 4\n";
        assert_eq!(drops_of(snmp), 7);
        let machine = machine_of("cpu  10 1 5 100 3 0 2 7 0 0\ncpu0 …");
        assert_eq!((machine.busy, machine.stolen, machine.all), (18, 7, 128));
    }

    #[test]
    fn this_process_has_memory_and_threads() {
        let sample = Sample::take(Some(std::process::id()));
        assert!(sample.rss_kb().unwrap() > 0);
        assert!(!sample.server.unwrap().threads.is_empty());
    }
}
