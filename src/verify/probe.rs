//! Golden tensors too large to keep: moments and samples.

use ndarray::ArrayViewD;
use serde::Deserialize;

use super::compare::{Difference, Tolerance, compare};

/// Moments of a golden tensor and some of its values.
#[derive(Debug, Clone, Deserialize)]
pub struct Samples {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Mean of all elements.
    pub mean: f64,
    /// Standard deviation of all elements.
    pub std: f64,
    /// Flat row-major positions of the samples.
    pub index: Vec<usize>,
    /// Their values.
    pub value: Vec<f64>,
}

impl Samples {
    /// Difference at the samples, and whether mean and deviation are equal up to the tolerance times
    /// the deviation.
    pub(super) fn compare(&self, got: ArrayViewD<f32>, tolerance: Tolerance) -> (Difference, bool) {
        let flat: Vec<f32> = got.iter().copied().collect();
        let at = self.index.iter().map(|i| flat.get(*i).copied());
        let at = at.map(|v| v.unwrap_or(f32::NAN));
        let difference = compare(at, self.value.iter().map(|v| *v as f32));
        let n = flat.len().max(1) as f64;
        let mean = flat.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let variance = flat
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(2))
            .sum::<f64>()
            / n;
        let near = |a: f64, b: f64| (a - b).abs() <= tolerance.relative_l2 * self.std.max(1e-12);
        (
            difference,
            near(mean, self.mean) && near(variance.sqrt(), self.std),
        )
    }
}
