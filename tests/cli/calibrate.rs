//! `socc calibrate`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::args;
use crate::support::{asset, files, json as run_json, model, refused, socc, stderr};

/// A bundle of the small model for two frames, and a data set of the clip that comes along, cut up.
struct Place {
    dir: tempfile::TempDir,
}

const VIDEOS: [&str; 3] = ["first", "second", "third"];

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        export(&asset("model.safetensors"), &place.bundle());
        let mut videos = serde_json::Map::new();
        for (i, video) in VIDEOS.into_iter().enumerate() {
            let names = [2 * i, 2 * i + 1].map(|n| format!("{n:05}"));
            let folder = place.frames(video);
            fs::create_dir_all(&folder).unwrap();
            for name in &names {
                let file = format!("{name}.png");
                let from = asset("clip/frames").join(&file);
                fs::copy(from, folder.join(&file)).unwrap();
            }
            let expressions = json!({
                "0": {"exp": "a blue circle moving up", "obj_id": "1"},
                "1": {"exp": "the white object", "obj_id": "2"},
            });
            let value = json!({"frames": names, "expressions": expressions});
            videos.insert(video.to_owned(), value);
        }
        place.list("calib", &json!({ "videos": videos }));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn bundle(&self) -> PathBuf {
        self.path("bundle")
    }

    fn data(&self) -> PathBuf {
        self.path("data")
    }

    fn frames(&self, video: &str) -> PathBuf {
        self.data().join("calib/JPEGImages").join(video)
    }

    fn list(&self, split: &str, videos: &Value) {
        let folder = self.data().join("meta_expressions").join(split);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("meta_expressions.json"), videos.to_string()).unwrap();
    }

    /// The command over the whole split, writing `table` into a folder of its own.
    fn command(&self, table: &str) -> Vec<OsString> {
        fs::create_dir_all(self.path("out")).unwrap();
        args![
            "calibrate",
            &self.bundle(),
            "--data",
            &self.data(),
            "--split",
            "calib",
            "-o",
            &self.out(table)
        ]
    }

    fn out(&self, name: &str) -> PathBuf {
        self.path("out").join(name)
    }

    fn left(&self) -> Vec<String> {
        files(&self.path("out"))
    }
}

fn export(checkpoint: &Path, bundle: &Path) {
    let output = socc(args![
        "export",
        checkpoint,
        "--config",
        &asset("config.yaml"),
        "-o",
        bundle,
        "--frames",
        "2",
        "--size",
        "64x96"
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn with<const N: usize>(mut command: Vec<OsString>, more: [&str; N]) -> Vec<OsString> {
    command.extend(more.map(Into::into));
    command
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_table_says_what_was_measured_and_where() {
    let place = Place::new();
    let summary = run_json(with(
        place.command("max.json"),
        ["--method", "max", "--json"],
    ));
    let table = read(&place.out("max.json"));
    assert_eq!(place.left(), ["max.json"]);
    let manifest = read(&place.bundle().join("manifest.json"));
    assert_eq!(table["checkpoint"], manifest["checkpoint"]["fingerprint"]);
    assert_eq!(
        (&table["clips"], &table["expressions"]),
        (&json!(3), &json!(6))
    );
    assert_eq!(summary["clips"], table["clips"]);
    assert_eq!(table["method"], "max");
    for stage in manifest["stages"].as_array().unwrap() {
        let name = stage["name"].as_str().unwrap();
        let (ranges, summed) = (&table["stages"][name], &summary["stages"][name]);
        assert_eq!(ranges["graph"], summed["graph"]);
        let tensors = ranges["tensors"].as_object().unwrap();
        assert_eq!(summed["tensors"], tensors.len());
        let border = |role: &str| stage[role].as_array().unwrap().clone();
        let border = border("inputs").into_iter().chain(border("outputs"));
        for spec in border.filter(|spec| spec["dtype"] == "f32") {
            let name = spec["name"].as_str().unwrap();
            assert!(tensors.contains_key(name), "{name}");
        }
    }
    // Frames are bytes: their float is the first of all results.
    let pixels = &table["stages"]["visual_backbone"]["tensors"]["normalize/Cast:out"];
    assert_eq!(pixels["samples"], 3 * 2 * 3 * 64 * 96);

    // The same values, by another method, on one thread, in small pieces: the table is replaced.
    let more = [
        "--method",
        "percentile",
        "--percentile",
        "99",
        "--threads",
        "1",
    ];
    let mut again = with(place.command("max.json"), more);
    again.extend(["--memory".into(), "1".into()]);
    assert!(socc(again).status.success());
    let clipped = read(&place.out("max.json"));
    assert_eq!(clipped["method"], json!({ "percentile": 99.0 }));
    let mut narrower = 0;
    for (name, stage) in table["stages"].as_object().unwrap() {
        for (tensor, range) in stage["tensors"].as_object().unwrap() {
            let other = &clipped["stages"][name]["tensors"][tensor];
            assert_eq!(range["samples"], other["samples"], "{tensor}");
            let (max, p99) = (range["amax"].as_f64(), other["amax"].as_f64());
            narrower += usize::from(p99.unwrap() < 0.9 * max.unwrap());
        }
    }
    assert!(narrower > 100, "{narrower}");
}

#[test]
fn a_table_serves_the_export_of_its_graphs_and_no_other() {
    let place = Place::new();
    let calibrated = socc(with(place.command("table.json"), ["--clips", "1"]));
    assert!(calibrated.status.success(), "{}", stderr(&calibrated));
    let export = |size: &str| {
        let mut export = args!["export", model(), "-o", &place.path("int8"), "--ranges"];
        export.push(place.out("table.json").into());
        with(
            export,
            ["--precision", "int8", "--frames", "2", "--size", size],
        )
    };
    refused(
        export("64x64"),
        &["another graph", "stage `visual_backbone`", "socc calibrate"],
    );
    let exported = socc(export("64x96"));
    assert!(exported.status.success(), "{}", stderr(&exported));
}

#[test]
fn clips_are_spread_over_the_split() {
    let place = Place::new();
    // Whatever is wrong with the others does not matter.
    fs::remove_dir_all(place.frames("first")).unwrap();
    fs::remove_dir_all(place.frames("third")).unwrap();
    let output = socc(with(place.command("one.json"), ["--clips", "1"]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
    let table = read(&place.out("one.json"));
    assert_eq!(
        (&table["clips"], &table["expressions"]),
        (&json!(1), &json!(2))
    );
    refused(
        with(place.command("one.json"), ["--clips", "0"]),
        &["--clips is 0"],
    );
}

#[test]
fn a_resumed_run_gives_the_table_of_an_uninterrupted_one() {
    let place = Place::new();
    assert!(socc(place.command("whole.json")).status.success());
    let frame = place.frames("third").join("00005.png");
    let elsewhere = place.path("00005.png");
    fs::rename(&frame, &elsewhere).unwrap();
    refused(
        with(place.command("parts.json"), ["--resume"]),
        &["parts.json.partial", "nothing to resume"],
    );
    refused(place.command("parts.json"), &["third", "00005"]);
    assert_eq!(place.left(), ["parts.json.partial", "whole.json"]);

    fs::rename(&elsewhere, &frame).unwrap();
    refused(
        place.command("parts.json"),
        &["parts.json.partial", "--resume"],
    );
    let resumed = with(place.command("parts.json"), ["--resume"]);
    refused(
        with(resumed.clone(), ["--clips", "2"]),
        &["another calibration", "3 clips", "2"],
    );
    assert!(socc(resumed).status.success());
    assert_eq!(place.left(), ["parts.json", "whole.json"]);
    let bytes = |name: &str| fs::read(place.out(name)).unwrap();
    assert!(bytes("parts.json") == bytes("whole.json"));
}

/// An interrupt leaves the state and nothing else.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_what_was_observed() {
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};
    let place = Place::new();
    let state = place.out("table.json.partial");
    let mut child = Command::new(env!("CARGO_BIN_EXE_socc"))
        .args(place.command("table.json"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !state.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(place.left(), ["table.json.partial"]);
    let resumed = socc(with(place.command("table.json"), ["--resume"]));
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(place.left(), ["table.json"]);
}

#[test]
fn what_cannot_be_calibrated_is_refused_in_a_sentence() {
    let place = Place::new();
    let command = || place.command("table.json");
    let replace = |at: usize, value: OsString| {
        let mut changed = command();
        changed[at] = value;
        changed
    };
    refused(
        replace(1, asset("model.safetensors").into()),
        &["no bundle", "socc export"],
    );
    refused(replace(3, place.path("nowhere").into()), &["nowhere"]);
    refused(replace(5, "unknown".into()), &["unknown"]);
    refused(
        replace(7, place.path("none/table.json").into()),
        &["none", "create it"],
    );
    fs::write(place.out("notes.json"), "{}").unwrap();
    refused(
        replace(7, place.out("notes.json").into()),
        &["notes.json", "no range table"],
    );
    assert_eq!(fs::read_to_string(place.out("notes.json")).unwrap(), "{}");
    refused(
        with(command(), ["--percentile", "99"]),
        &["--method percentile"],
    );
    refused(
        with(command(), ["--method", "percentile", "--percentile", "101"]),
        &["101", "100"],
    );
    refused(with(command(), ["--engine", "none"]), &["unknown engine"]);

    fs::create_dir_all(place.data().join("empty/JPEGImages")).unwrap();
    place.list("empty", &json!({"videos": {}}));
    refused(replace(5, "empty".into()), &["empty", "at least one"]);
    let blank = json!({"frames": ["00000"], "expressions": {"0": {"exp": " "}}});
    place.list("empty", &json!({"videos": {"first": blank}}));
    refused(replace(5, "empty".into()), &["empty", "at least one"]);

    fs::write(place.out("table.json.partial"), "half").unwrap();
    refused(
        with(command(), ["--resume"]),
        &["table.json.partial", "no calibration state", "delete it"],
    );
    assert_eq!(place.left(), ["notes.json", "table.json.partial"]);
}

#[test]
fn a_lower_precision_is_refused() {
    let place = Place::new();
    let mut export = args!["export", model(), "-o", &place.bundle(), "--force"];
    export.extend(["--frames", "2", "--size", "64x96", "--precision", "fp16"].map(Into::into));
    assert!(socc(export).status.success());
    refused(
        place.command("table.json"),
        &["fp16", "fp32", "--precision"],
    );
}

#[test]
fn activations_that_are_no_numbers_are_named() {
    let place = Place::new();
    let mut bytes = fs::read(asset("model.safetensors")).unwrap();
    let key = "text_encoder.embeddings.word_embeddings.weight";
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let json: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let offsets = json[key]["data_offsets"].as_array().unwrap();
    let [begin, end] = [0, 1].map(|i| 8 + header + offsets[i].as_u64().unwrap() as usize);
    // Not a number in float16, in every element.
    for value in bytes[begin..end].chunks_exact_mut(2) {
        value.copy_from_slice(&[0xff, 0x7f]);
    }
    let checkpoint = place.path("broken.safetensors");
    fs::write(&checkpoint, bytes).unwrap();
    fs::remove_dir_all(place.bundle()).unwrap();
    export(&checkpoint, &place.bundle());
    refused(
        place.command("table.json"),
        &[
            "stage `text_encoder`",
            "text_encoder.embeddings/Gather",
            "NaN",
            "clip `first`",
            "a blue circle moving up",
        ],
    );
    assert!(place.left().is_empty());
}
