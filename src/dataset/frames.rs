//! Frames of a video from a folder of pictures, with substitutes for what is missing.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageDecoder, ImageReader, RgbImage};

use super::{DatasetError, Finding, FindingKind, Findings, Result};
use crate::host::frames::picture;
use crate::host::resize::resize;

/// Endings that a frame's file may have, the official one first.
const ENDINGS: [&str; 3] = ["jpg", "png", "jpeg"];

/// Receives frames in order: index, picture.
pub(super) type Sink<'a> = &'a mut dyn FnMut(usize, &RgbImage) -> Result<()>;

/// Reads the frames called `names` in `folder`, one after the other. A frame that is missing or
/// unreadable is replaced by the one before it, or the first that there is; one of another size than
/// the first is resized to it. All that is noted.
pub(super) fn read(
    video: &str,
    folder: &Path,
    names: &[String],
    findings: &mut Findings,
    sink: Sink<'_>,
) -> Result<()> {
    let mut last: Option<RgbImage> = None;
    let mut waiting = 0;
    for (index, name) in names.iter().enumerate() {
        let Some(frame) = one(video, folder, name, findings)? else {
            match &last {
                Some(stand_in) => sink(index, stand_in)?,
                None => waiting += 1,
            }
            continue;
        };
        let frame = match &last {
            Some(first) if first.dimensions() != frame.dimensions() => {
                let ((w, h), (got_w, got_h)) = (first.dimensions(), frame.dimensions());
                let detail =
                    format!("it is {got_w}x{got_h} where the frames before it are {w}x{h}");
                findings.note(Finding::new(FindingKind::FrameSize, video, detail).frame(name))?;
                resize(&frame, w, h)
            }
            _ => frame,
        };
        for earlier in index - waiting..=index {
            sink(earlier, &frame)?;
        }
        waiting = 0;
        last = Some(frame);
    }
    match last {
        Some(_) => Ok(()),
        None => Err(DatasetError::NoFrames {
            video: video.to_owned(),
            folder: folder.to_owned(),
        }),
    }
}

/// One frame, or `None` where it is missing or unreadable.
fn one(
    video: &str,
    folder: &Path,
    name: &str,
    findings: &mut Findings,
) -> Result<Option<RgbImage>> {
    let Some(path) = find(folder, name) else {
        let detail = format!("there is no {name}.jpg or .png in {}", folder.display());
        let finding = Finding::new(FindingKind::MissingFrame, video, detail);
        findings.note(finding.frame(name))?;
        return Ok(None);
    };
    match picture(&path) {
        Ok(frame) => {
            if let Some(colours) = odd_colours(&path) {
                let detail = format!("{} has {colours}", path.display());
                let finding = Finding::new(FindingKind::FrameColours, video, detail);
                findings.note(finding.frame(name))?;
            }
            Ok(Some(frame))
        }
        Err(e) => {
            let finding = Finding::new(FindingKind::UnreadableFrame, video, e.to_string());
            findings.note(finding.frame(name))?;
            Ok(None)
        }
    }
}

/// The file of a frame.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let paths = ENDINGS.iter().map(|e| folder.join(format!("{name}.{e}")));
    paths.into_iter().find(|p| p.is_file())
}

/// What colours a picture has, where they are not plain RGB.
fn odd_colours(path: &Path) -> Option<&'static str> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let decoder = reader.ok()?.into_decoder().ok()?;
    match decoder.original_color_type() {
        // A JPEG's colours are converted by the decoder, which calls them RGB.
        ExtendedColorType::Rgb8 if jpeg_components(path) == Some(4) => Some("CMYK colours"),
        ExtendedColorType::Rgb8 => None,
        ExtendedColorType::Cmyk8 => Some("CMYK colours"),
        ExtendedColorType::L1
        | ExtendedColorType::L2
        | ExtendedColorType::L4
        | ExtendedColorType::L8
        | ExtendedColorType::L16
        | ExtendedColorType::La8
        | ExtendedColorType::La16 => Some("grey levels"),
        ExtendedColorType::Rgba8 | ExtendedColorType::Rgba16 => Some("transparency"),
        _ => Some("colours other than 8-bit RGB"),
    }
}

/// Colour components of a JPEG, from the head of its frame; `None` for anything else.
fn jpeg_components(path: &Path) -> Option<u8> {
    let mut file = BufReader::new(File::open(path).ok()?);
    let mut pair = [0; 2];
    file.read_exact(&mut pair).ok()?;
    if pair != [0xff, 0xd8] {
        return None;
    }
    loop {
        file.read_exact(&mut pair).ok()?;
        let marker = pair[1];
        file.read_exact(&mut pair).ok()?;
        let rest = i64::from(u16::from_be_bytes(pair)).checked_sub(2)?;
        // Start of frame, of whatever process, but not the tables and extensions among these numbers.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let mut head = [0; 6];
            file.read_exact(&mut head).ok()?;
            return Some(head[5]);
        }
        file.seek_relative(rest).ok()?;
    }
}

/// Size of the first frame that can be read, without decoding it.
pub(super) fn size(folder: &Path, names: &[String]) -> Option<(u32, u32)> {
    let mut paths = names.iter().filter_map(|name| find(folder, name));
    paths.find_map(|path| image::image_dimensions(path).ok())
}

/// Names of the pictures in a folder, without endings, sorted.
pub(super) fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if ENDINGS.iter().any(|e| ending == *e) && !stem.starts_with('.') {
            names.push(stem.into_owned());
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}
