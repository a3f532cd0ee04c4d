//! `socc bench`.

use std::process::ExitCode;

use anyhow::bail;
use image::RgbImage;
use socc::bench::environment::Environment;
use socc::bench::export::{Format, write};
use socc::bench::units::{duration, memory, percent};
use socc::bench::{
    FileHash, Hooks, Plan, Report, Settings, Setup, SourceHashes, Workload, measure,
    synthetic_frames,
};
use socc::host::frames::{Clip, Selection};
use socc::host::resize::detr_size;
use socc::pipeline::{PipelineError, chunk_runs};
use socc::roofline::{Counter, Precision, Roofline, measure_host};
use socc::source::Source;
use socc_engines::engine;
use socc_exporter::model::Request;

use super::table::Table;
use super::{check_size, default_size, print, print_json};
use crate::args::{BenchArgs, Size};
use crate::interrupt::{self, Deferred};
use crate::progress;

/// Engines that compute on the processor, whose peaks can be measured.
const CPU_ENGINES: [&str; 3] = ["embedded", "onnxruntime", "tract"];

pub fn bench(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let plan = Plan::new(args.warmup_ms, args.duration_ms, args.iterations)?;
    // A name that cannot be written to is better refused before anything long begins.
    for file in &args.export {
        Format::of(file)?;
    }
    let options = args.engine.options()?;
    let source = args.source.open()?;
    let workload = workload(args, &source)?;
    let settings = settings(args, &source, &workload)?;
    let hashes = hashes(&source)?;
    let mut request = source.request(settings.frames, settings.height, settings.width);
    if source.manifest().is_none() {
        request.deformable = args.deformable.into();
    }
    drop(source);
    let open = || {
        let engine = engine(&args.engine.engine, &options).map_err(PipelineError::from)?;
        let (config, tokenizer) = args.source.beside();
        let source = Source::open(&args.source.source, config, tokenizer)?;
        Ok(source.compile(engine, &request, &mut |_| ())?)
    };
    let spinner = progress::spinner();
    let deferred = Deferred::new();
    let report = measure(
        Setup {
            workload: &workload,
            plan,
            settings,
            environment: Environment::read(),
            source: hashes,
            power: args.power,
            extras: !args.quick,
            open: &mut { open },
        },
        &Hooks {
            stop: &interrupt::asked,
            progress: &|what| spinner.set_message(what.to_owned()),
        },
    );
    let mut report = report?;
    if !report.partial && !args.quick {
        spinner.set_message("measuring the processor's peaks");
        report.roofline = roofline(args, &request, &report)?;
    }
    drop(deferred);
    spinner.finish_and_clear();
    for file in &args.export {
        write(&report, file)?;
    }
    if args.json {
        print_json(&report)?;
    } else {
        print(&text(args, &report))?;
    }
    Ok(match report.partial {
        true => ExitCode::from(interrupt::EXIT_CODE),
        false => ExitCode::SUCCESS,
    })
}

/// The clip: of the bundle's shape, or of the size that was asked for, or by the rule that `socc run` follows.
fn workload(args: &BenchArgs, source: &Source) -> anyhow::Result<Workload> {
    let facts = source.facts();
    let (count, fixed) = match source.manifest() {
        Some(m) => {
            let (height, width) = (m.height, m.width);
            (m.frames, Some(Size { height, width }))
        }
        None => (args.frames, args.size),
    };
    if count == 0 {
        bail!("--frames is 0; a clip needs at least one frame");
    }
    let by_rule = |(width, height): (u32, u32)| {
        let (short, long) = (facts.eval_short_size, facts.eval_max_size);
        let (width, height) = detr_size(width, height, short, long);
        let (height, width) = (height as usize, width as usize);
        Size { height, width }
    };
    let (frames, size) = match &args.video {
        Some(path) => {
            let frames = clip_frames(path, count)?;
            let size = fixed.unwrap_or_else(|| by_rule(frames[0].dimensions()));
            (frames, size)
        }
        None => {
            let size = fixed.unwrap_or_else(|| default_size(facts));
            check_size(size)?;
            (synthetic_frames(count, size.height, size.width), size)
        }
    };
    Ok(Workload {
        frames,
        height: size.height,
        width: size.width,
        expressions: args.expressions.clone(),
        tokenizer: source.tokenizer()?,
        max_tokens: facts.max_tokens,
    })
}

/// The first frames of a video; a shorter one is completed by its last frame, as `socc run` does.
fn clip_frames(path: &std::path::Path, count: usize) -> anyhow::Result<Vec<RgbImage>> {
    let selection = Selection {
        frames: Some(count),
        ..Selection::default()
    };
    let mut frames = Clip::load(path, &selection)?.frames;
    while let Some(last) = frames.last().filter(|_| frames.len() < count) {
        frames.push(last.clone());
    }
    Ok(frames)
}

fn settings(args: &BenchArgs, source: &Source, workload: &Workload) -> anyhow::Result<Settings> {
    let engine = args.engine.open()?;
    let (source_width, source_height) = workload.frames[0].dimensions();
    let precision = source.manifest().map(|m| m.precision.clone());
    Ok(Settings {
        mode: args.mode.into(),
        engine: engine.name().to_owned(),
        engine_version: engine.version(),
        threads: args.engine.threads,
        precision: precision.unwrap_or_else(|| "fp32".to_owned()),
        frames: workload.frames.len(),
        height: workload.height,
        width: workload.width,
        source_height: source_height as usize,
        source_width: source_width as usize,
        expressions: args.expressions.clone(),
        video: args.video.as_ref().map(|p| p.display().to_string()),
        warmup_ms: args.warmup_ms,
        duration_ms: args.duration_ms,
        iterations: args.iterations,
    })
}

fn hashes(source: &Source) -> anyhow::Result<SourceHashes> {
    let (checkpoint, files) = match source {
        Source::Bundle { bundle, .. } => {
            let files = bundle.manifest.stages.iter().flat_map(|s| &s.files);
            let files = files.map(|f| FileHash {
                name: f.name.clone(),
                sha256: f.sha256.clone(),
            });
            (
                bundle.manifest.checkpoint.fingerprint.clone(),
                files.collect(),
            )
        }
        Source::Checkpoint(model) => (model.checkpoint.fingerprint()?, Vec::new()),
    };
    Ok(SourceHashes {
        path: source.path().display().to_string(),
        checkpoint,
        files,
    })
}

/// The stages under this processor's roof; `None` where the engine computes elsewhere.
fn roofline(
    args: &BenchArgs,
    request: &Request,
    report: &Report,
) -> anyhow::Result<Option<Roofline>> {
    let engine = report.settings.engine.as_str();
    if !CPU_ENGINES.contains(&engine) {
        return Ok(None);
    }
    let source = args.source.open()?;
    let graphs = source.graphs(request)?;
    let machine = measure_host(&[engine], &args.engine.options()?)?;
    let first = args.expressions.first().map_or("", String::as_str);
    let tokens = source
        .tokenizer()?
        .encode(first, source.facts().max_tokens)?;
    let stages = graphs.iter().filter_map(|(name, rate, graph)| {
        let measured = report.stages.iter().find(|s| s.name == *name)?;
        let counter = Counter::new(graph, tokens.len());
        let counter = counter.repeated(chunk_runs(graph, request.frames_of(*rate)));
        let count = counter.all(Precision::Graph);
        Some((name.clone(), count, measured.series.summary.p50_ms))
    });
    Ok(Some(Roofline::new(&machine, stages)))
}

fn text(args: &BenchArgs, report: &Report) -> String {
    let mut table = Table::new(&[
        "stage", ">runs", ">median", ">mean", ">min", ">p90", ">p95", ">p99", ">max", ">stddev",
        ">CoV",
    ]);
    for (name, series) in report.series() {
        let s = &series.summary;
        table.row([
            name.to_owned(),
            s.runs.to_string(),
            duration(s.p50_ms),
            duration(s.mean_ms),
            duration(s.min_ms),
            duration(s.p90_ms),
            duration(s.p95_ms),
            duration(s.p99_ms),
            duration(s.max_ms),
            s.stddev_ms.map_or_else(String::new, duration),
            s.cov.map_or_else(String::new, percent),
        ]);
    }
    let mut parts = vec![table.render()];
    parts.extend(mode_text(report));
    if let Some(bytes) = report.memory.peak_host_bytes {
        parts.push(format!("peak memory of the process: {}\n", memory(bytes)));
    }
    let sensors = report.power.iter().flat_map(|p| &p.sensors);
    parts.extend(sensors.map(|s| {
        format!(
            "{}: {:.2} W on average, {:.2} W at most, {:.3} J per clip ({})\n",
            s.sensor, s.mean_w, s.peak_w, s.joules_per_clip, s.covers
        )
    }));
    let warnings = report.warnings.iter();
    parts.extend(warnings.map(|w| format!("warning: {}\n", w.text)));
    let files: Vec<String> = args
        .export
        .iter()
        .map(|f| f.display().to_string())
        .collect();
    if !files.is_empty() {
        parts.push(format!("written: {}\n", files.join(", ")));
    }
    parts.concat()
}

/// What a mode adds to the table of stages.
fn mode_text(report: &Report) -> Option<String> {
    if let Some(t) = report.throughput {
        let (clips, frames) = (t.clips_per_s, t.frames_per_s);
        return Some(format!("\n{clips:.3} clips/s, {frames:.2} frames/s\n"));
    }
    if let Some(c) = report.cold {
        return Some(format!(
            "\nfirst time: load {}, first run {}, time to first mask {}\n",
            duration(c.load_ms),
            duration(c.first_run_ms),
            duration(c.time_to_first_mask_ms)
        ));
    }
    let mut table = Table::new(&[">expressions", ">clip", ">per frame", ">per expression"]);
    for a in &report.amortisation {
        let times = [a.clip_ms, a.ms_per_frame, a.ms_per_expression].map(duration);
        let [clip, frame, expression] = times;
        table.row([a.expressions.to_string(), clip, frame, expression]);
    }
    let rows = !report.amortisation.is_empty();
    rows.then(|| format!("\n{}\n", table.render()))
}
