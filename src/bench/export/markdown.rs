//! `.md`: tables for a README or a pull request.

use std::fmt::Write;

use super::super::Report;
use super::super::units::memory;
use super::table;

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    out.push_str("Milliseconds.\n\n");
    row(&mut out, table::HEADERS.map(str::to_owned));
    row(
        &mut out,
        std::array::from_fn::<_, 11, _>(|i| if i == 0 { "---" } else { "---:" }.to_owned()),
    );
    for cells in table::stages(report) {
        row(&mut out, cells);
    }
    // Writing to a string cannot fail.
    if let Some(t) = report.throughput {
        let _ = writeln!(
            out,
            "\n{:.3} clips/s, {:.3} frames/s ({} clips in {:.0} ms)",
            t.clips_per_s, t.frames_per_s, t.clips, t.wall_ms
        );
    }
    if let Some(c) = report.cold {
        let _ = writeln!(
            out,
            "\nFirst time: load {:.3} ms, first run {:.3} ms, time to first mask {:.3} ms",
            c.load_ms, c.first_run_ms, c.time_to_first_mask_ms
        );
    }
    if !report.amortisation.is_empty() {
        out.push('\n');
        let headers = ["expressions", "clip", "per frame", "per expression"];
        row(&mut out, headers.map(str::to_owned));
        row(&mut out, ["---:"; 4].map(str::to_owned));
        for a in &report.amortisation {
            let ms = [a.clip_ms, a.ms_per_frame, a.ms_per_expression];
            let [clip, frame, expression] = ms.map(|v| format!("{v:.3}"));
            row(
                &mut out,
                [a.expressions.to_string(), clip, frame, expression],
            );
        }
    }
    for s in report.power.iter().flat_map(|p| &p.sensors) {
        let _ = writeln!(
            out,
            "\n{} ({}): {:.2} W on average, {:.2} W at most, {:.3} J per clip",
            s.sensor, s.covers, s.mean_w, s.peak_w, s.joules_per_clip
        );
    }
    if let Some(roofline) = &report.roofline {
        out.push('\n');
        row(
            &mut out,
            ["stage", "GFLOP", "MB", "at least, ms", "measured over it"].map(str::to_owned),
        );
        row(
            &mut out,
            ["---", "---:", "---:", "---:", "---:"].map(str::to_owned),
        );
        for s in &roofline.stages {
            row(
                &mut out,
                [
                    s.name.clone(),
                    format!("{:.3}", s.flops as f64 / 1e9),
                    format!("{:.3}", s.bytes as f64 / 1e6),
                    format!("{:.3}", s.bound.ms),
                    format!("{:.2}", s.measured_over_bound),
                ],
            );
        }
    }
    if let Some(peak) = report.memory.peak_host_bytes {
        let _ = writeln!(out, "\nPeak memory of the process: {}", memory(peak));
    }
    out.push('\n');
    for warning in &report.warnings {
        let _ = writeln!(out, "- **{}**: {}", warning.kind, warning.text);
    }
    out.push_str("\n| | |\n|---|---|\n");
    for (key, value) in table::environment(report) {
        row(&mut out, [key.to_owned(), value]);
    }
    out
}

fn row<const N: usize>(out: &mut String, cells: [String; N]) {
    for cell in cells {
        let cell = cell.replace('|', "\\|").replace(['\n', '\r'], " ");
        let _ = write!(out, "| {cell} ");
    }
    out.push_str("|\n");
}
