//! `socc eval`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use socc::dataset::{Benchmark, Dataset};
use socc::evaluate::deliver::{ARCHIVE, WORST, write_archive, write_worst};
use socc::evaluate::merge::merge;
use socc::evaluate::record::{FORMAT, Identity};
use socc::evaluate::report::{Means, Report};
use socc::evaluate::run::{Job, pending};
use socc::evaluate::store::Store;
use socc::evaluate::{Protocol, SizeRule};
use socc::segment::Windowing;
use socc::source::Source;
use socc_engines::Engine;

use super::job::since_ms;
use super::table::Table;
use super::{print, print_json};
use crate::args::{EngineArgs, EvalArgs, EvalCommand, EvalMergeArgs, EvalRunArgs};
use crate::progress;

/// More jobs than any machine has cores for are a slip of the finger.
const MAX_JOBS: usize = 1024;

pub fn eval(args: &EvalArgs) -> anyhow::Result<ExitCode> {
    match args {
        EvalArgs::Run(args) => evaluate(args),
        EvalArgs::Sub(EvalCommand::Merge(args)) => merge_shards(args),
    }
}

fn evaluate(args: &EvalRunArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    if !(1..=MAX_JOBS).contains(&args.jobs) {
        bail!("--jobs is {}; give 1 to {MAX_JOBS}", args.jobs);
    }
    if args.limit == Some(0) {
        bail!("--limit is 0; take at least one video");
    }
    let engine = open_engine(&args.engine, args.jobs)?;
    let source = args.source.open()?;
    let benchmark = Benchmark::from(args.dataset);
    Protocol::from(benchmark).check(&source)?;
    let split = args.split.as_deref().unwrap_or(benchmark.default_split());
    let dataset = Dataset::open_as(benchmark, &args.root, split, args.strict)?;
    if dataset.videos.is_empty() {
        bail!("split {split} of {} has no videos", args.root.display());
    }
    let window = args.window.windowing(&source)?;
    let identity = identity(args, &dataset, &source, &*engine, window)?;
    let (store, mut records) = Store::open(&args.output, &identity, args.resume)?;
    let own: Vec<&str> = identity.own().collect();
    let videos = pending(&dataset, &own, |video| records.contains_key(video));
    let job = Job {
        dataset: &dataset,
        source: &source,
        engine,
        deformable: args.deformable.into(),
        window,
        rule: rule(&source),
        jobs: args.jobs,
        pipelines: args.keep_shapes,
        strict: args.strict,
    };
    let bar = progress::clips(videos.len(), "evaluating");
    job.run(&videos, &store, &mut |record| {
        bar.inc(1);
        records.insert(record.video.clone(), record);
    })?;
    bar.finish_and_clear();
    let total_ms = since_ms(start);
    let report = Report::new(&identity, &records, total_ms, videos.len());
    write_worst(store.out(), &dataset, &report.worst)?;
    finish(&store, &identity, &report, args.json)
}

/// The archive for a server, the result, and what is said about it.
fn finish(
    store: &Store,
    identity: &Identity,
    report: &Report,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let served = matches!(
        identity.benchmark,
        Benchmark::Mevis | Benchmark::RefYoutubeVos
    );
    if served && identity.shard.is_none() {
        write_archive(store.out())?;
    }
    store.finish(report)?;
    if json {
        print_json(report)?;
    } else {
        print(&describe(report, store, served))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn merge_shards(args: &EvalMergeArgs) -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    let (store, identity, records) = merge(&args.shards, &args.output)?;
    let report = Report::new(&identity, &records, since_ms(start), 0);
    finish(&store, &identity, &report, args.json)
}

/// The engine; several jobs share the cores.
fn open_engine(args: &EngineArgs, jobs: usize) -> anyhow::Result<Arc<dyn Engine>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shared = (jobs > 1).then(|| (cores / jobs).max(1));
    let threads = args.threads.or(shared);
    let engine = EngineArgs {
        threads,
        ..args.clone()
    };
    Ok(Arc::from(engine.open()?))
}

fn rule(source: &Source) -> SizeRule {
    match source.manifest() {
        Some(manifest) => SizeRule::Fixed {
            height: manifest.height,
            width: manifest.width,
        },
        None => source.facts().into(),
    }
}

fn identity(
    args: &EvalRunArgs,
    dataset: &Dataset,
    source: &Source,
    engine: &dyn Engine,
    window: Option<Windowing>,
) -> anyhow::Result<Identity> {
    let (checkpoint, form) = match source {
        Source::Bundle { bundle, .. } => {
            let m = &bundle.manifest;
            let form = format!("bundle for {}, {}", m.clip(), m.precision);
            (m.checkpoint.fingerprint.clone(), form)
        }
        Source::Checkpoint(model) => (model.checkpoint.fingerprint()?, "checkpoint".to_owned()),
    };
    let form = match window {
        Some(Windowing { frames, overlap }) => {
            format!("{form}, in windows of {frames} frames that share {overlap}")
        }
        None => form,
    };
    let names = dataset.videos.iter().map(|v| v.name.clone());
    Ok(Identity {
        format: FORMAT,
        benchmark: dataset.benchmark,
        split: dataset.split.clone(),
        checkpoint,
        form,
        engine: format!("{} {}", engine.name(), engine.version()),
        shard: args.shard,
        videos: names.take(args.limit.unwrap_or(usize::MAX)).collect(),
        findings: dataset.findings.clone(),
    })
}

fn describe(report: &Report, store: &Store, served: bool) -> String {
    let mut table = Table::new(&["", ">"]);
    let figure = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.4}"));
    let evaluation = &report.evaluation;
    table.row(["J".to_owned(), figure(evaluation.j)]);
    table.row(["F".to_owned(), figure(evaluation.f)]);
    table.row(["J&F".to_owned(), figure(evaluation.jf)]);
    if let Some(metrics) = report.metrics {
        for (name, value) in metrics.named() {
            table.row([name.to_owned(), figure(Some(value))]);
        }
    }
    table.row(["videos".to_owned(), evaluation.videos.len().to_string()]);
    table.row(["expressions".to_owned(), evaluation.expressions.to_string()]);
    for (kind, count) in &report.finding_counts {
        table.row([kind.to_string(), count.to_string()]);
    }
    let seconds = report.times_ms.total / 1e3;
    let rate = report.times_ms.videos as f64 / seconds;
    let archive = match served && report.shard.is_none() {
        true => format!("; {ARCHIVE} is for the benchmark's server"),
        false => String::new(),
    };
    format!(
        "{}\n{}{} videos in {seconds:.1} s, {rate:.2} a second\nmasks, {WORST}/ and result.json are in {}{archive}\n",
        table.render(),
        annotators(report),
        report.times_ms.videos,
        store.out().display()
    )
}

/// Ref-DAVIS: the official evaluation's table of each annotator, and their mean.
fn annotators(report: &Report) -> String {
    let Some(overall) = report.overall() else {
        return String::new();
    };
    let mut table = Table::new(&[
        "annotator",
        ">J&F",
        ">J",
        ">J recall",
        ">J decay",
        ">F",
        ">F recall",
        ">F decay",
    ]);
    let mut row = |name: String, means: &Means| {
        let figures = means.figures().map(|value| format!("{value:.4}"));
        let [jf, j, j_recall, j_decay, f, f_recall, f_decay] = figures;
        table.row([name, jf, j, j_recall, j_decay, f, f_recall, f_decay]);
    };
    for (number, annotator) in report.annotators.iter().enumerate() {
        row(number.to_string(), &annotator.means);
    }
    row("mean".to_owned(), &overall);
    format!("{}\n", table.render())
}
