//! Annotations of a video: which pixels belong to which object.

use std::path::{Path, PathBuf};

use image::{GrayImage, imageops};

use super::{DatasetError, Expression, Finding, FindingKind, Findings, Result};
use crate::host::masks::read_labels;

/// Label of pixels that do not count (`VOID_LABEL` of the `davis2017` code).
pub const VOID_LABEL: u8 = 255;

/// Annotations of a video's frames.
#[derive(Debug, Clone, Default)]
pub struct Truth {
    /// Per frame the object ids of its pixels, or `None` where there is no annotation.
    labels: Vec<Option<GrayImage>>,
}

impl Truth {
    /// From the object ids of each frame's pixels.
    pub(super) fn from_labels(labels: Vec<Option<GrayImage>>) -> Self {
        Self { labels }
    }

    /// Object ids of a frame's pixels; `None` where it is not annotated.
    pub fn labels(&self, frame: usize) -> Option<&GrayImage> {
        self.labels.get(frame)?.as_ref()
    }

    /// Whether it is known which object an expression means.
    pub fn knows(&self, expression: &Expression) -> bool {
        !expression.objects.is_empty()
    }

    /// Mask (0 or 255) of an expression's objects in a frame; `None` where it is not annotated, or its
    /// objects are not known.
    pub fn mask(&self, frame: usize, expression: &Expression) -> Option<GrayImage> {
        let labels = self.labels(frame).filter(|_| self.knows(expression))?;
        let belongs = |label: u8| expression.objects.contains(&u32::from(label));
        let mut mask = labels.clone();
        for pixel in mask.iter_mut() {
            *pixel = if belongs(*pixel) { 255 } else { 0 };
        }
        Some(mask)
    }

    /// Whether any frame shows an object of the expression.
    pub fn shows(&self, expression: &Expression) -> bool {
        let belongs = |label: &u8| expression.objects.contains(&u32::from(*label));
        let mut labels = self.labels.iter().flatten();
        labels.any(|image| image.as_raw().iter().any(belongs))
    }
}

/// Reads `folder/FRAME.png` for every frame; what is missing or of another size than `size` is noted.
pub(super) fn read(
    video: &str,
    folder: &Path,
    names: &[String],
    size: (u32, u32),
    findings: &mut Findings,
) -> Result<Truth> {
    if !folder.is_dir() {
        return Err(DatasetError::NoAnnotations {
            video: video.to_owned(),
            folder: folder.to_owned(),
        });
    }
    let labels = names.iter().map(|name| {
        let path = folder.join(format!("{name}.png"));
        one(video, name, path, size, findings)
    });
    Ok(Truth::from_labels(labels.collect::<Result<_>>()?))
}

fn one(
    video: &str,
    name: &str,
    path: PathBuf,
    size: (u32, u32),
    findings: &mut Findings,
) -> Result<Option<GrayImage>> {
    let finding = |kind, detail| Finding::new(kind, video, detail).frame(name);
    if !path.is_file() {
        let detail = format!("{} is missing", path.display());
        findings.note(finding(FindingKind::MissingAnnotation, detail))?;
        return Ok(None);
    }
    let labels = match read_labels(&path) {
        Ok(labels) => labels,
        Err(e) => {
            findings.note(finding(FindingKind::UnreadableAnnotation, e.to_string()))?;
            return Ok(None);
        }
    };
    let (got_w, got_h) = labels.dimensions();
    if (got_w, got_h) == size {
        return Ok(Some(labels));
    }
    let (w, h) = size;
    let detail = format!(
        "{} is {got_w}x{got_h} where the frames are {w}x{h}",
        path.display()
    );
    findings.note(finding(FindingKind::AnnotationSize, detail))?;
    if labels.is_empty() {
        return Ok(None);
    }
    let nearest = imageops::FilterType::Nearest;
    Ok(Some(imageops::resize(&labels, w, h, nearest)))
}
