//! What ONNX Runtime's profiler wrote.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use tempfile::TempDir;

use crate::engine::OperatorTime;
use crate::error::EngineError;

use super::NAME;

/// What the profiler adds to a node's name in the event of its computation.
const KERNEL: &str = "_kernel_time";

/// One event of the trace; of the many kinds only those of kernels have all of this.
#[derive(Deserialize)]
struct Event {
    name: String,
    #[serde(default)]
    dur: f64,
    #[serde(default)]
    args: Args,
}

#[derive(Deserialize, Default)]
struct Args {
    op_name: Option<String>,
}

/// A folder for a session's profile.
///
/// # Errors
/// The system has no place for temporary files.
pub(super) fn folder() -> Result<TempDir, EngineError> {
    TempDir::new().map_err(|source| EngineError::Io {
        action: "write",
        path: std::env::temp_dir(),
        source,
    })
}

/// Times of the operators in a profile.
///
/// # Errors
/// The file cannot be read, or is no profile.
pub(super) fn read(stage: &str, path: &Path) -> Result<Vec<OperatorTime>, EngineError> {
    let text = fs::read_to_string(path).map_err(|source| EngineError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    })?;
    parse(&text).map_err(|e| EngineError::Profile {
        engine: NAME,
        stage: stage.to_owned(),
        detail: e.to_string(),
    })
}

fn parse(text: &str) -> serde_json::Result<Vec<OperatorTime>> {
    let events: Vec<Event> = serde_json::from_str(text)?;
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut times: Vec<OperatorTime> = Vec::new();
    for event in events {
        let (Some(node), Some(op)) = (event.name.strip_suffix(KERNEL), event.args.op_name) else {
            continue;
        };
        let place = *places.entry(node.to_owned()).or_insert_with(|| {
            times.push(OperatorTime {
                name: node.to_owned(),
                op,
                calls: 0,
                total_ms: 0.0,
            });
            times.len() - 1
        });
        times[place].calls += 1;
        // Events are in microseconds.
        times[place].total_ms += event.dur / 1e3;
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as ONNX Runtime 1.32 writes them.
    #[test]
    fn kernels_are_told_from_other_events() {
        let text = r#"[
{"cat" : "Session","pid" :1,"tid" :1,"dur" :900,"ts" :4,"ph" : "X","name" :"model_run","args" : {}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :250,"ts" :10,"ph" : "X","name" :"attn/MatMul_kernel_time","args" : {"op_name" : "MatMul","provider" : "CPUExecutionProvider","node_index" : "3"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :50,"ts" :270,"ph" : "X","name" :"attn/Add_kernel_time","args" : {"op_name" : "Add","provider" : "CPUExecutionProvider"}},
{"cat" : "Node","pid" :1,"tid" :1,"dur" :350,"ts" :400,"ph" : "X","name" :"attn/MatMul_kernel_time","args" : {"op_name" : "MatMul","provider" : "CPUExecutionProvider"}}
]"#;
        let times = parse(text).unwrap();
        assert_eq!(times.len(), 2);
        assert_eq!((times[0].name.as_str(), times[0].calls), ("attn/MatMul", 2));
        assert!((times[0].total_ms - 0.6).abs() < 1e-12);
        assert!(parse("[{\"name\": 3}]").is_err());
    }
}
