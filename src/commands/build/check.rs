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
    let mut table = Table::new(&["stage", "operator", ">nodes", "verdict"]);
    for line in lines {
        for row in &line.operators {
            let (stage, op) = (line.stage.clone(), row.op.clone());
            table.row([stage, op, row.count.to_string(), row.verdict.word().into()]);
        }
    }
    let mut text = table.render();
    for line in lines {
        for failure in &line.failures {
            text.push_str(&format!("stage `{}`: {failure}\n", line.stage));
        }
    }
    text
}
