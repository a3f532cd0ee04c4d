//! Ref-DAVIS: four annotators' sentences for every object, merged to one label per pixel, and scored by
//! the "unsupervised" task of the `davis2017` code, which pairs labels with objects at their best.

use image::GrayImage;
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use super::assignment::best_columns;
use crate::dataset::{Truth, VOID_LABEL};
use crate::host::masks::resized_logits;
use crate::metrics::{Statistics, boundary_f, jaccard};

/// Annotators, whose sentences take turns in the list of expressions.
pub const ANNOTATORS: usize = 4;
/// Frames that the official inference runs at once.
pub const CHUNK: usize = 36;
/// Score of the background.
const BACKGROUND: f32 = 0.1;

/// Labels (0 is the background, object `k` is `k + 1`) of `size` (width, height) pixels: the object with
/// the highest probability of at least 0.5, the first of equals.
pub fn merge(logits: &[ArrayView2<f32>], size: (u32, u32)) -> GrayImage {
    let (width, height) = size;
    let mut labels = GrayImage::new(width, height);
    let mut best = vec![BACKGROUND; labels.as_raw().len()];
    for (object, logits) in logits.iter().enumerate() {
        let label = u8::try_from(object + 1).unwrap_or(u8::MAX);
        let values = resized_logits(*logits, width, height);
        for ((pixel, best), logit) in labels.iter_mut().zip(&mut best).zip(values) {
            let probability = 1.0 / (1.0 + (-logit).exp());
            if probability >= 0.5 && probability > *best {
                (*pixel, *best) = (label, probability);
            }
        }
    }
    labels
}

/// An object by one annotator's sentences, in masks after merging.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ObjectScore {
    /// The label that pairs with it best.
    pub label: usize,
    /// Region similarity.
    pub j: Statistics,
    /// Boundary accuracy.
    pub f: Statistics,
}

/// J and F of a label for an object, by annotated frame.
#[derive(Debug, Clone, Default)]
struct Pair {
    j: Vec<f64>,
    f: Vec<f64>,
}

/// Scores of one annotator's labels in one video, frame by frame.
pub struct Unsupervised {
    objects: usize,
    proposals: usize,
    /// Highest label seen in the answers.
    most: usize,
    /// By proposal and object.
    pairs: Vec<Vec<Pair>>,
}

impl Unsupervised {
    /// For the objects in the video's first annotation and so many proposals; `None` where the first
    /// frame has no annotation.
    pub fn new(truth: &Truth, proposals: usize) -> Option<Self> {
        let first = truth.labels(0)?;
        let objects = first.as_raw().iter().filter(|l| **l != VOID_LABEL);
        let objects = objects.max().map_or(0, |l| usize::from(*l));
        let rows = proposals.max(objects);
        Some(Self {
            objects,
            proposals: rows,
            most: 0,
            pairs: vec![vec![Pair::default(); objects]; rows],
        })
    }

    /// Counts the labels of one frame against its annotation of the same size. Pixels that the
    /// annotation calls void do not count.
    pub fn add(&mut self, labels: &GrayImage, truth: &GrayImage) {
        let most = labels.as_raw().iter().max();
        self.most = self.most.max(most.map_or(0, |l| usize::from(*l)));
        let mask = |image: &GrayImage, label: usize| {
            let mut mask = image.clone();
            for (pixel, truth) in mask.iter_mut().zip(truth.as_raw()) {
                let set = usize::from(*pixel) == label && *truth != VOID_LABEL;
                *pixel = if set { 255 } else { 0 };
            }
            mask
        };
        let truths: Vec<GrayImage> = (1..=self.objects).map(|o| mask(truth, o)).collect();
        for proposal in 0..self.proposals {
            let answer = mask(labels, proposal + 1);
            for (pair, truth) in self.pairs[proposal].iter_mut().zip(&truths) {
                pair.j.push(jaccard(&answer, truth));
                pair.f.push(boundary_f(&answer, truth));
            }
        }
    }

    /// Score of every object over all annotated frames, the first and the last included; nothing before
    /// the first frame.
    pub fn scores(&self) -> Vec<ObjectScore> {
        // As the official code, which knows of no label above the highest in use.
        let rows = self.most.max(self.objects).min(self.proposals);
        let score = |proposal: usize, object: usize| {
            let pair = &self.pairs[proposal][object];
            Some(ObjectScore {
                label: proposal + 1,
                j: Statistics::of(&pair.j)?,
                f: Statistics::of(&pair.f)?,
            })
        };
        let gain = |proposal, object| score(proposal, object).map_or(0.0, |s| s.j.mean + s.f.mean);
        let gains: Vec<Vec<f64>> = (0..self.objects)
            .map(|object| (0..rows).map(|proposal| gain(proposal, object)).collect())
            .collect();
        let pairs = best_columns(&gains).into_iter().enumerate();
        pairs
            .filter_map(|(object, proposal)| score(proposal, object))
            .collect()
    }
}
