//! Progress on a terminal, silence elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shape of a bar that counts steps.
const STEPS: &str = "{msg:28} {bar:30} {pos}/{len} {elapsed}";
/// Shape of a bar that counts clips.
const CLIPS: &str = "{msg:28} {bar:30} {pos}/{len} {per_sec} {eta} left";
/// Shape of a count of frames.
const FRAMES: &str = "{msg:28} {spinner} {pos} frames {per_sec} {elapsed}";
/// Shape of a bar that counts bytes.
const BYTES: &str = "{msg:28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// A bar of `len` steps; it draws nothing where standard error is no terminal.
pub fn steps(len: usize, message: &str) -> ProgressBar {
    bar(len as u64, message, STEPS)
}

/// A sign of life for work of unknown length, with the message that is set on it.
pub fn spinner() -> ProgressBar {
    bar(0, "", "{spinner} {msg} {elapsed}")
}

/// Counts frames, of which nobody knows how many will come, with their rate.
pub fn frames(message: &str) -> ProgressBar {
    bar(0, message, FRAMES)
}

/// A bar of `len` clips, with their rate and the time left.
pub fn clips(len: usize, message: &str) -> ProgressBar {
    bar(len as u64, message, CLIPS)
}

/// A bar of `len` bytes.
pub fn bytes(len: u64, message: &str) -> ProgressBar {
    bar(len, message, BYTES)
}

fn bar(len: u64, message: &str, template: &str) -> ProgressBar {
    // The default target hides itself where standard error is no terminal.
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message.to_owned());
    if !bar.is_hidden() {
        bar.enable_steady_tick(Duration::from_millis(200));
    }
    bar
}
