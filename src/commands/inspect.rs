//! `socc inspect`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use socc::bundle::Bundle;
use socc::source::{Model, key_summary};
use socc_exporter::config::{Architecture, Backbone, Fact};
use socc_exporter::keys::Audit;
use socc_exporter::onnx;

use super::table::Table;
use super::{bundle_summary, megabytes, print, print_json};
use crate::args::InspectArgs;

/// What `--json` prints.
#[derive(Serialize)]
struct Inspection<'a> {
    file: String,
    format: String,
    bytes: u64,
    tensors: usize,
    backbone: &'a str,
    architecture: &'a Architecture,
    facts: &'a [Fact],
    complete: bool,
    #[serde(flatten)]
    audit: &'a Audit,
}

pub fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    match Bundle::is_in(&args.source) {
        true => inspect_bundle(args),
        false => inspect_checkpoint(args),
    }
}

fn inspect_bundle(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let bundle = Bundle::open(&args.source)?;
    let manifest = &bundle.manifest;
    if args.json {
        print_json(manifest)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut nodes = BTreeMap::new();
    for entry in &manifest.stages {
        let graph = onnx::load(&bundle.model_path(entry))?;
        nodes.insert(entry.name.as_str(), graph.nodes().len());
    }
    let nodes = |name: &str| nodes.get(name).copied().unwrap_or(0);
    print(&bundle_summary(&args.source, manifest, &nodes))?;
    Ok(ExitCode::SUCCESS)
}

fn inspect_checkpoint(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let (config, tokenizer) = (
        args.model.config.as_deref(),
        args.model.tokenizer.as_deref(),
    );
    let (model, audit) = Model::inspect(&args.source, config, tokenizer)?;
    let arch = &model.described.architecture;
    if args.json {
        print_json(&Inspection {
            file: args.source.display().to_string(),
            format: model.checkpoint.format().to_string(),
            bytes: model.checkpoint.size_bytes(),
            tensors: model.checkpoint.tensors().len(),
            backbone: arch.backbone.name(),
            architecture: arch,
            facts: &model.described.facts,
            complete: audit.complete(),
            audit: &audit,
        })?;
    } else {
        print(&text(args, &model, &audit))?;
    }
    if let Some(summary) = key_summary(&audit) {
        bail!(
            "{}: {summary}; this checkpoint cannot be run",
            args.source.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn text(args: &InspectArgs, model: &Model, audit: &Audit) -> String {
    let checkpoint = &model.checkpoint;
    let arch = &model.described.architecture;
    let kind = match arch.backbone {
        Backbone::VideoSwin(_) => "SOC++ with a Video Swin backbone",
        Backbone::ResNet(_) => "SOC++ with a ResNet backbone",
    };
    let mut facts = Table::new(&["fact", "value", "from"]);
    for fact in &model.described.facts {
        let (name, value) = (fact.name.clone(), fact.value.clone());
        facts.row([name, value, fact.origin.to_string()]);
    }
    let mut stages = Table::new(&["stage", ">parameters", ">size"]);
    for size in &audit.per_stage {
        let name = size.stage.to_string();
        stages.row([name, size.parameters.to_string(), megabytes(size.bytes)]);
    }
    let parameters: u64 = audit.per_stage.iter().map(|s| s.parameters).sum();
    let bytes: u64 = audit.per_stage.iter().map(|s| s.bytes).sum();
    stages.row([
        "in all".to_owned(),
        parameters.to_string(),
        megabytes(bytes),
    ]);
    format!(
        "{}: {}, {}, {} tensors\n{kind}: {}\n\n{}\n{}\n{}",
        args.source.display(),
        checkpoint.format(),
        megabytes(checkpoint.size_bytes()),
        checkpoint.tensors().len(),
        arch.backbone.name(),
        facts.render(),
        stages.render(),
        keys(audit),
    )
}

fn keys(audit: &Audit) -> String {
    if audit.complete() && audit.unused.is_empty() {
        return "Every key that inference needs is there; none is unknown.\n".to_owned();
    }
    let near = |nearest: &Option<String>| nearest.clone().unwrap_or_default();
    let mut out = String::new();
    let mut section = |title: &str, table: &Table, rows: usize| {
        if rows > 0 {
            out.push_str(&format!("{rows} {title}\n{}\n", table.render()));
        }
    };
    let mut missing = Table::new(&["missing key", "shape", "stage", "nearest in the file"]);
    for key in &audit.missing {
        let shape = format!("{:?}", key.shape);
        missing.row([
            key.key.clone(),
            shape,
            key.stage.to_string(),
            near(&key.nearest),
        ]);
    }
    section("missing:", &missing, audit.missing.len());
    let mut wrong = Table::new(&["key of another shape", "expected", "got"]);
    for key in &audit.wrong_shape {
        let (expected, got) = (format!("{:?}", key.expected), format!("{:?}", key.got));
        wrong.row([key.key.clone(), expected, got]);
    }
    section("of another shape:", &wrong, audit.wrong_shape.len());
    let mut unused = Table::new(&["unused key", "shape", "nearest official"]);
    for key in &audit.unused {
        unused.row([
            key.key.clone(),
            format!("{:?}", key.shape),
            near(&key.nearest),
        ]);
    }
    section("unused:", &unused, audit.unused.len());
    out
}
