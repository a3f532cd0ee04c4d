//! Against NumPy and SciPy.

use serde::Deserialize;

use super::{Summary, median_ratio};

#[derive(Deserialize)]
struct Fixture {
    summaries: Vec<Expected>,
    comparisons: Vec<Ratio>,
}

#[derive(Deserialize)]
struct Expected {
    samples_ms: Vec<f64>,
    #[serde(flatten)]
    summary: Summary,
}

#[derive(Deserialize)]
struct Ratio {
    base: Vec<f64>,
    new: Vec<f64>,
    value: f64,
    low: f64,
    high: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/stats.json")).unwrap()
}

fn close(got: f64, expected: f64) {
    let error = (got - expected).abs();
    assert!(
        error <= 1e-12 * expected.abs(),
        "{got} where NumPy says {expected}"
    );
}

#[test]
fn statistics_are_those_of_numpy() {
    for Expected {
        samples_ms,
        summary: expected,
    } in fixture().summaries
    {
        let got = Summary::of(&samples_ms).unwrap();
        assert_eq!(got.runs, expected.runs);
        assert_eq!(got.stddev_ms.is_some(), expected.stddev_ms.is_some());
        let figures = |s: &Summary| {
            let spread = [s.stddev_ms.unwrap_or(0.0), s.cov.unwrap_or(0.0)];
            let rest = [
                s.min_ms, s.mean_ms, s.p50_ms, s.p90_ms, s.p95_ms, s.p99_ms, s.max_ms,
            ];
            rest.into_iter().chain(spread)
        };
        for (got, expected) in figures(&got).zip(figures(&expected)) {
            close(got, expected);
        }
    }
    assert_eq!(Summary::of(&[]), None);
}

/// Both are Monte-Carlo estimates, so that they agree within a share of the interval's width only.
#[test]
fn intervals_are_those_of_scipy() {
    for expected in fixture().comparisons {
        let got = median_ratio(&expected.base, &expected.new).unwrap();
        close(got.value, expected.value);
        let width = expected.high - expected.low;
        for (got, expected) in [(got.low, expected.low), (got.high, expected.high)] {
            let error = (got - expected).abs() / width;
            assert!(
                error < 0.03,
                "{got} where SciPy says {expected}, off by {error} of the width"
            );
        }
    }
    assert_eq!(median_ratio(&[], &[1.0]), None);
    assert_eq!(median_ratio(&[0.0], &[1.0]), None);
}
