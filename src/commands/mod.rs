//! One file per command.

mod bench;
mod build;
mod calibrate;
mod compare;
mod demo;
mod doctor;
mod eval;
mod export;
mod inspect;
mod job;
mod profile;
mod roofline;
mod run;
mod sensitivity;
mod setup;
mod synth;
mod table;
mod verify;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;
use socc::bundle::{Manifest, ModelFacts};
use socc::host::resize::detr_size;

use self::table::Table;
use crate::args::{Command, Size};

/// Exit code of a check that found a difference.
const DIFFERENT: u8 = 1;

/// Runs a command.
pub fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Build(args) => build::build(&args),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Export(args) => export::export(&args),
        Command::Calibrate(args) => calibrate::calibrate(&args),
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Sensitivity(args) => sensitivity::sensitivity(&args),
        Command::Eval(args) => eval::eval(&args),
        Command::Setup(args) => setup::setup(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Profile(args) => profile::profile(&args),
        Command::Roofline(args) => roofline::roofline(&args),
        Command::Synth(args) => synth::synth(&args),
    }
}

/// Prints text for people.
fn print(text: &str) -> anyhow::Result<()> {
    write(&visible(text))
}

/// Prints a value as JSON.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    write(&format!("{text}\n"))
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has gone, as `head` does: no fault of ours, and the exit code is another matter.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(e) => bail!("cannot write to standard output: {e}"),
        Ok(()) => Ok(()),
    }
}

/// Text whose control characters other than line ends are spelled out: names in a checkpoint must not command the
/// terminal.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Shape of the video that the default size is for.
const WIDESCREEN: (u32, u32) = (1920, 1080);

/// Size that the model sees of a video whose size nobody gave.
fn default_size(facts: ModelFacts) -> Size {
    let (short, long) = (facts.eval_short_size, facts.eval_max_size);
    let (width, height) = detr_size(WIDESCREEN.0, WIDESCREEN.1, short, long);
    Size {
        height: height as usize,
        width: width as usize,
    }
}

/// Before frames of an absurd size are made; the exporter's own limit is lower.
fn check_size(size: Size) -> anyhow::Result<()> {
    const MOST: usize = 1 << 14;
    if size.height > MOST || size.width > MOST || size.height == 0 || size.width == 0 {
        bail!(
            "--size is {}x{}; give sides of 1 to {MOST} pixels",
            size.height,
            size.width
        );
    }
    Ok(())
}

/// Bytes for people, in powers of ten.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// What a bundle is, with `nodes` of each stage's graph.
fn bundle_summary(path: &Path, manifest: &Manifest, nodes: &dyn Fn(&str) -> usize) -> String {
    let mut table = Table::new(&["stage", "runs once per", "precision", ">nodes", ">size"]);
    for stage in &manifest.stages {
        let bytes = stage.files.iter().map(|f| f.bytes).sum();
        let rate = stage.rate.to_string();
        let nodes = nodes(&stage.name).to_string();
        let precision = stage.precision.to_string();
        table.row([stage.name.clone(), rate, precision, nodes, megabytes(bytes)]);
    }
    format!(
        "{}: {}, ONNX opset {}, {}\n{}",
        path.display(),
        manifest.clip(),
        manifest.opset,
        manifest.precision,
        table.render()
    )
}
