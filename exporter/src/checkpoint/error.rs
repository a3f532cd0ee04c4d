//! Why a checkpoint could not be read.

use std::io;
use std::path::PathBuf;

use crate::tensor::DType;

/// Why a checkpoint could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is missing, or the system refuses to read it.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is of no known format.
    #[error(
        "{path} is not a checkpoint that socc reads: {reason}; give a file written by torch.save, or a safetensors file"
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The file is of a known format but damaged.
    #[error("{path} is truncated or corrupt: {reason}; copy or download it again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The weights are made by a class or function that is none of PyTorch's plain tensors.
    #[error(
        "{path}: the weights need Python's `{name}`, which socc does not know; nothing of the file was executed; load it where it is trusted and save only `model.state_dict()`"
    )]
    ForeignGlobal {
        /// The file.
        path: PathBuf,
        /// The class or function, with its module.
        name: String,
    },
    /// A list or dict of a foreign class: its items cannot be told from the weights.
    #[error(
        "{path} holds a list or dict of another class than Python's own, such as `collections.defaultdict`, or is corrupt; nothing of it was executed; load it where it is trusted and save only `model.state_dict()`"
    )]
    ForeignContainer {
        /// The file.
        path: PathBuf,
    },
    /// No tensors where a state dict is looked for.
    #[error(
        "{path} holds no state dict: no tensors at the top level nor under `model_state_dict`, `model` or `state_dict`; save `model.state_dict()`"
    )]
    NoStateDict {
        /// The file.
        path: PathBuf,
    },
    /// A tensor is missing.
    #[error("{path}: the checkpoint has no `{key}`")]
    MissingKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A tensor of integers was needed.
    #[error("{path}: `{key}` holds {got} where integers were expected")]
    DType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it holds.
        got: DType,
    },
    /// An element type that no model has.
    #[error("{path}: `{key}` has element type {got}, which socc does not read; save it as float32")]
    UnsupportedDType {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What it holds.
        got: String,
    },
    /// The destination refused the bytes.
    #[error("cannot write a tensor: {0}")]
    Write(#[source] io::Error),
}
