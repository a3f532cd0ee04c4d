//! The `socc` command.

mod args;
mod commands;
mod progress;
mod quiet;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

/// Bad input, as opposed to a check that found a difference (1).
const BAD_INPUT: u8 = 2;
/// As shells count a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    if let Err(error) = quiet::restart_if_needed(&cli.command) {
        fail(&format!(
            "cannot restart without ONNX Runtime's telemetry: {error}"
        ));
        return ExitCode::from(BAD_INPUT);
    }
    // Where no handler can be set, an interrupt leaves temporary files behind, and that is all.
    let _ = ctrlc::set_handler(|| {
        socc::scratch::remove_all();
        std::process::exit(INTERRUPTED);
    });
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
