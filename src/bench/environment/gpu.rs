//! NVIDIA GPUs, as `nvidia-smi` describes them.

use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::bench::units::Bytes;

/// Columns that are asked for, in the order of [`Gpu`]'s fields.
const COLUMNS: &str =
    "name,driver_version,compute_cap,memory.total,clocks.sm,clocks.max.sm,power.limit";

/// A GPU. What the driver does not tell is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Its name.
    pub name: String,
    /// Version of the driver.
    pub driver: Option<String>,
    /// Compute capability, as `8.9`.
    pub compute_capability: Option<String>,
    /// Memory in MiB.
    pub memory_mib: Option<f64>,
    /// Clock of the multiprocessors before the runs, in MHz.
    pub clock_mhz: Option<f64>,
    /// Highest clock of the multiprocessors, in MHz.
    pub highest_clock_mhz: Option<f64>,
    /// Power that it may draw, in watts.
    pub power_limit_w: Option<f64>,
}

impl Gpu {
    /// The machine's GPUs; none where there is no `nvidia-smi`.
    pub(super) fn list() -> Vec<Self> {
        query(&format!("--query-gpu={COLUMNS}")).map_or_else(Vec::new, |csv| parse(&csv))
    }

    /// Memory of all GPUs that this process uses now; `None` where the driver does not tell.
    pub fn process_bytes() -> Option<Bytes> {
        let csv = query("--query-compute-apps=pid,used_memory")?;
        used_by(&csv, std::process::id())
    }

    /// What tells it from another.
    pub(super) fn identity(&self) -> String {
        self.name.clone()
    }
}

/// What `nvidia-smi` answers.
fn query(what: &str) -> Option<String> {
    let query = Command::new("nvidia-smi")
        .args([what, "--format=csv,noheader,nounits"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&query.stdout).into_owned();
    query.status.success().then_some(text)
}

/// Bytes of one process in rows of process and MiB, one for each GPU that it uses.
fn used_by(csv: &str, process: u32) -> Option<Bytes> {
    let rows = csv.lines().filter_map(|row| {
        let (pid, mib) = row.split_once(',')?;
        let own = pid.trim().parse::<u32>().ok()? == process;
        let mib: Bytes = mib.trim().parse().ok()?;
        own.then_some(mib << 20)
    });
    rows.reduce(|a, b| a + b)
}

/// Rows of `--format=csv,noheader,nounits`.
fn parse(csv: &str) -> Vec<Gpu> {
    let rows = csv.lines().filter_map(|line| {
        let mut cells = line.split(',').map(str::trim);
        // What a GPU does not have reads `[N/A]` or `[Not Supported]`.
        let mut text = || {
            cells
                .next()
                .filter(|c| !c.is_empty() && !c.starts_with('['))
        };
        let name = text()?.to_owned();
        let (driver, compute_capability) = (text().map(str::to_owned), text().map(str::to_owned));
        let mut number = || text()?.parse::<f64>().ok();
        Some(Gpu {
            name,
            driver,
            compute_capability,
            memory_mib: number(),
            clock_mhz: number(),
            highest_clock_mhz: number(),
            power_limit_w: number(),
        })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_for_each_gpu() {
        let gpus = parse(
            "NVIDIA GeForce RTX 4090, 550.54.14, 8.9, 24564, 2520, 3105, 450.00\nOrin (nvgpu), 540.4.0, 8.7, [N/A], [N/A], [N/A], [N/A]\n",
        );
        assert_eq!(gpus.len(), 2);
        assert_eq!(gpus[0].name, "NVIDIA GeForce RTX 4090");
        assert_eq!(gpus[0].compute_capability.as_deref(), Some("8.9"));
        assert_eq!(gpus[0].highest_clock_mhz, Some(3105.0));
        assert_eq!(gpus[0].power_limit_w, Some(450.0));
        assert_eq!(gpus[1].driver.as_deref(), Some("540.4.0"));
        assert_eq!(gpus[1].clock_mhz, None);
        assert!(parse("").is_empty());
    }

    #[test]
    fn a_process_may_use_several_gpus() {
        let csv = "4242, 512\n17, 100\n4242, 256\n9, [N/A]\n";
        assert_eq!(used_by(csv, 4242), Some(768 << 20));
        assert_eq!(used_by(csv, 9), None);
        assert_eq!(used_by("", 1), None);
    }
}
