//! Why TensorRT cannot make an engine of a stage.

use std::fmt;
use std::path::PathBuf;

use socc_exporter::onnx::OnnxError;

use super::sm::{Sm, hint, list};
use super::variant::Variant;
use crate::error::EngineError;

/// Why TensorRT cannot make an engine of a stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The library is missing or does not fit.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The graph cannot be read.
    #[error(transparent)]
    Graph(#[from] OnnxError),
    /// The library does not build for that GPU.
    #[error(
        "{} does not build for SM {sm}{}; it builds for {}; for another GPU use `--backend tensorrt` on a machine that has it, or `--backend trtexec`, which writes a script for the device",
        .variant.title(), hint(*.sm), list(.variant.targets())
    )]
    Target {
        /// Whose library.
        variant: Variant,
        /// What was asked for.
        sm: Sm,
    },
    /// The library builds for the GPU that is present and takes no list.
    #[error(
        "{} builds for the GPU that is present, so --sm {} cannot be asked for; leave it out",
        .variant.title(), list(.sms)
    )]
    PresentOnly {
        /// Whose library.
        variant: Variant,
        /// What was asked for.
        sms: Vec<Sm>,
    },
    /// An input has a symbolic axis that no profile is known for.
    #[error("stage `{stage}`: TensorRT refuses the lengths {lengths} of input `{input}`: {reason}")]
    Profile {
        /// Stage name.
        stage: String,
        /// Input name.
        input: String,
        /// The three shapes.
        lengths: String,
        /// TensorRT's words.
        reason: String,
    },
    /// The parser refuses the graph.
    #[error(
        "stage `{stage}`: {library} cannot parse {failure}; see `socc build --check`, and try the other `--deformable` or another `--precision` of `socc export`"
    )]
    Parse {
        /// Stage name.
        stage: String,
        /// Title and version.
        library: String,
        /// Where and why.
        failure: Failure,
    },
    /// The builder fails.
    #[error(
        "stage `{stage}`: {library} cannot build {failure}; try the other `--deformable` or another `--precision` of `socc export`, or more `--workspace`"
    )]
    Build {
        /// Stage name.
        stage: String,
        /// Title and version.
        library: String,
        /// Where and why.
        failure: Failure,
    },
    /// The caller stopped the build.
    #[error("the build of stage `{stage}` was stopped")]
    Stopped {
        /// Stage name.
        stage: String,
    },
    /// A path that TensorRT cannot take.
    #[error("{path} is not UTF-8 text, which TensorRT needs; rename the folder")]
    Path {
        /// The path.
        path: PathBuf,
    },
}

/// What TensorRT said about a graph, and the node that it meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The node, where the message names one.
    pub node: Option<Place>,
    /// TensorRT's own words.
    pub message: String,
}

/// A node of a stage's graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its name, `SCOPE/Op_n`.
    pub name: String,
    /// Its operator.
    pub op: String,
}

impl Place {
    /// The module that it belongs to.
    pub fn scope(&self) -> &str {
        self.name.rsplit_once('/').map_or("", |(scope, _)| scope)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(
                f,
                "node `{}` ({}, module `{}`): {}",
                node.name,
                node.op,
                node.scope(),
                self.message
            ),
            None => write!(f, "its graph: {}", self.message),
        }
    }
}
