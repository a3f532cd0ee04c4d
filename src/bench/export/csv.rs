//! `.csv`: a row for each stage; the environment in comment lines before it.

use std::fmt::Write;

use super::super::Report;
use super::table;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    for (key, value) in table::environment(report) {
        // Writing to a string cannot fail; a value that spans lines must not leave its comment.
        let _ = writeln!(out, "# {key}: {}", value.replace(['\n', '\r'], " "));
    }
    for warning in &report.warnings {
        let _ = writeln!(
            out,
            "# warning: {}",
            warning.text.replace(['\n', '\r'], " ")
        );
    }
    out.push_str("name,runs,min_ms,mean_ms,p50_ms,p90_ms,p95_ms,p99_ms,max_ms,stddev_ms,cov\n");
    for (name, series) in report.series() {
        let s = &series.summary;
        let option = |v: Option<f64>| v.map_or_else(String::new, |v| v.to_string());
        let _ = writeln!(
            out,
            "{name},{},{},{},{},{},{},{},{},{},{}",
            s.runs,
            s.min_ms,
            s.mean_ms,
            s.p50_ms,
            s.p90_ms,
            s.p95_ms,
            s.p99_ms,
            s.max_ms,
            option(s.stddev_ms),
            option(s.cov)
        );
    }
    out
}
