//! `socc eval`: every benchmark's protocol on a miniature data set, against the official code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{engines, eval_args, files, json, root, socc, stderr};

/// A miniature data set.
pub fn set(name: &str) -> PathBuf {
    root().join("tests/fixtures/datasets").join(name)
}

/// A JSON file.
pub fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

pub fn near(got: &Value, expected: &Value, what: &str) {
    let (got, expected) = (got.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!(
        (got - expected).abs() < 1e-4,
        "{what}: {got}, expected {expected}"
    );
}

/// Intersection over union of two masks or label pictures, over all pixels that are not 0.
fn iou(a: &Path, b: &Path) -> f64 {
    let [a, b] = [a, b].map(|path| {
        let mut decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap()));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.bit_depth, png::BitDepth::Eight);
        (pixels, info.width)
    });
    assert_eq!(a.1, b.1);
    let (mut both, mut any) = (0, 0);
    for (a, b) in a.0.iter().zip(&b.0) {
        both += usize::from(*a > 0 && a == b);
        any += usize::from(*a > 0 || *b > 0);
    }
    if any == 0 {
        1.0
    } else {
        both as f64 / any as f64
    }
}

/// Every expression's J, F and query.
fn check_expressions(result: &Value, reference: &Value, what: &str) {
    assert_eq!(result["expressions"], reference["expressions"], "{what}");
    for (video, expressions) in reference["videos"].as_object().unwrap() {
        for (id, expected) in expressions.as_object().unwrap() {
            let got = &result["videos"][video][id];
            let what = format!("{what} {video} {id}");
            near(&got["j"], &expected["j"], &what);
            near(&got["f"], &expected["f"], &what);
            assert_eq!(got["query"], expected["query"], "{what}");
        }
    }
    for mean in ["J", "F", "JF"] {
        near(&result[mean], &reference[mean], what);
    }
}

#[test]
fn ref_youtube_vos() {
    let (root, temp) = (set("ref-youtube-vos"), tempfile::tempdir().unwrap());
    let reference = read(&root.join("valid.reference.json"));
    for engine in engines() {
        let out = temp.path().join(engine);
        // tract computes GridSample at a crawl.
        let result = json(eval_args(
            "ref-youtube-vos",
            &root,
            &out,
            &["--engine", engine, "--deformable", "gather", "--json"],
        ));
        check_expressions(&result, &reference, engine);
        assert_eq!(result["finding_counts"]["duplicated_expression"], 1);
        assert_eq!(result["finding_counts"]["non_ascii_expression"], 1);
        assert_eq!(read(&out.join("result.json")), result);
        let expected = root.join("reference_masks");
        let masks = files(&expected);
        assert_eq!(files(&out.join("Annotations")), masks);
        for mask in masks {
            let iou = iou(&out.join("Annotations").join(&mask), &expected.join(&mask));
            assert!(iou >= 0.999, "{engine} {mask}: {iou}");
        }
        let archive = fs::File::open(out.join("submission.zip")).unwrap();
        let archive = zip::ZipArchive::new(archive).unwrap();
        let names = archive.file_names().map(|n| n.unwrap().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        let wanted: Vec<String> = files(&expected)
            .iter()
            .map(|f| format!("Annotations/{f}"))
            .collect();
        assert_eq!(names, wanted);
        assert_eq!(files(&out.join("worst")).len(), 5);
        assert!(!out.join(".partial").exists());
    }
}

#[test]
fn mevis() {
    let (root, temp) = (set("mevis"), tempfile::tempdir().unwrap());
    let result = json(eval_args("mevis", &root, temp.path(), &["--json"]));
    check_expressions(&result, &read(&root.join("valid.reference.json")), "mevis");
    assert!(temp.path().join("submission.zip").exists());
}

#[test]
fn ref_davis() {
    let (root, temp) = (set("ref-davis"), tempfile::tempdir().unwrap());
    let out = temp.path().join("out");
    let result = json(eval_args("ref-davis", &root, &out, &["--json"]));
    let reference = read(&root.join("valid.reference.json"));
    let annotators = reference["annotators"].as_array().unwrap();
    assert_eq!(annotators.len(), 4);
    let figures = ["J", "J_recall", "J_decay", "F", "F_recall", "F_decay", "JF"];
    let check = |got: &Value, expected: &Value, what: &str| {
        for figure in figures {
            near(
                &got[figure],
                &expected[figure],
                &format!("{what}: {figure}"),
            );
        }
    };
    check(&result, &reference, "mean");
    for (a, expected) in annotators.iter().enumerate() {
        let got = &result["annotators"][a];
        check(got, expected, &format!("annotator {a}"));
        let objects = expected["objects"].as_object().unwrap();
        assert_eq!(got["objects"].as_object().unwrap().len(), objects.len());
        for (object, expected) in objects {
            check(&got["objects"][object], expected, object);
        }
    }
    let merged = root.join("reference_merged");
    for file in files(&merged) {
        let iou = iou(&out.join(&file), &merged.join(&file));
        assert!(iou >= 0.999, "{file}: {iou}");
    }
    let output = socc(eval_args("ref-davis", &root, &out, &["--resume"]));
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8(output.stdout).unwrap();
    let rows = table.lines().map(|l| l.split_whitespace().collect());
    let mean: Vec<Vec<&str>> = rows
        .filter(|l: &Vec<&str>| l.first() == Some(&"mean"))
        .collect();
    let columns = ["JF", "J", "J_recall", "J_decay", "F", "F_recall", "F_decay"];
    for (got, figure) in mean[0][1..].iter().zip(columns) {
        let expected = reference[figure].as_f64().unwrap();
        let got: f64 = got.parse().unwrap();
        assert!((got - expected).abs() < 2e-4, "{figure}: {got}");
    }
}

fn annotated_frames(name: &str, masks: &[&str]) {
    let (root, temp) = (set(name), tempfile::tempdir().unwrap());
    let out = temp.path().join("out");
    let result = json(eval_args(name, &root, &out, &["--json"]));
    let reference = read(&root.join("test.reference.json"));
    for (figure, expected) in reference.as_object().unwrap() {
        near(&result["metrics"][figure], expected, figure);
    }
    assert_eq!(files(&out.join("Annotations")), masks);
}

#[test]
fn a2d_sentences() {
    let masks = [
        "v_vid_1_f_2/2/00002.png",
        "v_vid_1_f_6/1/00006.png",
        "v_vid_1_f_6/2/00006.png",
    ];
    annotated_frames("a2d-sentences", &masks);
}

/// Clips as the data set has them, in which frames of one length cannot be relied on; needs ffmpeg.
#[test]
fn a2d_sentences_in_video_files() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("SKIPPED: ffmpeg is not installed");
        return;
    }
    let (root, temp) = (set("a2d-sentences"), tempfile::tempdir().unwrap());
    let copy = temp.path().join("a2d");
    for file in files(&root) {
        let to = copy.join(&file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(root.join(&file), to).unwrap();
    }
    let evaluate = |out: &str| {
        json(eval_args(
            "a2d-sentences",
            &copy,
            &temp.path().join(out),
            &["--json"],
        ))
    };
    // A frame far beyond the end of its clip: the last one stands for the whole window.
    let annotations = copy.join("text_annotations/a2d_annotation_with_instances/vid_1");
    fs::copy(annotations.join("00006.h5"), annotations.join("00020.h5")).unwrap();
    let pictures = evaluate("pictures");
    assert_eq!(pictures["videos"].as_object().unwrap().len(), 3);

    let clip = copy.join("Release/clips320H/vid_1");
    // The same pictures: encoding would change them, and could repeat some.
    let mut list = String::new();
    for i in 1..=8 {
        list += &format!("file {i:05}.png\nduration {}\n", 0.04 * f64::from(i));
    }
    fs::write(clip.join("pictures.txt"), list).unwrap();
    let encoded = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "concat", "-i"])
        .arg(clip.join("pictures.txt"))
        .args(["-c", "copy"])
        .arg(clip.with_extension("mp4"))
        .status();
    assert!(encoded.unwrap().success());
    fs::remove_dir_all(&clip).unwrap();
    let videos = evaluate("videos");
    assert_eq!(videos["videos"], pictures["videos"]);
    assert_eq!(videos["metrics"], pictures["metrics"]);
    let out = |out: &str| temp.path().join(out).join("Annotations");
    let masks = files(&out("pictures"));
    assert_eq!(masks.len(), 5);
    // Their numbers are the frame's, there or not.
    assert!(files(&out("videos")).contains(&"v_vid_1_f_20/1/00020.png".to_owned()));

    fs::remove_file(annotations.join("00020.h5")).unwrap();
    let reference = read(&root.join("test.reference.json"));
    let got = evaluate("official");
    for (figure, expected) in reference.as_object().unwrap() {
        near(&got["metrics"][figure], expected, figure);
    }
}

#[test]
fn jhmdb_sentences() {
    let masks = [
        "v_clip_1_f_1/0/00001.png",
        "v_clip_1_f_5/0/00005.png",
        "v_clip_1_f_7/0/00007.png",
    ];
    annotated_frames("jhmdb-sentences", &masks);
}
