//! Bundles whose stages behind the backbone take one annotated frame.

use std::path::Path;

use serde_json::Value;

use crate::args;
use crate::eval::{near, read, set};
use crate::support::{files, json, model, refused, root, socc, stderr};

/// Exports the small model for windows of `frames` frames.
fn export(bundle: &Path, frames: &str, size: &str, options: &[&str]) {
    let mut all = args![
        "export",
        model(),
        "--frames",
        frames,
        "--size",
        size,
        "-o",
        bundle
    ];
    all.extend(options.iter().map(Into::into));
    let output = socc(all);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn eval(source: &[&str], name: &str, out: &Path) -> Value {
    let mut all = args![
        "eval",
        "--dataset",
        name,
        "--root",
        &set(name),
        "-o",
        out,
        "--json"
    ];
    all.splice(1..1, source.iter().map(Into::into));
    json(all)
}

/// The official figures, and what the checkpoint gives, to the pixel.
fn check(name: &str, size: &str) {
    let temp = tempfile::tempdir().unwrap();
    let [bundle, ours, theirs] = ["bundle", "ours", "theirs"].map(|n| temp.path().join(n));
    export(&bundle, "8", size, &["--annotated-frame"]);
    let got = eval(&[bundle.to_str().unwrap()], name, &ours);
    let reference = read(&set(name).join("test.reference.json"));
    for (figure, expected) in reference.as_object().unwrap() {
        near(&got["metrics"][figure], expected, figure);
    }
    let model = model();
    let expected = eval(&model.each_ref().map(String::as_str), name, &theirs);
    assert_eq!(got["metrics"], expected["metrics"]);
    assert_eq!(got["videos"], expected["videos"]);
    let [ours, theirs] = [ours, theirs].map(|out| out.join("Annotations"));
    let masks = files(&theirs);
    assert_eq!(masks.len(), 3);
    assert_eq!(files(&ours), masks);
    for mask in masks {
        let [ours, theirs] = [&ours, &theirs].map(|out| std::fs::read(out.join(&mask)).unwrap());
        assert!(ours == theirs, "{mask}");
    }
}

#[test]
fn a2d_sentences_on_a_bundle() {
    check("a2d-sentences", "96x160");
}

#[test]
fn jhmdb_sentences_on_a_bundle() {
    check("jhmdb-sentences", "96x144");
}

#[test]
fn it_is_said_and_serves_nothing_else() {
    let temp = tempfile::tempdir().unwrap();
    let (bundle, out) = (&temp.path().join("bundle"), &temp.path().join("out"));
    export(bundle, "3", "96x160", &["--annotated-frame"]);
    assert_eq!(
        json(args!["inspect", bundle, "--json"])["annotated_frame"],
        true
    );
    let manifest = read(&bundle.join("manifest.json"));
    let frames = |stage: usize, tensor: &str| {
        let tensors = ["inputs", "outputs"].map(|side| manifest["stages"][stage][side].clone());
        let mut all = tensors.iter().flat_map(|t| t.as_array().unwrap());
        all.find(|t| t["name"] == tensor).unwrap()["shape"].clone()
    };
    assert_eq!(frames(1, "frames"), serde_json::json!([3, 3, 96, 160]));
    assert_eq!(frames(5, "mask_logits"), serde_json::json!([1, 5, 24, 40]));
    let text = socc(args!["inspect", bundle]).stdout;
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("3 frames of 96x160 pixels, behind the backbone the annotated one alone")
    );

    let clip = root().join("assets/demo/clip/frames");
    let refusal = ["--annotated-frame", "a2d-sentences"];
    refused(
        args!["run", bundle, "--video", &clip, "-e", "a circle", "-o", out],
        &refusal,
    );
    let golden = root().join("tests/fixtures/cases/odd");
    refused(args!["verify", bundle, "--golden", &golden], &refusal);
    let data = set("ref-youtube-vos");
    refused(
        args![
            "sensitivity",
            bundle,
            "--data",
            &data,
            "--split",
            "valid",
            "--budget",
            "1",
            "--precision",
            "fp16",
            "-o",
            out
        ],
        &refusal,
    );
    let youtube = args![
        "eval",
        bundle,
        "--dataset",
        "ref-youtube-vos",
        "--root",
        &data,
        "-o",
        out
    ];
    refused(youtube, &refusal);
    let a2d = &set("a2d-sentences");
    let eval = |bundle| {
        args![
            "eval",
            bundle,
            "--dataset",
            "a2d-sentences",
            "--root",
            a2d,
            "-o",
            out
        ]
    };
    refused(eval(bundle), &["for 3 frames", "a window of 8 frames"]);

    let plain = &temp.path().join("plain");
    export(plain, "8", "96x160", &[]);
    assert_eq!(
        json(args!["inspect", plain, "--json"])["annotated_frame"],
        false
    );
    // As bundles from before there was the option.
    let path = plain.join("manifest.json");
    let mut manifest = read(&path);
    manifest.as_object_mut().unwrap().remove("annotated_frame");
    std::fs::write(&path, manifest.to_string()).unwrap();
    refused(eval(plain), &["take whole clips", "--annotated-frame"]);
    assert!(!out.exists());

    let bench = json(args![
        "bench", bundle, "-e", "a circle", "--quick", "--json"
    ]);
    assert_eq!(bench["stages"].as_array().unwrap().len(), 8);
}

/// Ranges that were measured on such a bundle, for such bundles.
#[test]
fn low_precision() {
    let temp = tempfile::tempdir().unwrap();
    let [bundle, ranges, int8, out] =
        ["bundle", "ranges", "int8", "out"].map(|n| temp.path().join(n));
    export(&bundle, "8", "96x160", &["--annotated-frame"]);
    let data = set("ref-youtube-vos");
    let table = json(args![
        "calibrate",
        &bundle,
        "--data",
        &data,
        "--split",
        "valid",
        "--clips",
        "1",
        "-o",
        &ranges,
        "--json"
    ]);
    assert!(table.is_object());
    let ranges = ranges.to_str().unwrap();
    export(
        &int8,
        "8",
        "96x160",
        &[
            "--annotated-frame",
            "--precision",
            "int8-fp16",
            "--ranges",
            ranges,
        ],
    );
    let got = eval(&[int8.to_str().unwrap()], "a2d-sentences", &out);
    let reference = read(&set("a2d-sentences").join("test.reference.json"));
    let (got, expected) = (&got["metrics"]["mean_iou"], &reference["mean_iou"]);
    let [got, expected] = [got, expected].map(|v| v.as_f64().unwrap());
    assert!((got - expected).abs() < 0.05, "{got}, {expected}");
    // Those of whole clips are of other graphs.
    let plain = temp.path().join("plain");
    let whole = args![
        "export",
        model(),
        "--frames",
        "8",
        "--size",
        "96x160",
        "--precision",
        "int8",
        "--ranges",
        ranges,
        "-o",
        &plain
    ];
    refused(whole, &["another graph of stage", "--annotated-frame"]);
}
