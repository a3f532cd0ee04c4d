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
mod run;
mod sensitivity;
mod setup;
mod synth;
mod table;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::bail;
use serde::Serialize;

use crate::args::Command;

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

/// Bytes for people, in powers of ten.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
