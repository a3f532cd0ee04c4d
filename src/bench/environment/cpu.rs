//! The processor, its clocks and their governor.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{read, read_number};

/// The processor. What the system does not tell is `None`; virtual machines rarely tell of clocks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Its name.
    pub model: Option<String>,
    /// Processors that a program may run on.
    pub logical: usize,
    /// Governors of the processors' clocks.
    pub governors: Vec<String>,
    /// The clock now, the highest of all processors, in MHz.
    pub current_mhz: Option<f64>,
    /// The highest clock that is allowed now, in MHz.
    pub allowed_mhz: Option<f64>,
    /// The highest clock that the hardware has, in MHz.
    pub highest_mhz: Option<f64>,
    /// Times that a processor was slowed by heat since the machine started, of all processors.
    pub thermal_throttles: Option<u64>,
}

impl Cpu {
    pub(super) fn read_in(root: &Path) -> Self {
        let info = read(root, "proc/cpuinfo").unwrap_or_default();
        let logical = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = || (0..logical).map(|n| format!("sys/devices/system/cpu/cpu{n}"));
        let governors: BTreeSet<String> = processors()
            .filter_map(|cpu| read(root, &format!("{cpu}/cpufreq/scaling_governor")))
            .collect();
        let mhz = |file: &str| {
            let khz = processors()
                .filter_map(|cpu| read_number::<f64>(root, &format!("{cpu}/cpufreq/{file}")));
            khz.reduce(f64::max).map(|khz| khz / 1e3)
        };
        let throttles: Vec<u64> = processors()
            .filter_map(|cpu| {
                read_number(root, &format!("{cpu}/thermal_throttle/core_throttle_count"))
            })
            .collect();
        Self {
            model: model(&info).or_else(|| read(root, "proc/device-tree/model")),
            logical,
            governors: governors.into_iter().collect(),
            current_mhz: mhz("scaling_cur_freq").or_else(|| clock(&info)),
            allowed_mhz: mhz("scaling_max_freq"),
            highest_mhz: mhz("cpuinfo_max_freq"),
            thermal_throttles: (!throttles.is_empty()).then(|| throttles.iter().sum()),
        }
    }
}

fn field<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    let mut lines = cpuinfo.lines().filter_map(|l| l.split_once(':'));
    lines.find(|(k, _)| k.trim() == key).map(|(_, v)| v.trim())
}

fn model(cpuinfo: &str) -> Option<String> {
    let name = field(cpuinfo, "model name")?;
    // Hypervisors hide the model behind the family's name; the numbers still tell machines apart.
    let numbers = ["cpu family", "model", "stepping"].map(|key| field(cpuinfo, key));
    Some(match numbers {
        [Some(family), Some(model), Some(stepping)] => {
            format!("{name} (family {family}, model {model}, stepping {stepping})")
        }
        _ => name.to_owned(),
    })
}

fn clock(cpuinfo: &str) -> Option<f64> {
    field(cpuinfo, "cpu MHz")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn clocks_and_governors_of_every_processor() {
        let temp = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put(
            "proc/cpuinfo",
            "processor\t: 0\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\nstepping\t: 1\ncpu MHz\t\t: 2596.1\n",
        );
        let cpu0 = "sys/devices/system/cpu/cpu0";
        put(&format!("{cpu0}/cpufreq/scaling_governor"), "powersave\n");
        put(&format!("{cpu0}/cpufreq/scaling_cur_freq"), "1500000\n");
        put(&format!("{cpu0}/cpufreq/cpuinfo_max_freq"), "3400000\n");
        put(
            &format!("{cpu0}/thermal_throttle/core_throttle_count"),
            "7\n",
        );
        let cpu = Cpu::read_in(temp.path());
        let model = cpu.model.unwrap();
        assert_eq!(model, "AMD EPYC (family 26, model 2, stepping 1)");
        assert_eq!(cpu.governors, ["powersave"]);
        assert_eq!(cpu.current_mhz, Some(1500.0));
        assert_eq!(cpu.highest_mhz, Some(3400.0));
        assert_eq!((cpu.allowed_mhz, cpu.thermal_throttles), (None, Some(7)));
        fs::remove_dir_all(temp.path().join("sys")).unwrap();
        assert_eq!(Cpu::read_in(temp.path()).current_mhz, Some(2596.1));
    }
}
