//! A result folder: masks, overlays, an animation and `result.json`, moved into place when whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::{GrayImage, RgbImage, imageops};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::host::frames::Clip;
use crate::host::output::{create_dir, frame_path, write_animation, write_file, write_png};
use crate::host::{HostError, Result, masks, overlay};
use crate::scratch::{self, Move, Scratch};
use crate::segment::Found;

const MASKS: &str = "masks";
const OVERLAYS: &str = "overlays";
const ANIMATION: &str = "animation.gif";
const RESULT: &str = "result.json";
/// What a result folder has, the mark of one that is whole at the end.
const NAMES: [&str; 4] = [MASKS, OVERLAYS, ANIMATION, RESULT];
/// Widest that one column of the animation gets, in pixels.
const COLUMN_WIDTH: u32 = 480;
/// Frames that the animation shows at most; of a longer clip it skips some.
const ANIMATION_FRAMES: usize = 200;

/// A result folder in the making.
pub struct Results<'a> {
    out: PathBuf,
    scratch: Scratch,
    clip: &'a Clip,
    columns: Vec<Vec<RgbImage>>,
    skip: usize,
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> HostError {
    let path = path.to_owned();
    move |source| HostError::Write { path, source }
}

impl<'a> Results<'a> {
    /// Begins a folder for a clip; until [`Results::finish`] everything lies in a hidden one, inside `out` if that is
    /// there, else beside it.
    ///
    /// # Errors
    /// `out` cannot be written, or holds files of the same names that are no results.
    pub fn begin(out: &Path, clip: &'a Clip, expressions: usize) -> Result<Self> {
        let place = match fs::symlink_metadata(out) {
            Ok(_) => out,
            Err(_) => out
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        };
        check_place(out)?;
        create_dir(place)?;
        let results = Self {
            out: out.to_owned(),
            scratch: Scratch::new_in(place).map_err(write_error(place))?,
            clip,
            columns: vec![Vec::new(); expressions],
            skip: clip.frames.len().div_ceil(ANIMATION_FRAMES).max(1),
        };
        create_dir(&results.aside())?;
        for kind in [MASKS, OVERLAYS] {
            for k in 0..expressions {
                create_dir(&results.dir().join(kind).join(k.to_string()))?;
            }
        }
        Ok(results)
    }

    /// Frames of the clip.
    pub fn frames(&self) -> usize {
        self.clip.frames.len()
    }

    /// Where the results are until they are whole.
    fn dir(&self) -> PathBuf {
        self.scratch.path().join("new")
    }

    /// Where those of an earlier run go.
    fn aside(&self) -> PathBuf {
        self.scratch.path().join("old")
    }

    /// Writes the mask and the overlay of one frame and gives the mask back.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn add(&mut self, found: &Found<'_>) -> Result<GrayImage> {
        let (width, height) = self.clip.size();
        let mask = masks::from_logits(found.logits, width, height);
        let name = &self.clip.names[found.frame];
        let dir = self.dir();
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
    pub fn finish(self, result: &impl Serialize) -> Result<()> {
        let (dir, aside) = (self.dir(), self.aside());
        write_animation(&dir.join(ANIMATION), &self.columns)?;
        write_file(&dir.join(RESULT), |out| {
            serde_json::to_writer_pretty(out, result).map_err(Into::into)
        })?;
        let moves: Vec<Move> = match self.out.exists() {
            true => NAMES
                .map(|name| Move {
                    from: dir.join(name),
                    to: self.out.join(name),
                    aside: aside.join(name),
                })
                .into(),
            false => vec![Move {
                from: dir,
                to: self.out.clone(),
                aside: aside.join("none"),
            }],
        };
        scratch::replace(&moves).map_err(|(path, source)| HostError::Write { path, source })
    }
}

/// Refuses a folder with files that results would replace, unless an earlier run left them.
fn check_place(out: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Marks {
        #[serde(rename = "socc")]
        _socc: String,
        #[serde(rename = "expressions")]
        _expressions: Vec<IgnoredAny>,
    }
    let Some(name) = NAMES.into_iter().find(|name| out.join(name).exists()) else {
        return Ok(());
    };
    let ours =
        fs::read(out.join(RESULT)).is_ok_and(|json| serde_json::from_slice::<Marks>(&json).is_ok());
    match ours {
        true => Ok(()),
        false => Err(HostError::Foreign {
            path: out.join(name),
        }),
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
