//! What measuring itself costs.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// Pairs of readings per trial.
const PAIRS: u32 = 1000;
const TRIALS: usize = 21;

/// The clock, and its share in what was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timer {
    /// What timing one run costs: two readings of the monotonic clock, in nanoseconds, the median of 21 trials.
    pub overhead_ns: f64,
    /// Smallest step between two readings that was seen, in nanoseconds.
    pub resolution_ns: u64,
    /// [`Timer::overhead_ns`] over the shortest stage's median, once that is known.
    pub share_of_shortest_stage: Option<f64>,
}

impl Timer {
    /// Measures the clock.
    pub fn measure() -> Self {
        let mut costs: Vec<f64> = (0..TRIALS).map(|_| trial()).collect();
        costs.sort_by(f64::total_cmp);
        Self {
            overhead_ns: costs[TRIALS / 2],
            resolution_ns: resolution_ns(),
            share_of_shortest_stage: None,
        }
    }

    /// The same, with its share in a stage whose median is `shortest_ms`.
    pub fn against(self, shortest_ms: f64) -> Self {
        let share = self.overhead_ns / (shortest_ms * 1e6);
        Self {
            share_of_shortest_stage: share.is_finite().then_some(share),
            ..self
        }
    }
}

fn trial() -> f64 {
    let start = Instant::now();
    for _ in 0..PAIRS {
        let begin = std::hint::black_box(Instant::now());
        std::hint::black_box(begin.elapsed());
    }
    start.elapsed().as_nanos() as f64 / f64::from(PAIRS)
}

fn resolution_ns() -> u64 {
    let steps = (0..PAIRS).filter_map(|_| {
        let begin = Instant::now();
        let mut step = 0;
        while step == 0 {
            step = begin.elapsed().as_nanos();
        }
        u64::try_from(step).ok()
    });
    steps.min().unwrap_or(0)
}
