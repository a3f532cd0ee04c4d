//! `socc bench`.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::args;
use crate::support::{json as run_json, model, refused, stderr};

pub const KEYS: [&str; 12] = [
    "samples_ms",
    "runs",
    "p50_ms",
    "p90_ms",
    "p95_ms",
    "p99_ms",
    "mean_ms",
    "min_ms",
    "max_ms",
    "stddev_ms",
    "cov",
    "starts_ms",
];
const STAGES: [&str; 8] = [
    "preprocess",
    "text_encoder",
    "visual_backbone",
    "fusion",
    "transformer",
    "temporal",
    "mask_head",
    "postprocess",
];

/// Arguments for a measurement that is as short as one can be.
fn short(iterations: &str) -> Vec<std::ffi::OsString> {
    args![
        "bench",
        model(),
        "--frames",
        "1",
        "--size",
        "64x64",
        "--warmup-ms",
        "0",
        "--duration-ms",
        "1",
        "--iterations",
        iterations
    ]
}

pub struct Files {
    dir: tempfile::TempDir,
    printed: Value,
}

impl Files {
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text("b.json")).unwrap()
    }
}

/// One measurement, exported in every way.
pub fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let mut args = short("4");
        args.push("--json".into());
        for name in ["b.json", "b.csv", "b.md", "b.trace.json", "b.html"] {
            args.extend(args!["--export", &dir.path().join(name)]);
        }
        let printed = run_json(args);
        Files { dir, printed }
    })
}

#[test]
fn every_stage_has_the_documented_keys() {
    let report = files().json();
    assert_eq!(report, files().printed);
    assert_eq!(report["schema"], "socc-bench");
    assert_eq!(report["partial"], false);
    let stages = report["stages"].as_array().unwrap();
    let names: Vec<&Value> = stages.iter().map(|s| &s["name"]).collect();
    assert_eq!(names, STAGES);
    let schema = fs::read_to_string(crate::support::root().join("docs/bench-schema.md")).unwrap();
    for series in stages.iter().chain([&report["total"]]) {
        for key in KEYS {
            assert!(!series[key].is_null(), "{key} in {series}");
            assert!(
                schema.contains(&format!("`{key}`")),
                "{key} is not documented"
            );
        }
        let samples = series["samples_ms"].as_array().unwrap();
        assert_eq!(samples.len(), series["runs"].as_u64().unwrap() as usize);
        let values: Vec<f64> = samples.iter().map(|v| v.as_f64().unwrap()).collect();
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(series["min_ms"].as_f64().unwrap(), least);
    }
    for key in report.as_object().unwrap().keys() {
        assert!(
            schema.contains(&format!("`{key}`")),
            "{key} is not documented"
        );
    }
    for key in report["environment"].as_object().unwrap().keys() {
        assert!(
            schema.contains(&format!("`{key}`")),
            "{key} is not documented"
        );
    }
    // What is timed once per clip adds up to no more than the clip.
    let sum: f64 = stages
        .iter()
        .map(|s| s["samples_ms"][0].as_f64().unwrap())
        .sum();
    assert!(sum <= report["total"]["samples_ms"][0].as_f64().unwrap());
    // The engine computes on the processor, so that its roof was measured.
    let under_roof = report["roofline"]["stages"].as_array().unwrap();
    assert_eq!(under_roof.len(), 6);
    for stage in under_roof {
        let measured = report["stages"].as_array().unwrap().iter();
        let measured = measured
            .clone()
            .find(|s| s["name"] == stage["name"])
            .unwrap();
        let bound = stage["bound"]["ms"].as_f64().unwrap();
        let expected = measured["p50_ms"].as_f64().unwrap() / bound;
        assert!((stage["measured_over_bound"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9);
    }
    let expressions = report["amortisation"].as_array().unwrap().iter();
    let expressions: Vec<u64> = expressions
        .map(|a| a["expressions"].as_u64().unwrap())
        .collect();
    assert_eq!(expressions, [1, 2, 4, 8]);
}

/// Cells of the table that has `class`, by row.
fn html_rows(page: &str, class: &str) -> Vec<Vec<String>> {
    let table = page
        .split(&format!("<table class=\"{class}\">"))
        .nth(1)
        .unwrap();
    let body = table
        .split("<tbody>")
        .nth(1)
        .unwrap()
        .split("</tbody>")
        .next()
        .unwrap();
    let rows = body.split("<tr>").skip(1);
    rows.map(|row| {
        let cells = row.split("</t").filter_map(|c| c.rsplit_once('>'));
        cells
            .map(|(_, text)| text.to_owned())
            .filter(|t| !t.trim().is_empty())
            .collect()
    })
    .collect()
}

#[test]
fn the_page_shows_the_figures_of_the_json() {
    let (report, page) = (files().json(), files().text("b.html"));
    let stages = report["stages"].as_array().unwrap();
    let mut total = report["total"].clone();
    total["name"] = json!("total");
    let rows = html_rows(&page, "summed");
    assert_eq!(rows.len(), stages.len() + 1);
    let columns = [
        "p50_ms",
        "mean_ms",
        "min_ms",
        "p90_ms",
        "p95_ms",
        "p99_ms",
        "max_ms",
        "stddev_ms",
    ];
    for (row, series) in rows.iter().zip(stages.iter().chain([&total])) {
        assert_eq!(row[0], series["name"].as_str().unwrap());
        assert_eq!(row[1], series["runs"].to_string());
        for (cell, key) in row[2..].iter().zip(columns) {
            let value = series[key].as_f64().unwrap();
            assert_eq!(*cell, format!("{value:.3}"), "{key} of {}", row[0]);
        }
    }
    // One page, complete in itself.
    for foreign in [
        "http://", "https://", "<script", "<link", "<img", "@import", "url(",
    ] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

/// Equal but for how exactly decimal digits are read back.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * b.abs()
}

#[test]
fn tables_and_traces_hold_the_same() {
    let report = files().json();
    let csv = files().text("b.csv");
    let rows: Vec<&str> = csv.lines().filter(|l| !l.starts_with('#')).collect();
    assert!(rows[0].starts_with("name,runs,min_ms,mean_ms,p50_ms"));
    let last: Vec<&str> = rows[9].split(',').collect();
    assert_eq!(last[0], "total");
    let median = report["total"]["p50_ms"].as_f64().unwrap();
    assert!(
        close(last[4].parse().unwrap(), median),
        "{} and {median}",
        last[4]
    );
    assert!(csv.contains("# processor: ") && csv.contains("# checkpoint: "));

    let markdown = files().text("b.md");
    assert!(
        markdown.contains(&format!("| total | 4 | {median:.3} |")),
        "{markdown}"
    );

    let trace: Value = serde_json::from_str(&files().text("b.trace.json")).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |name: &str| {
        let runs = events
            .iter()
            .filter(|e| e["ph"] == "X" && e["name"] == name);
        let us: Vec<f64> = runs.map(|e| e["dur"].as_f64().unwrap()).collect();
        us
    };
    let fusion = &report["stages"][3];
    let expected = fusion["samples_ms"].as_array().unwrap();
    let expected: Vec<f64> = expected.iter().map(|v| v.as_f64().unwrap() * 1e3).collect();
    let got = of("fusion");
    assert_eq!(got.len(), expected.len());
    assert!(
        got.iter().zip(&expected).all(|(a, b)| close(*a, *b)),
        "{got:?}"
    );
    assert_eq!(of("clip").len(), 4);
}

#[test]
fn throughput_and_cold_say_what_they_are_for() {
    let mut args = short("3");
    args.extend(args![
        "--mode",
        "throughput",
        "-e",
        "a",
        "-e",
        "b",
        "--json"
    ]);
    let report = run_json(args);
    let t = &report["throughput"];
    assert_eq!(t["clips"], 3);
    let expected = 3000.0 / t["wall_ms"].as_f64().unwrap();
    assert!((t["clips_per_s"].as_f64().unwrap() / expected - 1.0).abs() < 1e-9);
    assert_eq!(report["stages"][1]["runs"], 6);
    assert_eq!(report["stages"][2]["runs"], 3);

    let mut args = short("2");
    args.extend(args!["--mode", "cold", "--quick", "--json"]);
    let report = run_json(args);
    assert!(report["roofline"].is_null());
    assert!(report["memory"]["course"].as_array().unwrap().is_empty());
    assert_eq!(report["stages"][0]["name"], "load");
    let cold = &report["cold"];
    let ms = |key: &str| cold[key].as_f64().unwrap();
    let sum = ms("load_ms") + ms("first_run_ms");
    assert!((sum - ms("time_to_first_mask_ms")).abs() < 1e-6);
    assert_eq!(report["total"]["runs"], 2);
}

/// With or without a sensor, the report says what it knows.
#[test]
fn power_is_measured_or_said_to_be_unknown() {
    let mut args = short("2");
    args.extend(args!["--power", "--json"]);
    let report = run_json(args);
    let sensors = report["power"]["sensors"].as_array().unwrap();
    let note = report["power"]["note"].as_str();
    assert_eq!(sensors.is_empty(), note.is_some(), "{:?}", report["power"]);
    let warned = report["warnings"].as_array().unwrap().iter();
    assert_eq!(
        warned.filter(|w| w["kind"] == "power").count(),
        usize::from(note.is_some())
    );
    for sensor in sensors {
        assert!(sensor["joules_per_clip"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let with = |extra: &[&str]| {
        let mut args = short("1");
        args.extend(extra.iter().map(|e| (*e).into()));
        args
    };
    let refuse = |extra: &[&str], parts: &[&str]| refused(with(extra), parts);
    let zero = args!["bench", model(), "--duration-ms", "0"];
    refused(zero, &["--duration-ms is 0"]);
    let zero = args!["bench", model(), "--iterations", "0"];
    refused(zero, &["--iterations is 0"]);
    refuse(
        &["--export", "figures.xlsx"],
        &["figures.xlsx", ".trace.json"],
    );
    refuse(&["--engine", "onnxrutime"], &["did you mean `onnxruntime`"]);
    refuse(&["--video", "nowhere"], &["nowhere"]);
}

/// An interrupt ends the measurement; what was measured is written and marked.
#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_what_was_measured() {
    use std::process::{Command, Stdio};
    use std::time::Duration;
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("b.json");
    // A slow machine may not have finished a run when the interrupt comes; then nothing was measured, and it says so.
    for seconds in [4, 16, 60] {
        let mut args = short("1000000");
        args.extend(args!["--export", &path]);
        let child = Command::new(env!("CARGO_BIN_EXE_socc"))
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs(seconds));
        let id = child.id().to_string();
        let kill = Command::new("kill").args(["-INT", &id]).status();
        assert!(kill.unwrap().success());
        let output = child.wait_with_output().unwrap();
        if output.status.code() == Some(130) && path.exists() {
            break;
        }
        assert!(seconds < 60, "{}", stderr(&output));
    }
    let report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["partial"], true);
    assert!(report["total"]["runs"].as_u64().unwrap() > 0);
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|w| w["kind"] == "partial"));
}
