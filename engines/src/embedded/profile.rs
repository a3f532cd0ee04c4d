//! rten's profiler, which tells what it knows of single nodes on standard output alone.
//!
//! While a profiled stage runs, standard output goes to a temporary file: whatever another thread prints meanwhile is
//! lost. That is why nothing but [`crate::Options::profile`] turns it on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::engine::OperatorTime;
use crate::error::EngineError;

use super::NAME;

/// Times so far.
#[derive(Default)]
pub(super) struct Profile(Mutex<Times>);

#[derive(Default)]
struct Times {
    places: HashMap<String, usize>,
    times: Vec<OperatorTime>,
}

impl Profile {
    /// Runs `body`, which lets rten print, and reads what it printed.
    ///
    /// # Errors
    /// Standard output cannot be redirected, or `body` fails.
    pub(super) fn watch<T>(
        &self,
        stage: &str,
        body: impl FnOnce() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let failed = |e: std::io::Error| EngineError::Profile {
            engine: NAME,
            stage: stage.to_owned(),
            detail: e.to_string(),
        };
        let (result, text) = capture::stdout_of(body).map_err(failed)?;
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        times.add(&text);
        result
    }

    /// All times.
    pub(super) fn finish(self) -> Vec<OperatorTime> {
        self.0
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .times
    }
}

impl Times {
    /// Reads steps: `#3 MatMul (attn/MatMul)`, lines on operands, `  time: 0.123ms`.
    fn add(&mut self, text: &str) {
        let mut step: Option<(&str, &str)> = None;
        for line in text.lines() {
            if let Some(head) = line.strip_prefix('#') {
                step = head.split_once(' ').and_then(|(_, rest)| {
                    let (op, name) = rest.split_once(" (")?;
                    Some((op, name.strip_suffix(')')?))
                });
            } else if let Some(time) = line.trim().strip_prefix("time: ")
                && let Some(ms) = time.strip_suffix("ms").and_then(|t| t.parse::<f64>().ok())
                && let Some((op, name)) = step.take()
            {
                self.count(op, name, ms);
            }
        }
    }

    fn count(&mut self, op: &str, name: &str, ms: f64) {
        let times = &mut self.times;
        let place = *self.places.entry(name.to_owned()).or_insert_with(|| {
            times.push(OperatorTime {
                name: name.to_owned(),
                op: op.to_owned(),
                calls: 0,
                total_ms: 0.0,
            });
            times.len() - 1
        });
        times[place].calls += 1;
        times[place].total_ms += ms;
    }
}

#[cfg(unix)]
mod capture {
    use std::fs::File;
    use std::io::{self, Read, Seek, Write};
    use std::os::fd::OwnedFd;

    use rustix::stdio::{dup2_stdout, stdout};

    /// Puts standard output back, whatever happens.
    struct Redirected(OwnedFd);

    impl Drop for Redirected {
        fn drop(&mut self) {
            let _ = io::stdout().flush();
            let _ = dup2_stdout(&self.0);
        }
    }

    /// Runs `body` and gives what was printed meanwhile.
    pub(super) fn stdout_of<T>(body: impl FnOnce() -> T) -> io::Result<(T, String)> {
        let mut file: File = tempfile::tempfile()?;
        io::stdout().flush()?;
        let back = Redirected(rustix::io::dup(stdout())?);
        dup2_stdout(&file)?;
        let result = body();
        drop(back);
        let mut text = Vec::new();
        file.rewind()?;
        file.read_to_end(&mut text)?;
        Ok((result, String::from_utf8_lossy(&text).into_owned()))
    }
}

#[cfg(not(unix))]
mod capture {
    use std::io;

    pub(super) fn stdout_of<T>(_body: impl FnOnce() -> T) -> io::Result<(T, String)> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "this system cannot redirect standard output; profile with engine `onnxruntime`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines as rten 0.27 prints them.
    #[test]
    fn steps_are_read_with_their_names() {
        let text = "\
#0 Transpose (attn/Transpose)
  input 0: x (f32 [2, 3])
  output 0: y ([3, 2])
  time: 0.250ms
#1 MatMul (attn/MatMul)
  time: 1.500ms
Graph run of 2 ops finished in 1.75ms
MatMul 1.50ms (85.71%)
";
        let mut times = Times::default();
        times.add(text);
        times.add(text);
        assert_eq!(times.times.len(), 2);
        let product = &times.times[1];
        assert_eq!(
            (product.name.as_str(), product.op.as_str()),
            ("attn/MatMul", "MatMul")
        );
        assert_eq!((product.calls, product.total_ms), (2, 3.0));
    }
}
