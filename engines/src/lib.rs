//! Back ends that run the stage graphs, behind one trait.
//!
//! [`engine`] finds a back end by name, [`Engine::compile`] makes one of its stages out of an ONNX graph, and
//! [`Stage::run`] turns input [`Tensor`]s into output [`Tensor`]s. What a stage returns stays in the engine's own form
//! (see [`Buffer`]), so the next stage of the same engine takes it without a copy; [`host`] brings a tensor to the CPU.
//!
//! | name | alias | what |
//! |---|---|---|
//! | `embedded` | `rten` | pure Rust, always there |
//! | `onnxruntime` | `ort` | Microsoft's library, opened at run time |
//! | `onnxruntime:cuda`, `onnxruntime:tensorrt` | `ort:...` | its providers for NVIDIA's GPUs; never the CPU |
//! | `tensorrt-rtx`, `tensorrt` | | plans that `socc build` made, with the cargo features of these names |
//! | `tract` | | pure Rust, with cargo feature `tract` |
//!
//! Graph inputs and outputs are float32, int64, int32 or uint8; within a graph an engine may use what it likes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod check;
pub mod embedded;
mod engine;
mod error;
pub mod onnxruntime;
mod registry;
mod tensor;
#[allow(unsafe_code)] // The one place that calls C.
pub mod tensorrt;
#[cfg(feature = "tract")]
pub mod tract;
mod wheel;

pub use engine::{
    Breakdown, Engine, ModelSource, OperatorTime, Options, PlanTarget, Stage, StageModel,
};
pub use error::EngineError;
pub use registry::{EngineStatus, available, engine};
pub use tensor::{Buffer, HostTensor, Tensor, host};
