//! `socc build --check`: which operators TensorRT's parser takes.

use std::process::ExitCode;

use serde::Serialize;
use socc::bundle::{Bundle, StageEntry};
use socc_engines::tensorrt::{Builder, OperatorSupport, Profile};

use super::network;
use crate::args::BuildArgs;
use crate::commands::table::Table;
use crate::commands::{DIFFERENT, print, print_json};

#[derive(Serialize)]
struct Line {
    stage: String,
    supported: bool,
    operators: Vec<OperatorSupport>,
    failures: Vec<String>,
}

pub(super) fn check(
    args: &BuildArgs,
    bundle: &Bundle,
    stages: &[&StageEntry],
    builder: &Builder,
) -> anyhow::Result<ExitCode> {
    let profile = Profile::tokens(bundle.manifest.model.max_tokens);
    let mut lines = Vec::new();
    for stage in stages {
        let support = builder.check(&network(bundle, stage, profile).as_ref())?;
        lines.push(Line {
            stage: stage.name.clone(),
            supported: support.failures.is_empty(),
            operators: support.operators,
            failures: support.failures.iter().map(ToString::to_string).collect(),
        });
    }
    match args.json {
        true => print_json(&lines)?,
        false => print(&tables(&lines))?,
    }
    Ok(match lines.iter().all(|l| l.supported) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERENT),
    })
}

fn tables(lines: &[Line]) -> String {
    let mut table = Table::new(&["stage", "operator", ">nodes", "verdict", "TensorRT says"]);
    for line in lines {
        for row in &line.operators {
            table.row([
                line.stage.clone(),
                row.op.clone(),
                row.count.to_string(),
                row.verdict.word().to_owned(),
                row.failure.clone().unwrap_or_default(),
            ]);
        }
        // A failure that no operator has.
        let shown = line.operators.iter().any(|row| row.failure.is_some());
        if let Some(failure) = line.failures.first().filter(|_| !shown) {
            let blank = String::new;
            table.row([
                line.stage.clone(),
                "-".into(),
                blank(),
                "refused".into(),
                failure.clone(),
            ]);
        }
    }
    table.render()
}
