//! Why a synthetic checkpoint could not be written.

use std::io;
use std::path::PathBuf;

use super::preset::Preset;

/// A name that is none of the official models'.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no official model; take one of {names}", names = Preset::ALL.map(Preset::name).join(", "))]
pub struct UnknownPreset(pub String);

/// Why a synthetic checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// The destination names no file in a folder.
    #[error("{path} names no file to write; give a path that ends with a file name")]
    NoFileName {
        /// The destination.
        path: PathBuf,
    },
    /// The system refused the bytes; what had been written is removed.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The dims are so large that sizes in bytes cannot be counted.
    #[error("{path}: `{key}` of shape {shape:?} has too many elements; use smaller dims")]
    TooLarge {
        /// The destination.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The safetensors header could not be made.
    #[error("{path}: no safetensors header can be made: {reason}; use fewer layers")]
    Header {
        /// The destination.
        path: PathBuf,
        /// What the format says.
        reason: String,
    },
}
