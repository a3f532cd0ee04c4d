//! Energy counters of x86 processors, through the kernel's powercap files.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Reading, Sensor};

/// One package's counter, which begins anew after its range.
struct Counter {
    name: String,
    path: PathBuf,
    range_uj: f64,
    last: (Instant, f64),
}

/// All packages.
pub(super) struct Rapl {
    counters: Vec<Counter>,
}

fn number(path: &Path) -> Option<f64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

impl Rapl {
    /// Finds the counters under `root`, where they may be read.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let entries = fs::read_dir(root.join("sys/class/powercap"))
            .ok()?
            .flatten();
        let counters = entries.filter_map(|entry| {
            let dir = entry.path();
            let zone = entry.file_name().to_string_lossy().into_owned();
            // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it; AMD's stand there too.
            let package = zone.matches(':').count() == 1 && !zone.contains("mmio");
            let path = dir.join("energy_uj");
            let energy = number(&path).filter(|_| package)?;
            let name = fs::read_to_string(dir.join("name")).ok()?.trim().to_owned();
            Some(Counter {
                name,
                range_uj: number(&dir.join("max_energy_range_uj"))?,
                path,
                last: (Instant::now(), energy),
            })
        });
        let mut counters: Vec<Counter> = counters.collect();
        counters.sort_by(|a, b| a.path.cmp(&b.path));
        (!counters.is_empty()).then_some(Self { counters })
    }
}

/// Energy between two readings of a counter that begins anew after `range`.
fn spent(before: f64, after: f64, range: f64) -> f64 {
    match after >= before {
        true => after - before,
        false => after + range - before,
    }
}

impl Sensor for Rapl {
    fn name(&self) -> &'static str {
        "RAPL"
    }

    fn covers(&self) -> &'static str {
        "the processor packages, whatever runs on them"
    }

    fn read(&mut self) -> Option<Reading> {
        let mut reading = Reading::default();
        for counter in &mut self.counters {
            let (now, energy) = (Instant::now(), number(&counter.path)?);
            let (then, before) = std::mem::replace(&mut counter.last, (now, energy));
            let seconds = (now - then).as_secs_f64();
            if seconds > 0.0 {
                let joules = spent(before, energy, counter.range_uj) / 1e6;
                reading.rails.push((counter.name.clone(), joules / seconds));
            }
        }
        Some(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_may_begin_anew() {
        assert_eq!(spent(100.0, 350.0, 1000.0), 250.0);
        assert_eq!(spent(900.0, 50.0, 1000.0), 150.0);
    }

    #[test]
    fn packages_are_told_from_their_parts() {
        let temp = tempfile::tempdir().unwrap();
        for zone in ["intel-rapl:0", "intel-rapl:0:0", "intel-rapl"] {
            let dir = temp.path().join("sys/class/powercap").join(zone);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("name"), "package-0\n").unwrap();
            fs::write(dir.join("energy_uj"), "1000000\n").unwrap();
            fs::write(dir.join("max_energy_range_uj"), "262143328850\n").unwrap();
        }
        let mut rapl = Rapl::find(temp.path()).unwrap();
        assert_eq!(rapl.counters.len(), 1);
        let energy = temp
            .path()
            .join("sys/class/powercap/intel-rapl:0/energy_uj");
        fs::write(energy, "3000000\n").unwrap();
        let reading = rapl.read().unwrap();
        assert_eq!(reading.rails[0].0, "package-0");
        assert!(reading.rails[0].1 > 0.0);
    }
}
