//! Closed loop: one clip after the other.

use std::time::{Duration, Instant};

use super::super::sampler::{Plan, repeat};
use super::super::stats::Summary;
use super::super::workload::Workload;
use super::{AMORTISED, AMORTISED_RUNS, Amortisation, Hooks, Laps, ms};
use crate::bench::Result;
use crate::pipeline::Pipeline;

pub(super) fn run(
    workload: &Workload,
    mut pipeline: Pipeline,
    plan: &Plan,
    hooks: &Hooks<'_>,
) -> Result<(Pipeline, Laps)> {
    (hooks.progress)("measuring");
    let count = workload.expressions.len();
    let mut laps = Vec::new();
    let begin = Instant::now();
    let complete = repeat(plan, hooks.stop, |counts| {
        let lap = workload.lap(&mut pipeline, count)?;
        if counts {
            laps.push(lap);
        }
        Ok::<_, crate::bench::BenchError>(())
    })?;
    let laps = Laps {
        laps,
        complete,
        loads: Vec::new(),
        wall: begin.elapsed(),
    };
    Ok((pipeline, laps))
}

/// The cost of a clip by its number of sentences, and whether all numbers were measured.
pub(super) fn amortise(
    workload: &Workload,
    pipeline: &mut Pipeline,
    plan: &Plan,
    hooks: &Hooks<'_>,
) -> Result<(Vec<Amortisation>, bool)> {
    let plan = Plan {
        warmup: Duration::ZERO,
        duration: plan.duration / 8,
        iterations: plan.iterations.min(AMORTISED_RUNS),
    };
    let mut rows = Vec::new();
    for expressions in AMORTISED {
        (hooks.progress)(&format!("measuring {expressions} expressions"));
        let mut samples = Vec::new();
        let complete = repeat(&plan, hooks.stop, |_| {
            samples.push(ms(workload.lap(pipeline, expressions)?.duration));
            Ok::<_, crate::bench::BenchError>(())
        })?;
        if let Some(summary) = Summary::of(&samples) {
            rows.push(Amortisation {
                expressions,
                runs: summary.runs,
                clip_ms: summary.p50_ms,
                ms_per_frame: summary.p50_ms / workload.frames.len() as f64,
                ms_per_expression: summary.p50_ms / expressions as f64,
            });
        }
        if !complete {
            return Ok((rows, false));
        }
    }
    Ok((rows, true))
}
