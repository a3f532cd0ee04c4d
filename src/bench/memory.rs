//! Memory of this process over time.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::units::{Bytes, Milliseconds};

/// Distance between two looks.
const STEP: Duration = Duration::from_millis(1);
/// Points of a course that are kept at most.
const MOST_POINTS: usize = 2000;

/// Memory of the process, where the system tells.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Most that was resident at any time since the process began (`VmHWM`).
    pub peak_host_bytes: Option<Bytes>,
    /// Resident when the stages were compiled, before the first run.
    pub loaded_host_bytes: Option<Bytes>,
    /// In use on NVIDIA GPUs by this process when the timed runs had ended, where the driver tells.
    pub device_bytes: Option<Bytes>,
    /// Most that was resident during each stage, in one run that was watched and not timed.
    pub stages: Vec<StageMemory>,
    /// Resident memory over that run.
    pub course: Vec<Point>,
}

/// Memory during one stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageMemory {
    /// The stage.
    pub name: String,
    /// Most that was resident; `None` where the stage was too short to be seen.
    pub peak_host_bytes: Option<Bytes>,
}

/// Memory at one time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Since the run's beginning.
    pub at_ms: Milliseconds,
    /// Resident.
    pub host_bytes: Bytes,
}

/// Most that was resident since the process began; `None` off Linux.
pub fn peak_bytes() -> Option<Bytes> {
    status_bytes("VmHWM:")
}

/// Resident now; `None` off Linux.
pub fn resident_bytes() -> Option<Bytes> {
    status_bytes("VmRSS:")
}

fn status_bytes(key: &str) -> Option<Bytes> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(key))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Runs `body` while another thread looks at the resident memory, which slows it: time it in another run.
pub fn watched<T>(body: impl FnOnce() -> T) -> (T, Vec<(Instant, Bytes)>) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = Vec::new();
            while !done.load(Ordering::Relaxed) {
                seen.extend(resident_bytes().map(|bytes| (Instant::now(), bytes)));
                thread::sleep(STEP);
            }
            seen
        });
        let result = body();
        done.store(true, Ordering::Relaxed);
        (result, watcher.join().unwrap_or_default())
    })
}

/// What was seen, as a course from `start` on, thinned to what a picture shows.
pub fn course(seen: &[(Instant, Bytes)], start: Instant) -> Vec<Point> {
    let step = seen.len().div_ceil(MOST_POINTS).max(1);
    let point = |(at, bytes): &(Instant, Bytes)| Point {
        at_ms: at.saturating_duration_since(start).as_secs_f64() * 1e3,
        host_bytes: *bytes,
    };
    seen.iter().step_by(step).map(point).collect()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_is_seen() {
        const BYTES: usize = 64 << 20;
        let before = resident_bytes().unwrap();
        let (kept, seen) = watched(|| {
            let block = vec![1u8; BYTES];
            thread::sleep(Duration::from_millis(50));
            std::hint::black_box(&block).len()
        });
        assert_eq!(kept, BYTES);
        let most = seen.iter().map(|(_, bytes)| *bytes).max().unwrap();
        // The kernel's counters lag a little behind.
        let least = before + BYTES as u64 * 9 / 10;
        assert!(most >= least, "{before} to {most}");
        assert!(peak_bytes().unwrap() >= least);
    }
}
