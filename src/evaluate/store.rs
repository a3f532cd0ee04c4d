//! The folder of an evaluation: whole at any moment, so that it can be killed and go on.
//!
//! A video's masks are written to a hidden folder and moved into place; its record is written last. What
//! has no record is not done.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use image::GrayImage;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::record::{Identity, Record};
use crate::dataset::{Expression, Video};
use crate::evaluate::{EvaluateError, Listener};
use crate::host::HostError;
use crate::host::output::{create_dir, write_file};
use crate::scratch::Watch;

/// Masks, by video, expression and frame.
pub const MASKS: &str = "Annotations";
/// The result.
pub const RESULT: &str = "result.json";
/// What is evaluated.
pub(super) const RUN: &str = "run.json";
const RECORDS: &str = "videos";
/// Masks on their way.
pub(super) const PARTIAL: &str = ".partial";
const LOCK: &str = ".lock";

/// Why a folder of an evaluation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Host(#[from] HostError),
    /// An evaluation is there already.
    #[error(
        "{path} holds an evaluation already; go on with --resume, or name another folder with -o"
    )]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// Another process works there.
    #[error(
        "another process works in {path}; wait for it, or give every shard a folder of its own"
    )]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// It is of something else.
    #[error("{path} is an evaluation with another {what}; name another folder")]
    Other {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: String,
    },
    /// A file of it is damaged.
    #[error("{path} is damaged: {reason}; delete it, and --resume does that video again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// Shards do not make a whole.
    #[error("the shards do not make a whole: {0}")]
    Shards(String),
}

/// Result of work on the folder.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The folder of an evaluation that this process works in.
#[derive(Debug)]
pub struct Store {
    out: PathBuf,
    _lock: File,
    _partial: Watch,
}

impl Store {
    /// Begins an evaluation in `out`, or goes on with the one there, and gives the records of what is done.
    ///
    /// # Errors
    /// One is there and `resume` is false, or it is of something else; another process works there; a
    /// file cannot be read or written.
    pub fn open(
        out: &Path,
        identity: &Identity,
        resume: bool,
    ) -> Result<(Self, BTreeMap<String, Record>)> {
        let run = out.join(RUN);
        if !run.exists() && out.join(MASKS).exists() {
            let path = out.join(MASKS);
            return Err(HostError::Foreign { path }.into());
        }
        create_dir(&out.join(RECORDS))?;
        let lock = lock(out)?;
        if run.exists() {
            if !resume {
                return Err(StoreError::Exists {
                    path: out.to_owned(),
                });
            }
            let there: Identity = read_json(&run)?;
            let shard = (there.shard != identity.shard).then_some("shard");
            if let Some(what) = there.difference(identity).or(shard) {
                return Err(StoreError::Other {
                    path: out.to_owned(),
                    what: what.to_owned(),
                });
            }
        } else {
            write_json(&run, identity)?;
        }
        let partial = out.join(PARTIAL);
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(|e| write_error(&partial, e))?;
        }
        let mut done = BTreeMap::new();
        for video in identity.own() {
            let path = record_path(out, video);
            if path.exists() {
                done.insert(video.to_owned(), read_json(&path)?);
            }
        }
        let store = Self {
            out: out.to_owned(),
            _lock: lock,
            _partial: Watch::new(&partial),
        };
        Ok((store, done))
    }

    /// A place for the masks of a video that begins.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn begin(&self, video: &str) -> Result<VideoFiles> {
        let dir = self.out.join(PARTIAL).join(video);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(|e| write_error(&dir, e))?;
        }
        create_dir(&dir)?;
        Ok(VideoFiles { dir, write_ms: 0.0 })
    }

    /// Moves a video's masks into place and writes its record.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn commit(&self, files: VideoFiles, record: &Record) -> Result<()> {
        for entry in read_dir(&files.dir)? {
            let Some(kind) = entry.file_name().map(ToOwned::to_owned) else {
                continue;
            };
            let folder = self.out.join(kind);
            create_dir(&folder)?;
            let place = folder.join(&record.video);
            // Left by a run that was killed before it wrote the record.
            if place.exists() {
                fs::remove_dir_all(&place).map_err(|e| write_error(&place, e))?;
            }
            fs::rename(&entry, &place).map_err(|e| write_error(&place, e))?;
        }
        write_json(&record_path(&self.out, &record.video), record)?;
        // What is left is an empty folder.
        let _ = fs::remove_dir_all(&files.dir);
        Ok(())
    }

    /// The folder.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Writes the result.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn finish(&self, result: &impl Serialize) -> Result<()> {
        let _ = fs::remove_dir_all(self.out.join(PARTIAL));
        write_json(&self.out.join(RESULT), result)
    }
}

fn lock(out: &Path) -> Result<File> {
    let path = out.join(LOCK);
    let file = File::create(&path).map_err(|e| write_error(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Busy {
            path: out.to_owned(),
        }),
        // A file system without locks: the user has to take care.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

pub(super) fn record_path(out: &Path, video: &str) -> PathBuf {
    out.join(RECORDS).join(format!("{video}.json"))
}

pub(super) fn write_error(path: &Path, source: io::Error) -> HostError {
    HostError::Write {
        path: path.to_owned(),
        source,
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    Ok(write_file(path, |out| {
        serde_json::to_writer_pretty(out, value).map_err(Into::into)
    })?)
}

pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|source| HostError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|e| StoreError::Damaged {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

pub(super) fn read_dir(folder: &Path) -> Result<Vec<PathBuf>> {
    let fail = |source| HostError::Read {
        path: folder.to_owned(),
        source,
    };
    let entries = fs::read_dir(folder).map_err(fail)?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Masks of one video on their way.
#[derive(Debug)]
pub struct VideoFiles {
    /// The folder.
    pub(super) dir: PathBuf,
    /// Milliseconds spent on writing.
    pub write_ms: f64,
}

impl VideoFiles {
    fn write(
        &mut self,
        folder: &Path,
        name: &str,
        image: &GrayImage,
        palette: bool,
    ) -> std::result::Result<(), HostError> {
        let start = std::time::Instant::now();
        if !folder.is_dir() {
            create_dir(folder)?;
        }
        let path = folder.join(format!("{name}.png"));
        write_grey(&path, image, palette)?;
        self.write_ms += start.elapsed().as_secs_f64() * 1e3;
        Ok(())
    }
}

impl<E: From<EvaluateError>> Listener<E> for VideoFiles {
    fn mask(
        &mut self,
        video: &Video,
        expression: &Expression,
        frame: usize,
        mask: &GrayImage,
    ) -> std::result::Result<(), E> {
        let folder = self.dir.join(MASKS).join(&expression.id);
        let written = self.write(&folder, &video.frames[frame], mask, false);
        Ok(written.map_err(EvaluateError::from)?)
    }

    fn merged(
        &mut self,
        _: &Video,
        annotator: usize,
        frame: usize,
        labels: &GrayImage,
    ) -> std::result::Result<(), E> {
        let folder = self.dir.join(format!("anno_{annotator}"));
        let written = self.write(&folder, &format!("{frame:05}"), labels, true);
        Ok(written.map_err(EvaluateError::from)?)
    }
}

/// A PNG of grey levels, or of indices into the colours that DAVIS uses.
fn write_grey(path: &Path, image: &GrayImage, palette: bool) -> std::result::Result<(), HostError> {
    let encode = |e: png::EncodingError| HostError::Encode {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let file = File::create(path).map_err(|e| write_error(path, e))?;
    let mut encoder = png::Encoder::new(io::BufWriter::new(file), image.width(), image.height());
    encoder.set_depth(png::BitDepth::Eight);
    if palette {
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(colours());
    } else {
        encoder.set_color(png::ColorType::Grayscale);
    }
    let mut writer = encoder.write_header().map_err(encode)?;
    writer.write_image_data(image.as_raw()).map_err(encode)?;
    writer.finish().map_err(encode)
}

/// The colours of PASCAL VOC and DAVIS: the bits of a label spread over red, green and blue.
fn colours() -> Vec<u8> {
    let channel = |label: u16, c: u16| {
        let bit = |i: u16| ((label >> (3 * i + c)) & 1) << (7 - i);
        (bit(0) | bit(1) | bit(2)) as u8
    };
    (0..=255)
        .flat_map(|label| [0, 1, 2].map(|c| channel(label, c)))
        .collect()
}
