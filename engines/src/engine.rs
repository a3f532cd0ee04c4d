//! What every back end implements.

use std::path::PathBuf;
use std::sync::Arc;

use socc_exporter::tensor::TensorSpec;

use crate::error::EngineError;
use crate::tensor::{HostTensor, Tensor};
use crate::tensorrt::Sm;

/// Where a stage's ONNX graph is.
#[derive(Debug, Clone)]
pub enum ModelSource {
    /// An `.onnx` file with its external data beside it; for an engine that has [`Engine::plans`], a plan.
    File(PathBuf),
    /// A graph in memory.
    Memory {
        /// The serialised `ModelProto`.
        model: Vec<u8>,
        /// External data: the `location` that the graph names, and the bytes.
        external: Vec<(String, Vec<u8>)>,
    },
}

/// A stage before compilation: its graph and what the graph takes and gives.
#[derive(Debug, Clone)]
pub struct StageModel {
    /// Stage name; every error names it.
    pub name: String,
    /// Inputs in the order in which [`Stage::run`] takes them.
    pub inputs: Vec<TensorSpec>,
    /// Outputs in the order in which [`Stage::run`] gives them.
    pub outputs: Vec<TensorSpec>,
    /// The graph.
    pub source: ModelSource,
}

/// How an engine is to run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// CPU threads for one stage; by default the engine's choice, which is the number of physical cores.
    /// Engine `tract` always uses one.
    pub threads: Option<usize>,
    /// ONNX Runtime's shared library, instead of the one that the search finds (see [`crate::onnxruntime`]).
    pub onnxruntime_library: Option<PathBuf>,
    /// Which GPU, counted from 0 as the driver counts them, for engines that compute on one.
    pub device: usize,
    /// Folder of plans for [`Engine::plans`].
    pub plans: Option<PathBuf>,
    /// Whether runs that repeat are captured as CUDA graphs, where the engine can do that.
    pub cuda_graphs: bool,
    /// Whether stages time their operators, which slows them; see [`Stage::operator_times`].
    pub profile: bool,
}

/// What plans have to be for, so that an engine can run them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanTarget {
    /// `tensorrt-rtx` or `tensorrt`.
    pub backend: &'static str,
    /// Version of the library.
    pub tensorrt_version: String,
    /// The GPU.
    pub sm: Sm,
    /// Where they are, where [`Options::plans`] said so.
    pub folder: Option<PathBuf>,
}

/// Time of one operator of a stage, over all runs since the stage was compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorTime {
    /// Name as the engine gives it: that of a node, or of several that it fused.
    pub name: String,
    /// The operator, as the engine calls it.
    pub op: String,
    /// How often it ran.
    pub calls: usize,
    /// How long, in all.
    pub total_ms: f64,
}

/// A back end.
pub trait Engine: Send + Sync {
    /// Name under which [`crate::engine`] finds it.
    fn name(&self) -> &str;

    /// Version of the back end.
    fn version(&self) -> String;

    /// What the plans must be for that this engine runs; `None` where it compiles graphs itself. Such an engine takes
    /// [`ModelSource::File`] for a plan, which the caller has found to be of the graph and for this target.
    fn plans(&self) -> Option<PlanTarget> {
        None
    }

    /// Whether float16 graphs are computed in float16, or at least rounded to it after every node. An engine that widens
    /// them to float32 gives their masks, but does not show what they cost.
    fn rounds_to_half(&self) -> bool {
        true
    }

    /// Makes a runnable stage out of a graph.
    ///
    /// # Errors
    /// When the graph cannot be read, uses what the engine lacks, or has other inputs and outputs than declared.
    fn compile(&self, model: StageModel) -> Result<Box<dyn Stage>, EngineError>;

    /// Brings a tensor to where the engine computes, once, for a tensor that several runs use.
    ///
    /// # Errors
    /// When the device's memory is full.
    fn upload(&self, tensor: HostTensor) -> Result<Tensor, EngineError> {
        Ok(Arc::new(tensor))
    }
}

/// Where the time of one run went, for an engine that computes on a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Breakdown {
    /// Handing the work to the device, on the CPU's clock.
    pub enqueue_ms: f64,
    /// Copies to the device, on the device's clock.
    pub host_to_device_ms: f64,
    /// The computation, on the device's clock.
    pub compute_ms: f64,
    /// Copies from the device, on the device's clock.
    pub device_to_host_ms: f64,
}

/// A compiled stage.
pub trait Stage: Send {
    /// Inputs in the order of [`Stage::run`].
    fn inputs(&self) -> &[TensorSpec];

    /// Outputs in the order of [`Stage::run`].
    fn outputs(&self) -> &[TensorSpec];

    /// Runs the stage. Inputs may come from any engine; outputs are this engine's.
    ///
    /// # Errors
    /// When an input's count, type or shape differs from [`Stage::inputs`] (one symbol has one length throughout a
    /// run), or the engine fails.
    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError>;

    /// Where the time of the latest run went, where the engine can tell.
    fn breakdown(&self) -> Option<Breakdown> {
        None
    }

    /// What the engine does otherwise than it was asked to: a provider, a device or a number of threads that it did
    /// not use, as a phrase for people.
    fn fallback(&self) -> Option<String> {
        None
    }

    /// Ends profiling and gives the time of every operator, in the order in which they first ran; `None` where the
    /// engine has no profiler or [`Options::profile`] was not set.
    ///
    /// # Errors
    /// When the profiler's output cannot be read.
    fn operator_times(&mut self) -> Result<Option<Vec<OperatorTime>>, EngineError> {
        Ok(None)
    }
}
