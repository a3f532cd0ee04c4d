//! Files of a result: each is written under a temporary name and renamed.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, imageops};
use tempfile::NamedTempFile;

use super::resize::resize;
use super::{HostError, Result};

/// Shown time of one frame of the animation, in milliseconds; GIF counts in tens.
const FRAME_MS: u32 = 120;
/// Largest width of the animation: GIFs of full-size pictures have 10 MB in a second.
const ANIMATION_WIDTH: u32 = 1280;
/// Largest width of one of its columns.
const COLUMN_WIDTH: u32 = 640;
/// Pixels between columns.
const GAP: u32 = 4;

/// Creates a folder and its parents.
///
/// # Errors
/// The system refuses.
pub fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|source| HostError::Write {
        path: path.to_owned(),
        source: match path.is_file() {
            true => io::Error::new(source.kind(), "it is a file, not a folder"),
            false => source,
        },
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
    let file = temporary(folder).map_err(fail)?;
    let mut out = BufWriter::new(file);
    fill(&mut out).map_err(fail)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

fn temporary(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Temporary files are their owner's alone by default; a result is a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
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

/// Writes an endless GIF of frames, each a row of pictures side by side, made smaller where the whole would be wider
/// than 1280 pixels or a picture wider than 640. One row is held at a time.
///
/// # Errors
/// There are no pictures, one cannot be had, the folder cannot be written, or encoding fails.
pub fn write_animation(
    path: &Path,
    rows: impl IntoIterator<Item = Result<Vec<RgbImage>>>,
) -> Result<()> {
    let fail = |reason: String| HostError::Encode {
        path: path.to_owned(),
        reason,
    };
    let encode = |e: image::ImageError| fail(e.to_string());
    let mut bytes = Vec::new();
    {
        let mut gif = GifEncoder::new_with_speed(&mut bytes, 10);
        gif.set_repeat(Repeat::Infinite).map_err(encode)?;
        for row in rows {
            let row = row?;
            let most = column_width(row.len());
            let row: Vec<RgbImage> = row.iter().map(|p| fitted(p, most)).collect();
            let picture = DynamicImage::from(side_by_side(&row)).into_rgba8();
            let delay = Delay::from_numer_denom_ms(FRAME_MS, 1);
            let frame = Frame::from_parts(picture, 0, 0, delay);
            gif.encode_frame(frame).map_err(encode)?;
        }
    }
    if bytes.is_empty() {
        return Err(fail("there are no frames to show".to_owned()));
    }
    write_file(path, |out| out.write_all(&bytes))
}

fn column_width(columns: usize) -> u32 {
    let columns = u32::try_from(columns).unwrap_or(u32::MAX).max(1);
    let gaps = GAP.saturating_mul(columns - 1);
    let width = ANIMATION_WIDTH.saturating_sub(gaps) / columns;
    width.clamp(1, COLUMN_WIDTH)
}

fn fitted(picture: &RgbImage, most: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    if width <= most {
        return picture.clone();
    }
    let height = u64::from(height) * u64::from(most) / u64::from(width);
    resize(picture, most, u32::try_from(height).unwrap_or(1).max(1))
}

fn side_by_side(pictures: &[RgbImage]) -> RgbImage {
    let widths = pictures.iter().map(|p| p.width() + GAP);
    let width = widths.sum::<u32>().saturating_sub(GAP);
    let height = pictures.iter().map(|p| p.height()).max().unwrap_or(0);
    let mut out = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut x = 0;
    for picture in pictures {
        imageops::replace(&mut out, picture, i64::from(x), 0);
        x += picture.width() + GAP;
    }
    out
}

/// `masks/K/NAME.png` and the like.
pub fn frame_path(out: &Path, kind: &str, expression: usize, name: &str) -> PathBuf {
    out.join(kind)
        .join(expression.to_string())
        .join(format!("{name}.png"))
}
