//! What each group of layers loses in low precision, and the largest set of groups whose loss a budget bears.
//!
//! A group is scored alone: its stage is lowered in that group only, everything else stays in float32, and the masks are
//! compared with the float32 masks and with the ground truth. The search then orders groups by how much they change masks
//! and measures sets of them together, since losses do not add up.

mod groups;
mod measure;
mod search;
mod state;

use serde::{Deserialize, Serialize};
use socc_calibration::passes::PassError;
use socc_calibration::table::TableError;
use socc_exporter::onnx::OnnxError;

use crate::evaluate::EvaluateError;
use crate::pipeline::PipelineError;

pub use groups::{Group, StageGraphs};
pub use measure::{Clips, Measure};
pub use search::{Found, search};
pub use state::{Settings, State};

/// Why sensitivity cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum SensitivityError {
    /// A stage graph cannot be read or serialised.
    #[error(transparent)]
    Onnx(Box<OnnxError>),
    /// A stage cannot be lowered.
    #[error(transparent)]
    Pass(Box<PassError>),
    /// The range table cannot be used, or a file cannot be written.
    #[error(transparent)]
    Table(Box<TableError>),
    /// The data set cannot be run.
    #[error(transparent)]
    Evaluate(Box<EvaluateError>),
    /// A stage fails.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// There is nothing to compare masks with.
    #[error(
        "none of the {videos} clips has annotations, without which there is no J&F; take an annotated split"
    )]
    NoTruth {
        /// Clips that were asked for.
        videos: usize,
    },
    /// The precision has nothing to lower here.
    #[error(
        "none of the stages has anything that {precision} lowers; take another precision or other stages"
    )]
    Nothing {
        /// The precision.
        precision: String,
    },
}

/// Errors are boxed where they are large, which every result would be otherwise.
macro_rules! boxed {
    ($($variant:ident($error:ty)),*) => {
        $(impl From<$error> for SensitivityError {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        })*
    };
}

boxed!(
    Onnx(OnnxError),
    Pass(PassError),
    Table(TableError),
    Evaluate(EvaluateError)
);

/// Result of measuring.
pub type Result<T> = std::result::Result<T, SensitivityError>;

/// What lowering something did to the masks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// J&F that was lost against float32, in points (hundredths); negative where it rose.
    pub jf_points: f64,
    /// Mean of 1 - IoU with the float32 masks: tells groups apart whose J&F is the same.
    pub mask_change: f64,
}

/// A group and what it loses alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The stage.
    pub stage: String,
    /// The group.
    pub group: String,
    /// Nodes of it that are lowered.
    pub nodes: usize,
    /// What it loses.
    pub loss: Loss,
}
