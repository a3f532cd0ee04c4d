//! What else went on while something was measured.

use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Cpu, read};

/// Ticks per second in which Linux counts processor time for programs; fixed by its binary interface.
const TICKS_PER_S: f64 = 100.0;

/// What went on beside the runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Processors that other programs kept busy, on average.
    pub other_load_processors: Option<f64>,
    /// Processors that the hypervisor gave to others, on average.
    pub stolen_processors: Option<f64>,
    /// Times that a processor was slowed by heat meanwhile.
    pub thermal_throttles: Option<u64>,
}

/// Processor time, in ticks since the machine started.
#[derive(Debug, Clone, Copy)]
struct Ticks {
    busy: f64,
    stolen: f64,
    own: f64,
}

/// Tells at the end what went on since the beginning.
#[derive(Debug)]
pub struct Meter {
    start: Instant,
    ticks: Option<Ticks>,
    throttles: Option<u64>,
}

impl Meter {
    /// Begins.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            ticks: Ticks::read(),
            throttles: Cpu::read_in(Path::new("/")).thermal_throttles,
        }
    }

    /// What went on since.
    pub fn stop(&self) -> Usage {
        let seconds = self.start.elapsed().as_secs_f64();
        let ticks = self.ticks.zip(Ticks::read());
        let load = |part: fn(&Ticks) -> f64| {
            let (before, after) = ticks.as_ref()?;
            let load = (part(after) - part(before)) / TICKS_PER_S / seconds;
            // Counters of two files are not read at one moment.
            (seconds > 0.1).then(|| load.max(0.0))
        };
        let throttles = Cpu::read_in(Path::new("/")).thermal_throttles;
        Usage {
            other_load_processors: load(|t| t.busy - t.own),
            stolen_processors: load(|t| t.stolen),
            thermal_throttles: throttles
                .zip(self.throttles)
                .map(|(after, before)| after.saturating_sub(before)),
        }
    }
}

impl Ticks {
    fn read() -> Option<Self> {
        let all = read(Path::new("/"), "proc/stat")?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&all, &own)
    }

    /// From `/proc/stat` and `/proc/self/stat`.
    fn parse(all: &str, own: &str) -> Option<Self> {
        let line = all.lines().find_map(|l| l.strip_prefix("cpu "))?;
        let times = line.split_whitespace().map(|t| t.parse().ok());
        let times: Vec<f64> = times.collect::<Option<_>>()?;
        // user, nice, system, idle, iowait, irq, softirq, steal
        let [user, nice, system, _, _, irq, softirq, steal] = *times.first_chunk()?;
        // The program's name, in parentheses, may hold spaces; user and system time are the 12th and 13th word after.
        let words: Vec<&str> = own.rsplit_once(')')?.1.split_whitespace().collect();
        let time = |n: usize| words.get(n)?.parse::<f64>().ok();
        Some(Self {
            busy: user + nice + system + irq + softirq,
            stolen: steal,
            own: time(11)? + time(12)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_all_and_of_this_program() {
        let all = "cpu  100 2 30 5000 7 4 6 9 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let own = "42 (a (b) c) R 1 42 42 0 -1 4194304 100 0 0 0 55 11 3 4 20 0 1 0 1000 1 1";
        let ticks = Ticks::parse(all, own).unwrap();
        assert_eq!((ticks.busy, ticks.stolen, ticks.own), (142.0, 9.0, 66.0));
        assert!(Ticks::parse("cpu  1 2", own).is_none());
    }
}
