//! Reads a trained SOC++ checkpoint and emits one ONNX graph per pipeline stage.

pub mod checkpoint;
pub mod config;
pub mod digest;
pub mod error;
pub mod graph;
pub mod keys;
pub mod model;
pub mod nn;
pub mod onnx;
pub mod synth;
pub mod tensor;
pub mod weights;
