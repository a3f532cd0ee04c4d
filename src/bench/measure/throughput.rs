//! Clips overlapped: one thread prepares, one runs the engine, one finishes.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use super::super::sampler::{Plan, repeat};
use super::super::workload::{Input, Lap, Span, Workload, engine_spans, span};
use super::{Hooks, Laps};
use crate::bench::{BenchError, Result};
use crate::pipeline::{Pipeline, Values};

/// Clips that wait between two threads.
const WAITING: usize = 1;

/// A clip on its way.
struct Ahead<T> {
    start: Instant,
    spans: Vec<Span>,
    what: T,
}

pub(super) fn run(
    workload: &Workload,
    mut pipeline: Pipeline,
    plan: &Plan,
    hooks: &Hooks<'_>,
) -> Result<(Pipeline, Laps)> {
    (hooks.progress)("measuring throughput");
    pipeline.take_runs();
    let last = pipeline.stages().count() + 1;
    let (prepared, to_run) = sync_channel(WAITING);
    let (ran, to_finish) = sync_channel(WAITING);
    let (finished, laps_in) = sync_channel(WAITING);
    thread::scope(|scope| {
        scope.spawn(move || prepare(workload, &prepared));
        let engine = scope.spawn(move || {
            infer(workload, &mut pipeline, &to_run, &ran);
            pipeline
        });
        scope.spawn(move || finish(workload, last, &to_finish, &finished));
        let laps = collect(plan, hooks, &laps_in);
        // The threads end when nobody takes what they give.
        drop(laps_in);
        let pipeline = engine.join();
        let pipeline = pipeline.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((pipeline, laps?))
    })
}

fn prepare(workload: &Workload, out: &SyncSender<Result<Ahead<Input>>>) {
    loop {
        let start = Instant::now();
        let input = workload.preprocess(workload.expressions.len());
        let ahead = input.map(|what| Ahead {
            start,
            spans: vec![span(0, start)],
            what,
        });
        if out.send(ahead).is_err() {
            return;
        }
    }
}

fn infer(
    workload: &Workload,
    pipeline: &mut Pipeline,
    ready: &Receiver<Result<Ahead<Input>>>,
    out: &SyncSender<Result<Ahead<Vec<Values>>>>,
) {
    for clip in ready {
        let ran = clip.and_then(|mut clip| {
            let what = workload.infer(pipeline, clip.what)?;
            clip.spans.extend(engine_spans(pipeline));
            Ok(Ahead {
                start: clip.start,
                spans: clip.spans,
                what,
            })
        });
        if out.send(ran).is_err() {
            return;
        }
    }
}

fn finish(
    workload: &Workload,
    stage: usize,
    ready: &Receiver<Result<Ahead<Vec<Values>>>>,
    out: &SyncSender<Result<Lap>>,
) {
    for clip in ready {
        let lap = clip.and_then(|mut clip| {
            let begin = Instant::now();
            std::hint::black_box(workload.postprocess(&clip.what)?);
            clip.spans.push(span(stage, begin));
            Ok(Lap {
                start: clip.start,
                duration: clip.start.elapsed(),
                spans: clip.spans,
            })
        });
        if out.send(lap).is_err() {
            return;
        }
    }
}

fn collect(plan: &Plan, hooks: &Hooks<'_>, finished: &Receiver<Result<Lap>>) -> Result<Laps> {
    let mut laps = Vec::new();
    let mut begin = None;
    let complete = repeat(plan, hooks.stop, |counts| {
        if counts {
            begin.get_or_insert_with(Instant::now);
        }
        let lap = finished.recv().map_err(|_| BenchError::Nothing)??;
        if counts {
            laps.push(lap);
        }
        Ok::<_, BenchError>(())
    })?;
    Ok(Laps {
        laps,
        complete,
        loads: Vec::new(),
        wall: begin.map_or_else(Default::default, |b| b.elapsed()),
    })
}
