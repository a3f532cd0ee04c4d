//! `socc export`.

use std::process::ExitCode;

use socc::bundle::{self, Contents};
use socc::host::tokenizer::TextTokenizer;
use socc::lowering::StageReport;
use socc::source::Model;
use socc_exporter::model::{Request, StageGraph, build};

use super::{bundle_summary, default_size, print, print_json};
use crate::args::ExportArgs;
use crate::progress;

pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let (config, tokenizer) = (
        args.model.config.as_deref(),
        args.model.tokenizer.as_deref(),
    );
    let model = Model::open(&args.checkpoint, config, tokenizer)?;
    let arch = &model.described.architecture;
    let size = args.size.unwrap_or_else(|| default_size(arch.into()));
    let request = Request {
        frames: args.frames,
        height: size.height,
        width: size.width,
        deformable: args.deformable.into(),
        frames_at_once: args.frames_at_once,
        probe: args.probe,
        annotated_frame: args.annotated_frame,
    };
    let mut stages = build(&model.checkpoint, arch, &request)?;
    let reports = lower(args, &model, &mut stages)?;
    match &model.tokenizer {
        // A damaged one would only be seen when the bundle is run.
        Some(dir) => drop(TextTokenizer::from_dir(dir)?),
        None => eprintln!(
            "note: no tokenizer is known, so the bundle runs sentences only with --tokenizer DIR"
        ),
    }
    let contents = Contents {
        stages: &stages,
        reports: &reports,
        request,
        architecture: arch,
        checkpoint: &model.checkpoint,
        tokenizer: model.tokenizer.as_deref(),
    };
    let bar = progress::steps(stages.len(), "writing stages");
    let manifest = bundle::write(&contents, &args.output, args.force, &|_| bar.inc(1));
    bar.finish_and_clear();
    let manifest = manifest?;
    if args.json {
        print_json(&manifest)?;
    } else {
        let nodes = |name: &str| {
            let stage = stages.iter().find(|s| s.name == name);
            stage.map_or(0, |s| s.graph.nodes().len())
        };
        print(&bundle_summary(&args.output, &manifest, &nodes))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lowers the stages to the precisions that were asked for.
fn lower(
    args: &ExportArgs,
    model: &Model,
    stages: &mut [StageGraph],
) -> anyhow::Result<Vec<StageReport>> {
    let request = args.precision.request()?;
    if request.ranges.is_some() || request.plan.is_some() {
        request.check(&model.checkpoint.fingerprint()?)?;
    }
    Ok(request.lower_all(stages)?)
}
