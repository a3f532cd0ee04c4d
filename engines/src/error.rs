//! What can go wrong between a stage graph and its answer.

use std::path::PathBuf;

use socc_exporter::tensor::DType;

/// An engine that is missing, a graph that it refuses, or tensors that do not fit a stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// No engine has this name.
    #[error("unknown engine `{name}`{suggestion}; this build has {known}", suggestion = suggest(.nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known name that it resembles.
        nearest: Option<String>,
        /// Names that would have been accepted.
        known: String,
    },
    /// The engine exists but cannot be used on this machine.
    #[error("engine `{engine}` cannot be used: {detail}; {remedy}")]
    Unavailable {
        /// Engine name.
        engine: &'static str,
        /// What is missing.
        detail: String,
        /// What to do.
        remedy: String,
    },
    /// A file of the model cannot be read or written.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The engine refuses a stage's graph.
    #[error(
        "stage `{stage}`: engine `{engine}` cannot load its graph: {detail}; try another engine (`socc doctor` lists them)"
    )]
    Load {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
        /// The engine's reason.
        detail: String,
    },
    /// The graph's inputs or outputs are not those that the stage declares.
    #[error(
        "stage `{stage}`: the {role}s of its graph are [{got}], the stage declares [{expected}]; export the bundle again"
    )]
    Names {
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        role: &'static str,
        /// Declared names.
        expected: String,
        /// Names in the graph.
        got: String,
    },
    /// An input or output has a type that does not cross stage borders.
    #[error(
        "stage `{stage}`: {role} `{tensor}` is {dtype}; graph inputs and outputs must be float32, int64, int32 or uint8"
    )]
    Border {
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        role: &'static str,
        /// Tensor name.
        tensor: String,
        /// Its type.
        dtype: DType,
    },
    /// Too many or too few tensors.
    #[error("stage `{stage}` has {expected} {role}s ({names}), got {got}")]
    Count {
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        role: &'static str,
        /// How many it has.
        expected: usize,
        /// How many came.
        got: usize,
        /// Names of those it has.
        names: String,
    },
    /// A tensor of the wrong element type.
    #[error("stage `{stage}`: {role} `{tensor}` must be {expected}, got {got}")]
    DType {
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        role: &'static str,
        /// Tensor name.
        tensor: String,
        /// Declared type.
        expected: DType,
        /// Type that came.
        got: DType,
    },
    /// A tensor of the wrong shape.
    #[error("stage `{stage}`: {role} `{tensor}` must have shape {expected}, got {got:?}")]
    Shape {
        /// Stage name.
        stage: String,
        /// `input` or `output`.
        role: &'static str,
        /// Tensor name.
        tensor: String,
        /// Declared shape, symbols by name, and the tensor that gave a symbol its length.
        expected: String,
        /// Shape that came.
        got: Vec<usize>,
    },
    /// An integer that the engine's narrower type cannot hold.
    #[error(
        "stage `{stage}`: input `{tensor}` holds {value}, outside the 32-bit integers that engine `{engine}` computes with"
    )]
    Range {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
        /// Tensor name.
        tensor: String,
        /// The first such value.
        value: i64,
    },
    /// The engine failed while it ran a stage.
    #[error("stage `{stage}`: engine `{engine}` failed while running it: {detail}")]
    Run {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
        /// The engine's reason.
        detail: String,
    },
    /// The engine panicked; it was caught and the process goes on.
    #[error(
        "stage `{stage}`: engine `{engine}` panicked while {action} it ({detail}): a defect of the engine; try another one (`socc doctor` lists them)"
    )]
    Panic {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
        /// `loading` or `running`.
        action: &'static str,
        /// The panic's message.
        detail: String,
    },
    /// A stage's plan takes or gives something else than the stage.
    #[error(
        "stage `{stage}`: the plan is not that of its graph: {detail}; build it again with `socc build`"
    )]
    Plan {
        /// Stage name.
        stage: String,
        /// Tensor, expected and got.
        detail: String,
    },
    /// A graph for an engine that runs plans.
    #[error(
        "stage `{stage}`: engine `{engine}` runs plans, not graphs; export a bundle and build its plans with `socc build`"
    )]
    NeedsPlan {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
    },
    /// The times of a stage's operators could not be had.
    #[error("stage `{stage}`: the profile of engine `{engine}` cannot be read: {detail}")]
    Profile {
        /// Engine name.
        engine: &'static str,
        /// Stage name.
        stage: String,
        /// The reason.
        detail: String,
    },
    /// A tensor was read as another type than it has.
    #[error("a tensor of shape {shape:?} was read as {expected} but holds {got}")]
    HostDType {
        /// Type asked for.
        expected: DType,
        /// Type it has.
        got: DType,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// A tensor could not be brought to an engine's device.
    #[error("cannot copy a tensor to the device of engine `{engine}`: {detail}")]
    Upload {
        /// Engine name.
        engine: &'static str,
        /// The reason.
        detail: String,
    },
    /// An engine's buffer could not be brought to the CPU.
    #[error("cannot copy a tensor of engine `{engine}` to the CPU: {detail}")]
    Download {
        /// Engine name.
        engine: &'static str,
        /// The reason.
        detail: String,
    },
    /// `socc setup` could not finish; nothing was left behind.
    #[error("cannot set up {title}: {detail}; {remedy}")]
    Setup {
        /// What was to be set up.
        title: &'static str,
        /// What failed.
        detail: String,
        /// What to do.
        remedy: String,
    },
}

fn suggest(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!(" (did you mean `{name}`?)"))
        .unwrap_or_default()
}
