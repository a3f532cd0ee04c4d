//! A Jetson's INA3221 power monitors, through the kernel's files.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Reading, Sensor};

/// One rail: where its label, voltage and current, or its power, stand.
struct Channel {
    name: String,
    power: Power,
}

enum Power {
    /// Millivolts and milliamperes, as the kernel's own driver gives them (JetPack 5 and later).
    VoltsAmperes(PathBuf, PathBuf),
    /// Milliwatts, as NVIDIA's earlier driver gives them (JetPack 4).
    Watts(PathBuf),
}

/// All rails of all monitors.
pub(super) struct Ina3221 {
    channels: Vec<Channel>,
}

impl Ina3221 {
    /// Finds the monitors under `root`.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let mut channels = Vec::new();
        for dir in folders(&root.join("sys/class/hwmon"), "hwmon") {
            if text(&dir.join("name")).as_deref() == Some("ina3221") {
                channels.extend((1..=3).filter_map(|n| hwmon_channel(&dir, n)));
            }
        }
        for chip in folders(&root.join("sys/bus/i2c/drivers/ina3221x"), "") {
            for dir in folders(&chip, "iio:device") {
                channels.extend((0..3).filter_map(|n| iio_channel(&dir, n)));
            }
        }
        let channels: Vec<Channel> = channels
            .into_iter()
            .filter(|c| c.watts().is_some())
            .collect();
        (!channels.is_empty()).then_some(Self { channels })
    }
}

impl Channel {
    fn watts(&self) -> Option<f64> {
        match &self.power {
            Power::VoltsAmperes(mv, ma) => Some(number(mv)? * number(ma)? / 1e6),
            Power::Watts(mw) => Some(number(mw)? / 1e3),
        }
    }
}

fn hwmon_channel(dir: &Path, n: usize) -> Option<Channel> {
    Some(Channel {
        name: text(&dir.join(format!("in{n}_label")))?,
        power: Power::VoltsAmperes(
            dir.join(format!("in{n}_input")),
            dir.join(format!("curr{n}_input")),
        ),
    })
}

fn iio_channel(dir: &Path, n: usize) -> Option<Channel> {
    Some(Channel {
        name: text(&dir.join(format!("rail_name_{n}")))?,
        power: Power::Watts(dir.join(format!("in_power{n}_input"))),
    })
}

impl Sensor for Ina3221 {
    fn name(&self) -> &'static str {
        "INA3221"
    }

    fn covers(&self) -> &'static str {
        "the rails of a Jetson module; not its carrier board"
    }

    fn read(&mut self) -> Option<Reading> {
        let rails = self.channels.iter();
        let rails = rails.filter_map(|c| Some((c.name.clone(), c.watts()?)));
        Some(Reading {
            rails: rails.collect(),
            ..Reading::default()
        })
    }
}

/// Folders of a folder whose names begin with `prefix`, sorted.
fn folders(dir: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(prefix));
    let mut found: Vec<PathBuf> = named.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(path: &Path) -> Option<f64> {
    text(path)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        temp
    }

    #[test]
    fn both_drivers_give_watts() {
        let hwmon = "sys/class/hwmon/hwmon3";
        let path = |file: &str| format!("{hwmon}/{file}");
        let files = [
            (path("name"), "ina3221\n"),
            (path("in1_label"), "VDD_IN\n"),
            (path("in1_input"), "5040\n"),
            (path("curr1_input"), "1056\n"),
            (path("in2_label"), "VDD_CPU_GPU_CV\n"),
            (path("in2_input"), "5040\n"),
            (path("curr2_input"), "144\n"),
        ];
        let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), *t)).collect();
        let temp = tree(&files);
        let reading = Ina3221::find(temp.path()).unwrap().read().unwrap();
        assert_eq!(reading.rails.len(), 2);
        assert!((reading.total_w().unwrap() - 5.32224).abs() < 1e-9);

        let iio = "sys/bus/i2c/drivers/ina3221x/7-0040/iio:device0";
        let temp = tree(&[
            (&format!("{iio}/rail_name_0"), "GPU\n"),
            (&format!("{iio}/in_power0_input"), "1379\n"),
            (&format!("{iio}/rail_name_1"), "CPU\n"),
            (&format!("{iio}/in_power1_input"), "459\n"),
        ]);
        let reading = Ina3221::find(temp.path()).unwrap().read().unwrap();
        assert!((reading.total_w().unwrap() - 1.838).abs() < 1e-9);
        assert!(Ina3221::find(tree(&[]).path()).is_none());
    }
}
