//! Lines of NVIDIA's `tegrastats`, for Jetsons whose power monitors only root may read.

use super::sampler::Lines;
use super::{Reading, Sensor};

/// A running `tegrastats`.
pub(super) struct Tegrastats(Lines);

impl Tegrastats {
    /// Starts it, where it is installed.
    pub(super) fn start() -> Option<Self> {
        Lines::of("tegrastats", &["--interval", "100"]).map(Self)
    }
}

impl Sensor for Tegrastats {
    fn name(&self) -> &'static str {
        "tegrastats"
    }

    fn covers(&self) -> &'static str {
        "the rails of a Jetson module; not its carrier board"
    }

    fn read(&mut self) -> Option<Reading> {
        parse(&self.0.latest()?)
    }
}

/// Reads a line. Rails are `NAME now/average`, in mW with (JetPack 5 and later) or without the unit (JetPack 4);
/// temperatures
/// `NAME@40.5C`; the GPU's clock `GR3D_FREQ 0%@1377` or `GR3D_FREQ 0%@[1300,1300]`.
pub(super) fn parse(line: &str) -> Option<Reading> {
    let mut reading = Reading::default();
    // Clocks of several processors stand in brackets, some with spaces.
    let words: Vec<&str> = line.split_whitespace().collect();
    for pair in words.windows(2) {
        let [name, value] = [pair[0], pair[1]];
        if let Some(watts) = rail(name, value) {
            reading.rails.push((name.to_owned(), watts));
        }
        if name == "GR3D_FREQ"
            && let Some(mhz) = clock(value)
        {
            reading.clocks_mhz.push(("GPU".to_owned(), mhz));
        }
    }
    reading.temperatures_c = words.iter().filter_map(|w| temperature(w)).collect();
    (!reading.rails.is_empty() || !reading.temperatures_c.is_empty()).then_some(reading)
}

/// Watts of `NAME 900/943`, `NAME 900mW/943mW` or `NAME 900mW/943mW/1000mW`: now, average, peak. `RAM 613/3964MB` and `SWAP 0/1982MB` are none.
fn rail(name: &str, value: &str) -> Option<f64> {
    let numbers = value
        .split('/')
        .map(|text| text.strip_suffix("mW").unwrap_or(text));
    let milliwatts: Vec<f64> = numbers.map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let named = name
        .chars()
        .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    (milliwatts.len() > 1 && named && !matches!(name, "RAM" | "SWAP" | "IRAM"))
        .then_some(milliwatts[0] / 1e3)
}

/// Degrees of `GPU@41C`, some with a limit after them: `gpu@62.9C/104C`. A sensor that is off reads -256.
fn temperature(word: &str) -> Option<(String, f64)> {
    let (name, value) = word.split_once('@')?;
    let value = value.split('/').next()?.strip_suffix('C')?;
    let degrees: f64 = value.parse().ok()?;
    (degrees > -200.0).then(|| (name.to_owned(), degrees))
}

fn clock(value: &str) -> Option<f64> {
    let (_, clock) = value.split_once('@')?;
    let clocks = clock.trim_matches(['[', ']']).split(',');
    clocks
        .filter_map(|c| c.parse::<f64>().ok())
        .reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that users recorded; where, `fixtures/README.md` says.
    const LINES: &str = include_str!("fixtures/tegrastats.txt");

    /// Board, total in W, a temperature by name, the GPU's clock.
    type Expected = (&'static str, f64, (&'static str, f64), Option<f64>);

    const EXPECTED: [Expected; 6] = [
        ("Jetson Nano", 0.9, ("GPU", 41.0), None),
        // GPU, CPU, SOC, CV, VDDRQ and SYS5V.
        (
            "Jetson AGX Xavier",
            0.216 + 0.864 + 0.144 + 1.889,
            ("CPU", 33.5),
            None,
        ),
        ("Jetson TX2", 5.297, ("GPU", 39.5), Some(114.0)),
        // What comes from VIN_SYS_5V0 does not count twice.
        (
            "Jetson AGX Orin",
            2.34 + 0.39 + 4.025,
            ("tj", 44.343),
            Some(0.0),
        ),
        ("Jetson Orin Nano", 17.946, ("tj", 65.562), Some(713.0)),
        // VIN holds the others.
        ("Jetson AGX Thor", 87.426, ("gpu", 62.906), None),
    ];

    #[test]
    fn lines_of_several_jetpacks() {
        let lines: Vec<&str> = LINES.lines().filter(|l| !l.starts_with('#')).collect();
        assert_eq!(lines.len(), EXPECTED.len());
        for (line, (board, total, (name, degrees), mhz)) in lines.into_iter().zip(EXPECTED) {
            let reading = parse(line).unwrap();
            let got = reading.total_w().unwrap();
            assert!((got - total).abs() < 1e-9, "{board}: {got} W, not {total}");
            let found = reading.temperatures_c.iter().find(|(n, _)| n == name);
            assert_eq!(found.map(|(_, t)| *t), Some(degrees), "{board}");
            assert!(
                reading.temperatures_c.iter().all(|(_, t)| *t > 0.0),
                "{board}"
            );
            assert_eq!(reading.clocks_mhz.first().map(|(_, c)| *c), mhz, "{board}");
        }
        assert_eq!(parse("RAM 613/3964MB (lfb 634x4MB) SWAP 0/1982MB"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_limit_after_a_temperature_is_left_out() {
        assert_eq!(
            temperature("gpu@62.906C/104C"),
            Some(("gpu".to_owned(), 62.906))
        );
        assert_eq!(temperature("CV0@-256C"), None);
    }
}
