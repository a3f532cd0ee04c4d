//! Nodes and their attributes.

use super::Value;

/// One operator application.
#[derive(Debug, Clone)]
pub struct Node {
    /// Module scope, operator and a running number: `encoder.layers.0.norm1/LayerNormalization`.
    pub name: String,
    /// ONNX operator.
    pub op: &'static str,
    /// Operands in ONNX order; an optional one that is left out is `None`.
    pub inputs: Vec<Option<Value>>,
    /// Results in ONNX order.
    pub outputs: Vec<Value>,
    /// Attributes by name.
    pub attributes: Vec<(&'static str, Attribute)>,
}

/// Value of a node attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// `INT`
    Int(i64),
    /// `FLOAT`
    Float(f32),
    /// `STRING`
    String(&'static str),
    /// `INTS`
    Ints(Vec<i64>),
}
