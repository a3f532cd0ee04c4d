//! Bundles that are damaged, newer, or for another clip.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::args;
use crate::support::{asset, case, export_args, refused, socc};

fn refuse(bundle: &Path, parts: &[&str]) {
    let out = bundle.join("../out");
    let frames = asset("clip/frames");
    let run = args![
        "run",
        bundle,
        "--video",
        &frames,
        "-e",
        "the white object",
        "-o",
        &out
    ];
    refused(run, parts);
    assert!(!out.exists());
}

#[test]
fn damage_is_told_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    let export = export_args(&bundle, "1", "64x64");
    assert!(socc(export).status.success());

    let golden = case("clip");
    refused(
        args!["verify", &bundle, "--golden", &golden],
        &["1 frames of 64x64", "3 frames of 96x160"],
    );

    let data = bundle.join("fusion.onnx.data");
    let good = fs::read(&data).unwrap();
    let mut bad = good.clone();
    bad[100] ^= 1;
    fs::write(&data, bad).unwrap();
    refuse(&bundle, &["fusion.onnx.data", "SHA-256"]);
    fs::remove_file(&data).unwrap();
    refuse(&bundle, &["fusion.onnx.data"]);
    fs::write(&data, good).unwrap();

    let path = bundle.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["format_version"] = 2.into();
    fs::write(&path, manifest.to_string()).unwrap();
    refuse(&bundle, &["manifest.json", "version 2", "update socc"]);
    manifest["format_version"] = 1.into();
    manifest["stages"][0]["files"][0]["name"] = "../../secret".into();
    fs::write(&path, manifest.to_string()).unwrap();
    refuse(&bundle, &["manifest.json", "../../secret"]);
    for (pointer, value, part) in [
        ("/frames", json!(0), "no clip can have 0 frames"),
        ("/frames", json!(1u64 << 50), "no clip can have"),
        (
            "/frames",
            json!(2),
            "no stage takes `frames uint8 [2, 3, 64, 64]`",
        ),
        ("/height", json!(31), "31x64"),
        ("/width", json!(u64::MAX), "no clip can have"),
        ("/stages", json!([]), "its stages are []"),
        ("/stages/2/name", json!("../fusion"), "its stages are"),
        ("/stages/1/rate", json!("expression"), "its stages are"),
        (
            "/stages/1/files",
            json!([]),
            "`visual_backbone` has no file",
        ),
        ("/stages/1/inputs/0/shape", json!([]), "no stage takes"),
        ("/stages/1/files/0/bytes", json!(1), "manifest says 1"),
        (
            "/stages/1/files/0/name",
            json!("/etc/passwd"),
            "/etc/passwd",
        ),
        ("/stages/1/files/0/name", json!(".."), "not inside"),
        ("/format_version", json!(1e30), "manifest.json"),
    ] {
        let mut bad: Value = serde_json::from_str(&text).unwrap();
        *bad.pointer_mut(pointer).unwrap() = value;
        fs::write(&path, bad.to_string()).unwrap();
        refuse(&bundle, &[part]);
    }
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    refuse(&bundle, &["manifest.json", "socc export"]);
    fs::remove_file(&path).unwrap();
    refuse(&bundle, &["manifest.json"]);
}
