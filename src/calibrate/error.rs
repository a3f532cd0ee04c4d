//! Why a calibration stops.

use socc_calibration::observations::ObserveError;
use socc_engines::EngineError;
use socc_exporter::onnx::OnnxError;

use crate::pipeline::PipelineError;

/// Why a calibration stops.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    /// The bundle's graphs bear a precision already.
    #[error(
        "the graphs of this bundle are {precision}, and ranges are measured in fp32; calibrate a bundle exported without --precision"
    )]
    Precision {
        /// Precision in the manifest.
        precision: String,
    },
    /// A stage's graph cannot be read.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// The engine fails.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A stage needs what no earlier one gives.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// An activation is NaN or infinite.
    #[error(transparent)]
    Observe(#[from] ObserveError),
}

/// Result of calibrating.
pub type Result<T> = std::result::Result<T, CalibrateError>;
