//! `socc verify`.

use std::fmt::Write;
use std::process::ExitCode;

use socc::source::Source;
use socc::verify::{self, Case, ExpressionReport, Report, Tolerance};
use socc_calibration::precision::Precision;
use socc_exporter::model::STAGES;

use super::table::Table;
use super::{DIFFERENT, print, print_json};
use crate::args::VerifyArgs;
use crate::progress;

pub fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let engine = args.engine.open()?;
    let source = args.source.open()?;
    source.check_whole_clips()?;
    let case = Case::open(&args.golden)?;
    let mut request = source.request(case.clip.frames.len(), case.height, case.width);
    // A bundle of another shape is refused by the case's own shape, not silently resized.
    (request.frames, request.height, request.width) =
        (case.clip.frames.len(), case.height, case.width);
    if source.manifest().is_none() {
        request.probe = true;
        request.deformable = args.deformable.into();
    }
    let tokenizer = source.tokenizer().ok();
    let max_tokens = source.facts().max_tokens;
    let bar = progress::steps(STAGES.len(), "compiling stages");
    let mut pipeline = source.compile(engine, &request, &mut |_| bar.inc(1))?;
    bar.set_message("running the case");
    let tokens = |text: &str| tokenizer.as_ref()?.encode(text, max_tokens).ok();
    let report = verify::run(&case, &mut pipeline, tolerance(&source), &tokens);
    bar.finish_and_clear();
    let report = report?;
    if args.json {
        print_json(&report)?;
    } else {
        print(&text(&report))?;
    }
    Ok(match report.passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DIFFERENT),
    })
}

/// By the least precise stage.
fn tolerance(source: &Source) -> Tolerance {
    let stages = source.manifest().map_or(&[][..], |m| &m.stages);
    let least = stages.iter().map(|s| s.precision).max();
    Tolerance::of(least.unwrap_or(Precision::Fp32))
}

fn word(passed: bool) -> String {
    if passed { "pass" } else { "FAIL" }.to_owned()
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for expression in &report.expressions {
        out.push_str(&expression_text(expression, report.tolerance));
        out.push('\n');
    }
    let tolerance = report.tolerance;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{}: tolerance {} (relative L2 <= {:e}, mask IoU >= {}, selected query equal)",
        word(report.passed),
        tolerance.name,
        tolerance.relative_l2,
        tolerance.mask_iou
    );
    out
}

fn expression_text(expression: &ExpressionReport, tolerance: Tolerance) -> String {
    let mut table = Table::new(&["tensor", ">max abs", ">relative L2", ">cosine", ""]);
    for tensor in &expression.tensors {
        let d = tensor.difference;
        let name = match tensor.sampled {
            true => format!("{} (samples)", tensor.name),
            false => tensor.name.clone(),
        };
        let (abs, l2) = (
            format!("{:.2e}", d.max_abs),
            format!("{:.2e}", d.relative_l2),
        );
        table.row([
            name,
            abs,
            l2,
            format!("{:.8}", d.cosine),
            word(tensor.passed),
        ]);
    }
    let mut out = format!("\"{}\"\n{}", expression.text, table.render());
    if !expression.not_given.is_empty() {
        let names = expression.not_given.join(", ");
        let _ = writeln!(
            out,
            "not given by these graphs (export with --probe): {names}"
        );
    }
    if let Some(equal) = expression.tokens_equal {
        let _ = writeln!(out, "tokens {}", if equal { "equal" } else { "DIFFER" });
    }
    let (got, golden) = (expression.selected_query, expression.golden_selected_query);
    let query = word(got == golden);
    let _ = writeln!(out, "selected query {got}, golden {golden}: {query}");
    let iou = word(expression.mask_iou >= tolerance.mask_iou);
    let _ = writeln!(out, "mask IoU {:.6}: {iou}", expression.mask_iou);
    out
}
