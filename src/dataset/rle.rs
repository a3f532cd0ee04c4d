//! Run-length encoded masks as COCO's tools write them: runs of zeros and ones in turn, down the
//! columns, in a text of six-bit letters; after the second, runs are differences to the last but one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use image::GrayImage;
use serde::Deserialize;

use super::{DatasetError, Result};

/// A mask.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Rle {
    /// Height and width in pixels.
    size: [u32; 2],
    counts: String,
}

impl Rle {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.size[1], self.size[0])
    }

    /// Sets the mask's pixels in `mask` to 255; false if the runs do not fit the size.
    pub fn draw(&self, mask: &mut GrayImage) -> bool {
        let (width, height) = self.size();
        let pixels = u64::from(width) * u64::from(height);
        if mask.dimensions() != (width, height) {
            return false;
        }
        let Some(runs) = runs(&self.counts) else {
            return false;
        };
        let mut at = 0u64;
        for (i, run) in runs.into_iter().enumerate() {
            let end = at + run;
            if end > pixels {
                return false;
            }
            if i % 2 == 1 {
                for p in at..end {
                    let (x, y) = (p / u64::from(height), p % u64::from(height));
                    mask.put_pixel(x as u32, y as u32, image::Luma([255]));
                }
            }
            at = end;
        }
        true
    }
}

fn runs(text: &str) -> Option<Vec<u64>> {
    let mut runs: Vec<i64> = Vec::new();
    let mut letters = text.bytes().peekable();
    while letters.peek().is_some() {
        let (mut value, mut shift) = (0i64, 0);
        loop {
            let bits = i64::from(letters.next()?.checked_sub(48)?);
            if shift > 50 || bits > 0x3f {
                return None;
            }
            value |= (bits & 0x1f) << shift;
            shift += 5;
            if bits & 0x20 == 0 {
                if bits & 0x10 != 0 {
                    value |= -1 << shift;
                }
                break;
            }
        }
        if runs.len() > 2 {
            value += runs[runs.len() - 2];
        }
        runs.push(value);
    }
    runs.into_iter()
        .map(|run| u64::try_from(run).ok())
        .collect()
}

/// `mask_dict.json` of MeViS: per mask id one mask, or none, for every frame.
#[derive(Debug)]
pub(super) struct MaskDict(BTreeMap<String, Vec<Option<Rle>>>);

impl MaskDict {
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|source| DatasetError::Read {
            path: path.to_owned(),
            source,
            expected: "it holds the masks of MeViS",
        })?;
        let dict = serde_json::from_slice(&bytes).map_err(|e| DatasetError::Damaged {
            path: path.to_owned(),
            reason: format!("{e}; expected {{ID: [null or {{\"size\", \"counts\"}}, ...]}}"),
        })?;
        Ok(Self(dict))
    }

    /// Masks of an id, one per frame.
    pub fn get(&self, id: u32) -> Option<&[Option<Rle>]> {
        self.0.get(&id.to_string()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pycocotools.mask.encode` of a 5 x 4 mask with pixels (y, x) = (1, 0), (2, 0), (3, 0), (0, 1), (2, 3).
    #[test]
    fn runs_are_those_of_pycocotools() {
        let counts = include_str!("../../tests/fixtures/datasets/rle.txt").trim();
        let rle = Rle {
            size: [4, 5],
            counts: counts.to_owned(),
        };
        let mut mask = GrayImage::new(5, 4);
        assert!(rle.draw(&mut mask));
        let set: Vec<(u32, u32)> = mask
            .enumerate_pixels()
            .filter(|(_, _, p)| p[0] > 0)
            .map(|(x, y, _)| (y, x))
            .collect();
        assert_eq!(set, [(0, 1), (1, 0), (2, 0), (2, 3), (3, 0)]);
        assert!(!rle.draw(&mut GrayImage::new(4, 4)));
        assert_eq!(runs("\u{1}"), None);
        assert_eq!(runs("o"), None);
    }
}
