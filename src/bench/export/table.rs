//! The figures as cells of text, for the kinds of file that people read.

use super::super::units::{duration, memory, percent};
use super::super::{Report, Series};

/// Headers of [`stages`].
pub(super) const HEADERS: [&str; 11] = [
    "stage", "runs", "median", "mean", "min", "p90", "p95", "p99", "max", "stddev", "CoV",
];

/// A row for each stage and the whole; times in milliseconds.
pub(super) fn stages(report: &Report) -> Vec<[String; 11]> {
    report.series().map(|(name, s)| row(name, s)).collect()
}

fn row(name: &str, series: &Series) -> [String; 11] {
    let s = &series.summary;
    let ms = |v: f64| format!("{v:.3}");
    [
        name.to_owned(),
        s.runs.to_string(),
        ms(s.p50_ms),
        ms(s.mean_ms),
        ms(s.min_ms),
        ms(s.p90_ms),
        ms(s.p95_ms),
        ms(s.p99_ms),
        ms(s.max_ms),
        s.stddev_ms.map_or_else(|| "-".to_owned(), ms),
        s.cov.map_or_else(|| "-".to_owned(), percent),
    ]
}

/// What was measured and on what, a line each.
pub(super) fn environment(report: &Report) -> Vec<(&'static str, String)> {
    let (s, e) = (&report.settings, &report.environment);
    let unknown = || "not told by the system".to_owned();
    let mhz = |v: Option<f64>| v.map_or_else(unknown, |v| format!("{v:.0} MHz"));
    let mut lines = vec![
        ("source", report.source.path.clone()),
        ("checkpoint", report.source.checkpoint.clone()),
        ("engine", format!("{} ({})", s.engine, s.engine_version)),
        (
            "threads",
            s.threads
                .map_or_else(|| "the engine's choice".to_owned(), |n| n.to_string()),
        ),
        ("precision", s.precision.clone()),
        (
            "clip",
            format!(
                "{} frames of {}x{}, shown to the model as {}x{}",
                s.frames, s.source_height, s.source_width, s.height, s.width
            ),
        ),
        (
            "video",
            s.video
                .clone()
                .unwrap_or_else(|| "synthetic frames".to_owned()),
        ),
        ("expressions", s.expressions.len().to_string()),
        (
            "plan",
            format!(
                "{}, warm-up {} ms, at least {} ms and {} runs",
                s.mode, s.warmup_ms, s.duration_ms, s.iterations
            ),
        ),
        ("started", e.started.clone()),
        (
            "socc",
            format!("{} ({}, {})", e.socc_version, e.build_profile, e.target),
        ),
        ("system", e.os.clone().unwrap_or_else(unknown)),
        ("kernel", e.kernel.clone().unwrap_or_else(unknown)),
        (
            "processor",
            format!(
                "{}, {} processors",
                e.cpu.model.clone().unwrap_or_else(unknown),
                e.cpu.logical
            ),
        ),
        ("clock", mhz(e.cpu.current_mhz)),
        ("highest clock", mhz(e.cpu.highest_mhz)),
        (
            "governor",
            match e.cpu.governors.is_empty() {
                true => unknown(),
                false => e.cpu.governors.join(", "),
            },
        ),
        ("memory", e.memory_bytes.map_or_else(unknown, memory)),
    ];
    lines.extend(e.jetson.clone().map(|board| ("Jetson", board)));
    for gpu in &e.gpus {
        let driver = gpu.driver.as_deref().unwrap_or("unknown driver");
        let clock = mhz(gpu.clock_mhz);
        lines.push(("GPU", format!("{}, driver {driver}, {clock}", gpu.name)));
    }
    if let Some(load) = e.usage.and_then(|u| u.other_load_processors) {
        lines.push(("other load", format!("{load:.2} processors")));
    }
    lines.push(("timer overhead", timer(report)));
    lines.extend(
        report
            .source
            .files
            .iter()
            .map(|f| ("file", format!("{} {}", f.name, f.sha256))),
    );
    lines
}

fn timer(report: &Report) -> String {
    let timer = &report.timer;
    let share = timer.share_of_shortest_stage.unwrap_or(0.0);
    format!(
        "{} per run, {:.4} % of the shortest stage",
        duration(timer.overhead_ns / 1e6),
        share * 100.0
    )
}
