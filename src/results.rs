//! A result folder: masks, overlays, an animation and `result.json`, moved into place when whole.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage, imageops};
use serde::Serialize;
use tempfile::TempDir;

use crate::host::frames::Clip;
use crate::host::output::{create_dir, frame_path, write_animation, write_file, write_png};
use crate::host::{HostError, Result, masks, overlay};
use crate::segment::Found;

const MASKS: &str = "masks";
const OVERLAYS: &str = "overlays";
const ANIMATION: &str = "animation.gif";
const RESULT: &str = "result.json";
/// Widest that one column of the animation gets, in pixels.
const COLUMN_WIDTH: u32 = 480;
/// Frames that the animation shows at most; of a longer clip it skips some.
const ANIMATION_FRAMES: usize = 200;

/// A result folder in the making.
pub struct Results<'a> {
    out: PathBuf,
    /// `None` only while it is being dropped.
    temp: Option<TempDir>,
    /// Whether `out` is ours to remove if nothing comes of it.
    created: bool,
    clip: &'a Clip,
    columns: Vec<Vec<RgbImage>>,
    skip: usize,
}

fn write_error(path: &Path) -> impl FnOnce(std::io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Write { path, source }
}

impl<'a> Results<'a> {
    /// Begins a folder for a clip; until [`Results::finish`] everything lies in a hidden one inside.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn begin(out: &Path, clip: &'a Clip, expressions: usize) -> Result<Self> {
        let created = !out.exists();
        create_dir(out)?;
        let temp = tempfile::Builder::new().prefix(".socc-").tempdir_in(out);
        let temp = temp.map_err(write_error(out))?;
        let results = Self {
            out: out.to_owned(),
            temp: Some(temp),
            created,
            clip,
            columns: vec![Vec::new(); expressions],
            skip: clip.frames.len().div_ceil(ANIMATION_FRAMES).max(1),
        };
        for kind in [MASKS, OVERLAYS] {
            for k in 0..expressions {
                create_dir(&results.dir().join(kind).join(k.to_string()))?;
            }
        }
        Ok(results)
    }

    fn dir(&self) -> &Path {
        self.temp.as_ref().map_or(&self.out, TempDir::path)
    }

    /// Writes the mask and the overlay of one frame and gives the mask back.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn add(&mut self, found: &Found<'_>) -> Result<GrayImage> {
        let (width, height) = self.clip.size();
        let mask = masks::from_logits(found.logits, width, height);
        let name = &self.clip.names[found.frame];
        let dir = self.dir().to_owned();
        let path = |kind| frame_path(&dir, kind, found.expression, name);
        write_png(&path(MASKS), mask.clone())?;
        let frame = &self.clip.frames[found.frame];
        let picture = overlay::draw(frame, &mask, Some(found.bbox), found.expression);
        if found.frame.is_multiple_of(self.skip) {
            self.columns[found.expression].push(shrink(&picture));
        }
        write_png(&path(OVERLAYS), picture)?;
        Ok(mask)
    }

    /// Writes the animation and `result.json` and moves everything into place. What an earlier run
    /// left under the same names is replaced.
    ///
    /// # Errors
    /// A file cannot be written or moved.
    pub fn finish(mut self, result: &impl Serialize) -> Result<()> {
        let dir = self.dir();
        write_animation(&dir.join(ANIMATION), &self.columns)?;
        write_file(&dir.join(RESULT), |out| {
            serde_json::to_writer_pretty(out, result).map_err(Into::into)
        })?;
        for name in [MASKS, OVERLAYS, ANIMATION, RESULT] {
            let (from, to) = (dir.join(name), self.out.join(name));
            if to.is_dir() {
                fs::remove_dir_all(&to).map_err(write_error(&to))?;
            }
            fs::rename(from, &to).map_err(write_error(&to))?;
        }
        self.created = false;
        Ok(())
    }
}

impl Drop for Results<'_> {
    fn drop(&mut self) {
        self.temp = None;
        if self.created {
            // Best effort: it holds nothing unless somebody else put it there.
            let _ = fs::remove_dir(&self.out);
        }
    }
}

fn shrink(picture: &RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    if width <= COLUMN_WIDTH {
        return picture.clone();
    }
    let to_height = (u64::from(height) * u64::from(COLUMN_WIDTH) / u64::from(width)).max(1);
    let filter = imageops::FilterType::Triangle;
    imageops::resize(picture, COLUMN_WIDTH, to_height as u32, filter)
}
