//! Keeps ONNX Runtime from reporting to its maker.
//!
//! The library reads `ORT_DISABLE_TELEMETRY` when it is loaded, and a process cannot change its own
//! environment safely, so the command starts itself anew with the variable set.

use std::io;

use crate::args::Command;

const TELEMETRY_OFF: &str = "ORT_DISABLE_TELEMETRY";

/// Replaces this process by one whose environment switches the telemetry off, if the command loads
/// ONNX Runtime and the user has not decided otherwise.
///
/// # Errors
/// The process cannot be started anew.
pub fn restart_if_needed(command: &Command) -> io::Result<()> {
    if !command.loads_onnxruntime() || std::env::var_os(TELEMETRY_OFF).is_some() {
        return Ok(());
    }
    restart()
}

#[cfg(unix)]
fn restart() -> io::Result<()> {
    use std::os::unix::process::CommandExt;
    let mut again = std::process::Command::new(std::env::current_exe()?);
    Err(again
        .args(std::env::args_os().skip(1))
        .env(TELEMETRY_OFF, "1")
        .exec())
}

#[cfg(not(unix))]
fn restart() -> io::Result<()> {
    let mut again = std::process::Command::new(std::env::current_exe()?);
    let status = again
        .args(std::env::args_os().skip(1))
        .env(TELEMETRY_OFF, "1")
        .status()?;
    std::process::exit(status.code().unwrap_or(1))
}
