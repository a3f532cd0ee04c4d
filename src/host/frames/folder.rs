//! Folders of pictures.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, vec};

use image::{ImageReader, RgbImage};

use super::{Frame, HostError, Picker, Result, Selection};

/// File name endings of pictures that count as frames.
const PICTURES: [&str; 5] = ["png", "jpg", "jpeg", "bmp", "webp"];

/// The selected pictures of a folder, in the order of their names.
pub(super) struct Folder(vec::IntoIter<PathBuf>);

impl Folder {
    pub(super) fn open(path: &Path, selection: &Selection) -> Result<Self> {
        let mut files = list(path)?;
        if files.is_empty() {
            return Err(HostError::NoFrames {
                path: path.to_owned(),
                reason: format!("the folder has no pictures ({})", PICTURES.join(", ")),
            });
        }
        files.sort_by_cached_key(|file| order(file));
        let mut picker = Picker::new(selection);
        files.retain(|_| {
            let taken = picker.takes();
            picker.pass();
            taken
        });
        let mut seen = BTreeSet::new();
        if let Some(second) = files.iter().find(|file| !seen.insert(name(file))) {
            return Err(same_name(second));
        }
        Ok(Self(files.into_iter()))
    }

    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn read(&mut self) -> Result<Option<(PathBuf, Frame)>> {
        let Some(file) = self.0.next() else {
            return Ok(None);
        };
        let image = picture(&file)?;
        let name = name(&file);
        Ok(Some((file, Frame { name, image })))
    }
}

/// Results are stored under the name, so that the second would replace the first.
pub(super) fn same_name(second: &Path) -> HostError {
    HostError::Frame {
        path: second.to_owned(),
        reason: format!(
            "another picture here is called {} too; keep one of them",
            name(second)
        ),
    }
}

/// The name of a frame.
pub(super) fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// Place of a picture among those of its folder.
pub(super) type Order = (Vec<Piece>, PathBuf);

pub(super) fn order(file: &Path) -> Order {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    (name_order(&name), file.to_owned())
}

/// The pictures of a folder, in no order.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>> {
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
            files.push(path);
        }
    }
    Ok(files)
}

/// A piece of a file name. Numbers count by value: their digits without leading zeros, by length
/// first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Piece {
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
