//! What can be wrong with what a command runs on.

use std::path::PathBuf;

use socc_exporter::checkpoint::CheckpointError;
use socc_exporter::config::ConfigError;
use socc_exporter::error::ExportError;
use socc_exporter::onnx::OnnxError;

use crate::bundle::BundleError;
use crate::engines::EnginesError;
use crate::host::HostError;
use crate::pipeline::PipelineError;

/// Why a source cannot be opened or compiled.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither a bundle nor a checkpoint is there.
    #[error("{path}: {reason}; give a bundle that `socc export` wrote, or a checkpoint")]
    NotFound {
        /// The path.
        path: PathBuf,
        /// The system's reason.
        reason: std::io::Error,
    },
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint's architecture cannot be established.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Weights are missing or have other shapes than the architecture needs.
    #[error("{path}: {summary}; `socc inspect` lists every key")]
    Keys {
        /// The checkpoint.
        path: PathBuf,
        /// How many, and the first of them.
        summary: String,
    },
    /// A stage cannot be emitted.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A graph cannot be serialised.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// A stage cannot be compiled.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The bundle's plans cannot be used.
    #[error(transparent)]
    Engines(#[from] EnginesError),
    /// The engine runs plans, which a checkpoint has none of.
    #[error(
        "engine `{engine}` runs what `socc build` makes of a bundle, and {path} is a checkpoint; run `socc export`, then `socc build`"
    )]
    NeedsPlans {
        /// The engine.
        engine: String,
        /// The checkpoint.
        path: PathBuf,
    },
    /// No tokenizer is known.
    #[error(
        "{path} comes without a tokenizer; give the folder of the text encoder's tokenizer files with --tokenizer"
    )]
    NoTokenizer {
        /// The source.
        path: PathBuf,
    },
    /// The tokenizer cannot be loaded.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A bundle of whole clips was asked for an evaluation of single annotated frames.
    #[error(
        "all stages of {path} take whole clips; where one frame of a clip is annotated, what follows the backbone takes that frame alone: run `socc export` with --annotated-frame, or give the checkpoint itself"
    )]
    WholeClips {
        /// The bundle.
        path: PathBuf,
    },
    /// A bundle for single annotated frames was asked for whole clips.
    #[error(
        "{path} was exported with --annotated-frame: what follows its backbone takes one frame of a clip, which only `socc eval` of a2d-sentences and jhmdb-sentences asks for; run `socc export` without it, or give the checkpoint itself"
    )]
    AnnotatedFrame {
        /// The bundle.
        path: PathBuf,
    },
    /// A bundle was asked for another clip than it was exported for.
    #[error(
        "{path} was exported for {got}; {wanted} needs `socc export` with other --frames and --size, or the checkpoint itself"
    )]
    Fixed {
        /// The bundle.
        path: PathBuf,
        /// What it was exported for.
        got: String,
        /// What was asked for.
        wanted: String,
    },
}
