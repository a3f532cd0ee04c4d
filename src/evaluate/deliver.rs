//! What is made of an evaluation's masks in the end: the archive for a benchmark's server, and overlays of
//! the worst cases.

use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::report::Bad;
use super::store::MASKS;
use crate::dataset::{Dataset, Findings};
use crate::host::output::{create_dir, write_png};
use crate::host::{HostError, Result, overlay};
use crate::scratch::Watch;

/// The archive.
pub const ARCHIVE: &str = "submission.zip";
/// Overlays of the worst cases.
pub const WORST: &str = "worst";

/// Writes `OUT/submission.zip` with `Annotations/VIDEO/EXPRESSION/FRAME.png`, as the servers of MeViS and
/// Ref-YouTube-VOS take it, whole or not at all.
///
/// # Errors
/// A file cannot be read or written.
pub fn write_archive(out: &Path) -> Result<PathBuf> {
    let path = out.join(ARCHIVE);
    let partial = out.join(format!(".{ARCHIVE}"));
    let _watch = Watch::new(&partial);
    let fail = |source: io::Error| HostError::Write {
        path: path.clone(),
        source,
    };
    let file = File::create(&partial).map_err(fail)?;
    let mut archive = ZipWriter::new(io::BufWriter::new(file));
    add_folder(&mut archive, &out.join(MASKS), MASKS).map_err(fail)?;
    let file = archive.finish().map_err(|e| fail(e.into()))?;
    file.into_inner().map_err(|e| fail(e.into_error()))?;
    fs::rename(&partial, &path).map_err(fail)?;
    Ok(path)
}

fn add_folder<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    folder: &Path,
    name: &str,
) -> io::Result<()> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        entries.push(entry?.path());
    }
    entries.sort();
    // PNGs do not get smaller.
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for path in entries {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let name = format!("{name}/{file}");
        if path.is_dir() {
            add_folder(archive, &path, &name)?;
        } else {
            archive.start_file(name, options)?;
            io::copy(&mut File::open(&path)?, archive)?;
        }
    }
    Ok(())
}

/// Writes `OUT/worst/NN_VIDEO_EXPRESSION.png`: the mask over the middle frame, or the annotated one.
///
/// # Errors
/// A file cannot be written. Frames that cannot be read any more are left out.
pub fn write_worst(out: &Path, dataset: &Dataset, worst: &[Bad]) -> Result<()> {
    let folder = out.join(WORST);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|source| HostError::Write {
            path: folder.clone(),
            source,
        })?;
    }
    create_dir(&folder)?;
    for (rank, bad) in worst.iter().enumerate() {
        let Some(video) = dataset.videos.iter().find(|v| v.name == bad.video) else {
            continue;
        };
        let middle = video.annotated.unwrap_or(video.frames.len() / 2);
        let mut frame: Option<RgbImage> = None;
        let read = dataset.each_frame(video, &mut Findings::default(), &mut |index, picture| {
            if index == middle {
                frame = Some(picture.clone());
            }
            Ok(())
        });
        let masks = out.join(MASKS).join(&bad.video).join(&bad.expression);
        let mask = image::open(masks.join(format!("{}.png", video.frames[middle])));
        if let (Ok(()), Some(frame), Ok(mask)) = (read, frame, mask) {
            let picture = overlay::draw(&frame, &mask.into_luma8(), None, 0);
            let name = format!("{:02}_{}_{}.png", rank + 1, bad.video, bad.expression);
            write_png(&folder.join(name), picture)?;
        }
    }
    Ok(())
}
