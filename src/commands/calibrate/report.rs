//! What `socc calibrate` prints.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use socc_calibration::method::Method;
use socc_calibration::table::{RangeTable, StageRanges};

use crate::args::CalibrateArgs;
use crate::commands::table::Table;
use crate::commands::{print, print_json};

#[derive(Serialize)]
struct Summary<'a> {
    output: &'a Path,
    method: Method,
    checkpoint: &'a str,
    clips: usize,
    expressions: usize,
    stages: BTreeMap<&'a str, StageSummary<'a>>,
    seconds: f64,
}

#[derive(Serialize)]
struct StageSummary<'a> {
    /// SHA-256 of the graph's structure.
    graph: &'a str,
    tensors: usize,
    samples: u64,
    /// The tensor with the largest magnitude, and that.
    largest: Option<(&'a str, f32)>,
}

impl<'a> StageSummary<'a> {
    fn new(stage: &'a StageRanges) -> Self {
        let peaks = stage.tensors.iter().map(|(name, r)| (&**name, r.peak()));
        Self {
            graph: &stage.graph,
            tensors: stage.tensors.len(),
            samples: stage.tensors.values().map(|r| r.samples).sum(),
            largest: peaks.max_by(|a, b| a.1.total_cmp(&b.1)),
        }
    }
}

/// Says what was found.
pub fn report(args: &CalibrateArgs, table: &RangeTable, time: Duration) -> anyhow::Result<()> {
    let stages = table.stages.iter();
    let summary = Summary {
        output: &args.output,
        method: table.method,
        checkpoint: &table.checkpoint,
        clips: table.clips,
        expressions: table.expressions,
        stages: stages.map(|(k, v)| (&**k, StageSummary::new(v))).collect(),
        seconds: time.as_secs_f64(),
    };
    if args.json {
        return print_json(&summary);
    }
    let mut out = Table::new(&["stage", ">tensors", ">values", ">largest", "of"]);
    for (name, stage) in &summary.stages {
        let (tensor, peak) = stage.largest.unwrap_or(("", 0.0));
        let (tensors, samples) = (stage.tensors.to_string(), stage.samples.to_string());
        let name = (*name).to_owned();
        out.row([
            name,
            tensors,
            samples,
            format!("{peak:.4}"),
            tensor.to_owned(),
        ]);
    }
    print(&format!(
        "{}: {} clips, {} expressions, method {}, {:.1} s\n{}",
        args.output.display(),
        table.clips,
        table.expressions,
        table.method,
        summary.seconds,
        out.render()
    ))
}
