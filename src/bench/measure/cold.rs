//! From nothing: every run opens the source and compiles its stages.

use std::time::{Duration, Instant};

use super::super::sampler::{Plan, repeat};
use super::super::workload::Workload;
use super::{Hooks, Laps};
use crate::bench::{BenchError, Result};
use crate::pipeline::Pipeline;

/// The first run is the cold one; the others tell how it varies once files and libraries are in memory.
pub(super) fn run(
    workload: &Workload,
    plan: &Plan,
    open: &mut dyn FnMut() -> Result<Pipeline>,
    hooks: &Hooks<'_>,
) -> Result<(Pipeline, Laps)> {
    (hooks.progress)("measuring cold starts");
    // A warm-up would warm it.
    let plan = Plan {
        warmup: Duration::ZERO,
        ..*plan
    };
    let count = workload.expressions.len();
    let (mut laps, mut loads, mut last) = (Vec::new(), Vec::new(), None);
    let begin = Instant::now();
    let complete = repeat(&plan, hooks.stop, |_| {
        // Not two at a time: they would not fit everywhere.
        last = None;
        let start = Instant::now();
        let mut pipeline = open()?;
        loads.push(start.elapsed());
        let mut lap = workload.lap(&mut pipeline, count)?;
        lap.duration = start.elapsed();
        lap.start = start;
        laps.push(lap);
        last = Some(pipeline);
        Ok::<_, BenchError>(())
    })?;
    let laps = Laps {
        laps,
        complete,
        loads,
        wall: begin.elapsed(),
    };
    Ok((last.ok_or(BenchError::Nothing)?, laps))
}
