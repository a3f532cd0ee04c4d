//! A pipeline over a data set: one backbone pass per clip for all its expressions, one text pass per
//! distinct expression in the whole set, masks in the size of the source, J and F against the
//! annotations.
//!
//! [`evaluate`] does all of it. Its pieces are there for callers that run single stages themselves:
//! [`prepare`] makes a clip, [`Texts`] encodes sentences, [`evaluate_video`] runs one video by its
//! benchmark's [`Protocol`], [`Judge`] scores mask logits.

mod assignment;
pub mod coco;
mod compiler;
pub mod davis;
pub mod deliver;
mod error;
mod judge;
pub mod merge;
mod prepare;
pub mod record;
pub mod report;
pub mod run;
pub mod store;
mod texts;
mod video;

use std::collections::BTreeMap;

use image::GrayImage;
use serde::{Deserialize, Serialize};

use crate::dataset::{Dataset, Expression, Finding, Video};
use crate::pipeline::{Pipeline, PipelineError};

pub use compiler::Compiler;
pub use davis::ObjectScore;
pub use error::{EvaluateError, Result};
pub use judge::Judge;
pub use prepare::{Prepared, SizeRule, prepare};
pub use texts::Texts;
pub use video::{Protocol, VideoScores, evaluate_video};

/// What an expression scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Region similarity, 0 to 1, mean over the annotated frames; `None` without annotations.
    pub j: Option<f64>,
    /// Boundary accuracy, likewise.
    pub f: Option<f64>,
    /// The selected query; `None` for an expression that cannot be encoded.
    pub query: Option<usize>,
    /// Score of the selected query, 0 to 1: mean over the frames.
    pub score: Option<f32>,
}

/// Scores by video and expression id.
pub type Scores = BTreeMap<String, BTreeMap<String, Scored>>;

/// Scores of a data set, and their means over all expressions that have some.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean region similarity.
    #[serde(rename = "J")]
    pub j: Option<f64>,
    /// Mean boundary accuracy.
    #[serde(rename = "F")]
    pub f: Option<f64>,
    /// Mean of both.
    #[serde(rename = "JF")]
    pub jf: Option<f64>,
    /// Expressions, with or without scores.
    pub expressions: usize,
    /// By video and expression id.
    pub videos: Scores,
}

impl From<Scores> for Evaluation {
    fn from(videos: Scores) -> Self {
        let all = || videos.values().flat_map(BTreeMap::values);
        let (j, f) = (
            mean(all().filter_map(|s| s.j)),
            mean(all().filter_map(|s| s.f)),
        );
        Self {
            j,
            f,
            jf: j.zip(f).map(|(j, f)| (j + f) / 2.0),
            expressions: all().count(),
            videos,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0usize), |(sum, n), v| (sum + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

/// Gives pipelines for clips; [`Pipeline`] itself is one for clips of its own shape.
pub trait Pipelines {
    /// One for clips of `frames` frames of `height x width` pixels. A shorter one runs in windows.
    ///
    /// # Errors
    /// There is none for this shape.
    fn get(&mut self, frames: usize, height: usize, width: usize) -> Result<&mut Pipeline>;

    /// Frames by which a clip's windows overlap, where it is longer than a pipeline takes.
    fn overlap(&self) -> usize {
        0
    }

    /// One that encodes sentences.
    ///
    /// # Errors
    /// There is none.
    fn text(&mut self) -> Result<&mut Pipeline>;
}

impl Pipelines for Pipeline {
    fn get(&mut self, _: usize, _: usize, _: usize) -> Result<&mut Pipeline> {
        Ok(self)
    }

    fn text(&mut self) -> Result<&mut Pipeline> {
        Ok(self)
    }
}

/// Hears of an evaluation as it goes on. `E` is the caller's error.
pub trait Listener<E> {
    /// A mask (0 or 255) was found, in the size of the source.
    ///
    /// # Errors
    /// The caller's; the evaluation ends.
    fn mask(
        &mut self,
        video: &Video,
        expression: &Expression,
        frame: usize,
        mask: &GrayImage,
    ) -> std::result::Result<(), E> {
        let _ = (video, expression, frame, mask);
        Ok(())
    }

    /// The masks of one annotator's expressions were merged: labels, 0 for the background (Ref-DAVIS).
    ///
    /// # Errors
    /// The caller's; the evaluation ends.
    fn merged(
        &mut self,
        video: &Video,
        annotator: usize,
        frame: usize,
        labels: &GrayImage,
    ) -> std::result::Result<(), E> {
        let _ = (video, annotator, frame, labels);
        Ok(())
    }

    /// A video is done.
    ///
    /// # Errors
    /// The caller's; the evaluation ends.
    fn video(
        &mut self,
        video: &Video,
        scores: &VideoScores,
        findings: &[Finding],
    ) -> std::result::Result<(), E> {
        let _ = (video, scores, findings);
        Ok(())
    }
}

/// Hears nothing.
impl<E> Listener<E> for () {}

/// Runs a whole data set by its benchmark's protocol.
///
/// # Errors
/// A video has no usable frame, the pipeline fails, or the listener does.
pub fn evaluate<E: From<EvaluateError> + From<PipelineError>>(
    dataset: &Dataset,
    pipelines: &mut dyn Pipelines,
    texts: &mut Texts,
    rule: SizeRule,
    listener: &mut dyn Listener<E>,
) -> std::result::Result<Evaluation, E> {
    let protocol = Protocol::from(dataset.benchmark);
    let mut videos = Scores::new();
    for video in &dataset.videos {
        let mut prepared = prepare(dataset, video, rule, false)?;
        let encoded = texts.of(video, pipelines.text()?, &mut prepared.findings)?;
        let scores = evaluate_video(video, &prepared, &encoded, protocol, pipelines, listener)?;
        listener.video(video, &scores, &prepared.findings)?;
        videos.insert(video.name.clone(), scores.expressions);
    }
    Ok(videos.into())
}

#[cfg(test)]
mod tests;
