//! What an interrupted calibration leaves, so that another goes on from it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::document::write_whole;
use crate::observations::Observations;
use crate::table::TableError;

/// What a state file begins with; the number is the version of what follows.
const MAGIC: &[u8] = b"socc calibration state 1\n";
/// Longest state that is read; one of the full-size model has some 20 MB.
const MAX_BYTES: u64 = 4 << 30;

/// Why a state cannot be taken up.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is none.
    #[error("there is no {path}, so nothing to resume; run without --resume")]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The file is truncated, from another version, or something else.
    #[error(
        "{path} is no calibration state of this socc: {reason}; delete it and run without --resume"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The state belongs to another calibration.
    #[error(
        "{path} holds another calibration: {difference}; resume with what it was begun with, or delete it and run without --resume"
    )]
    Other {
        /// The file.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
}

/// Result of work on states.
pub type Result<T> = std::result::Result<T, StateError>;

/// What a calibration runs on. The method is none of it: observations serve every method.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Fingerprint of the checkpoint.
    pub checkpoint: String,
    /// The engine and its version.
    pub engine: String,
    /// Folder of the data set.
    pub data: String,
    /// Its split.
    pub split: String,
    /// The clips in the order in which they run.
    pub clips: Vec<ClipSettings>,
}

/// One clip of [`Settings`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipSettings {
    /// Name.
    pub name: String,
    /// Names of its frames.
    pub frames: Vec<String>,
    /// Its expressions.
    pub expressions: Vec<String>,
}

impl Settings {
    /// What differs, in words: this is there, `now` is asked for.
    fn difference(&self, now: &Self) -> Option<String> {
        let facts = [
            ("checkpoint", &self.checkpoint, &now.checkpoint),
            ("engine", &self.engine, &now.engine),
            ("data set", &self.data, &now.data),
            ("split", &self.split, &now.split),
        ];
        if let Some((what, there, now)) = facts.into_iter().find(|(_, a, b)| a != b) {
            return Some(format!("its {what} is {there}, this one's {now}"));
        }
        let (there, asked) = (self.clips.len(), now.clips.len());
        if there != asked {
            return Some(format!("it is over {there} clips, this one over {asked}"));
        }
        let mut clips = self.clips.iter().zip(&now.clips);
        let (there, now) = clips.find(|(a, b)| a != b)?;
        Some(match there.name == now.name {
            true => format!("clip `{}` has other frames or expressions now", now.name),
            false => format!("it has clip `{}` in place of `{}`", there.name, now.name),
        })
    }
}

/// A calibration as far as it has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What it runs on.
    pub settings: Settings,
    /// Clips that are done.
    pub clips_done: usize,
    /// What was seen in them.
    pub observations: Observations,
}

impl State {
    /// Reads the state of the calibration that `self` begins.
    ///
    /// # Errors
    /// The file is missing, damaged, or belongs to a calibration of something else.
    pub fn resume(self, path: &Path) -> Result<Self> {
        let found = read(path)?;
        let other = |difference: String| StateError::Other {
            path: path.to_owned(),
            difference,
        };
        if let Some(difference) = found.settings.difference(&self.settings) {
            return Err(other(difference));
        }
        let graphs = |state: &Self| -> Vec<(String, String)> {
            let graphs = state.observations.graphs();
            graphs.map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
        };
        let (there, now) = (graphs(&found), graphs(&self));
        if let Some((stage, _)) = now.iter().find(|graph| !there.contains(graph)) {
            return Err(other(format!("its graph of stage `{stage}` is another")));
        }
        Ok(found)
    }

    /// Writes the state, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> std::result::Result<(), TableError> {
        write_whole(path, |out| {
            out.write_all(MAGIC)?;
            postcard::to_io(self, out).map_err(io::Error::other)?;
            Ok(())
        })
    }
}

fn read(path: &Path) -> Result<State> {
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => StateError::Missing {
            path: path.to_owned(),
        },
        _ => StateError::Read {
            path: path.to_owned(),
            source,
        },
    };
    let foreign = |reason: &str| StateError::Foreign {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let meta = fs::metadata(path).map_err(fail)?;
    // Before anything is read: of a pipe or a device there would be no end.
    if !meta.is_file() {
        return Err(foreign("it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    let rest = bytes.strip_prefix(MAGIC);
    let rest = rest.ok_or_else(|| foreign("it begins otherwise"))?;
    let state: State = postcard::from_bytes(rest).map_err(|e| foreign(&e.to_string()))?;
    let clips = state.clips_done <= state.settings.clips.len();
    if !clips || !state.observations.is_sound() {
        return Err(foreign("its counts do not fit each other"));
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
