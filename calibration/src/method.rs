//! How a quantisation range is chosen from what was observed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How `amax`, the magnitude that the largest int8 value stands for, is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The largest magnitude: nothing is clipped.
    Max,
    /// The clip whose quantised distribution is nearest by Kullback-Leibler divergence.
    Entropy,
    /// This percentage of all magnitudes is not clipped, in 0..=100.
    Percentile(f64),
    /// The clip with the least expected squared error of symmetric int8.
    Mse,
}

impl Method {
    /// Percentage of [`Method::Percentile`] where none is given.
    pub const DEFAULT_PERCENTILE: f64 = 99.99;
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Entropy => f.write_str("entropy"),
            Self::Percentile(p) => write!(f, "percentile {p}"),
            Self::Mse => f.write_str("mse"),
        }
    }
}
