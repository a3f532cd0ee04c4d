//! Annotations of a video: which pixels belong to which object.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{GrayImage, imageops};

use super::rle::MaskDict;
use super::{DatasetError, Expression, Finding, FindingKind, Findings, Result};
use crate::host::masks::read_labels;

/// Label of pixels that do not count (`VOID_LABEL` of the `davis2017` code).
pub const VOID_LABEL: u8 = 255;

/// Annotations of a video's frames.
#[derive(Debug, Clone)]
pub struct Truth(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Per frame the object ids of its pixels, or `None` where there is no annotation. An object's label
    /// is its id plus the offset.
    Labels(Vec<Option<GrayImage>>, u32),
    /// Masks (0 or 255) of one frame, by expression id.
    Single(usize, BTreeMap<String, GrayImage>),
    /// Encoded masks, and the size of the frames.
    Encoded(Arc<MaskDict>, (u32, u32)),
}

impl Truth {
    /// Masks (0 or 255) of one frame, by expression id.
    pub(super) fn single(frame: usize, masks: BTreeMap<String, GrayImage>) -> Self {
        Self(Kind::Single(frame, masks))
    }

    /// The masks of MeViS for frames of `size`.
    pub(super) fn encoded(masks: Arc<MaskDict>, size: (u32, u32)) -> Self {
        Self(Kind::Encoded(masks, size))
    }

    /// Object ids of a frame's pixels, where annotations are kept so and the frame has one.
    pub fn labels(&self, frame: usize) -> Option<&GrayImage> {
        match &self.0 {
            Kind::Labels(labels, _) => labels.get(frame)?.as_ref(),
            Kind::Single(..) | Kind::Encoded(..) => None,
        }
    }

    /// Width and height of the annotation, where it is not that of the frames.
    pub fn own_size(&self) -> Option<(u32, u32)> {
        match &self.0 {
            Kind::Single(_, masks) => masks.values().next().map(GrayImage::dimensions),
            Kind::Labels(..) | Kind::Encoded(..) => None,
        }
    }

    /// Whether it is known which object an expression means.
    pub fn knows(&self, expression: &Expression) -> bool {
        match &self.0 {
            Kind::Labels(..) => !expression.objects.is_empty(),
            Kind::Single(_, masks) => masks.contains_key(&expression.id),
            Kind::Encoded(dict, _) => {
                let masks = &expression.masks;
                !masks.is_empty() && masks.iter().all(|id| dict.get(*id).is_some())
            }
        }
    }

    /// Mask (0 or 255) of an expression's objects in a frame; `None` where it is not annotated, or its
    /// objects are not known.
    pub fn mask(&self, frame: usize, expression: &Expression) -> Option<GrayImage> {
        if !self.knows(expression) {
            return None;
        }
        match &self.0 {
            Kind::Labels(labels, offset) => {
                let mut mask = labels.get(frame)?.clone()?;
                for pixel in mask.iter_mut() {
                    *pixel = if belongs(*pixel, expression, *offset) {
                        255
                    } else {
                        0
                    };
                }
                Some(mask)
            }
            Kind::Single(annotated, masks) if *annotated == frame => {
                masks.get(&expression.id).cloned()
            }
            Kind::Single(..) => None,
            Kind::Encoded(dict, (width, height)) => {
                let mut mask = GrayImage::new(*width, *height);
                for id in &expression.masks {
                    if let Some(rle) = dict.get(*id)?.get(frame)? {
                        rle.draw(&mut mask);
                    }
                }
                Some(mask)
            }
        }
    }

    /// Whether any frame shows an object of the expression.
    pub fn shows(&self, expression: &Expression) -> bool {
        match &self.0 {
            Kind::Labels(labels, offset) => labels.iter().flatten().any(|image| {
                let mut pixels = image.as_raw().iter();
                pixels.any(|label| belongs(*label, expression, *offset))
            }),
            Kind::Single(_, masks) => {
                let mask = masks.get(&expression.id);
                mask.is_some_and(|m| m.as_raw().iter().any(|p| *p > 0))
            }
            Kind::Encoded(dict, _) => {
                let mut all = expression.masks.iter().filter_map(|id| dict.get(*id));
                all.any(|frames| frames.iter().any(Option::is_some))
            }
        }
    }

    /// What is wrong with the masks of an expression: their size, most likely.
    pub(super) fn flaw(&self, expression: &Expression) -> Option<String> {
        let Kind::Encoded(dict, size) = &self.0 else {
            return None;
        };
        let masks = expression.masks.iter().filter_map(|id| dict.get(*id));
        let odd = masks.flatten().flatten().find(|rle| rle.size() != *size)?;
        let ((w, h), (got_w, got_h)) = (size, odd.size());
        Some(format!(
            "a mask is {got_w}x{got_h} where the frames are {w}x{h}; it counts as empty"
        ))
    }
}

fn belongs(label: u8, expression: &Expression, offset: u32) -> bool {
    let mut ids = expression.objects.iter();
    label > 0 && ids.any(|id| id + offset == u32::from(label))
}

/// Reads `folder/FRAME.png` for every frame; what is missing or of another size than `size` is noted.
/// An object's label is its id plus `offset`.
pub(super) fn read(
    video: &str,
    folder: &Path,
    names: &[String],
    size: (u32, u32),
    offset: u32,
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
    Ok(Truth(Kind::Labels(labels.collect::<Result<_>>()?, offset)))
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
