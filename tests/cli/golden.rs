//! Every golden case on every engine and in both lowerings, against the official model's tensors.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;

use crate::args;
use crate::support::{asset, case, engines, export_args, json, model, socc};

const RELATIVE_L2: f64 = 1e-4;
const MASK_IOU: f64 = 0.999;

/// Checks a report against the case's own files, without trusting its `passed`.
fn check(report: &Value, case: &Path, what: &str) {
    let expected: Value =
        serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
    let expected = expected["expressions"].as_array().unwrap();
    let expressions = report["expressions"].as_array().unwrap();
    assert_eq!(expressions.len(), expected.len(), "{what}");
    for (got, expected) in expressions.iter().zip(expected) {
        assert_eq!(got["selected_query"], expected["selected_query"], "{what}");
        assert!(
            got["mask_iou"].as_f64().unwrap() >= MASK_IOU,
            "{what}: {got}"
        );
        let file = fs::read(case.join(expected["file"].as_str().unwrap())).unwrap();
        let golden = SafeTensors::deserialize(&file).unwrap();
        let mut names: Vec<&str> = golden.names().into_iter().collect();
        names.retain(|n| *n != "text.input_ids");
        let tensors = got["tensors"].as_array().unwrap();
        for name in names {
            let tensor = tensors.iter().find(|t| t["name"] == name);
            let tensor = tensor.unwrap_or_else(|| panic!("{what}: {name} was not compared"));
            let l2 = tensor["relative_l2"].as_f64().unwrap();
            assert!(l2 <= RELATIVE_L2, "{what}: {tensor}");
        }
    }
    assert_eq!(report["passed"], true, "{what}");
}

fn verify_everywhere(source: [String; 3], case: &Path, small: bool) {
    for engine in engines() {
        for lowering in ["grid-sample", "gather"] {
            // tract computes GridSample at a crawl.
            if engine == "tract" && lowering == "grid-sample" && !small {
                continue;
            }
            let report = json(args![
                "verify",
                source.clone(),
                "--golden",
                case,
                "--engine",
                engine,
                "--deformable",
                lowering,
                "--json"
            ]);
            check(
                &report,
                case,
                &format!("{} {engine} {lowering}", case.display()),
            );
        }
    }
}

#[test]
fn clip() {
    verify_everywhere(model(), &case("clip"), false);
}

#[test]
fn single_frame() {
    verify_everywhere(model(), &case("single"), true);
}

#[test]
fn odd_sizes() {
    verify_everywhere(model(), &case("odd"), false);
}

/// Cases too large for the repository: a folder with `shapes/` (checkpoint.tar, config.yaml, roberta/,
/// cases/) in `SOCC_GOLDEN`.
#[test]
fn further_cases() {
    let Some(golden) = std::env::var_os("SOCC_GOLDEN").map(PathBuf::from) else {
        eprintln!("skipped: SOCC_GOLDEN names no folder of further golden cases");
        return;
    };
    let shapes = golden.join("shapes");
    let source = [
        shapes.join("checkpoint.tar"),
        "--config".into(),
        shapes.join("config.yaml"),
    ];
    let source = source.map(|p| p.to_string_lossy().into_owned());
    for case in fs::read_dir(shapes.join("cases")).unwrap() {
        verify_everywhere(source.clone(), &case.unwrap().path(), false);
    }
}

#[test]
fn a_probed_bundle_passes_and_an_unprobed_one_says_what_it_lacks() {
    let temp = tempfile::tempdir().unwrap();
    for probe in [true, false] {
        let bundle = temp.path().join(format!("probe-{probe}"));
        let mut export = export_args(&bundle, "3", "96x160");
        if probe {
            export.push("--probe".into());
        }
        assert!(socc(export).status.success());
        let report = json(args![
            "verify",
            &bundle,
            "--golden",
            &case("clip"),
            "--json"
        ]);
        assert_eq!(report["passed"], true);
        let lacking = report["expressions"][0]["not_given"].as_array().unwrap();
        assert_eq!(lacking.is_empty(), probe, "{lacking:?}");
        if probe {
            check(&report, &case("clip"), "bundle");
        }
    }
}

#[test]
fn another_model_fails_with_exit_code_1() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("other.safetensors");
    let mut bytes = fs::read(asset("model.safetensors")).unwrap();
    // Sign bits of a stretch of float16 weights.
    let middle = bytes.len() / 2;
    for byte in bytes[middle | 1..].iter_mut().step_by(2).take(20_000) {
        *byte ^= 0x80;
    }
    fs::write(&path, bytes).unwrap();
    let config = asset("config.yaml");
    let output = socc(args![
        "verify",
        &path,
        "--config",
        &config,
        "--golden",
        &case("single"),
        "--json"
    ]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], false);
}
