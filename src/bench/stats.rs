//! What a series of samples comes to.

use serde::{Deserialize, Serialize};

use super::units::Milliseconds;

/// Statistics of a series of samples.
///
/// Percentiles interpolate linearly between the two nearest samples, as NumPy's `percentile` does by default; the
/// standard deviation is that of a sample (divisor `runs - 1`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Number of samples.
    pub runs: usize,
    /// The shortest.
    pub min_ms: Milliseconds,
    /// Arithmetic mean.
    pub mean_ms: Milliseconds,
    /// Median.
    pub p50_ms: Milliseconds,
    /// 90th percentile.
    pub p90_ms: Milliseconds,
    /// 95th percentile.
    pub p95_ms: Milliseconds,
    /// 99th percentile.
    pub p99_ms: Milliseconds,
    /// The longest.
    pub max_ms: Milliseconds,
    /// Standard deviation; of one sample there is none.
    pub stddev_ms: Option<Milliseconds>,
    /// Coefficient of variation: standard deviation over mean.
    pub cov: Option<f64>,
}

impl Summary {
    /// Statistics of `samples`; `None` if there are none.
    pub fn of(samples: &[Milliseconds]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min_ms, max_ms) = (*sorted.first()?, *sorted.last()?);
        let runs = sorted.len();
        let mean_ms = sorted.iter().sum::<f64>() / runs as f64;
        let squares: f64 = sorted.iter().map(|x| (x - mean_ms).powi(2)).sum();
        let stddev_ms = (runs > 1).then(|| (squares / (runs - 1) as f64).sqrt());
        Some(Self {
            runs,
            min_ms,
            mean_ms,
            p50_ms: quantile(&sorted, 0.5),
            p90_ms: quantile(&sorted, 0.9),
            p95_ms: quantile(&sorted, 0.95),
            p99_ms: quantile(&sorted, 0.99),
            max_ms,
            stddev_ms,
            cov: stddev_ms.filter(|_| mean_ms > 0.0).map(|s| s / mean_ms),
        })
    }
}

/// Quantile `q` in 0..=1 of sorted samples, which must not be empty, by linear interpolation.
pub fn quantile(sorted: &[f64], q: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * q;
    let low = place.floor();
    let (a, b) = (sorted[low as usize], sorted[place.ceil() as usize]);
    let t = place - low;
    // From the nearer side, as NumPy does, so that equal neighbours give exactly their value.
    match t < 0.5 {
        true => a + (b - a) * t,
        false => b - (b - a) * (1.0 - t),
    }
}
