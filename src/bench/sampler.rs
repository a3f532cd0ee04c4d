//! When to begin and when to stop.

use std::time::{Duration, Instant};

use super::{BenchError, Result};

/// How long to measure. Every condition holds at the end: at least `iterations` runs and at least `duration`, as
/// `trtexec` counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Least time of runs before the first that counts.
    pub warmup: Duration,
    /// Least time of runs that count.
    pub duration: Duration,
    /// Least number of runs that count.
    pub iterations: usize,
}

impl Plan {
    /// A plan in milliseconds.
    ///
    /// # Errors
    /// Nothing would be measured.
    pub fn new(warmup_ms: u64, duration_ms: u64, iterations: usize) -> Result<Self> {
        if duration_ms == 0 {
            return Err(BenchError::Plan("--duration-ms is 0; give at least 1"));
        }
        if iterations == 0 {
            return Err(BenchError::Plan("--iterations is 0; give at least 1"));
        }
        Ok(Self {
            warmup: Duration::from_millis(warmup_ms),
            duration: Duration::from_millis(duration_ms),
            iterations,
        })
    }
}

/// Runs `body` for the warm-up, then until the plan is met or `stop` says so; `body` hears whether the run counts.
/// Gives whether the plan was met.
///
/// # Errors
/// `body` fails.
pub fn repeat<E>(
    plan: &Plan,
    stop: &dyn Fn() -> bool,
    mut body: impl FnMut(bool) -> std::result::Result<(), E>,
) -> std::result::Result<bool, E> {
    let begin = Instant::now();
    while begin.elapsed() < plan.warmup {
        if stop() {
            return Ok(false);
        }
        body(false)?;
    }
    let begin = Instant::now();
    let mut runs = 0;
    while runs < plan.iterations || begin.elapsed() < plan.duration {
        if stop() {
            return Ok(false);
        }
        body(true)?;
        runs += 1;
    }
    Ok(true)
}
