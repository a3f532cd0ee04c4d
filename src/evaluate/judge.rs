//! Mask logits to masks and scores.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::GrayImage;
use ndarray::ArrayView2;

use super::Scored;
use crate::dataset::{Expression, Truth};
use crate::host::masks;
use crate::metrics::{MetricsError, Tally};

/// Scores the expressions of one video, frame by frame.
pub struct Judge {
    size: (u32, u32),
    truth: Option<Arc<Truth>>,
    tallies: BTreeMap<String, Tally>,
}

impl Judge {
    /// For masks of `size` (width, height), against annotations where there are some.
    pub fn new(size: (u32, u32), truth: Option<Arc<Truth>>) -> Self {
        Self {
            size,
            truth,
            tallies: BTreeMap::new(),
        }
    }

    /// Counts the mask that logits `[h, w]` of a frame give, and returns it.
    ///
    /// # Errors
    /// The annotation has another size.
    pub fn logits(
        &mut self,
        expression: &Expression,
        frame: usize,
        logits: ArrayView2<f32>,
    ) -> Result<GrayImage, MetricsError> {
        let mask = masks::from_logits(logits, self.size.0, self.size.1);
        self.mask(expression, frame, &mask)?;
        Ok(mask)
    }

    /// Counts an empty mask, and returns it.
    ///
    /// # Errors
    /// The annotation has another size.
    pub fn nothing(
        &mut self,
        expression: &Expression,
        frame: usize,
    ) -> Result<GrayImage, MetricsError> {
        let mask = GrayImage::new(self.size.0, self.size.1);
        self.mask(expression, frame, &mask)?;
        Ok(mask)
    }

    /// Counts a mask of a frame.
    ///
    /// # Errors
    /// The annotation has another size.
    pub fn mask(
        &mut self,
        expression: &Expression,
        frame: usize,
        mask: &GrayImage,
    ) -> Result<(), MetricsError> {
        let tally = self.tallies.entry(expression.id.clone()).or_default();
        let truth = self.truth.as_ref();
        match truth.and_then(|t| t.mask(frame, expression)) {
            Some(truth) => tally.add(mask, &truth),
            None => Ok(()),
        }
    }

    /// Scores by expression id, without queries.
    pub fn scores(&self) -> BTreeMap<String, Scored> {
        let scores = self.tallies.iter().map(|(id, tally)| {
            let score = tally.score();
            let scored = Scored {
                j: score.map(|s| s.j),
                f: score.map(|s| s.f),
                query: None,
                score: None,
            };
            (id.clone(), scored)
        });
        scores.collect()
    }
}
