//! `socc profile`.

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use socc::bench::units::{duration, percent};
use socc::bench::{Workload, synthetic_frames};
use socc::profile::trtexec::{self, Times};
use socc::profile::{OperatorRow, StageProfile};
use socc::source::Source;
use socc_engines::engine;
use socc_exporter::graph::Graph;
use socc_exporter::model::{Rate, Request};

use super::table::Table;
use super::{check_size, default_size, print, print_json};
use crate::args::{ProfileArgs, StageFile};
use crate::progress;

#[derive(Serialize)]
struct Output {
    /// Which back end's profiler spoke.
    profiler: String,
    stages: Vec<StageProfile>,
    /// Times of whole runs, by stage, where files of them were given.
    times: Vec<StageTimes>,
}

#[derive(Serialize)]
struct StageTimes {
    stage: String,
    #[serde(flatten)]
    times: Times,
}

type Graphs = [(String, Rate, Graph)];

pub fn profile(args: &ProfileArgs) -> anyhow::Result<ExitCode> {
    if args.runs == 0 || args.depth == 0 || args.frames == 0 {
        bail!("--runs, --depth and --frames must be at least 1");
    }
    let source = args.source.open()?;
    let size = args.size.unwrap_or_else(|| default_size(source.facts()));
    check_size(size)?;
    let mut request = source.request(args.frames, size.height, size.width);
    if source.manifest().is_none() {
        request.deformable = args.deformable.into();
    }
    let graphs = source.graphs(&request)?;
    for file in [&args.layer_profile, &args.times, &args.layer_info]
        .into_iter()
        .flatten()
    {
        graph(&graphs, file)?;
    }
    let times = args.times.iter().map(|f| {
        Ok(StageTimes {
            stage: f.stage.clone(),
            times: trtexec::read_times(&f.file)?,
        })
    });
    let times: Vec<StageTimes> = times.collect::<anyhow::Result<_>>()?;
    let from_files = !args.layer_profile.is_empty() || !times.is_empty();
    let (profiler, stages) = match from_files {
        true => ("trtexec".to_owned(), read_files(args, &graphs)?),
        false => run(args, &source, &request, &graphs)?,
    };
    let output = Output {
        profiler,
        stages,
        times,
    };
    if args.json {
        print_json(&output)?;
    } else {
        print(&text(&output))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The graph of the stage that a file is about.
fn graph<'a>(graphs: &'a Graphs, file: &StageFile) -> anyhow::Result<&'a Graph> {
    let Some((_, _, graph)) = graphs.iter().find(|(name, ..)| *name == file.stage) else {
        let known: Vec<&str> = graphs.iter().map(|(name, ..)| name.as_str()).collect();
        bail!(
            "no stage is called `{}`; they are {}",
            file.stage,
            known.join(", ")
        );
    };
    Ok(graph)
}

fn read_files(args: &ProfileArgs, graphs: &Graphs) -> anyhow::Result<Vec<StageProfile>> {
    let read = |file: &StageFile| {
        let info = args.layer_info.iter().find(|i| i.stage == file.stage);
        let info = info
            .map(|i| trtexec::read_layer_info(&i.file))
            .transpose()?;
        let info: HashMap<String, String> = info.unwrap_or_default();
        let profile = trtexec::read_profile(&file.file)?;
        let graph = graph(graphs, file)?;
        let described = |layer: &str| info.get(layer).cloned();
        let (layers, runs) = (&profile.layers, profile.runs);
        Ok(StageProfile::new(
            &file.stage,
            graph,
            layers,
            runs,
            args.depth,
            &described,
        ))
    };
    args.layer_profile.iter().map(read).collect()
}

/// Runs a clip on an engine whose profiler is on.
fn run(
    args: &ProfileArgs,
    source: &Source,
    request: &Request,
    graphs: &Graphs,
) -> anyhow::Result<(String, Vec<StageProfile>)> {
    let mut options = args.engine.options()?;
    options.profile = true;
    let engine = engine(&args.engine.engine, &options)?;
    let profiler = format!("{} ({})", engine.name(), engine.version());
    let workload = Workload {
        frames: synthetic_frames(request.frames, request.height, request.width),
        height: request.height,
        width: request.width,
        expressions: vec![args.expression.clone()],
        tokenizer: source.tokenizer()?,
        max_tokens: source.facts().max_tokens,
    };
    let spinner = progress::spinner();
    spinner.set_message("compiling stages");
    let mut pipeline = source.compile(engine, request, &mut |_| ())?;
    spinner.set_message("profiling");
    for _ in 0..args.runs {
        workload.lap(&mut pipeline, 1)?;
    }
    spinner.finish_and_clear();
    let mut stages = Vec::new();
    for (name, times) in pipeline.operator_times()? {
        let Some(times) = times else {
            bail!(
                "engine `{}` has no profiler; take embedded or onnxruntime, or give files of trtexec with --layer-profile",
                args.engine.engine
            );
        };
        if let Some((_, _, graph)) = graphs.iter().find(|(stage, ..)| *stage == name) {
            let (runs, depth) = (args.runs, args.depth);
            stages.push(StageProfile::new(
                &name,
                graph,
                &times,
                runs,
                depth,
                &|_| None,
            ));
        }
    }
    Ok((profiler, stages))
}

fn text(output: &Output) -> String {
    let mut out = format!("By {}\n\n", output.profiler);
    if !output.times.is_empty() {
        out.push_str(&times_table(&output.times).render());
        out.push('\n');
    }
    if output.stages.is_empty() {
        return out;
    }
    out.push_str(&operator_table(output).render());
    out.push('\n');
    let mut table = Table::new(&["module", ">layers", ">time", ">share of stage"]);
    for stage in &output.stages {
        for row in &stage.scopes {
            table.row([
                row.scope.clone(),
                row.layers.to_string(),
                duration(row.ms),
                percent(row.share),
            ]);
        }
    }
    out.push_str(&table.render());
    for stage in &output.stages {
        out.push_str(&format!(
            "{}: {} a run, mean of {} runs; by the names of layers {}, by their neighbours {}\n",
            stage.name,
            duration(stage.ms),
            stage.runs,
            percent(stage.mapped),
            percent(stage.inferred)
        ));
    }
    out
}

/// All stages' operators together.
fn operator_table(output: &Output) -> Table {
    let all: f64 = output.stages.iter().map(|s| s.ms).sum();
    let mut sums: Vec<OperatorRow> = Vec::new();
    for row in output.stages.iter().flat_map(|s| &s.operators) {
        match sums.iter_mut().find(|r| r.op == row.op) {
            Some(sum) => (sum.calls, sum.ms) = (sum.calls + row.calls, sum.ms + row.ms),
            None => sums.push(row.clone()),
        }
    }
    sums.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    let mut table = Table::new(&["operator", ">calls", ">time", ">share"]);
    for row in sums {
        let share = if all > 0.0 { row.ms / all } else { 0.0 };
        table.row([
            row.op,
            format!("{:.0}", row.calls),
            duration(row.ms),
            percent(share),
        ]);
    }
    table
}

fn times_table(times: &[StageTimes]) -> Table {
    let mut table = Table::new(&["stage", "part", ">runs", ">median", ">p90", ">p99", ">max"]);
    for StageTimes { stage, times } in times {
        let parts = [
            ("enqueue", times.enqueue),
            ("host to device", Some(times.host_to_device)),
            ("compute", Some(times.compute)),
            ("device to host", Some(times.device_to_host)),
            ("latency", Some(times.latency)),
        ];
        for (part, s) in parts.into_iter().filter_map(|(part, s)| Some((part, s?))) {
            table.row([
                stage.clone(),
                part.to_owned(),
                s.runs.to_string(),
                duration(s.p50_ms),
                duration(s.p90_ms),
                duration(s.p99_ms),
                duration(s.max_ms),
            ]);
        }
    }
    table
}
