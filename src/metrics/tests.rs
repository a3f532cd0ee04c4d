use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, ImageReader};
use serde::Deserialize;

use super::*;
use crate::host::masks::read_labels;

fn grey(path: &Path) -> GrayImage {
    let reader = ImageReader::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    reader.decode().unwrap().into_luma8()
}

#[derive(Deserialize)]
struct Case {
    name: String,
    j: f64,
    f: f64,
}

#[test]
fn values_are_those_of_the_official_functions() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/host/metrics");
    let text = fs::read_to_string(root.join("expected.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() > 20);
    let (mut preds, mut truths, mut sum) = (Vec::new(), Vec::new(), (0.0, 0.0));
    for case in cases {
        let pred = grey(&root.join(format!("{}.pred.png", case.name)));
        let truth = grey(&root.join(format!("{}.truth.png", case.name)));
        let (j, f) = (jaccard(&pred, &truth), boundary_f(&pred, &truth));
        assert!(
            (j - case.j).abs() < 1e-12,
            "{}: J {j}, {}",
            case.name,
            case.j
        );
        assert!(
            (f - case.f).abs() < 1e-12,
            "{}: F {f}, {}",
            case.name,
            case.f
        );
        sum = (sum.0 + case.j, sum.1 + case.f);
        preds.push(pred);
        truths.push(truth);
    }
    let (all, n) = (score(&preds, &truths).unwrap(), preds.len() as f64);
    assert!((all.j - sum.0 / n).abs() < 1e-12 && (all.f - sum.1 / n).abs() < 1e-12);
    assert!((all.jf() - (sum.0 + sum.1) / 2.0 / n).abs() < 1e-12);
}

#[test]
fn unlike_masks_are_refused() {
    let (a, b) = (GrayImage::new(4, 3), GrayImage::new(3, 4));
    assert!(jaccard(&a, &b).is_nan() && boundary_f(&a, &b).is_nan());
    let error = score(&[a.clone(), a.clone()], &[a.clone(), b]).unwrap_err();
    assert!(error.to_string().contains("mask 1 is 4x3"), "{error}");
    assert!(matches!(score(&[], &[]), Err(MetricsError::Count { .. })));
    assert!(matches!(score(&[a], &[]), Err(MetricsError::Count { .. })));
    let none = GrayImage::new(0, 0);
    assert_eq!(
        (jaccard(&none, &none), boundary_f(&none, &none)),
        (1.0, 1.0)
    );
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "J")]
    j: f64,
    #[serde(rename = "F")]
    f: f64,
    videos: BTreeMap<String, BTreeMap<String, Expected>>,
}

#[derive(Deserialize)]
struct Expected {
    j: f64,
    f: f64,
}

/// The object `id` of an annotation.
fn object(path: &Path, id: u8) -> GrayImage {
    let mut labels = read_labels(path).unwrap();
    for label in labels.iter_mut() {
        *label = if *label == id { 255 } else { 0 };
    }
    labels
}

/// All masks of the official model on the moving shapes, against what the official metric code said
/// about them, where `SOCC_GOLDEN` names the folder that holds both.
#[test]
fn a_whole_data_set_scores_as_the_official_code_says() {
    let Some(root) = std::env::var_os("SOCC_GOLDEN") else {
        println!("SKIPPED: SOCC_GOLDEN is not set");
        return;
    };
    let root = PathBuf::from(root).join("shapes/dataset");
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let reference: Reference = serde_json::from_str(&read("valid.reference.json")).unwrap();
    let meta: serde_json::Value =
        serde_json::from_str(&read("meta_expressions/valid/meta_expressions.json")).unwrap();
    let (mut j, mut f, mut n) = (0.0, 0.0, 0.0);
    for (video, expressions) in &reference.videos {
        let meta = &meta["videos"][video];
        for (expression, expected) in expressions {
            let id = meta["expressions"][expression]["obj_id"].as_str().unwrap();
            let (mut pred, mut truth) = (Vec::new(), Vec::new());
            for frame in meta["frames"].as_array().unwrap() {
                let name = format!("{}.png", frame.as_str().unwrap());
                let folder = root.join("reference_masks").join(video).join(expression);
                pred.push(grey(&folder.join(&name)));
                let annotation = root.join("valid/Annotations").join(video).join(&name);
                truth.push(object(&annotation, id.parse().unwrap()));
            }
            let got = score(&pred, &truth).unwrap();
            let near = (got.j - expected.j).abs() < 1e-5 && (got.f - expected.f).abs() < 1e-5;
            assert!(
                near,
                "{video} {expression}: {got:?}, {} {}",
                expected.j, expected.f
            );
            (j, f, n) = (j + got.j, f + got.f, n + 1.0);
        }
    }
    println!("J {:.6}, F {:.6} over {n} expressions", j / n, f / n);
    assert!((j / n - reference.j).abs() < 1e-6 && (f / n - reference.f).abs() < 1e-6);
}

#[test]
fn statistics_are_those_of_the_official_code() {
    #[derive(serde::Deserialize)]
    struct Case {
        values: Vec<f64>,
        #[serde(flatten)]
        expected: Statistics,
    }
    let text = include_str!("../../tests/fixtures/datasets/statistics.json");
    let cases: Vec<Case> = serde_json::from_str(text).unwrap();
    assert!(cases.len() >= 10);
    for Case { values, expected } in cases {
        let got = Statistics::of(&values).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let near = near(got.mean, expected.mean)
            && near(got.recall, expected.recall)
            && near(got.decay, expected.decay);
        assert!(near, "{} frames: {got:?}, {expected:?}", values.len());
    }
    assert_eq!(Statistics::of(&[]), None);
}
