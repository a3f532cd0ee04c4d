use super::*;

#[derive(Deserialize)]
struct Cases {
    images: Vec<Detections>,
    expected: Summary,
}

/// Random detections with ties, empty masks and objects of all sizes, against pycocotools and the official
/// `metrics.py`.
#[test]
fn figures_are_those_of_pycocotools() {
    let text = include_str!("../../../tests/fixtures/datasets/coco.json");
    let cases: Cases = serde_json::from_str(text).unwrap();
    assert!(cases.images.len() >= 40);
    let got = summarise(&cases.images).unwrap();
    for ((name, got), (_, expected)) in got.named().into_iter().zip(cases.expected.named()) {
        // The official IoUs are float32.
        assert!((got - expected).abs() < 1e-6, "{name}: {got}, {expected}");
    }
}

#[test]
fn there_is_nothing_to_say_of_no_images() {
    assert_eq!(summarise(&[]), None);
}
