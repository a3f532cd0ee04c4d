//! Bundles: what is in them, and that writing one is all or nothing.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::args;
use crate::support::{export_args, files, json, model, refused, socc};

#[test]
fn the_manifest_tells_the_truth() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    let printed = json(args![
        "export",
        model(),
        "-o",
        &bundle,
        "--frames",
        "2",
        "--size",
        "64x96",
        "--json"
    ]);
    let manifest: Value =
        serde_json::from_slice(&fs::read(bundle.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(printed, manifest);
    let stages = manifest["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "text_encoder",
            "visual_backbone",
            "fusion",
            "transformer",
            "temporal",
            "mask_head"
        ]
    );
    assert_eq!(stages[0]["rate"], "expression");
    assert_eq!(stages[1]["rate"], "clip");
    assert_eq!(stages[5]["rate"], "clip_expression");
    let mut known = vec!["manifest.json".to_owned()];
    let stage_files = stages.iter().flat_map(|s| s["files"].as_array().unwrap());
    let stage_files = stage_files.map(|f| (String::new(), f));
    let tokenizer = manifest["tokenizer"].as_array().unwrap().iter();
    let tokenizer = tokenizer.map(|f| ("tokenizer/".to_owned(), f));
    for (folder, file) in stage_files.chain(tokenizer) {
        let name = folder + file["name"].as_str().unwrap();
        let bytes = fs::read(bundle.join(&name)).unwrap();
        assert_eq!(bytes.len() as u64, file["bytes"]);
        let digest = Sha256::digest(&bytes);
        let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, file["sha256"], "{name}");
        known.push(name);
    }
    known.sort();
    assert_eq!(files(&bundle), known);
}

#[test]
fn only_a_bundle_is_ever_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    fs::create_dir(&bundle).unwrap();
    fs::write(bundle.join("notes.txt"), "mine").unwrap();
    let export = export_args(&bundle, "1", "32x32");
    let mut forced = export.clone();
    forced.push("--force".into());
    refused(export.clone(), &["not empty", "--force"]);
    refused(forced.clone(), &["bundle", "something else"]);
    fs::write(bundle.join("manifest.json"), r#"{"name": "a web page's"}"#).unwrap();
    refused(forced.clone(), &["bundle", "something else"]);
    let untouched = ["bundle/manifest.json", "bundle/notes.txt"];
    assert_eq!(files(temp.path()), untouched);

    fs::remove_dir_all(&bundle).unwrap();
    fs::write(&bundle, "a file").unwrap();
    refused(export.clone(), &["bundle"]);
    refused(forced.clone(), &["bundle"]);
    assert_eq!(fs::read_to_string(&bundle).unwrap(), "a file");

    fs::remove_file(&bundle).unwrap();
    assert!(socc(export.clone()).status.success());
    let whole = files(temp.path());
    fs::write(bundle.join("fusion.onnx"), "damaged").unwrap();
    refused(export, &["not empty", "--force"]);
    assert!(socc(forced).status.success());
    assert_eq!(files(temp.path()), whole);
    let graph = fs::read(bundle.join("fusion.onnx")).unwrap();
    assert_ne!(graph, b"damaged");
}

#[test]
fn a_tokenizer_folder_must_hold_a_tokenizer() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, bundle) = (temp.path().join("tokens"), temp.path().join("bundle"));
    let export = args![
        "export",
        model(),
        "--tokenizer",
        &dir,
        "-o",
        &bundle,
        "--size",
        "32x32"
    ];
    refused(export.clone(), &["tokens"]);
    fs::create_dir(&dir).unwrap();
    refused(export.clone(), &["tokens", "tokenizer.json"]);
    fs::write(dir.join("tokenizer.json"), "{}").unwrap();
    refused(export, &["tokens", "tokenizer.json"]);
    assert!(!bundle.exists());
}

#[test]
fn impossible_clips_leave_nothing_behind() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    let export = |more: [&str; 4]| {
        let mut all = args!["export", model(), "-o", &bundle];
        all.extend(more.map(Into::into));
        all
    };
    refused(
        export(["--frames", "0", "--size", "64x64"]),
        &["at least one frame"],
    );
    refused(
        export(["--frames", "2", "--size", "31x64"]),
        &["32x32", "31x64"],
    );
    refused(
        export(["--frames", "2", "--size", "64x8"]),
        &["32x32", "64x8"],
    );
    // Neither may cost memory or time before it is refused.
    for clip in [
        ["--frames", "2", "--size", "100000x100000"],
        ["--frames", "1000000", "--size", "32x32"],
        [
            "--frames",
            "18446744073709551615",
            "--size",
            "4294967297x64",
        ],
    ] {
        refused(export(clip), &["too large", clip[1], "fewer frames"]);
    }
    assert!(files(temp.path()).is_empty());
}
