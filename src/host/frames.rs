//! Clips from folders of pictures or video files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};

use super::{HostError, Result, video};

/// File name endings of pictures that count as frames.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

/// Which frames of a video to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selection {
    /// Index of the first.
    pub start: usize,
    /// Distance from one to the next, at least 1.
    pub every: usize,
    /// How many at most.
    pub frames: Option<usize>,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            start: 0,
            every: 1,
            frames: None,
        }
    }
}

impl Selection {
    pub(super) fn pick<T>(&self, all: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let most = self.frames.unwrap_or(usize::MAX);
        all.skip(self.start).step_by(self.every.max(1)).take(most)
    }
}

/// Frames of one size, RGB, and their names.
#[derive(Debug, Clone)]
pub struct Clip {
    /// The frames in order.
    pub frames: Vec<RgbImage>,
    /// A name for each, without file ending.
    pub names: Vec<String>,
}

impl Clip {
    /// Loads a folder of pictures, in the order of their names (`2.png` before `10.png`), or a video
    /// file through ffmpeg.
    ///
    /// # Errors
    /// The path is missing; a frame cannot be decoded, is empty or of another size; two would have
    /// the same name; none is left.
    pub fn load(path: &Path, selection: &Selection) -> Result<Self> {
        let meta = fs::metadata(path).map_err(|source| HostError::Read {
            path: path.to_owned(),
            source,
        })?;
        let clip = if meta.is_dir() {
            Self::from_folder(path, selection)?
        } else {
            video::load(path, selection)?
        };
        if clip.frames.is_empty() {
            return Err(HostError::NoFrames {
                path: path.to_owned(),
                reason: format!("none is left from frame {} on", selection.start),
            });
        }
        Ok(clip)
    }

    fn from_folder(path: &Path, selection: &Selection) -> Result<Self> {
        let files = pictures(path)?;
        if files.is_empty() {
            return Err(HostError::NoFrames {
                path: path.to_owned(),
                reason: format!("the folder has no pictures ({})", PICTURES.join(", ")),
            });
        }
        let mut clip = Self {
            frames: Vec::new(),
            names: Vec::new(),
        };
        let mut seen = BTreeSet::new();
        for file in selection.pick(files.into_iter()) {
            let frame = picture(&file)?;
            if let Some(first) = clip.frames.first()
                && first.dimensions() != frame.dimensions()
            {
                return Err(HostError::FrameSize {
                    path: file,
                    width: first.width(),
                    height: first.height(),
                    got_width: frame.width(),
                    got_height: frame.height(),
                });
            }
            let stem = file.file_stem().unwrap_or_default();
            let name = stem.to_string_lossy().into_owned();
            // Results are stored under the name, so that the second would replace the first.
            if !seen.insert(name.clone()) {
                return Err(HostError::Frame {
                    path: file,
                    reason: format!("another picture here is called {name} too; keep one of them"),
                });
            }
            clip.names.push(name);
            clip.frames.push(frame);
        }
        Ok(clip)
    }

    /// Width and height of every frame.
    pub fn size(&self) -> (u32, u32) {
        self.frames.first().map_or((0, 0), RgbImage::dimensions)
    }
}

fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| HostError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Hidden files are no frames: some systems leave `._NAME.png` beside every picture.
        if PICTURES.iter().any(|p| ending == *p) && !name.starts_with('.') {
            files.push((name_order(&name), path));
        }
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// A piece of a file name. Numbers count by value: their digits without leading zeros, by length
/// first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Number(usize, String),
    Letter(char),
}

fn name_order(name: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let taken = if digits > 0 {
            let number = rest[..digits].trim_start_matches('0');
            pieces.push(Piece::Number(number.len(), number.to_owned()));
            digits
        } else {
            pieces.push(Piece::Letter(first));
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    pieces
}

/// Decodes one picture as RGB: transparency is dropped, 16 bits are scaled to 8, and an orientation
/// that the file asks for is ignored, as the official inference ignores it.
///
/// The pixels are those of Pillow's `Image.open(path).convert("RGB")`, except that JPEGs differ by up
/// to 4 levels (0.2 on average in 4:2:0 frames of a film) because the decoders round differently, 16-bit
/// colours by up to 1, and that Pillow cuts 16-bit grey levels off at 255.
///
/// # Errors
/// It cannot be read or decoded, or has no pixels.
pub fn picture(path: &Path) -> Result<RgbImage> {
    let frame = |reason: String| HostError::Frame {
        path: path.to_owned(),
        reason,
    };
    let reader = ImageReader::open(path)
        .and_then(ImageReader::with_guessed_format)
        .map_err(|source| HostError::Read {
            path: path.to_owned(),
            source,
        })?;
    let image = reader
        .decode()
        .map_err(|e| frame(e.to_string()))?
        .into_rgb8();
    if image.width() == 0 || image.height() == 0 {
        return Err(frame("it has no pixels".to_owned()));
    }
    Ok(image)
}
