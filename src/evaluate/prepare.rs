//! A video of a data set made ready for a pipeline.

use std::sync::Arc;

use image::RgbImage;
use ndarray::{Array4, ArrayViewMut3, Axis};

use super::Result;
use crate::bundle::ModelFacts;
use crate::dataset::{
    Dataset, DatasetError, Expression, Finding, FindingKind, Findings, Truth, Video,
};
use crate::host::resize::{detr_size, resize};

/// Which size the model sees a frame in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeRule {
    /// The frame's own.
    Own,
    /// Always this one, in pixels: that of a bundle.
    Fixed {
        /// Height.
        height: usize,
        /// Width.
        width: usize,
    },
    /// The official rule: the short side becomes `short`, or less where the long one would exceed
    /// `long`, in pixels.
    Sides {
        /// Short side.
        short: usize,
        /// Longest that the long side may get.
        long: usize,
    },
}

impl From<ModelFacts> for SizeRule {
    fn from(facts: ModelFacts) -> Self {
        Self::Sides {
            short: facts.eval_short_size,
            long: facts.eval_max_size,
        }
    }
}

impl SizeRule {
    /// Width and height that a frame of `width x height` pixels is resized to.
    pub fn apply(self, width: u32, height: u32) -> (u32, u32) {
        match self {
            Self::Own => (width, height),
            Self::Fixed { height, width } => (width as u32, height as u32),
            Self::Sides { short, long } => detr_size(width, height, short, long),
        }
    }
}

/// A video made ready.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Frames as the model takes them, `[T, 3, H, W]`.
    pub frames: Array4<u8>,
    /// Width and height of masks: those of the frames in the data set, or of the annotation where that
    /// decides.
    pub size: (u32, u32),
    /// The annotations, where there are any.
    pub truth: Option<Arc<Truth>>,
    /// What was wrong or odd.
    pub findings: Vec<Finding>,
}

/// Reads and resizes a video's frames, one after the other, and reads its annotations.
///
/// # Errors
/// No frame is usable; or something is odd, and `strict` refuses it.
pub fn prepare(dataset: &Dataset, video: &Video, rule: SizeRule, strict: bool) -> Result<Prepared> {
    let mut findings = Findings::new(strict);
    let mut frames = Array4::zeros((0, 3, 0, 0));
    let mut size = (0, 0);
    dataset.each_frame(video, &mut findings, &mut |index, frame| {
        if index == 0 {
            size = frame.dimensions();
            let (w, h) = rule.apply(size.0, size.1);
            frames = Array4::zeros((video.frames.len(), 3, h as usize, w as usize));
        }
        let (_, _, h, w) = frames.dim();
        let resized = resize(frame, w as u32, h as u32);
        put(&resized, frames.index_axis_mut(Axis(0), index));
        Ok(())
    })?;
    let truth = match dataset.annotations(video, size, &mut findings) {
        Ok(truth) => Some(Arc::new(truth)),
        Err(DatasetError::NoAnnotations { .. }) => None,
        Err(e) => return Err(e.into()),
    };
    if let Some(truth) = &truth {
        size = truth.own_size().unwrap_or(size);
        let unseen = |e: &&Expression| truth.knows(e) && !truth.shows(e);
        for expression in video.expressions.iter().filter(unseen) {
            let kind = FindingKind::EmptyMask;
            let detail = "its object is in no annotation".to_owned();
            let finding = Finding::new(kind, &video.name, detail).expression(&expression.id);
            findings.note(finding)?;
        }
    }
    Ok(Prepared {
        frames,
        size,
        truth,
        findings: findings.take(),
    })
}

/// Copies a picture into `[3, H, W]`.
fn put(picture: &RgbImage, mut frame: ArrayViewMut3<u8>) {
    for (x, y, pixel) in picture.enumerate_pixels() {
        for (channel, value) in pixel.0.into_iter().enumerate() {
            frame[[channel, y as usize, x as usize]] = value;
        }
    }
}
