//! The range table: what each tensor's values were, on which data, in which graphs.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::{self, Kind};
use crate::method::Method;

/// Version of the table's layout. A reader refuses a newer one.
pub const FORMAT_VERSION: u32 = 1;

/// Why a range table or a precision plan cannot be written, read or used.
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
    #[error("{path} is no {what}: {reason}; make one with `{command}`")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What was seen.
        reason: String,
        /// The command that makes one.
        command: &'static str,
    },
    /// The file comes from a later socc.
    #[error("{path} has format version {got} and this socc reads up to {known}; update socc")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u64,
        /// The newest version that is known here.
        known: u32,
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
    /// The file was made for another graph.
    #[error(
        "the {what} was made for another graph of stage `{stage}`: its structure has SHA-256 {table}, this one's has {graph}; run `{command}` on a bundle of the same architecture, --frames, --size, --deformable and --annotated-frame"
    )]
    OtherGraph {
        /// What the file is.
        what: &'static str,
        /// The stage.
        stage: String,
        /// Structure hash in the file.
        table: String,
        /// Structure hash of the graph at hand.
        graph: String,
        /// The command that makes one.
        command: &'static str,
    },
    /// The file was made for another checkpoint.
    #[error(
        "the {what} was made for another checkpoint (fingerprint {got}, this one has {expected}); run `{command}` on a bundle of this checkpoint"
    )]
    OtherCheckpoint {
        /// What the file is.
        what: &'static str,
        /// Fingerprint in the file.
        got: String,
        /// Fingerprint of the checkpoint at hand.
        expected: String,
        /// The command that makes one.
        command: &'static str,
    },
}

/// Result of work on tables.
pub type Result<T> = std::result::Result<T, TableError>;

const KIND: Kind = Kind {
    what: "range table",
    command: "socc calibrate",
    version: FORMAT_VERSION,
};

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
        let table: Self = document::read(path, &KIND)?;
        for (stage, ranges) in &table.stages {
            if let Some((tensor, _)) = ranges.tensors.iter().find(|(_, r)| !r.is_sound()) {
                let reason = format!("the range of `{tensor}` in stage `{stage}` is none");
                return Err(KIND.foreign(path, reason));
            }
        }
        Ok(table)
    }

    /// Writes the table, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        document::write(path, self)
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
                what: KIND.what,
                command: KIND.command,
                stage: name.to_owned(),
                table: ranges.graph.clone(),
                graph: graph.to_owned(),
            });
        }
        Ok(ranges)
    }

    /// Refuses a table that was made for another checkpoint than that of fingerprint `expected`.
    ///
    /// # Errors
    /// It was.
    pub fn check_checkpoint(&self, expected: &str) -> Result<()> {
        KIND.check_checkpoint(&self.checkpoint, expected)
    }
}

#[cfg(test)]
mod tests;
