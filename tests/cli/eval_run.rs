//! How `socc eval` runs: in shards and windows, killed and resumed, on dirty data and bad arguments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::args;
use crate::eval::{read, set};
use crate::support::{eval_args, export_args, files, json, model, refused, root, socc, stderr};

/// A result without what depends on the machine's speed.
fn timeless(mut result: Value) -> Value {
    for key in ["times_ms", "slowest", "shard"] {
        result.as_object_mut().unwrap().remove(key);
    }
    result
}

#[test]
fn shards_join_to_the_whole_and_gaps_are_refused() {
    let (root, temp) = (set("ref-youtube-vos"), tempfile::tempdir().unwrap());
    let eval = |out: &Path, shard: &[&str]| {
        let mut all = eval_args("ref-youtube-vos", &root, out, &["--json"]);
        all.extend(shard.iter().map(Into::into));
        json(all)
    };
    let path = |name: &str| temp.path().join(name);
    let whole = eval(&path("whole"), &["--jobs", "2"]);
    let parts = ["1/2", "2/2"].map(|part| eval(&path(&part.replace('/', "-")), &["--shard", part]));
    assert_eq!(parts[0]["expressions"], 3);
    assert_eq!(parts[1]["expressions"], 2);
    let (first, second, joined) = (path("1-2"), path("2-2"), path("joined"));
    refused(
        args!["eval", "merge", &first, "-o", &joined],
        &["shard 2/2 is missing"],
    );
    refused(
        args!["eval", "merge", &first, &first, "-o", &joined],
        &["both shard 1/2"],
    );
    let merged = json(args![
        "eval", "merge", &second, &first, "-o", &joined, "--json"
    ]);
    assert_eq!(timeless(merged), timeless(whole));
    assert_eq!(
        files(&joined.join("Annotations")),
        files(&path("whole").join("Annotations"))
    );
    assert!(joined.join("submission.zip").exists());

    fs::remove_file(second.join("videos/wide.json")).unwrap();
    let again = path("again");
    refused(
        args!["eval", "merge", &first, &second, "-o", &again],
        &["has not done video wide"],
    );
    let other = json(eval_args(
        "ref-youtube-vos",
        &root,
        &path("other"),
        &["--shard", "2/2", "--limit", "1", "--json"],
    ));
    assert_eq!(other["expressions"], 0);
    refused(
        args!["eval", "merge", &first, &path("other"), "-o", &again],
        &["another list of videos"],
    );
    assert!(!again.exists());
}

#[test]
fn a_killed_run_goes_on_without_doing_anything_twice() {
    let (root, temp) = (set("ref-youtube-vos"), tempfile::tempdir().unwrap());
    let (out, whole) = (temp.path().join("out"), temp.path().join("whole"));
    let command = |out: &Path| eval_args("ref-youtube-vos", &root, out, &["--json"]);
    let expected = json(command(&whole));
    let mut child = Command::new(env!("CARGO_BIN_EXE_socc"))
        .args(command(&out))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let first = out.join("videos/square.json");
    while !first.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = fs::metadata(&first).unwrap().modified().unwrap();
    // What a kill can leave: masks without a record, and the folder of a video that was not finished.
    fs::create_dir_all(out.join("Annotations/wide/7")).unwrap();
    fs::create_dir_all(out.join(".partial/wide/Annotations/0")).unwrap();
    if !out.join("result.json").exists() {
        refused(command(&out), &["holds an evaluation already", "--resume"]);
    }
    let mut resume = command(&out);
    resume.push("--resume".into());
    let _ = fs::remove_file(out.join("videos/wide.json"));
    assert_eq!(timeless(json(&resume)), timeless(expected));
    assert_eq!(fs::metadata(&first).unwrap().modified().unwrap(), before);
    assert_eq!(
        files(&out.join("Annotations")),
        files(&whole.join("Annotations"))
    );
    assert!(!out.join(".partial").exists());
    // Another evaluation does not go on from it.
    resume.extend(args!["--limit", "1"]);
    refused(&resume, &["another list of videos"]);
}

/// A data set with something wrong of every kind.
fn dirty(root: &Path) {
    copy(&set("ref-youtube-vos"), root);
    let pictures = root.join("valid/JPEGImages");
    let labels = root.join("valid/Annotations/square");
    fs::remove_file(pictures.join("square/00000.png")).unwrap();
    fs::write(pictures.join("square/00010.png"), "no picture").unwrap();
    fs::remove_file(pictures.join("square/00015.png")).unwrap();
    let cmyk = root_file("host/frames/cmyk.jpg");
    fs::copy(cmyk, pictures.join("square/00015.jpg")).unwrap();
    fs::remove_file(labels.join("00005.png")).unwrap();
    fs::copy(
        root.join("valid/Annotations/wide/00000.png"),
        labels.join("00010.png"),
    )
    .unwrap();
    fs::remove_dir_all(pictures.join("wide")).unwrap();
    let meta = root.join("meta_expressions/valid/meta_expressions.json");
    let mut json = read(&meta);
    json["videos"]["square"]["expressions"]["3"] = serde_json::json!({"exp": "  ", "obj_id": "1"});
    json["videos"]["square"]["expressions"]["4"] =
        serde_json::json!({"exp": "nothing", "obj_id": "9"});
    fs::write(&meta, json.to_string()).unwrap();
}

fn root_file(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(&file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&file), target).unwrap();
    }
}

#[test]
fn dirty_data_are_listed_and_only_strict_stops() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("set");
    dirty(&root);
    let out = temp.path().join("out");
    let command = eval_args("ref-youtube-vos", &root, &out, &["--json"]);
    let result = json(&command);
    let counts: Vec<(&str, u64)> = result["finding_counts"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(kind, n)| (kind.as_str(), n.as_u64().unwrap()))
        .collect();
    let expected = [
        ("annotation_size", 1),
        ("duplicated_expression", 1),
        ("empty_mask", 1),
        ("frame_colours", 1),
        ("frame_size", 1),
        ("missing_annotation", 1),
        ("missing_frame", 1),
        ("non_ascii_expression", 1),
        ("unreadable_frame", 1),
        ("unusable_expression", 1),
        ("unusable_video", 1),
    ];
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(result["findings"].as_array().unwrap().len(), 11);
    assert_eq!(result["videos"]["square"].as_object().unwrap().len(), 5);
    assert_eq!(files(&out.join("Annotations/square")).len(), 25);
    assert_eq!(result["videos"]["square"]["3"]["query"], Value::Null);

    let strict = temp.path().join("strict");
    let mut command = command;
    command.push("--strict".into());
    let place = command.iter().position(|a| a == out.as_os_str()).unwrap();
    command[place] = strict.into();
    refused(
        &command,
        &["video square, expression 2", "correct the data set"],
    );
}

/// A checkpoint cut into windows and a bundle of their length are the same model; both say that they cut.
#[test]
fn long_videos_run_in_windows() {
    let (root, temp) = (set("ref-youtube-vos"), tempfile::tempdir().unwrap());
    let bundle = temp.path().join("bundle");
    let size = ["--frames", "4", "--size", "96x160"].map(str::to_owned);
    let export = socc(args!["export", model(), "-o", &bundle, size]);
    assert!(export.status.success(), "{}", stderr(&export));
    let common = |out: &str| {
        let out = temp.path().join(out);
        args![
            "--dataset",
            "ref-youtube-vos",
            "--root",
            &root,
            "-o",
            &out,
            "--overlap",
            "1",
            "--json"
        ]
    };
    let mut by_bundle = args!["eval", &bundle];
    by_bundle.extend(common("bundle-out"));
    let mut by_window = args!["eval", model(), "--window", "4"];
    by_window.extend(common("window-out"));
    let [by_bundle, by_window] = [json(by_bundle), json(by_window)];
    for result in [&by_bundle, &by_window] {
        let form = result["form"].as_str().unwrap();
        assert!(
            form.ends_with("in windows of 4 frames that share 1"),
            "{form}"
        );
    }
    assert_eq!(by_bundle["videos"]["square"], by_window["videos"]["square"]);
    assert!(by_window["videos"]["square"]["0"]["j"].as_f64().unwrap() > 0.9);
    assert_eq!(
        files(&temp.path().join("window-out/Annotations")).len(),
        3 * 5 + 2 * 3
    );
}

#[test]
fn bad_arguments_are_refused() {
    let (set, temp) = (set("ref-youtube-vos"), tempfile::tempdir().unwrap());
    let out = temp.path().join("out");
    let eval = |more: &[&str]| {
        let mut all = eval_args("ref-youtube-vos", &set, &out, &[]);
        all.extend(more.iter().map(Into::into));
        all
    };
    for shard in ["0/2", "3/2", "1", "a/b"] {
        let output = socc(eval(&["--shard", shard]));
        assert_eq!(output.status.code(), Some(2));
        assert!(
            stderr(&output).contains("expected I/N"),
            "{}",
            stderr(&output)
        );
    }
    refused(eval(&["--jobs", "0"]), &["--jobs is 0"]);
    refused(eval(&["--limit", "0"]), &["--limit is 0"]);
    refused(eval(&["--overlap", "2"]), &["--window"]);
    refused(eval(&["--window", "4", "--overlap", "4"]), &["of its own"]);
    refused(eval(&["--split", "train"]), &["meta_expressions"]);
    assert!(!out.exists());
    fs::create_dir_all(out.join("Annotations")).unwrap();
    refused(eval(&[]), &["no result of socc"]);
    // A bundle of whole clips cannot leave frames out after its backbone.
    let bundle = temp.path().join("bundle");
    let export = export_args(&bundle, "8", "96x160");
    assert!(socc(export).status.success());
    let a2d = root_file("datasets/a2d-sentences");
    let other = temp.path().join("other");
    refused(
        args![
            "eval",
            &bundle,
            "--dataset",
            "a2d-sentences",
            "--root",
            &a2d,
            "-o",
            &other
        ],
        &["--annotated-frame", "the checkpoint itself"],
    );
}
