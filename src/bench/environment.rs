//! The machine and the build that figures come from.

mod cpu;
mod gpu;
mod usage;

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::units::Bytes;

pub use cpu::Cpu;
pub use gpu::Gpu;
pub use usage::{Meter, Usage};

/// What a figure depends on beside the program's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// When measuring began, UTC, as `2026-01-31T12:00:00Z`.
    pub started: String,
    /// Version of socc.
    pub socc_version: String,
    /// `release`, or `debug` where debug assertions are on.
    pub build_profile: String,
    /// Processor architecture and system that socc was built for.
    pub target: String,
    /// The system's name and version.
    pub os: Option<String>,
    /// Version of the kernel.
    pub kernel: Option<String>,
    /// The processor.
    pub cpu: Cpu,
    /// Memory of the machine.
    pub memory_bytes: Option<Bytes>,
    /// GPUs that the machine has.
    pub gpus: Vec<Gpu>,
    /// Board and software release of a Jetson.
    pub jetson: Option<String>,
    /// What went on beside the runs; known at the end.
    pub usage: Option<Usage>,
}

impl Environment {
    /// Reads what the system tells.
    pub fn read() -> Self {
        Self::read_in(Path::new("/"), Gpu::list())
    }

    /// The same from the pseudo-files under `root`.
    fn read_in(root: &Path, gpus: Vec<Gpu>) -> Self {
        let text = |path: &str| read(root, path);
        let model = text("proc/device-tree/model");
        let release = text("etc/nv_tegra_release");
        let release = release.map(|r| r.lines().next().unwrap_or_default().to_owned());
        Self {
            started: utc(seconds_since_epoch()),
            socc_version: env!("CARGO_PKG_VERSION").to_owned(),
            build_profile: match cfg!(debug_assertions) {
                true => "debug".to_owned(),
                false => "release".to_owned(),
            },
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            os: text("etc/os-release").and_then(|t| os_name(&t)),
            kernel: text("proc/sys/kernel/osrelease"),
            cpu: Cpu::read_in(root),
            memory_bytes: text("proc/meminfo").and_then(|t| memory_total(&t)),
            gpus,
            jetson: release.map(|r| match model {
                Some(model) => format!("{model}; {r}"),
                None => r,
            }),
            usage: None,
        }
    }

    /// What another machine would differ in, by name.
    pub(super) fn machine(&self) -> [(&'static str, String); 5] {
        let gpus: Vec<String> = self.gpus.iter().map(Gpu::identity).collect();
        [
            ("processor", self.cpu.model.clone().unwrap_or_default()),
            ("processors", self.cpu.logical.to_string()),
            ("GPUs", gpus.join(", ")),
            ("target", self.target.clone()),
            ("build profile", self.build_profile.clone()),
        ]
    }
}

/// A pseudo-file's text without the white space and zeros at its ends.
fn read(root: &Path, path: &str) -> Option<String> {
    let text = fs::read(root.join(path)).ok()?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// Files that could be written to, a number each: absent and unreadable ones are `None`.
fn read_number<T: std::str::FromStr>(root: &Path, path: &str) -> Option<T> {
    read(root, path)?.parse().ok()
}

fn os_name(os_release: &str) -> Option<String> {
    let line = os_release
        .lines()
        .find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

fn memory_total(meminfo: &str) -> Option<Bytes> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn seconds_since_epoch() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_secs())
}

/// A time as ISO 8601. Years begin in March, so that the leap day is a year's last.
fn utc(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are those of GNU `date -u -d @SECONDS`.
    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01T00:00:00Z");
        assert_eq!(utc(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(utc(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(utc(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_jetson_is_told_by_its_files() {
        let temp = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let board = "NVIDIA Jetson AGX Orin Developer Kit";
        put("proc/device-tree/model", &format!("{board}\0"));
        let release =
            "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64";
        put("etc/nv_tegra_release", &format!("{release}\n# KERNEL\n"));
        put(
            "proc/meminfo",
            "MemTotal:       65886856 kB\nMemFree: 1 kB\n",
        );
        put(
            "etc/os-release",
            "NAME=x\nPRETTY_NAME=\"Ubuntu 22.04.5 LTS\"\n",
        );
        let environment = Environment::read_in(temp.path(), Vec::new());
        assert_eq!(environment.jetson.unwrap(), format!("{board}; {release}"));
        assert_eq!(environment.memory_bytes, Some(65_886_856 * 1024));
        assert_eq!(environment.os.as_deref(), Some("Ubuntu 22.04.5 LTS"));
    }
}
