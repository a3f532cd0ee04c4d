//! Why a data set cannot be used.

use std::io;
use std::path::PathBuf;

use super::Finding;
use crate::host::HostError;

/// Why a data set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder is missing or unreadable.
    #[error("cannot read {path}: {source}; {expected}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
        /// What the data set's layout has there.
        expected: &'static str,
    },
    /// A file has other contents than the layout says.
    #[error("{path} is not usable: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was seen and what is expected.
        reason: String,
    },
    /// A picture cannot be read.
    #[error(transparent)]
    Picture(#[from] HostError),
    /// A video has no frame that can be used.
    #[error("video {video} has no usable frame in {folder}; restore its pictures, or remove it")]
    NoFrames {
        /// The video.
        video: String,
        /// Where its frames should be.
        folder: PathBuf,
    },
    /// A video has no annotations, as the hidden splits of benchmarks.
    #[error("video {video} has no annotations in {folder}; take a split that has some")]
    NoAnnotations {
        /// The video.
        video: String,
        /// Where they should be.
        folder: PathBuf,
    },
    /// Something is wrong, and the caller wants no substitute.
    #[error("{0}; correct the data set")]
    Refused(Box<Finding>),
}

/// Result of reading a data set.
pub type Result<T> = std::result::Result<T, DatasetError>;
