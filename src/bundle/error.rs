//! Why a bundle cannot be written or used.

use std::io;
use std::path::{Path, PathBuf};

use socc_exporter::checkpoint::CheckpointError;
use socc_exporter::onnx::OnnxError;

use super::FORMAT_VERSION;
use crate::host::HostError;

/// Why a bundle cannot be written or used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; export or copy the bundle again")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The destination holds something already.
    #[error("{path} exists and is not empty; name another folder, or pass --force to replace it")]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The destination holds something that is no bundle, which not even `force` replaces.
    #[error(
        "{path} holds something else than a bundle, which --force does not replace; name another folder"
    )]
    Foreign {
        /// The destination.
        path: PathBuf,
    },
    /// The manifest is missing or is not one.
    #[error("{path} is no bundle manifest: {reason}; run `socc export` again")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The manifest comes from a later socc.
    #[error(
        "{path} has format version {got} and this socc reads up to {FORMAT_VERSION}; update socc"
    )]
    Newer {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        got: u64,
    },
    /// A file is not the one that was exported.
    #[error(
        "{path} has changed since the export: its SHA-256 is {got} where the manifest says {expected}; export or copy the bundle again"
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// SHA-256 in the manifest.
        expected: String,
        /// SHA-256 of the file.
        got: String,
    },
    /// A file has another length than the one that was exported, or is none.
    #[error(
        "{path} has changed since the export: it has {got} bytes where the manifest says {expected}; export or copy the bundle again"
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes that it has.
        got: u64,
    },
    /// The manifest names a file outside the bundle.
    #[error("{path} names the file `{file}`, which is not inside the bundle; export it again")]
    Outside {
        /// The manifest.
        path: PathBuf,
        /// The name.
        file: String,
    },
    /// The checkpoint could not be hashed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A stage could not be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A file or folder could not be written.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Result of bundle work.
pub type Result<T> = std::result::Result<T, BundleError>;

pub(super) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Read { path, source }
}

pub(super) fn write_error(path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    let path = path.to_owned();
    move |source| BundleError::Host(HostError::Write { path, source })
}
