//! Bad frames, sentences, checkpoints and places: one sentence, exit code 2, nothing written.

use std::fs;
use std::path::Path;

use image::RgbImage;

use crate::args;
use crate::support::{asset, case, files, model, refused};

const TEXT: &str = "the white object";

fn refuse_run(video: &Path, texts: &[&str], parts: &[&str]) {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let mut all = args!["run", model(), "--video", video, "-o", &out];
    for text in texts {
        all.push("-e".into());
        all.push(text.into());
    }
    refused(all, parts);
    assert!(files(temp.path()).is_empty(), "{:?}", files(temp.path()));
}

#[test]
fn frames() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    refuse_run(&dir.join("nowhere"), &[TEXT], &["nowhere"]);
    refuse_run(dir, &[TEXT], &["no frames", "png"]);
    fs::write(dir.join("00000.png"), b"").unwrap();
    refuse_run(dir, &[TEXT], &["00000.png"]);
    fs::write(dir.join("00000.png"), b"\x89PNG\r\n\x1a\nrubbish").unwrap();
    refuse_run(dir, &[TEXT], &["00000.png"]);
    let good = fs::read(asset("clip/frames/00000.png")).unwrap();
    fs::write(dir.join("00000.png"), &good[..good.len() / 2]).unwrap();
    refuse_run(dir, &[TEXT], &["00000.png"]);
    fs::write(dir.join("00000.png"), &good).unwrap();
    RgbImage::new(64, 48).save(dir.join("00001.png")).unwrap();
    refuse_run(dir, &[TEXT], &["00001.png", "64x48", "160x96"]);
}

#[test]
fn a_video_that_is_none() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("clip.mp4");
    fs::write(&path, b"not a video").unwrap();
    refuse_run(&path, &[TEXT], &["clip.mp4"]);
}

#[test]
fn sentences() {
    let frames = asset("clip/frames");
    refuse_run(&frames, &[""], &["empty"]);
    refuse_run(&frames, &[TEXT, " \t "], &["empty"]);
    refuse_run(&frames, &[&"word ".repeat(10_000)], &["tokens", "64"]);
}

#[test]
fn frames_too_small_for_the_model() {
    let temp = tempfile::tempdir().unwrap();
    RgbImage::new(20, 40)
        .save(temp.path().join("0.png"))
        .unwrap();
    let out = temp.path().join("out");
    let run = args![
        "run",
        model(),
        "--video",
        temp.path(),
        "-e",
        TEXT,
        "-o",
        &out,
        "--no-resize"
    ];
    refused(run, &["at least 32x32", "40x20"]);
    assert!(!out.exists());
}

#[test]
fn places() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let (frames, inside) = (asset("clip/frames"), file.join("out"));
    let run = args![
        "run",
        model(),
        "--video",
        &frames,
        "-e",
        TEXT,
        "-o",
        &inside
    ];
    refused(run, &["/file: it is a file, not a folder"]);
    let export = args!["export", model(), "-o", &inside];
    refused(export, &["file"]);
    let synth = args!["synth", "--backbone", "resnet50", "-o", &inside];
    refused(synth, &["file/out"]);
    assert_eq!(files(temp.path()), ["file"]);
}

#[test]
fn results_replace_nothing_but_results() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    fs::create_dir_all(out.join("masks")).unwrap();
    fs::write(out.join("masks/mine.png"), "mine").unwrap();
    let frames = case("single").join("frames");
    let run = args!["run", model(), "--video", &frames, "-e", TEXT, "-o", &out];
    refused(run.clone(), &["masks", "another folder"]);
    fs::write(out.join("result.json"), r#"{"expressions": []}"#).unwrap();
    refused(run, &["masks", "another folder"]);
    assert_eq!(
        files(temp.path()),
        ["out/masks/mine.png", "out/result.json"]
    );
}

#[test]
fn threads() {
    let frames = case("single").join("frames");
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    for threads in ["0", "100000"] {
        let run = args![
            "run",
            model(),
            "--video",
            &frames,
            "-e",
            TEXT,
            "-o",
            &out,
            "--threads",
            threads
        ];
        refused(run, &["--threads", threads, "1024"]);
    }
    assert!(!out.exists());
}

#[test]
fn engines() {
    let frames = case("single").join("frames");
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let run = |engine: &str| {
        args![
            "run",
            model(),
            "--video",
            &frames,
            "-e",
            TEXT,
            "-o",
            &out,
            "--engine",
            engine
        ]
    };
    refused(
        run("onnxrutime"),
        &["unknown engine", "did you mean `onnxruntime`"],
    );
    refused(run("cuda"), &["unknown engine", "embedded"]);
    let mut elsewhere = run("onnxruntime");
    elsewhere.extend(["--onnxruntime-library".into(), out.clone().into_os_string()]);
    refused(elsewhere, &["onnxruntime", "out"]);
    refused(args!["setup", "nonsense"], &["nonsense", "onnxruntime"]);
    refused(
        args!["synth", "--backbone", "vgg", "-o", &out],
        &["vgg", "video-swin-t"],
    );
    assert!(!out.exists());
}

#[test]
fn checkpoints() {
    let temp = tempfile::tempdir().unwrap();
    let good = fs::read(asset("model.safetensors")).unwrap();
    let (path, bundle) = (temp.path().join("model"), temp.path().join("bundle"));
    let refuse = |bytes: &[u8], parts: &[&str]| {
        fs::write(&path, bytes).unwrap();
        refused(args!["export", &path, "-o", &bundle], parts);
        refused(args!["inspect", &path], parts);
        assert_eq!(files(temp.path()), ["model"]);
    };
    refuse(b"", &["model", "checkpoint"]);
    refuse(b"hello world, this is no checkpoint", &["not a checkpoint"]);
    refuse(&good[..good.len() - 5], &["truncated or corrupt"]);
    refuse(&good[..1000], &["truncated or corrupt"]);
    let missing = temp.path().join("missing.pth");
    refused(args!["inspect", &missing], &["missing.pth"]);
    refused(args!["inspect", temp.path()], &["checkpoint"]);
}

#[test]
fn golden_cases() {
    let temp = tempfile::tempdir().unwrap();
    let verify = |case: &Path| args!["verify", model(), "--golden", case];
    refused(verify(temp.path()), &["case.json"]);
    fs::write(temp.path().join("case.json"), "{}").unwrap();
    refused(verify(temp.path()), &["case.json", "frames"]);
}
