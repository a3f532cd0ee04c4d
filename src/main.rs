//! The `socc` command.

mod args;
mod commands;
mod progress;
mod quiet;

use std::process::ExitCode;

use clap::Parser;

/// Bad input, as opposed to a check that found a difference (1).
const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    if let Err(error) = quiet::restart_if_needed(&cli.command) {
        eprintln!("error: cannot restart without ONNX Runtime's telemetry: {error}");
        return ExitCode::from(BAD_INPUT);
    }
    match commands::dispatch(cli.command) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error.to_string();
            let words: Vec<&str> = text.split_whitespace().collect();
            eprintln!("error: {}", words.join(" "));
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Whether the reader of our output has gone, as `head` does: no fault of ours.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}
