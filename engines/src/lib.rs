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
//! | `tract` | | pure Rust, with cargo feature `tract` |
//!
//! Graph inputs and outputs are float32, int64, int32 or uint8; within a graph an engine may use what it likes.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod check;
pub mod embedded;
mod engine;
mod error;
pub mod onnxruntime;
mod registry;
mod tensor;
#[cfg(feature = "tract")]
pub mod tract;

pub use engine::{Breakdown, Engine, ModelSource, OperatorTime, Options, Stage, StageModel};
pub use error::EngineError;
pub use registry::{EngineStatus, available, engine};
pub use tensor::{Buffer, HostTensor, Tensor, host};
