use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ndarray::Array4;
use serde::Deserialize;
use socc_calibration::method::Method;
use socc_calibration::table::StageRanges;
use socc_engines::{Options as EngineOptions, engine};
use socc_exporter::model::{Deformable, FRAMES_AT_ONCE, Request, build};

use super::*;
use crate::host::frames::{Clip, Selection};
use crate::host::resize::frames_tensor;
use crate::host::tokenizer::TextTokenizer;
use crate::pipeline::{Pipeline, read_f32};
use crate::source::{Model, Source};

const FRAMES: usize = 2;

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("assets/demo")
        .join(name)
}

fn model() -> Model {
    let config = demo("config.yaml");
    Model::open(&demo("model.safetensors"), Some(&config), None).unwrap()
}

fn request() -> Request {
    Request {
        frames: FRAMES,
        height: 96,
        width: 160,
        deformable: Deformable::GridSample,
        frames_at_once: FRAMES_AT_ONCE,
        probe: false,
        annotated_frame: false,
    }
}

fn embedded() -> Box<dyn Engine> {
    engine("embedded", &EngineOptions::default()).unwrap()
}

fn frames(count: usize) -> Array4<u8> {
    let selection = Selection {
        frames: Some(count),
        ..Selection::default()
    };
    let clip = Clip::load(&demo("clip/frames"), &selection).unwrap();
    frames_tensor(&clip.frames)
}

/// The sentences of the clip that comes along.
fn sentences() -> Vec<Sentence> {
    let tokenizer = TextTokenizer::from_dir(&demo("roberta")).unwrap();
    let texts = [
        "a blue circle moving up",
        "the white object",
        "the object moving down",
    ];
    let sentence = |text: &str| Sentence {
        text: text.to_owned(),
        tokens: tokenizer.encode(text, 100).unwrap(),
    };
    texts.map(sentence).to_vec()
}

fn calibrator(stages: &[(Graph, Rate)], segment_bytes: usize) -> Calibrator {
    let options = Options {
        segment_bytes,
        threads: 2,
    };
    Calibrator::compile(stages, &request(), embedded(), options, &mut |_| ()).unwrap()
}

fn stages() -> Vec<(Graph, Rate)> {
    let model = model();
    let stages = build(&model.checkpoint, &model.described.architecture, &request()).unwrap();
    stages.into_iter().map(|s| (s.graph, s.rate)).collect()
}

fn observers(stages: &[(Graph, Rate)]) -> Observations {
    Observations::of(stages.iter().map(|(graph, _)| graph))
}

/// What the stages give is what the plain pipeline gives, in whatever pieces they run.
#[test]
fn segments_compute_what_whole_stages_do() {
    let source = Source::Checkpoint(Box::new(model()));
    let mut plain: Pipeline = source.compile(embedded(), &request(), &mut |_| ()).unwrap();
    let stages = stages();
    let (clip, sentence) = (frames(FRAMES), &sentences()[0]);
    let (frames, text) = (
        plain.encode_clip(clip.clone()).unwrap(),
        plain.encode_text(&sentence.tokens).unwrap(),
    );
    let expected = plain.segment(&frames, &text).unwrap();
    let mut ranges = Vec::new();
    for segment_bytes in [1 << 18, 1 << 30] {
        let mut calibrator = calibrator(&stages, segment_bytes);
        let segments: usize = calibrator.segments().map(|(_, n)| n).sum();
        assert_eq!(segments > 100, segment_bytes == 1 << 18, "{segments}");
        let mut seen = observers(&stages);
        let origin = Origin {
            clip: "demo".to_owned(),
            expression: None,
        };
        let frames = calibrator
            .encode_clip(clip.clone(), &mut seen, &origin)
            .unwrap();
        let text = calibrator
            .encode_text(&sentence.tokens, &mut seen, &origin)
            .unwrap();
        let values = calibrator
            .segment(&frames, &text, &mut seen, &origin)
            .unwrap();
        let names: Vec<&String> = values.keys().collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>());
        for name in ["scores", "boxes", "mask_logits"] {
            let (got, expected) = (read_f32(&values, name), read_f32(&expected, name));
            let (got, expected) = (got.unwrap(), expected.unwrap());
            let scale = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
            let apart = (&got - &expected)
                .iter()
                .fold(0.0_f32, |m, x| m.max(x.abs()));
            assert!(apart <= scale * 1e-5, "{name}: {apart} of {scale}");
        }
        ranges.push(seen.ranges(Method::Max));
    }
    let tensors = |r: &BTreeMap<String, StageRanges>| -> usize {
        r.values().map(|stage| stage.tensors.len()).sum()
    };
    assert_eq!(tensors(&ranges[0]), tensors(&ranges[1]));
}

/// Minimum, maximum, count.
#[derive(Deserialize)]
struct Expected(f32, f32, u64);

/// Every float32 value against ONNX Runtime and NumPy; see `tests/fixtures/README.md`.
#[test]
fn ranges_are_those_that_numpy_finds_in_onnx_runtimes_values() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ranges.json");
    let text = std::fs::read_to_string(path).unwrap();
    let expected: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_str(&text).unwrap();
    let stages = stages();
    let mut seen = observers(&stages);
    let mut done = 0;
    calibrator(&stages, 1 << 24)
        .run_clip(
            "demo",
            frames(FRAMES).view(),
            &sentences(),
            &mut seen,
            &mut || done += 1,
        )
        .unwrap();
    assert_eq!(done, 3);
    let ranges = seen.ranges(Method::Max);
    assert_eq!(ranges.len(), expected.len());
    for (stage, expected) in expected {
        let ranges = &ranges[&stage].tensors;
        assert_eq!(ranges.len(), expected.len(), "{stage}");
        for (tensor, Expected(min, max, samples)) in expected {
            let got = ranges.get(&tensor);
            let got = got.unwrap_or_else(|| panic!("{stage}: no {tensor}; see the README"));
            assert_eq!(got.samples, samples, "{stage}: {tensor}");
            // The engine's sigmoid is exact to 1e-7, not to as much of its result.
            let tolerance = min.abs().max(max.abs()) * 1e-4 + 1e-7;
            let close = (got.min - min).abs() <= tolerance && (got.max - max).abs() <= tolerance;
            assert!(close, "{stage}: {tensor}: {got:?} for {min} to {max}");
            assert_eq!(got.amax, got.peak(), "{stage}: {tensor}");
        }
    }
}

#[test]
fn a_longer_clip_runs_in_windows() {
    let stages = stages();
    let mut calibrator = calibrator(&stages, 1 << 28);
    let mut samples = |count: usize| {
        let mut seen = observers(&stages);
        let (frames, sentences) = (frames(count), &sentences()[..1]);
        let mut done = 0;
        calibrator
            .run_clip("demo", frames.view(), sentences, &mut seen, &mut || {
                done += 1
            })
            .unwrap();
        let ranges = seen.ranges(Method::Max);
        let samples =
            |stage: &str| -> u64 { ranges[stage].tensors.values().map(|r| r.samples).sum() };
        (done, samples("text_encoder"), samples("visual_backbone"))
    };
    let (two, five) = (samples(2), samples(5));
    assert_eq!((two.0, five.0), (1, 3));
    // The sentence once, the backbone for each window.
    assert_eq!((five.1, five.2), (two.1, 3 * two.2));
}
