//! `socc compare`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::args;
use crate::bench::{KEYS, files};
use crate::support::{refused, socc, stderr};

/// The report with every time of some stages multiplied.
fn scaled(report: &Value, factor: f64, to: &Path) {
    let mut report = report.clone();
    let scale = |series: &mut Value| {
        for key in KEYS.into_iter().filter(|k| k.ends_with("_ms")) {
            match &mut series[key] {
                Value::Array(all) => {
                    for v in all {
                        *v = json!(v.as_f64().unwrap() * factor);
                    }
                }
                v => *v = json!(v.as_f64().unwrap() * factor),
            }
        }
    };
    scale(&mut report["total"]);
    report["stages"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .for_each(scale);
    fs::write(to, report.to_string()).unwrap();
}

#[test]
fn a_regression_is_told_from_noise() {
    let base = files().path("b.json");
    let temp = tempfile::tempdir().unwrap();
    let new = temp.path().join("new.json");
    let compare = |extra: &[&str]| {
        let mut args = args!["compare", &base, &new];
        args.extend(extra.iter().map(|e| (*e).into()));
        socc(args)
    };
    for (factor, code) in [(1.0, 0), (40.0, 1), (0.025, 0)] {
        scaled(&files().json(), factor, &new);
        let output = compare(&[]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{factor}: {}",
            stderr(&output)
        );
    }
    scaled(&files().json(), 40.0, &new);
    let output = compare(&["--json", "--fail-over", "10000%"]);
    assert_eq!(output.status.code(), Some(0));
    let comparison: Value = serde_json::from_slice(&output.stdout).unwrap();
    for row in comparison["rows"].as_array().unwrap() {
        assert!((row["ratio"]["value"].as_f64().unwrap() - 40.0).abs() < 1e-9);
    }
}

#[test]
fn unlike_and_damaged_reports_are_refused() {
    let base = files().path("b.json");
    let temp = tempfile::tempdir().unwrap();
    let new = temp.path().join("new.json");
    let mut other = files().json();
    other["environment"]["cpu"]["model"] = json!("Cortex-A78AE");
    other["settings"]["frames"] = json!(2);
    fs::write(&new, other.to_string()).unwrap();
    let parts = [
        "processor (",
        "and Cortex-A78AE)",
        "clip (1 frames",
        "--force",
    ];
    refused(args!["compare", &base, &new], &parts);
    let forced = socc(args!["compare", &base, &new, "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", stderr(&forced));

    let text = files().text("b.json");
    fs::write(&new, &text[..text.len() / 2]).unwrap();
    refused(
        args!["compare", &base, &new],
        &["new.json is no report", "EOF"],
    );
    fs::write(&new, "{\"schema\": \"other\", \"schema_version\": 1}").unwrap();
    refused(args!["compare", &base, &new], &["its schema is `other`"]);
    fs::write(&new, "[1, 2]").unwrap();
    refused(args!["compare", &base, &new], &["new.json is no report"]);
    fs::write(&new, "{\"schema\": \"socc-bench\", \"schema_version\": 99}").unwrap();
    refused(
        args!["compare", &base, &new],
        &["schema version 99", "update socc"],
    );
    refused(args!["compare", &base, "nowhere.json"], &["nowhere.json"]);
    let mut empty = files().json();
    empty["total"]["samples_ms"] = json!([]);
    fs::write(&new, empty.to_string()).unwrap();
    refused(
        args!["compare", &base, &new],
        &["new.json", "total", "samples"],
    );
}
