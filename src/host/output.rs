//! Files of a result: each is written under a temporary name and renamed.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, ImageFormat, RgbImage, imageops};
use tempfile::NamedTempFile;

use super::{HostError, Result};

/// Shown time of one frame of the animation, in milliseconds.
const FRAME_MS: u32 = 125;

/// Creates a folder and its parents.
///
/// # Errors
/// The system refuses.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| HostError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Writes a file through `fill`, whole or not at all.
///
/// # Errors
/// The folder cannot be written, or `fill` fails.
pub fn write_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let fail = |source| HostError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let file = NamedTempFile::new_in(folder).map_err(fail)?;
    let mut out = BufWriter::new(file);
    fill(&mut out).map_err(fail)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

/// Writes a PNG.
///
/// # Errors
/// The folder cannot be written.
pub fn write_png(path: &Path, image: impl Into<DynamicImage>) -> Result<()> {
    let mut bytes = io::Cursor::new(Vec::new());
    let image: DynamicImage = image.into();
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| HostError::Encode {
            path: path.to_owned(),
            reason: e.to_string(),
        })?;
    write_file(path, |out| out.write_all(bytes.get_ref()))
}

/// Writes an endless GIF: frame `i` shows picture `i` of every column, side by side.
///
/// # Errors
/// The folder cannot be written, or encoding fails.
pub fn write_animation(path: &Path, columns: &[Vec<RgbImage>]) -> Result<()> {
    let encode = |e: image::ImageError| HostError::Encode {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut bytes = Vec::new();
    {
        let mut gif = GifEncoder::new_with_speed(&mut bytes, 10);
        gif.set_repeat(Repeat::Infinite).map_err(encode)?;
        for i in 0..columns.first().map_or(0, Vec::len) {
            let row: Vec<&RgbImage> = columns.iter().filter_map(|c| c.get(i)).collect();
            let picture = DynamicImage::from(side_by_side(&row)).into_rgba8();
            let delay = Delay::from_numer_denom_ms(FRAME_MS, 1);
            let frame = Frame::from_parts(picture, 0, 0, delay);
            gif.encode_frame(frame).map_err(encode)?;
        }
    }
    write_file(path, |out| out.write_all(&bytes))
}

fn side_by_side(pictures: &[&RgbImage]) -> RgbImage {
    let width = pictures.iter().map(|p| p.width()).sum();
    let height = pictures.iter().map(|p| p.height()).max().unwrap_or(0);
    let mut out = RgbImage::new(width, height);
    let mut x = 0;
    for picture in pictures {
        imageops::replace(&mut out, *picture, i64::from(x), 0);
        x += picture.width();
    }
    out
}

/// `masks/K/NAME.png` and the like.
pub fn frame_path(out: &Path, kind: &str, expression: usize, name: &str) -> PathBuf {
    out.join(kind).join(expression.to_string()).join(format!("{name}.png"))
}
