//! `socc profile` and `socc roofline`.

use std::fs;

use serde_json::Value;

use crate::args;
use crate::support::{engines, json, model, refused, socc, stderr};

fn small(command: &str) -> Vec<std::ffi::OsString> {
    args![command, model(), "--frames", "1", "--size", "64x64"]
}

#[test]
fn every_operator_has_a_module() {
    for engine in engines().into_iter().filter(|e| *e != "tract") {
        let mut args = small("profile");
        args.extend(args![
            "--engine", engine, "--runs", "2", "--depth", "9", "--json"
        ]);
        let profile = json(args);
        let stages = profile["stages"].as_array().unwrap();
        assert_eq!(stages.len(), 6, "{engine}");
        for stage in stages {
            let sum = |rows: &str| -> f64 {
                let rows = stage[rows].as_array().unwrap().iter();
                rows.map(|r| r["ms"].as_f64().unwrap()).sum()
            };
            let ms = stage["ms"].as_f64().unwrap();
            for rows in ["operators", "scopes"] {
                assert!(
                    (sum(rows) / ms - 1.0).abs() < 1e-6,
                    "{engine}, {rows}: {stage}"
                );
            }
            let known = stage["mapped"].as_f64().unwrap() + stage["inferred"].as_f64().unwrap();
            assert!(known > 0.999, "{engine}: {stage}");
        }
        let backbone = &stages[1]["scopes"];
        let attention = backbone.as_array().unwrap().iter();
        let mut attention = attention.filter_map(|r| r["scope"].as_str());
        let place = "visual_backbone.backbone.0.body.layers.0.blocks.0.attn";
        assert!(attention.any(|s| s == place), "{engine}: {backbone}");
    }
}

#[test]
fn a_device_s_files_need_no_engine() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("profile.json");
    let node = "temporal.voc.enc_self_attn.0.multihead_attn/MatMul";
    let layers =
        format!("[{{\"count\": 10}}, {{\"name\": \"{node}\", \"timeMs\": 5, \"averageMs\": 0.5}}]");
    fs::write(&path, layers).unwrap();
    let file = format!("temporal={}", path.display());
    let mut args = small("profile");
    args.extend(args!["--layer-profile", file.as_str(), "--json"]);
    let profile = json(args);
    assert_eq!(profile["profiler"], "trtexec");
    assert_eq!(profile["stages"][0]["ms"], 0.5);

    let refuse = |extra: &[&str], parts: &[&str]| {
        let mut args = small("profile");
        args.extend(extra.iter().map(|e| (*e).into()));
        refused(args, parts);
    };
    let unknown = format!("temporale={}", path.display());
    refuse(
        &["--layer-profile", &unknown],
        &["no stage is called `temporale`", "temporal"],
    );
    refuse(&["--times", &file], &["profile.json", "--exportTimes"]);
    refuse(&["--runs", "0"], &["--runs"]);
}

#[test]
fn work_is_counted_and_bounded() {
    let mut args = small("roofline");
    args.extend(args!["--device", "agx-orin", "--json"]);
    let output = json(args);
    let stages = output["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 6);
    for stage in stages {
        let count = |precision: &str, key: &str| stage[precision][key].as_u64().unwrap();
        assert_eq!(count("graph", "flops"), count("int8", "flops"));
        assert!(count("fp16", "read_bytes") < count("graph", "read_bytes"));
        let scopes = stage["scopes"].as_array().unwrap().iter();
        let flops: u64 = scopes.map(|s| s["graph"]["flops"].as_u64().unwrap()).sum();
        assert_eq!(flops, count("graph", "flops"));
        let bound = stage["bounds"][0]["fp16"]["ms"].as_f64().unwrap();
        let bytes = count("fp16", "read_bytes") + count("fp16", "written_bytes");
        let by_memory = bytes as f64 / 204.8e9 * 1e3;
        let by_compute = count("fp16", "flops") as f64 / 42.5e12 * 1e3;
        assert!((bound / by_memory.max(by_compute) - 1.0).abs() < 1e-9);
    }
    let mut args = small("roofline");
    args.extend(args!["--device", "orin"]);
    refused(args, &["unknown device `orin`", "agx-orin"]);
}

/// What was measured over what is possible, and a bundle counts as the checkpoint that it was made from.
#[test]
fn a_bundle_counts_as_its_checkpoint() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    let mut args = small("export");
    args.extend(args!["-o", &bundle]);
    let output = socc(args);
    assert!(output.status.success(), "{}", stderr(&output));
    let of = |source: Vec<std::ffi::OsString>| -> Value {
        let mut args = source;
        args.extend(args!["--device", "h100", "--json"]);
        json(args)
    };
    let bundled = of(args!["roofline", &bundle]);
    assert_eq!(bundled["stages"], of(small("roofline"))["stages"]);
}
