//! `socc roofline`.

use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use socc::bench::Report;
use socc::bench::units::{duration, si};
use socc::pipeline::chunk_runs;
use socc::roofline::{
    Bound, Count, Counter, DEVICES, HOST, Limit, Machine, Precision, bound, device, measure_host,
    scopes, under,
};
use socc::source::Source;
use socc_exporter::graph::Graph;
use socc_exporter::model::Request;

use super::table::Table;
use super::{default_size, print, print_json};
use crate::args::RooflineArgs;

/// Work in each precision.
#[derive(Serialize)]
struct Counts {
    graph: Count,
    fp16: Count,
    int8: Count,
}

/// The shortest times of a stage on one machine.
#[derive(Serialize)]
struct Bounds {
    machine: String,
    graph: Option<Bound>,
    fp16: Option<Bound>,
    int8: Option<Bound>,
}

#[derive(Serialize)]
struct Scope {
    name: String,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Stage {
    name: String,
    #[serde(flatten)]
    counts: Counts,
    /// Bytes where every operator reads from memory and writes to it.
    unfused_bytes: u64,
    bounds: Vec<Bounds>,
    measured_ms: Option<f64>,
    /// On the machine called `cpu`.
    measured_over_bound: Option<f64>,
    scopes: Vec<Scope>,
}

#[derive(Serialize)]
struct Output {
    tokens: usize,
    machines: Vec<Machine>,
    stages: Vec<Stage>,
    notes: Vec<String>,
}

pub fn roofline(args: &RooflineArgs) -> anyhow::Result<ExitCode> {
    if args.tokens == 0 || args.depth == 0 {
        bail!("--tokens and --depth must be at least 1");
    }
    // Before anything long begins.
    let wanted = wanted(&args.device)?;
    let report = args.bench.as_deref().map(Report::read).transpose()?;
    let source = args.source.open()?;
    let request = request(args, &source);
    let graphs = source.graphs(&request)?;
    let machines = machines(args, wanted)?;
    let notes = report.as_ref().map(|r| notes(r, &request));
    let stages = graphs.iter().map(|(name, rate, graph)| {
        let measured = report.as_ref().and_then(|r| median(r, name));
        stage(
            args,
            (name, graph, request.frames_of(*rate)),
            &machines,
            measured,
        )
    });
    let output = Output {
        tokens: args.tokens,
        stages: stages.collect(),
        machines,
        notes: notes.unwrap_or_default(),
    };
    if args.json {
        print_json(&output)?;
    } else {
        print(&text(&output))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Names of the machines, each of which is known.
fn wanted(given: &[String]) -> anyhow::Result<Vec<String>> {
    let known = || [HOST].into_iter().chain(DEVICES);
    if given.is_empty() {
        return Ok(known().map(str::to_owned).collect());
    }
    if let Some(name) = given.iter().find(|n| !known().any(|k| k == *n)) {
        let known: Vec<&str> = known().collect();
        bail!("unknown device `{name}`; known are {}", known.join(", "));
    }
    Ok(given.to_vec())
}

fn machines(args: &RooflineArgs, names: Vec<String>) -> anyhow::Result<Vec<Machine>> {
    let mut machines = Vec::new();
    for name in names {
        match device(&name) {
            Some(machine) => machines.push(machine),
            None => {
                let engines = [args.engine.engine.as_str()];
                machines.push(measure_host(&engines, &args.engine.options()?)?);
            }
        }
    }
    Ok(machines)
}

fn request(args: &RooflineArgs, source: &Source) -> Request {
    let size = args.size.unwrap_or_else(|| default_size(source.facts()));
    let mut request = source.request(args.frames, size.height, size.width);
    if source.manifest().is_none() {
        request.deformable = args.deformable.into();
    }
    request
}

fn median(report: &Report, stage: &str) -> Option<f64> {
    let found = report.stages.iter().find(|s| s.name == stage)?;
    Some(found.series.summary.p50_ms)
}

/// What keeps a measurement from being about these graphs.
fn notes(report: &Report, request: &Request) -> Vec<String> {
    let s = &report.settings;
    let (frames, height, width) = (request.frames, request.height, request.width);
    let mut notes = Vec::new();
    if (s.frames, s.height, s.width) != (frames, height, width) {
        notes.push(format!(
            "the report is about {} frames of {}x{}, the graphs about {frames} of {height}x{width}",
            s.frames, s.height, s.width
        ));
    }
    let here = socc::bench::environment::Environment::read();
    if report.environment.cpu.model != here.cpu.model {
        notes.push("the report comes from another processor than the peaks".to_owned());
    }
    notes
}

fn counts<'a>(
    counter: &Counter<'_>,
    nodes: impl Iterator<Item = &'a socc_exporter::graph::Node> + Clone,
) -> Counts {
    Counts {
        graph: counter.count(nodes.clone(), Precision::Graph),
        fp16: counter.count(nodes.clone(), Precision::Fp16),
        int8: counter.count(nodes, Precision::Int8),
    }
}

fn stage(
    args: &RooflineArgs,
    (name, graph, frames): (&str, &Graph, usize),
    machines: &[Machine],
    measured_ms: Option<f64>,
) -> Stage {
    let runs = chunk_runs(graph, frames);
    let counter = Counter::new(graph, args.tokens).repeated(runs);
    let whole = counts(&counter, graph.nodes().iter());
    let bounds: Vec<Bounds> = machines
        .iter()
        .map(|machine| Bounds {
            machine: machine.name.clone(),
            graph: bound(&whole.graph, machine, counter.arithmetic()),
            fp16: bound(&whole.fp16, machine, Precision::Fp16),
            int8: bound(&whole.int8, machine, Precision::Int8),
        })
        .collect();
    let here = bounds.iter().find(|b| b.machine == HOST);
    let here = here.and_then(|b| b.graph);
    let scopes = scopes(graph, args.depth)
        .into_iter()
        .map(|(scope, nodes)| Scope {
            name: under(name, &scope),
            counts: counts(&counter, nodes.into_iter()),
        });
    Stage {
        name: name.to_owned(),
        unfused_bytes: counter.unfused_bytes(Precision::Graph),
        measured_ms,
        measured_over_bound: measured_ms.zip(here).map(|(ms, bound)| ms / bound.ms),
        scopes: scopes.collect(),
        bounds,
        counts: whole,
    }
}

fn text(output: &Output) -> String {
    let mut out = format!(
        "Work of one clip and expression, {} tokens; bytes as the graph's types are\n\n",
        output.tokens
    );
    out.push_str(&work_table(output).render());
    out.push_str("\nShortest time by arithmetic (c) or memory (m)\n\n");
    out.push_str(&bound_table(output).render());
    out.push_str("\nModule scopes, most operations first\n\n");
    out.push_str(&scope_table(output).render());
    out.push('\n');
    for machine in &output.machines {
        out.push_str(&format!(
            "{}: {}FLOP/s, {}B/s; {}\n",
            machine.name,
            si(machine.fp32_flops),
            si(machine.bandwidth),
            machine.source
        ));
    }
    for note in &output.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    out
}

fn work_table(output: &Output) -> Table {
    let mut table = Table::new(&[
        "stage",
        ">nodes",
        ">FLOP",
        ">read",
        ">written",
        ">FLOP/byte",
        ">fp16",
        ">int8",
        ">unfused bytes",
        ">measured",
        ">over bound",
    ]);
    for stage in &output.stages {
        let c = &stage.counts;
        table.row([
            stage.name.clone(),
            c.graph.nodes.to_string(),
            si(c.graph.flops as f64),
            si(c.graph.read_bytes as f64),
            si(c.graph.written_bytes as f64),
            format!("{:.1}", c.graph.intensity()),
            format!("{:.1}", c.fp16.intensity()),
            format!("{:.1}", c.int8.intensity()),
            si(stage.unfused_bytes as f64),
            stage.measured_ms.map_or_else(String::new, duration),
            stage
                .measured_over_bound
                .map_or_else(String::new, |r| format!("{r:.2}")),
        ]);
    }
    table
}

fn bound_table(output: &Output) -> Table {
    let mut table = Table::new(&["machine", "stage", ">as the graph is", ">fp16", ">int8"]);
    let cell = |bound: Option<Bound>| match bound {
        None => "-".to_owned(),
        Some(b) => {
            let limit = if b.limit == Limit::Compute { 'c' } else { 'm' };
            format!("{} {limit}", duration(b.ms))
        }
    };
    for machine in &output.machines {
        for stage in &output.stages {
            let bounds = stage.bounds.iter().find(|b| b.machine == machine.name);
            if let Some(b) = bounds {
                table.row([
                    machine.name.clone(),
                    stage.name.clone(),
                    cell(b.graph),
                    cell(b.fp16),
                    cell(b.int8),
                ]);
            }
        }
    }
    table
}

fn scope_table(output: &Output) -> Table {
    let mut table = Table::new(&["scope", ">nodes", ">FLOP", ">share", ">bytes", ">FLOP/byte"]);
    let all: u64 = output.stages.iter().map(|s| s.counts.graph.flops).sum();
    let mut scopes: Vec<&Scope> = output.stages.iter().flat_map(|s| &s.scopes).collect();
    scopes.sort_by_key(|s| std::cmp::Reverse(s.counts.graph.flops));
    for scope in scopes {
        let c = &scope.counts.graph;
        table.row([
            scope.name.clone(),
            c.nodes.to_string(),
            si(c.flops as f64),
            socc::bench::units::percent(c.flops as f64 / all.max(1) as f64),
            si(c.bytes() as f64),
            format!("{:.1}", c.intensity()),
        ]);
    }
    table
}
