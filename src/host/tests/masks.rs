use std::collections::BTreeMap;

use ndarray::Array2;
use serde::Deserialize;

use super::{digest, fixture, json};
use crate::host::HostError;
use crate::host::frames::picture;
use crate::host::masks::{from_logits, iou, read_labels};

#[derive(Deserialize)]
struct Case {
    name: String,
    height: usize,
    width: usize,
    logits: Vec<f32>,
}

#[test]
fn masks_are_those_of_pytorch() {
    let cases: Vec<Case> = json("masks/expected.json");
    let mut wrong = BTreeMap::new();
    for case in cases {
        let logits = Array2::from_shape_vec((case.height, case.width), case.logits).unwrap();
        let path = fixture(&format!("masks/{}.png", case.name));
        let expected = image::DynamicImage::from(picture(&path).unwrap()).into_luma8();
        let mask = from_logits(logits.view(), expected.width(), expected.height());
        let pairs = mask.as_raw().iter().zip(expected.as_raw());
        let differ = pairs.filter(|(a, b)| a != b).count();
        if differ > 0 {
            wrong.insert(case.name, differ);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn empty_masks_agree() {
    let nothing = Array2::zeros((0, 4));
    assert_eq!(
        from_logits(nothing.view(), 3, 2),
        image::GrayImage::new(3, 2)
    );
    let empty = image::GrayImage::new(3, 2);
    assert_eq!(iou(&empty, &empty), 1.0);
}

#[test]
fn labels_are_the_indices_that_pillow_reads() {
    let cases: Vec<(String, String)> = json("labels.json");
    for (name, expected) in cases {
        let labels = read_labels(&fixture(&format!("frames/{name}"))).unwrap();
        assert_eq!(labels.dimensions(), (37, 23));
        assert_eq!(digest(labels.as_raw()), expected, "{name}");
    }
    for name in [
        "rgb.png",
        "rgba.png",
        "grey16.png",
        "rgb444.jpg",
        "truncated.png",
        "no-width.png",
    ] {
        let error = read_labels(&fixture(&format!("frames/{name}"))).unwrap_err();
        assert!(
            matches!(error, HostError::Frame { .. }),
            "{name}: {error:?}"
        );
    }
    let error = read_labels(&fixture("frames/missing.png")).unwrap_err();
    assert!(matches!(error, HostError::Read { .. }), "{error:?}");
}
