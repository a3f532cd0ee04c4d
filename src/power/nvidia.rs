//! NVIDIA's driver, through `nvidia-smi`, which reads NVML.

use super::sampler::Lines;
use super::{Reading, Sensor};

/// Columns, in the order in which [`parse`] reads them.
const QUERY: &str = "--query-gpu=index,power.draw,temperature.gpu,clocks.sm,clocks.mem";

/// A running `nvidia-smi`.
pub(super) struct Smi(Lines);

impl Smi {
    /// Starts it, where it is installed and a GPU tells its power.
    pub(super) fn start() -> Option<Self> {
        let mut lines = Lines::of(
            "nvidia-smi",
            &[QUERY, "--format=csv,noheader,nounits", "-lms", "100"],
        )?;
        // A Jetson's has no power to tell.
        parse(&lines.first()?).map(|_| Self(lines))
    }
}

impl Sensor for Smi {
    fn name(&self) -> &'static str {
        "NVML"
    }

    fn covers(&self) -> &'static str {
        "the boards of NVIDIA GPUs"
    }

    fn read(&mut self) -> Option<Reading> {
        parse(&self.0.latest()?)
    }
}

/// Reads a row: `0, 61.37, 34, 1980, 2619`.
fn parse(row: &str) -> Option<Reading> {
    let cells: Vec<&str> = row.split(',').map(str::trim).collect();
    let gpu = format!("GPU {}", cells.first()?);
    let number = |n: usize| cells.get(n)?.parse::<f64>().ok();
    let list = |n: usize, name: String| number(n).map(|v| (name, v)).into_iter().collect();
    let mut clocks: Vec<(String, f64)> = list(3, format!("{gpu} SM"));
    clocks.extend(number(4).map(|v| (format!("{gpu} memory"), v)));
    Some(Reading {
        rails: vec![(gpu.clone(), number(1)?)],
        temperatures_c: list(2, gpu),
        clocks_mhz: clocks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_reading() {
        let reading = parse("0, 61.37, 34, 1980, 2619").unwrap();
        assert_eq!(reading.total_w(), Some(61.37));
        assert_eq!(reading.temperatures_c, [("GPU 0".to_owned(), 34.0)]);
        assert_eq!(reading.clocks_mhz[0], ("GPU 0 SM".to_owned(), 1980.0));
        assert_eq!(parse("0, [N/A], 34, 1980, 2619"), None);
        assert_eq!(parse(""), None);
    }
}
