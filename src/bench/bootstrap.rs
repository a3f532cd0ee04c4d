//! Confidence intervals by resampling.

use super::stats::quantile;

/// Resamples: the interval's own noise is then about a hundredth of its width.
const RESAMPLES: usize = 9999;
/// Any fixed number: the same files give the same verdict.
const SEED: u64 = 0x50cc;
/// Samples of a series that are resampled at most; of a longer one every k-th is taken.
const MOST_SAMPLES: usize = 2000;

/// A figure and the interval that holds it with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Interval {
    /// The figure.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Ratio of the medians, `new / base`, with its bootstrap interval by the percentile method: both series are resampled
/// with replacement, independently. `None` where a series is empty or its median is not above 0.
pub fn median_ratio(base: &[f64], new: &[f64]) -> Option<Interval> {
    let (base, new) = (sorted(base)?, sorted(new)?);
    let value = quantile(&new, 0.5) / quantile(&base, 0.5);
    if !value.is_finite() {
        return None;
    }
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (base, new) = (thinned(base), thinned(new));
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let base = resampled_median(&base, &mut rng);
            resampled_median(&new, &mut rng) / base
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    Some(Interval {
        value,
        low: quantile(&ratios, 0.025),
        high: quantile(&ratios, 0.975),
    })
}

fn sorted(samples: &[f64]) -> Option<Vec<f64>> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then_some(sorted)
}

/// Every k-th of sorted samples: the same distribution, a somewhat wider interval.
fn thinned(sorted: Vec<f64>) -> Vec<f64> {
    let step = sorted.len().div_ceil(MOST_SAMPLES);
    sorted.into_iter().step_by(step.max(1)).collect()
}

/// Median of as many draws from `sorted` as it has samples. Draws are counted rather than sorted.
fn resampled_median(sorted: &[f64], rng: &mut fastrand::Rng) -> f64 {
    let n = sorted.len();
    let mut counts = vec![0u32; n];
    for _ in 0..n {
        counts[rng.usize(..n)] += 1;
    }
    let (mut low, mut seen) = (None, 0);
    for (value, count) in sorted.iter().zip(counts) {
        seen += count as usize;
        // The middle two of an even number, the middle one twice of an odd one.
        if low.is_none() && seen > (n - 1) / 2 {
            low = Some(*value);
        }
        if seen > n / 2 {
            return (low.unwrap_or(*value) + value) / 2.0;
        }
    }
    sorted[n - 1]
}
