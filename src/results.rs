//! A result folder: masks, overlays, an animation and `result.json`, moved into place when whole, or frame by frame.

mod place;
mod sample;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage, imageops};
use serde::Serialize;

use crate::host::frames::{Frame, picture};
use crate::host::output::{frame_path, write_animation, write_png};
use crate::host::{HostError, Result, masks, overlay};
use crate::segment::Found;

use place::Place;
use sample::Sample;

const MASKS: &str = "masks";
const OVERLAYS: &str = "overlays";
const ANIMATION: &str = "animation.gif";
const RESULT: &str = "result.json";
/// One line for each answered frame, of results that are delivered as they come.
pub const FRAMES: &str = "frames.jsonl";
/// What a whole result has, its mark at the end.
const NAMES: [&str; 4] = [MASKS, OVERLAYS, ANIMATION, RESULT];
/// Widest that one column of the animation gets, in pixels.
const COLUMN_WIDTH: u32 = 480;

/// When results get to their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// All at the end, or none.
    Whole,
    /// Each file when it is written, told by a line of [`FRAMES`]; `result.json` marks the end.
    AsTheyCome,
}

/// A result folder in the making.
pub struct Results {
    place: Place,
    expressions: usize,
    /// Where frames are told.
    told: Option<File>,
    /// Names of the frames that the animation shows.
    shown: Sample<String>,
}

/// What was written of one frame.
pub struct Added {
    /// Its mask.
    pub mask: GrayImage,
    /// What the new line of [`FRAMES`] says, with its end, where there is that file.
    pub line: Option<String>,
}

/// A line of [`FRAMES`].
#[derive(Serialize)]
struct FrameLine<'a> {
    expression: usize,
    frame: usize,
    name: &'a str,
    /// `[cx, cy, w, h]` in 0..1 of the frame.
    #[serde(rename = "box")]
    bbox: [f32; 4],
    score: f32,
    query: usize,
    /// Within the result folder.
    mask: String,
}

impl Results {
    /// Begins a folder. Until files are delivered they lie in a hidden one, inside `out` if that is there, else
    /// beside it; nothing in `out` changes yet.
    ///
    /// # Errors
    /// `out` cannot be written, or holds files of the same names that are no results.
    pub fn begin(out: &Path, expressions: usize, delivery: Delivery) -> Result<Self> {
        Ok(Self {
            place: Place::begin(out, delivery)?,
            expressions,
            told: None,
            shown: Sample::new(),
        })
    }

    /// Makes ready for the first frame. Results that are delivered as they come replace those of an earlier run now;
    /// the first line of [`FRAMES`] is `header`, an object with at least `socc` and `expressions`, and is given back
    /// with its end.
    ///
    /// # Errors
    /// A file or folder cannot be written.
    pub fn open(&mut self, header: &impl Serialize) -> Result<Option<String>> {
        let path = self.place.path(Path::new(FRAMES));
        let header = line(header).map_err(write_error(&path))?;
        self.place.open(self.expressions, &header)?;
        if self.place.delivery() == Delivery::Whole {
            return Ok(None);
        }
        let told = OpenOptions::new().append(true).open(&path);
        self.told = Some(told.map_err(write_error(&path))?);
        Ok(Some(header))
    }

    /// Writes the mask and the overlay of one frame, and tells of them.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn add(&mut self, frame: &Frame, found: &Found<'_>) -> Result<Added> {
        let (width, height) = frame.image.dimensions();
        let mask = masks::from_logits(found.logits, width, height);
        let path = |kind| frame_path(Path::new(""), kind, found.expression, &frame.name);
        let mask_path = path(MASKS);
        let picture = overlay::draw(&frame.image, &mask, Some(found.bbox), found.expression);
        self.place
            .put(&path(OVERLAYS), |to| write_png(to, picture))?;
        self.place
            .put(&mask_path, |to| write_png(to, mask.clone()))?;
        if found.expression == 0 {
            self.shown.push(|| frame.name.clone());
        }
        let told = self.told.as_mut().map(|file| {
            let line = line(&FrameLine {
                expression: found.expression,
                frame: found.frame,
                name: &frame.name,
                bbox: found.bbox,
                score: found.score,
                query: found.query,
                mask: mask_path.to_string_lossy().replace('\\', "/"),
            })?;
            // One write for the whole line, so that nobody reads half of it.
            file.write_all(line.as_bytes())?;
            Ok(line)
        });
        let line = told.transpose();
        let line = line.map_err(write_error(&self.place.path(Path::new(FRAMES))))?;
        Ok(Added { mask, line })
    }

    /// Writes the animation and `result.json` and delivers what was not yet. What an earlier run left under the same
    /// names is replaced.
    ///
    /// # Errors
    /// A file cannot be written or moved.
    pub fn finish(self, result: &impl Serialize) -> Result<()> {
        let overlays = |name: &String| -> Vec<PathBuf> {
            let path = |k| frame_path(Path::new(""), OVERLAYS, k, name);
            (0..self.expressions)
                .map(|k| self.place.path(&path(k)))
                .collect()
        };
        let shown = self.shown.kept().iter().map(overlays);
        // Whoever follows a stream may have removed what was delivered.
        let shown: Vec<_> = shown.filter(|row| row.iter().all(|p| p.exists())).collect();
        if !shown.is_empty() {
            let row = |row: Vec<PathBuf>| row.iter().map(|p| Ok(shrink(picture(p)?))).collect();
            self.place.put(Path::new(ANIMATION), |to| {
                write_animation(to, shown.into_iter().map(row))
            })?;
        }
        self.place.finish(result)
    }
}

/// A value as a line of JSON.
fn line(value: &impl Serialize) -> io::Result<String> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line)
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Write { path, source }
}

fn shrink(picture: RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    if width <= COLUMN_WIDTH {
        return picture;
    }
    let to_height = (u64::from(height) * u64::from(COLUMN_WIDTH) / u64::from(width)).max(1);
    let filter = imageops::FilterType::Triangle;
    imageops::resize(&picture, COLUMN_WIDTH, to_height as u32, filter)
}
