//! Why an evaluation stops.

use super::store::StoreError;
use crate::dataset::DatasetError;
use crate::host::HostError;
use crate::metrics::MetricsError;
use crate::pipeline::PipelineError;
use crate::source::SourceError;

/// Why an evaluation stops.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The data set cannot be used.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// A sentence or picture cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No pipeline can be had for a clip's shape.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// The pipeline fails.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The folder of the evaluation cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Masks cannot be compared.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl From<SourceError> for EvaluateError {
    fn from(error: SourceError) -> Self {
        Self::Source(Box::new(error))
    }
}

/// Result of evaluating.
pub type Result<T> = std::result::Result<T, EvaluateError>;
