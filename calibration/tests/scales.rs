//! Clips of made-up values against NumPy's and ONNX Runtime's; see `tests/fixtures/README.md`.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use socc_calibration::method::Method;
use socc_calibration::observe::Observer;
use socc_calibration::scale::amax;

#[derive(Deserialize)]
struct Expected {
    max: f64,
    width: f64,
    percentile: BTreeMap<String, f64>,
    entropy: f64,
    mse: f64,
    least_error: f64,
    onnxruntime: BTreeMap<String, f64>,
}

const COUNT: u64 = 100_000;

/// SplitMix64 as numbers in [0, 1), exactly.
fn uniform(seed: u64, i: u64) -> f64 {
    let mut x = seed.wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 31;
    (x >> 11) as f64 * (-53.0_f64).exp2()
}

/// The values of one distribution, as `tests/reference/make_ranges.py` makes them.
fn values(name: &str) -> Vec<f32> {
    let value = |i: u64| {
        let u = |seed: u64| uniform(seed, i);
        let normal = (0..12).fold(0.0, |sum, seed| sum + u(seed)) - 6.0;
        let signed = 2.0 * u(0) - 1.0;
        let squared = u(1) * u(1);
        match name {
            "uniform" => signed,
            "normal" => normal,
            "relu" => normal.max(0.0),
            "peaked" => signed * u(1) * u(2) * u(3),
            "heavy" => signed / (u(1) + 0.001),
            "outliers" if i.is_multiple_of(10_000) => normal * 50.0,
            "outliers" => normal,
            "softmax" => squared * squared * squared * squared,
            "tiny" => normal * 1e-30,
            _ => panic!("unknown distribution {name}"),
        }
    };
    (0..COUNT).map(|i| value(i) as f32).collect()
}

/// Runs `check` on every distribution: its name, its values, an observer of them, what is expected.
fn each(check: impl Fn(&str, &[f32], &Observer, &Expected)) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/scales.json");
    let text = std::fs::read_to_string(path).unwrap();
    let all: BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), 8);
    for (name, expected) in all {
        let values = values(&name);
        let mut observer = Observer::default();
        for part in values.chunks(12_345) {
            observer.observe(part).unwrap();
        }
        check(&name, &values, &observer, &expected);
    }
}

fn assert_close(got: f32, expected: f64, tolerance: f64, what: &str) {
    let apart = (f64::from(got) - expected).abs();
    assert!(apart <= tolerance, "{what}: {got} for {expected}");
}

#[test]
fn max_clips_nothing() {
    each(|name, _, observer, expected| {
        assert_eq!(amax(observer, Method::Max), expected.max as f32, "{name}");
        assert_eq!(observer.histogram().width(), expected.width, "{name}");
    });
}

#[test]
fn percentiles_are_numpys_to_within_a_bin() {
    each(|name, _, observer, expected| {
        for (percent, value) in &expected.percentile {
            let got = amax(observer, Method::Percentile(percent.parse().unwrap()));
            // Where values are sparse, NumPy interpolates between two of them, across empty bins.
            let tolerance = expected.width.max(value * 0.01);
            assert_close(got, *value, tolerance, &format!("{name} {percent}"));
        }
        let all = amax(observer, Method::Percentile(100.0));
        assert_close(all, expected.max, expected.width, name);
    });
}

#[test]
fn entropy_and_mse_are_those_of_their_definitions() {
    each(|name, _, observer, expected| {
        let tolerance = expected.width * 1e-3;
        let got = amax(observer, Method::Entropy);
        assert_close(got, expected.entropy, tolerance, &format!("{name} entropy"));
        let got = amax(observer, Method::Mse);
        assert_close(got, expected.mse, tolerance, &format!("{name} mse"));
    });
}

#[test]
fn the_clip_of_least_error_is_within_2_percent_of_the_best_for_the_values_themselves() {
    each(|name, values, observer, expected| {
        let step = f64::from(amax(observer, Method::Mse)) / 127.0;
        let square = |x: &f32| {
            let x = f64::from(*x);
            ((x / step).round_ties_even().clamp(-127.0, 127.0) * step - x).powi(2)
        };
        let error = values.iter().map(square).sum::<f64>() / values.len() as f64;
        let ratio = error / expected.least_error;
        assert!(ratio < 1.02, "{name}: {ratio}");
    });
}

/// ONNX Runtime's levels lie otherwise (one in the middle of 0, values of both signs apart) and its zeros
/// count, so that only the order of magnitude of its entropy clips is comparable.
#[test]
fn onnxruntimes_calibrators_choose_similar_clips() {
    each(|name, _, observer, expected| {
        let got = amax(observer, Method::Percentile(99.9));
        let theirs = expected.onnxruntime["percentile"];
        assert_close(got, theirs, theirs * 0.02, &format!("{name} percentile"));
        let ratio = f64::from(amax(observer, Method::Entropy)) / expected.onnxruntime["entropy"];
        assert!((0.4..2.5).contains(&ratio), "{name} entropy: {ratio}");
    });
}

#[test]
fn of_zeros_and_of_nothing_the_clip_is_0() {
    let mut zeros = Observer::default();
    zeros.observe(&[0.0; 9]).unwrap();
    for observer in [Observer::default(), zeros] {
        for method in [
            Method::Max,
            Method::Entropy,
            Method::Mse,
            Method::Percentile(99.0),
        ] {
            assert_eq!(amax(&observer, method), 0.0, "{method}");
        }
    }
}
