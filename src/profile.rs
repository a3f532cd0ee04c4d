//! Where a stage's time goes: by operator, and by the module of the model that an operator came from.
//!
//! [`LayerMap`] leads every layer that a back end reports, also one that it fused from several nodes, back to the nodes
//! of the graph and their module scope; [`trtexec`] reads what TensorRT's `trtexec` wrote on a device.

mod layers;
mod summary;
#[cfg(test)]
mod tests;
pub mod trtexec;

pub use layers::{LayerMap, Origin};
pub use summary::{OperatorRow, ScopeRow, StageProfile};

/// Why a profile cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is something else.
    #[error("{path} is not what `trtexec {option}` writes: {reason}")]
    Foreign {
        /// The file.
        path: std::path::PathBuf,
        /// The option that writes such files.
        option: &'static str,
        /// What was seen.
        reason: String,
    },
}

/// Result of reading a profile.
pub type Result<T> = std::result::Result<T, ProfileError>;
