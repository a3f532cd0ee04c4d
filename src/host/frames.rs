//! Clips from folders of pictures or video files.

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
    /// Loads a folder of pictures, in the order of their names, or a video file through ffmpeg.
    ///
    /// # Errors
    /// The path is missing; a frame cannot be decoded, is empty or of another size; none is left.
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
            clip.names.push(stem.to_string_lossy().into_owned());
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
        if PICTURES.iter().any(|p| ending == *p) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Decodes one picture as RGB.
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
    let image = reader.decode().map_err(|e| frame(e.to_string()))?.into_rgb8();
    if image.width() == 0 || image.height() == 0 {
        return Err(frame("it has no pixels".to_owned()));
    }
    Ok(image)
}
