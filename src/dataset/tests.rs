use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};

use super::*;

fn fixture(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/datasets").join(name)
}

/// A split with one video of `frames` pictures of 8x6 pixels and an annotation for each.
fn set(root: &Path, frames: usize, expressions: &str) {
    let (pictures, labels) = (
        root.join("valid/JPEGImages/v"),
        root.join("valid/Annotations/v"),
    );
    fs::create_dir_all(&pictures).unwrap();
    fs::create_dir_all(&labels).unwrap();
    let mut names = Vec::new();
    for i in 0..frames {
        let name = format!("{i:05}");
        let picture = RgbImage::from_pixel(8, 6, Rgb([i as u8, 1, 2]));
        picture.save(pictures.join(format!("{name}.png"))).unwrap();
        let mut label = GrayImage::new(8, 6);
        label.put_pixel(i as u32, 0, Luma([1]));
        label.save(labels.join(format!("{name}.png"))).unwrap();
        names.push(format!("\"{name}\""));
    }
    let meta = root.join("meta_expressions/valid");
    fs::create_dir_all(&meta).unwrap();
    let json = format!(
        "{{\"videos\": {{\"v\": {{\"frames\": [{}], \"expressions\": {expressions}}}}}}}",
        names.join(", ")
    );
    fs::write(meta.join(META), json).unwrap();
}

const ONE: &str = r#"{"0": {"exp": "the dot", "obj_id": "1"}}"#;

#[test]
fn lists_are_read_in_order_and_hidden_videos_left_out() {
    let dataset = Dataset::open(&fixture("ref-youtube-vos"), "valid").unwrap();
    let names: Vec<&str> = dataset.videos.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["square", "wide"]);
    assert_eq!(dataset.expressions(), 5);
    let kinds: Vec<FindingKind> = dataset.findings.iter().map(|f| f.kind).collect();
    let expected = [
        FindingKind::DuplicatedExpression,
        FindingKind::NonAsciiExpression,
    ];
    assert_eq!(kinds, expected);

    let temp = tempfile::tempdir().unwrap();
    let many: Vec<String> = (0..12)
        .map(|i| format!("\"{i}\": {{\"exp\": \"e{i}\", \"obj_id\": [1, \"2\"]}}"))
        .collect();
    set(temp.path(), 1, &format!("{{{}}}", many.join(", ")));
    let dataset = Dataset::open(temp.path(), "valid").unwrap();
    let expressions = &dataset.videos[0].expressions;
    let ids: Vec<String> = expressions.iter().map(|e| e.id.clone()).collect();
    assert_eq!(ids, (0..12).map(|i| i.to_string()).collect::<Vec<_>>());
    assert_eq!(expressions[3].objects, [1, 2]);
}

#[test]
fn damage_is_noted_and_replaced_or_refused() {
    let temp = tempfile::tempdir().unwrap();
    set(temp.path(), 5, ONE);
    let pictures = temp.path().join("valid/JPEGImages/v");
    let labels = temp.path().join("valid/Annotations/v");
    fs::remove_file(pictures.join("00000.png")).unwrap();
    fs::write(pictures.join("00002.png"), "no picture").unwrap();
    GrayImage::from_pixel(16, 12, Luma([9]))
        .save(pictures.join("00003.png"))
        .unwrap();
    fs::remove_file(labels.join("00001.png")).unwrap();
    GrayImage::from_pixel(4, 3, Luma([1]))
        .save(labels.join("00004.png"))
        .unwrap();

    let dataset = Dataset::open(temp.path(), "valid").unwrap();
    let video = &dataset.videos[0];
    let mut findings = Findings::default();
    let mut seen = Vec::new();
    let mut note = |index: usize, frame: &RgbImage| {
        assert_eq!(frame.dimensions(), (8, 6));
        seen.push((index, frame.get_pixel(0, 0)[0]));
        Ok(())
    };
    dataset.each_frame(video, &mut findings, &mut note).unwrap();
    assert_eq!(seen, [(0, 1), (1, 1), (2, 1), (3, 9), (4, 4)]);
    let truth = dataset.annotations(video, (8, 6), &mut findings).unwrap();
    assert_eq!(
        truth.mask(4, &video.expressions[0]).unwrap().dimensions(),
        (8, 6)
    );
    assert!(truth.mask(1, &video.expressions[0]).is_none());
    let kinds: Vec<FindingKind> = findings.list().iter().map(|f| f.kind).collect();
    let expected = [
        FindingKind::MissingFrame,
        FindingKind::UnreadableFrame,
        FindingKind::FrameColours,
        FindingKind::FrameSize,
        FindingKind::MissingAnnotation,
        FindingKind::AnnotationSize,
    ];
    assert_eq!(kinds, expected);

    let error = dataset.frames(video).unwrap_err().to_string();
    assert!(
        error.contains("frame 00000") && error.contains("00000.jpg"),
        "{error}"
    );
    let error = dataset
        .truth(video, &video.expressions[0])
        .unwrap_err()
        .to_string();
    assert!(error.contains("00001.png"), "{error}");
    let mut strict = Findings::new(true);
    let refused = dataset.each_frame(video, &mut strict, &mut |_, _| Ok(()));
    assert!(matches!(refused, Err(DatasetError::Refused(_))));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["..", "a/b", "", "a\\\\b"] {
        let temp = tempfile::tempdir().unwrap();
        set(
            temp.path(),
            1,
            &ONE.replace("\"0\"", &format!("\"{name}\"")),
        );
        let error = Dataset::open(temp.path(), "valid").unwrap_err().to_string();
        assert!(error.contains("no file name"), "{name}: {error}");
    }
    let temp = tempfile::tempdir().unwrap();
    set(temp.path(), 1, "[]");
    let error = Dataset::open(temp.path(), "valid").unwrap_err().to_string();
    assert!(
        error.contains(META) && error.contains("expected"),
        "{error}"
    );
    let error = Dataset::open(temp.path(), "test").unwrap_err().to_string();
    assert!(error.contains("meta_expressions"), "{error}");
}

#[test]
fn of_equal_keys_the_last_counts() {
    let temp = tempfile::tempdir().unwrap();
    let twice = r#"{"0": {"exp": "first", "obj_id": 1}, "1": {"exp": "x"}, "0": {"exp": "last", "obj_id": 2}}"#;
    set(temp.path(), 1, twice);
    let dataset = Dataset::open(temp.path(), "valid").unwrap();
    let texts: Vec<&str> = dataset.videos[0]
        .expressions
        .iter()
        .map(|e| e.text.as_str())
        .collect();
    assert_eq!(texts, ["last", "x"]);
    assert_eq!(dataset.findings[0].kind, FindingKind::DuplicatedKey);
    // Where the object is not known, there is no truth.
    let truth = dataset.truth(&dataset.videos[0], &dataset.videos[0].expressions[1]);
    assert!(truth.unwrap().is_empty());
}

/// The annotated frame is in the middle of its window, and edge frames repeat.
#[test]
fn windows_are_those_of_the_official_data_sets() {
    for (benchmark, set) in [
        (Benchmark::A2dSentences, "a2d-sentences"),
        (Benchmark::JhmdbSentences, "jhmdb-sentences"),
    ] {
        let dataset = Dataset::open_as(benchmark, &fixture(set), "test", true).unwrap();
        let first = &dataset.videos[0];
        assert_eq!(first.frames.len(), WINDOW);
        assert_eq!(first.annotated, Some(4));
        let frame = &first.frames[4];
        assert!(
            first
                .name
                .ends_with(&format!("_f_{}", frame.trim_start_matches('0')))
        );
        assert_eq!(first.frames[0], "00001");
        assert_eq!(
            dataset.truth(first, &first.expressions[0]).unwrap().len(),
            1
        );
    }
    assert_eq!(windows::window(7, 7), [3, 4, 5, 6, 7, 7, 7, 7]);
    assert_eq!(windows::window(1, 100), [1, 1, 1, 1, 1, 2, 3, 4]);
    // Of a video file, whose length is not known.
    let unknown = usize::MAX;
    assert_eq!(windows::window(2, unknown), [1, 1, 1, 1, 2, 3, 4, 5]);
    assert_eq!(windows::window(unknown, 7), [7; 8]);
    let a2d = Dataset::open_as(
        Benchmark::A2dSentences,
        &fixture("a2d-sentences"),
        "test",
        true,
    )
    .unwrap();
    let texts: Vec<&str> = a2d.videos[1]
        .expressions
        .iter()
        .map(|e| e.text.as_str())
        .collect();
    assert_eq!(
        texts,
        ["a blue circle moving up", "the white object, really"]
    );
}
