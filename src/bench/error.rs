//! Why something could not be measured or compared.

use std::path::PathBuf;

use crate::host::HostError;
use crate::pipeline::PipelineError;
use crate::source::SourceError;

/// Why something could not be measured, written or compared.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The plan would measure nothing.
    #[error("{0}")]
    Plan(&'static str),
    /// Interrupted before the first run that counts had ended.
    #[error(
        "interrupted before one run was finished, so nothing was measured; lower --warmup-ms or --duration-ms"
    )]
    Nothing,
    /// A stage failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// Frames or sentences could not be prepared, or a file not be written.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A source could not be compiled.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// No exporter writes files of this name.
    #[error(
        "{path} cannot be exported to: its name must end in .json, .csv, .md, .trace.json or .html"
    )]
    Suffix {
        /// The file.
        path: PathBuf,
    },
    /// A report cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is no report.
    #[error(
        "{path} is no report of `socc bench`: {reason}; give a file that `--export NAME.json` wrote"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// A report comes from a later socc.
    #[error("{path} has schema version {got} and this socc reads up to {known}; update socc")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u64,
        /// The latest known one.
        known: u64,
    },
    /// Two reports are not about the same thing.
    #[error("the reports differ in {differences}; compare like with like, or pass --force")]
    Unlike {
        /// Each difference with both values.
        differences: String,
    },
}

// Boxed, because it is much larger than the others.
impl From<SourceError> for BenchError {
    fn from(error: SourceError) -> Self {
        Self::Source(Box::new(error))
    }
}

/// Result of measuring.
pub type Result<T> = std::result::Result<T, BenchError>;
