//! The `socc` command.

mod args;
mod commands;
mod interrupt;
mod progress;
mod quiet;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Bad input, as opposed to a check that found a difference (1).
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    if let Err(error) = quiet::restart_if_needed(&cli.command) {
        fail(&format!(
            "cannot restart without ONNX Runtime's telemetry: {error}"
        ));
        return ExitCode::from(BAD_INPUT);
    }
    interrupt::install();
    match commands::dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            fail(&error.to_string());
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Says what went wrong, on one line.
fn fail(text: &str) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = commands::visible(&format!("error: {}", words.join(" ")));
    // Unlike `eprintln!`, without a panic where nobody listens.
    let _ = writeln!(std::io::stderr(), "{line}");
}
