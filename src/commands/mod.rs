//! One file per command.

mod demo;
mod doctor;
mod export;
mod inspect;
mod job;
mod run;
mod setup;
mod synth;
mod table;
mod verify;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::args::Command;

/// Exit code of a check that found a difference.
const DIFFERENT: u8 = 1;

/// Runs a command.
pub fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Export(args) => export::export(&args),
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Setup(args) => setup::setup(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Demo(args) => demo::demo(&args),
        Command::Synth(args) => synth::synth(&args),
    }
}

/// Prints text; a closed pipe is an error here, not a panic.
fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a value as JSON.
fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(print(&format!("{text}\n"))?)
}

/// Bytes for people, in powers of ten.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
