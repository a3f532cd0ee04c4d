//! The range table: what each tensor's values were, on which data, in which graphs.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::method::Method;

/// Version of the table's layout. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;
/// Longest table that is read; those of the full-size model have some megabytes.
const MAX_BYTES: u64 = 1 << 30;

/// Why a range table cannot be written, read or used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}; check that the folder may be written and has room")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is truncated, or is something else.
    #[error("{path} is no range table: {reason}; make one with `socc calibrate`")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The table comes from a later socc.
    #[error(
        "{path} has format version {got} and this socc reads up to {FORMAT_VERSION}; update socc"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u64,
    },
    /// The table has no such stage.
    #[error(
        "the range table has no stage `{stage}`, only {known}; run `socc calibrate` on the whole bundle"
    )]
    NoStage {
        /// The stage.
        stage: String,
        /// Stages that the table has.
        known: String,
    },
    /// The table was made for another graph.
    #[error(
        "the range table was made for another graph of stage `{stage}`: its structure has SHA-256 {table}, this one's has {graph}; run `socc calibrate` on a bundle of the same architecture, --frames, --size and --deformable"
    )]
    OtherGraph {
        /// The stage.
        stage: String,
        /// Structure hash in the table.
        table: String,
        /// Structure hash of the graph at hand.
        graph: String,
    },
}

/// Result of work on tables.
pub type Result<T> = std::result::Result<T, TableError>;

/// Ranges of every observed tensor of every stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RangeTable {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Version of socc that wrote the table.
    pub tool_version: String,
    /// How [`Range::amax`] was chosen.
    pub method: Method,
    /// Fingerprint of the checkpoint, as in the bundle's manifest.
    pub checkpoint: String,
    /// Folder of the data set.
    pub data: String,
    /// Its split.
    pub split: String,
    /// Clips that were run.
    pub clips: usize,
    /// Expressions that were run, over all clips.
    pub expressions: usize,
    /// Ranges by stage.
    pub stages: BTreeMap<String, StageRanges>,
}

/// Ranges of one stage's tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRanges {
    /// SHA-256 of the graph's structure: its nodes, names and shapes, not its weights.
    pub graph: String,
    /// Ranges by the name of the value in the graph.
    pub tensors: BTreeMap<String, Range>,
}

/// What one tensor's values were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Magnitude that the largest quantised value stands for, by the table's method.
    pub amax: f32,
    /// Smallest value, unclipped.
    pub min: f32,
    /// Largest value, unclipped.
    pub max: f32,
    /// Smallest magnitude that is not zero; 0 where every value is.
    pub smallest: f32,
    /// Values seen.
    pub samples: u64,
}

impl Range {
    /// Largest magnitude, unclipped.
    pub fn peak(&self) -> f32 {
        self.max.abs().max(self.min.abs())
    }

    fn is_sound(&self) -> bool {
        let all = [self.amax, self.min, self.max, self.smallest];
        all.iter().all(|x| x.is_finite())
            && self.amax >= 0.0
            && self.smallest >= 0.0
            && self.min <= self.max
    }
}

impl RangeTable {
    /// Reads a table.
    ///
    /// # Errors
    /// The file cannot be read, is truncated or something else, or comes from a later socc.
    pub fn read(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u64,
        }
        let fail = |reason: String| TableError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let text = read_text(path)?;
        let version: Version = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        let got = version.format_version;
        if got > u64::from(FORMAT_VERSION) {
            let path = path.to_owned();
            return Err(TableError::Newer { path, got });
        }
        let table: Self = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        for (stage, ranges) in &table.stages {
            if let Some((tensor, _)) = ranges.tensors.iter().find(|(_, r)| !r.is_sound()) {
                return Err(fail(format!(
                    "the range of `{tensor}` in stage `{stage}` is none"
                )));
            }
        }
        Ok(table)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        write_whole(path, |out| {
            serde_json::to_writer_pretty(&mut *out, self)?;
            out.write_all(b"\n")
        })
    }

    /// Ranges of stage `name`, whose graph has the structure hash `graph`.
    ///
    /// # Errors
    /// The table has no such stage, or was made for another graph of it.
    pub fn stage(&self, name: &str, graph: &str) -> Result<&StageRanges> {
        let ranges = self.stages.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.stages.keys().map(String::as_str).collect();
            TableError::NoStage {
                stage: name.to_owned(),
                known: match known.is_empty() {
                    true => "none at all".to_owned(),
                    false => known.join(", "),
                },
            }
        })?;
        if ranges.graph != graph {
            return Err(TableError::OtherGraph {
                stage: name.to_owned(),
                table: ranges.graph.clone(),
                graph: graph.to_owned(),
            });
        }
        Ok(ranges)
    }
}

fn read_text(path: &Path) -> Result<String> {
    let fail = |source| TableError::Read {
        path: path.to_owned(),
        source,
    };
    let meta = fs::metadata(path).map_err(fail)?;
    // Before anything is read: of a pipe or a device there would be no end.
    if !meta.is_file() {
        let kind = io::ErrorKind::InvalidInput;
        return Err(fail(io::Error::new(kind, "it is not a file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| TableError::Foreign {
        path: path.to_owned(),
        reason: "it is not text".to_owned(),
    })
}

/// Writes a file under a temporary name beside `path` and renames it.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let fail = |source| TableError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".socc-");
    // Temporary files are their owner's alone by default; a result is a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(fail)?;
    let mut out = io::BufWriter::new(file);
    fill(&mut out).map_err(fail)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}

#[cfg(test)]
mod tests;
