//! How good masks are: region similarity J and boundary accuracy F, as the `davis2017` code that
//! ships with the official model computes them (`davis2017/metrics.py`).

use image::GrayImage;
use serde::{Deserialize, Serialize};

use crate::host::masks::iou;

/// How far a boundary pixel may lie from the other boundary, as a share of the picture's diagonal.
const BOUND: f64 = 0.008;

/// Why masks cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// There are more masks on one side than on the other, or none at all.
    #[error(
        "{pred} predicted masks cannot be compared with {truth} true ones; give one prediction for every annotated frame, and at least one"
    )]
    Count {
        /// Predicted masks.
        pred: usize,
        /// True masks.
        truth: usize,
    },
    /// A pair of masks differs in size.
    #[error(
        "predicted mask {index} is {}x{} where the true one is {}x{}; masks must have the annotation's size",
        pred.0, pred.1, truth.0, truth.1
    )]
    Size {
        /// Which pair, from 0.
        index: usize,
        /// Width and height of the prediction.
        pred: (u32, u32),
        /// Width and height of the truth.
        truth: (u32, u32),
    },
}

/// Means over the frames of one object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Region similarity, 0 to 1.
    pub j: f64,
    /// Boundary accuracy, 0 to 1.
    pub f: f64,
}

impl Score {
    /// The mean of both.
    pub fn jf(&self) -> f64 {
        (self.j + self.f) / 2.0
    }
}

/// What the frames of one object say together (`db_statistics` of `davis2017/utils.py`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Mean over the frames.
    pub mean: f64,
    /// Share of the frames above 0.5.
    pub recall: f64,
    /// Mean of the first quarter of the frames less that of the last: how much is lost on the way, 0 for
    /// a single frame.
    pub decay: f64,
}

impl Statistics {
    /// Those of one value per frame; `None` without frames.
    ///
    /// The quarters are the official code's, which share their border frames. It counts in 8 bits, so that
    /// its decay of 256 frames and more is of other frames than it means; here it is not.
    pub fn of(values: &[f64]) -> Option<Self> {
        let last = values.len().checked_sub(1)?;
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        // Quarters of the way from the first frame to the last, rounded to frames, halves up.
        let border = |quarter: usize| (quarter * last + 2) / 4;
        let above = values.iter().filter(|v| **v > 0.5).count();
        Some(Self {
            mean: mean(values),
            recall: above as f64 / values.len() as f64,
            decay: mean(&values[..=border(1)]) - mean(&values[border(3)..]),
        })
    }
}

/// Sums over frames, for masks that come one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    j: f64,
    f: f64,
    frames: usize,
}

impl Tally {
    /// Counts one more frame.
    ///
    /// # Errors
    /// The sizes differ.
    pub fn add(&mut self, pred: &GrayImage, truth: &GrayImage) -> Result<(), MetricsError> {
        if pred.dimensions() != truth.dimensions() {
            return Err(MetricsError::Size {
                index: self.frames,
                pred: pred.dimensions(),
                truth: truth.dimensions(),
            });
        }
        self.j += jaccard(pred, truth);
        self.f += boundary_f(pred, truth);
        self.frames += 1;
        Ok(())
    }

    /// Means over the frames so far; `None` if there were none.
    pub fn score(&self) -> Option<Score> {
        let frames = self.frames as f64;
        (self.frames > 0).then(|| Score {
            j: self.j / frames,
            f: self.f / frames,
        })
    }
}

/// Means over all frames, the first and last included: that is the evaluation's "unsupervised"
/// task, which the official `eval_davis.py` runs by default (the "semi-supervised" one drops both).
/// Frames in which both masks are empty count as 1. Any value above 0 belongs to the object.
///
/// # Errors
/// There are no masks, not as many predictions as truths, or sizes differ.
pub fn score(pred: &[GrayImage], truth: &[GrayImage]) -> Result<Score, MetricsError> {
    let count = MetricsError::Count {
        pred: pred.len(),
        truth: truth.len(),
    };
    if pred.len() != truth.len() {
        return Err(count);
    }
    let mut tally = Tally::default();
    for (p, t) in pred.iter().zip(truth) {
        tally.add(p, t)?;
    }
    tally.score().ok_or(count)
}

/// Region similarity J: intersection over union, 1 where both masks are empty, NaN where their
/// sizes differ.
pub fn jaccard(pred: &GrayImage, truth: &GrayImage) -> f64 {
    if pred.dimensions() != truth.dimensions() {
        return f64::NAN;
    }
    iou(pred, truth)
}

/// Boundary accuracy F: harmonic mean of the shares of either boundary that lie within
/// 0.008 of the diagonal (rounded up to whole pixels) of the other; NaN where the sizes differ.
pub fn boundary_f(pred: &GrayImage, truth: &GrayImage) -> f64 {
    if pred.dimensions() != truth.dimensions() {
        return f64::NAN;
    }
    let (w, h) = (f64::from(pred.width()), f64::from(pred.height()));
    let radius = (BOUND * (w * w + h * h).sqrt()).ceil() as usize;
    let (pred, truth) = (Boundary::of(pred), Boundary::of(truth));
    let (precision, recall) = match (pred.pixels.is_empty(), truth.pixels.is_empty()) {
        (true, true) => (1.0, 1.0),
        (true, false) => (1.0, 0.0),
        (false, true) => (0.0, 1.0),
        (false, false) => (
            pred.share_near(&truth, radius),
            truth.share_near(&pred, radius),
        ),
    };
    if precision + recall == 0.0 {
        0.0
    } else {
        2.0 * precision * recall / (precision + recall)
    }
}

/// Boundary pixels of a mask.
struct Boundary {
    width: usize,
    height: usize,
    /// Positions `(x, y)`, row by row.
    pixels: Vec<(usize, usize)>,
}

impl Boundary {
    /// Pixels whose right, lower or lower right neighbour is of the other kind. The last row knows
    /// right neighbours only, the last column lower ones only, the last pixel none.
    fn of(mask: &GrayImage) -> Self {
        let (width, height) = (mask.width() as usize, mask.height() as usize);
        let raw = mask.as_raw();
        let set = |x: usize, y: usize| raw[y * width + x] > 0;
        let mut pixels = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (right, below) = (x + 1 < width, y + 1 < height);
                let here = set(x, y);
                let edge = (right && here != set(x + 1, y))
                    || (below && here != set(x, y + 1))
                    || (right && below && here != set(x + 1, y + 1));
                if edge {
                    pixels.push((x, y));
                }
            }
        }
        Self {
            width,
            height,
            pixels,
        }
    }

    /// Share of these pixels within `radius` of one of the other's: what a dilation by a disk covers.
    fn share_near(&self, other: &Self, radius: usize) -> f64 {
        let gaps = other.gaps();
        let near = |&&(x, y): &&(usize, usize)| {
            let rows = y.saturating_sub(radius)..(y + radius + 1).min(self.height);
            rows.into_iter().any(|row| {
                let (dx, dy) = (gaps[row * self.width + x], row.abs_diff(y));
                dx <= radius && dx * dx + dy * dy <= radius * radius
            })
        };
        self.pixels.iter().filter(near).count() as f64 / self.pixels.len() as f64
    }

    /// Distance of every position to the nearest boundary pixel of its row, `usize::MAX` in rows
    /// without one.
    fn gaps(&self) -> Vec<usize> {
        let mut gaps = vec![usize::MAX; self.width * self.height];
        for &(x, y) in &self.pixels {
            gaps[y * self.width + x] = 0;
        }
        for row in gaps.chunks_exact_mut(self.width.max(1)) {
            for x in 1..row.len() {
                row[x] = row[x].min(row[x - 1].saturating_add(1));
            }
            for x in (1..row.len()).rev() {
                row[x - 1] = row[x - 1].min(row[x].saturating_add(1));
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests;
