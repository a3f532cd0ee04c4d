//! Most memory that the process held over a while, as Linux counts it.

use std::fs;

/// Begins to count anew, where the system can.
pub(super) fn reset_peak() {
    // Without it the peak is that of the whole process so far: larger, never smaller.
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// Most memory since then, in bytes; `None` where the system does not tell.
pub(super) fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
