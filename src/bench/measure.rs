//! Runs a workload and gives a report.

mod cold;
mod latency;
mod throughput;

use std::time::{Duration, Instant};

use socc_exporter::model::{Rate, STAGES};

use super::environment::{Environment, Gpu, Meter};
use super::memory::{self, Memory, Point, StageMemory};
use super::report::{
    BreakdownSummary, Cold, Mode, Report, SCHEMA, SCHEMA_VERSION, Series, Settings, SourceHashes,
    StageFigures, Throughput,
};
use super::sampler::Plan;
use super::stats::Summary;
use super::units::Milliseconds;
use super::workload::{Lap, POSTPROCESS, PREPROCESS, Span, Workload};
use super::{Amortisation, BenchError, Result, Timer, Warning, warnings};
use crate::pipeline::Pipeline;
use crate::power::{Figures, Sampler, Trace};

/// Sentences per clip for which the amortisation is measured.
const AMORTISED: [usize; 4] = [1, 2, 4, 8];
/// Name of the stage that mode `cold` has before the others: open the source, compile the stages.
const LOAD: &str = "load";
/// Clips per number of sentences, where the plan asks for as many.
const AMORTISED_RUNS: usize = 3;

/// Everything that is to be measured.
pub struct Setup<'a> {
    /// The clip and its sentences.
    pub workload: &'a Workload,
    /// How long.
    pub plan: Plan,
    /// How, for the report; the mode decides what is done.
    pub settings: Settings,
    /// The machine, for the report.
    pub environment: Environment,
    /// What is run, for the report.
    pub source: SourceHashes,
    /// Whether to run more clips after the timed ones: for the amortisation, and to watch the memory.
    pub extras: bool,
    /// Whether to read the machine's power sensors beside the runs.
    pub power: bool,
    /// Opens the source and compiles its stages; mode `cold` does so for every run.
    pub open: &'a mut dyn FnMut() -> Result<Pipeline>,
}

/// How a measurement talks to whoever asked for it.
pub struct Hooks<'a> {
    /// Whether to stop early and keep what there is.
    pub stop: &'a dyn Fn() -> bool,
    /// Hears what is being done at the moment.
    pub progress: &'a dyn Fn(&str),
}

/// Laps that count, and whether the plan was met.
struct Laps {
    laps: Vec<Lap>,
    complete: bool,
    /// How long loading took, for each lap of mode `cold`, else once.
    loads: Vec<Duration>,
    /// From the first lap that counts to the end of the last.
    wall: Duration,
}

/// Measures.
///
/// # Errors
/// The source cannot be opened, a stage fails, or `stop` came before the first run had ended.
pub fn measure(mut setup: Setup<'_>, hooks: &Hooks<'_>) -> Result<Report> {
    let timer = Timer::measure();
    let meter = Meter::start();
    let sampler = setup.power.then(Sampler::start);
    let (mut pipeline, mut laps, mut memory) = timed(&mut setup, hooks)?;
    if laps.laps.is_empty() {
        return Err(BenchError::Nothing);
    }
    let power = sampler.map(|s| drawn(&s.stop(), &laps.laps));
    let usage = Some(meter.stop());
    memory.peak_host_bytes = memory::peak_bytes();
    memory.device_bytes = Gpu::process_bytes();
    let amortisation = extras(&setup, hooks, &mut pipeline, &mut laps, &mut memory)?;
    let mode = setup.settings.mode;
    let mut report = Report {
        schema: SCHEMA.to_owned(),
        schema_version: SCHEMA_VERSION,
        partial: !laps.complete,
        stages: stage_figures(&laps, mode),
        total: total(&laps.laps)?,
        throughput: (mode == Mode::Throughput).then(|| clips(&laps, setup.workload.frames.len())),
        cold: (mode == Mode::Cold).then(|| first(&laps)).flatten(),
        amortisation,
        roofline: None,
        power,
        memory,
        timer,
        warnings: Vec::new(),
        settings: setup.settings,
        environment: Environment {
            usage,
            ..setup.environment
        },
        source: setup.source,
    };
    let medians = report.stages.iter().map(|s| s.series.summary.p50_ms);
    report.timer = timer.against(medians.fold(f64::INFINITY, f64::min));
    report.warnings = warnings::collect(&report);
    for (stage, what) in pipeline.fallbacks() {
        let text = format!("stage {stage}: {what}");
        report.warnings.push(Warning::new("fallback", text));
    }
    Ok(report)
}

/// The timed runs; of the memory what is resident when the stages are compiled.
fn timed(setup: &mut Setup<'_>, hooks: &Hooks<'_>) -> Result<(Pipeline, Laps, Memory)> {
    let (workload, plan) = (setup.workload, &setup.plan);
    if setup.settings.mode == Mode::Cold {
        let (pipeline, laps) = cold::run(workload, plan, setup.open, hooks)?;
        return Ok((pipeline, laps, Memory::default()));
    }
    (hooks.progress)("compiling stages");
    let begin = Instant::now();
    let pipeline = (setup.open)()?;
    let load = begin.elapsed();
    let memory = Memory {
        loaded_host_bytes: memory::resident_bytes(),
        ..Memory::default()
    };
    let (pipeline, mut laps) = match setup.settings.mode {
        Mode::Throughput => throughput::run(workload, pipeline, plan, hooks)?,
        _ => latency::run(workload, pipeline, plan, hooks)?,
    };
    laps.loads.push(load);
    Ok((pipeline, laps, memory))
}

/// Clips after the timed ones, where they are wanted and the plan was met: for the amortisation, and one whose memory
/// is watched.
fn extras(
    setup: &Setup<'_>,
    hooks: &Hooks<'_>,
    pipeline: &mut Pipeline,
    laps: &mut Laps,
    memory: &mut Memory,
) -> Result<Vec<Amortisation>> {
    let mut amortisation = Vec::new();
    if !setup.extras || !laps.complete {
        return Ok(amortisation);
    }
    if setup.settings.mode == Mode::Latency {
        (amortisation, laps.complete) =
            latency::amortise(setup.workload, pipeline, &setup.plan, hooks)?;
    }
    if laps.complete {
        (memory.stages, memory.course) = watch(setup.workload, pipeline)?;
    }
    Ok(amortisation)
}

fn ms(duration: Duration) -> Milliseconds {
    duration.as_secs_f64() * 1e3
}

/// Names and rates of all stages, those of the host included.
fn stages() -> impl Iterator<Item = (&'static str, Option<Rate>)> {
    let engine = STAGES.into_iter().map(|(name, rate)| (name, Some(rate)));
    [(PREPROCESS, None)]
        .into_iter()
        .chain(engine)
        .chain([(POSTPROCESS, None)])
}

fn stage_figures(laps: &Laps, mode: Mode) -> Vec<StageFigures> {
    let origin = laps.laps[0].start;
    let starts = laps.laps.iter().map(|l| l.start);
    let loads = starts.zip(laps.loads.iter().copied());
    let load = series(loads, origin).filter(|_| mode == Mode::Cold);
    let load = load.map(|series| StageFigures {
        name: LOAD.to_owned(),
        rate: None,
        series,
        breakdown: None,
    });
    let figures = stages().enumerate().filter_map(|(number, (name, rate))| {
        let spans = laps.laps.iter().flat_map(|l| &l.spans);
        let spans: Vec<&Span> = spans.filter(|s| s.stage == number).collect();
        let runs = spans.iter().map(|s| (s.start, s.duration));
        Some(StageFigures {
            name: name.to_owned(),
            rate,
            series: series(runs, origin)?,
            breakdown: breakdown(&spans),
        })
    });
    load.into_iter().chain(figures).collect()
}

fn total(laps: &[Lap]) -> Result<Series> {
    let runs = laps.iter().map(|l| (l.start, l.duration));
    series(runs, laps[0].start).ok_or(BenchError::Nothing)
}

fn series(runs: impl Iterator<Item = (Instant, Duration)>, origin: Instant) -> Option<Series> {
    let (mut samples_ms, mut starts_ms) = (Vec::new(), Vec::new());
    for (start, duration) in runs {
        samples_ms.push(ms(duration));
        starts_ms.push(ms(start.saturating_duration_since(origin)));
    }
    Some(Series {
        summary: Summary::of(&samples_ms)?,
        samples_ms,
        starts_ms,
    })
}

fn breakdown(spans: &[&Span]) -> Option<BreakdownSummary> {
    let parts: Vec<_> = spans.iter().filter_map(|s| s.breakdown).collect();
    let part = |of: fn(&socc_engines::Breakdown) -> f64| {
        Summary::of(&parts.iter().map(of).collect::<Vec<_>>())
    };
    Some(BreakdownSummary {
        enqueue: part(|b| b.enqueue_ms)?,
        host_to_device: part(|b| b.host_to_device_ms)?,
        compute: part(|b| b.compute_ms)?,
        device_to_host: part(|b| b.device_to_host_ms)?,
    })
}

fn clips(laps: &Laps, frames: usize) -> Throughput {
    let clips = laps.laps.len();
    let clips_per_s = clips as f64 / laps.wall.as_secs_f64();
    Throughput {
        clips,
        wall_ms: ms(laps.wall),
        clips_per_s,
        frames_per_s: clips_per_s * frames as f64,
    }
}

fn first(laps: &Laps) -> Option<Cold> {
    let (load, total) = (*laps.loads.first()?, laps.laps.first()?.duration);
    Some(Cold {
        load_ms: ms(load),
        first_run_ms: ms(total.saturating_sub(load)),
        time_to_first_mask_ms: ms(total),
    })
}

/// What was drawn from the first lap's beginning to the last one's end.
fn drawn(traces: &[Trace], laps: &[Lap]) -> Figures {
    let ends = laps.iter().map(|l| l.start + l.duration);
    let start = laps[0].start;
    let duration = ends.max().map_or(Duration::ZERO, |end| end - start);
    Figures::of(traces, start, duration, laps.len())
}

/// One lap whose memory is watched: the peak of each stage, and the course.
fn watch(workload: &Workload, pipeline: &mut Pipeline) -> Result<(Vec<StageMemory>, Vec<Point>)> {
    let (lap, seen) = memory::watched(|| workload.lap(pipeline, workload.expressions.len()));
    let lap = lap?;
    let peak = |number: usize| {
        let spans = lap.spans.iter().filter(|s| s.stage == number);
        let during = spans.flat_map(|s| {
            let end = s.start + s.duration;
            seen.iter()
                .filter(move |(at, _)| *at >= s.start && *at <= end)
        });
        during.map(|(_, bytes)| *bytes).max()
    };
    let stages = stages().enumerate().map(|(number, (name, _))| StageMemory {
        name: name.to_owned(),
        peak_host_bytes: peak(number),
    });
    Ok((stages.collect(), memory::course(&seen, lap.start)))
}
