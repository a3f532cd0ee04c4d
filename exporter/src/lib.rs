//! Reads a trained SOC++ checkpoint and emits one ONNX graph per pipeline stage.

pub mod tensor;
