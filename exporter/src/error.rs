//! Why a checkpoint could not be turned into graphs.

use crate::graph::GraphError;
use crate::weights::WeightError;

/// Why a stage could not be emitted.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A weight is missing or has the wrong shape.
    #[error(transparent)]
    Weight(#[from] WeightError),
    /// The graph refused a node: the architecture's numbers do not fit each other.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The clip's shape cannot be compiled.
    #[error("{0}")]
    Request(String),
}

/// Result of emitting.
pub type Result<T> = std::result::Result<T, ExportError>;
