//! `.trace.json`: every run on a time line, in the Trace Event Format that Perfetto and Chrome open.

use serde_json::{Value, json};

use super::super::Report;
use super::table;

/// One process, a line for clips, one for each stage.
const PROCESS: u32 = 1;

pub(super) fn render(report: &Report) -> String {
    let mut events = vec![name("process_name", 0, "socc bench")];
    let whole = [("clip", &report.total)];
    let stages = report.stages.iter().map(|s| (s.name.as_str(), &s.series));
    for (line, (stage, series)) in whole.into_iter().chain(stages).enumerate() {
        events.push(name("thread_name", line, stage));
        events.push(sort_index(line));
        let runs = series.starts_ms.iter().zip(&series.samples_ms);
        events.extend(runs.enumerate().map(|(run, (start, duration))| {
            json!({
                "ph": "X", "name": stage, "cat": "stage", "pid": PROCESS, "tid": line,
                // The format counts in microseconds.
                "ts": start * 1e3, "dur": duration * 1e3, "args": {"run": run},
            })
        }));
    }
    events.extend(report.memory.course.iter().map(|point| {
        json!({
            "ph": "C", "name": "resident memory of a watched run", "pid": PROCESS,
            "ts": point.at_ms * 1e3, "args": {"bytes": point.host_bytes},
        })
    }));
    let about = table::environment(report).into_iter();
    let about: serde_json::Map<String, Value> = about
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let trace = json!({
        "displayTimeUnit": "ms",
        "traceEvents": events,
        "otherData": about,
    });
    format!("{trace}\n")
}

fn name(what: &str, line: usize, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": PROCESS, "tid": line, "args": {"name": name}})
}

fn sort_index(line: usize) -> Value {
    let args = json!({"sort_index": line});
    json!({"ph": "M", "name": "thread_sort_index", "pid": PROCESS, "tid": line, "args": args})
}
