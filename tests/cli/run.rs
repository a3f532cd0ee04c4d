//! `socc run` on checkpoints and bundles.

use std::fs;
use std::path::{Path, PathBuf};

use image::GrayImage;
use serde_json::Value;

use crate::args;
use crate::support::{asset, case, engines, export_args, files, json, model, refused, socc};

const TEXT: &str = "a blue circle moving up";

fn mask(out: &Path, expression: usize, frame: usize) -> GrayImage {
    let path = out.join(format!("masks/{expression}/{frame:05}.png"));
    image::open(path).unwrap().into_luma8()
}

fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
    assert_eq!(a.dimensions(), b.dimensions());
    let pairs = || a.as_raw().iter().zip(b.as_raw());
    let both = pairs().filter(|(a, b)| **a > 0 && **b > 0).count();
    let any = pairs().filter(|(a, b)| **a > 0 || **b > 0).count();
    both as f64 / any.max(1) as f64
}

fn run(source: [String; 3], video: &Path, out: &Path, engine: &str) -> Value {
    json(args![
        "run",
        source,
        "--video",
        video,
        "-e",
        TEXT,
        "-e",
        "the white object",
        "-o",
        out,
        "--engine",
        engine,
        "--json"
    ])
}

#[test]
fn a_checkpoint_gives_the_golden_answer() {
    for engine in engines() {
        let temp = tempfile::tempdir().unwrap();
        let out = temp.path().join("out");
        let result = run(model(), &case("clip").join("frames"), &out, engine);
        let on_disk = fs::read(out.join("result.json")).unwrap();
        let on_disk: Value = serde_json::from_slice(&on_disk).unwrap();
        assert_eq!(on_disk, result);
        let golden = fs::read(case("clip").join("case.json")).unwrap();
        let golden: Value = serde_json::from_slice(&golden).unwrap();
        for k in 0..2 {
            let (got, golden) = (&result["expressions"][k], &golden["expressions"][k]);
            assert_eq!(got["text"], golden["text"]);
            assert_eq!(got["selected_query"], golden["selected_query"], "{engine}");
            assert_eq!(got["scores"].as_array().unwrap().len(), 5);
            assert_eq!(got["boxes"].as_array().unwrap().len(), 3);
        }
        assert!(result["times_ms"]["total"].as_f64().unwrap() > 0.0);
        let stages = result["times_ms"]["stages"].as_array().unwrap();
        let runs = |name: &str| {
            let stage = stages.iter().find(|s| s["name"] == name).unwrap();
            stage["runs"].as_u64().unwrap()
        };
        assert_eq!(
            (
                runs("text_encoder"),
                runs("visual_backbone"),
                runs("fusion")
            ),
            (2, 1, 2)
        );
        let mut expected = vec!["animation.gif".to_owned(), "result.json".to_owned()];
        for kind in ["masks", "overlays"] {
            for k in 0..2 {
                expected.extend((0..3).map(|i| format!("{kind}/{k}/{i:05}.png")));
            }
        }
        expected.sort();
        assert_eq!(files(&out), expected);
        let mask = mask(&out, 0, 0);
        assert!(mask.as_raw().iter().all(|v| *v == 0 || *v == 255));
        assert!(mask.as_raw().contains(&255));
    }
}

#[test]
fn a_bundle_runs_a_longer_video_in_windows() {
    let temp = tempfile::tempdir().unwrap();
    let bundle = temp.path().join("bundle");
    let export = export_args(&bundle, "3", "96x160");
    assert!(socc(export).status.success());
    let out = temp.path().join("out");
    let video = asset("clip/frames");
    let result = json(args![
        "run", &bundle, "--video", &video, "-e", TEXT, "-o", &out, "--json"
    ]);
    let expression = &result["expressions"][0];
    let windows = expression["windows"].as_array().unwrap();
    let starts: Vec<u64> = windows
        .iter()
        .map(|w| w["start"].as_u64().unwrap())
        .collect();
    assert_eq!(starts, [0, 3, 6]);
    assert_eq!(expression["boxes"].as_array().unwrap().len(), 8);
    // The rendered truth, not our own figure: three frames suffice for this object.
    for frame in 0..8 {
        let truth = image::open(video.join(format!("../masks/0/{frame:05}.png"))).unwrap();
        let overlap = iou(&mask(&out, 0, frame), &truth.into_luma8());
        assert!(overlap > 0.8, "frame {frame}: {overlap}");
    }
    // The first window is the whole of this clip.
    let short = temp.path().join("short");
    let whole = run(model(), &case("clip").join("frames"), &short, "embedded");
    let (whole, first) = (&whole["expressions"][0]["scores"], &windows[0]["scores"]);
    assert_eq!(whole, first);
    assert_eq!(mask(&out, 0, 2), mask(&short, 0, 2));
    // A second run into the same folder replaces the first.
    let again = json(args![
        "run", &bundle, "--video", &video, "-e", TEXT, "-o", &out, "--frames", "2", "--json"
    ]);
    assert_eq!(again["frames"].as_array().unwrap().len(), 2);
    assert_eq!(files(&out.join("masks")).len(), 2);
}

#[test]
fn masks_have_the_size_of_the_source() {
    let temp = tempfile::tempdir().unwrap();
    let frames = temp.path().join("frames");
    fs::create_dir(&frames).unwrap();
    for i in 0..2 {
        let small = image::open(asset(&format!("clip/frames/{i:05}.png"))).unwrap();
        let large = small.resize_exact(400, 240, image::imageops::FilterType::Triangle);
        large.save(frames.join(format!("{i:05}.png"))).unwrap();
    }
    let out = temp.path().join("out");
    let result = run(model(), &frames, &out, "embedded");
    // 96 and 160 by the configuration.
    assert_eq!(result["model_height"], 96);
    assert_eq!(result["model_width"], 160);
    assert_eq!(mask(&out, 0, 1).dimensions(), (400, 240));
    let truth: PathBuf = asset("clip/masks/0/00001.png");
    let truth = image::open(truth).unwrap();
    let truth = truth.resize_exact(400, 240, image::imageops::FilterType::Nearest);
    assert!(iou(&mask(&out, 0, 1), &truth.into_luma8()) > 0.85);
}

#[test]
fn a_selection_of_frames() {
    let temp = tempfile::tempdir().unwrap();
    let (video, out) = (asset("clip/frames"), temp.path().join("out"));
    let run = |more: [&str; 6]| {
        let mut all = args![
            "run",
            model(),
            "--video",
            &video,
            "-e",
            TEXT,
            "-o",
            &out,
            "--json"
        ];
        all.extend(more.map(Into::into));
        all
    };
    let result = json(run(["--start", "1", "--every", "3", "--frames", "2"]));
    assert_eq!(result["frames"], serde_json::json!(["00001", "00004"]));
    refused(
        run(["--start", "1", "--every", "0", "--frames", "2"]),
        &["--every is 0"],
    );
    refused(
        run(["--start", "8", "--every", "1", "--frames", "2"]),
        &["no frames"],
    );
    refused(
        run(["--start", "0", "--every", "1", "--frames", "0"]),
        &["at least one frame"],
    );
}

/// What a sentence holds must not reach the terminal as a command, nor break the table.
#[test]
fn control_characters_are_shown_not_sent() {
    let temp = tempfile::tempdir().unwrap();
    let (video, out) = (case("single").join("frames"), temp.path().join("out"));
    let text = "a red\x1b[31m\nsquare";
    let output = socc(args![
        "run",
        model(),
        "--video",
        &video,
        "-e",
        text,
        "-o",
        &out
    ]);
    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("a red\\u{1b}[31m square"), "{printed}");
    assert!(!printed.contains('\x1b'));
}

/// Whoever stops listening, as `head` does, gets no complaint.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::{Command, Stdio};
    for (args, code) in [
        (args!["inspect", model()], 0),
        (args!["inspect", "nowhere"], 2),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_socc"))
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

/// An interrupt in the middle leaves nothing, neither beside OUT nor among the system's temporary files.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let temp = tempfile::tempdir().unwrap();
    let (place, system) = (temp.path().join("place"), temp.path().join("system"));
    for dir in [&place, &system] {
        fs::create_dir(dir).unwrap();
    }
    let entries = || fs::read_dir(&place).unwrap().count();
    let mut child = Command::new(env!("CARGO_BIN_EXE_socc"))
        .args(args!["demo", "-o", &place.join("out")])
        .env("TMPDIR", &system)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while entries() == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(entries(), 0);
    assert_eq!(fs::read_dir(&system).unwrap().count(), 0);
}
