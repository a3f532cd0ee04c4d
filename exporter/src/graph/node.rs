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

impl Node {
    /// The module scope: what the name has before the operator, empty at the top.
    pub fn scope(&self) -> &str {
        scope(&self.name)
    }

    /// The attribute called `name`.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        let found = self.attributes.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value)
    }
}

/// The module scope in the name of a node or of a value that it makes.
pub fn scope(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(scope, _)| scope)
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

/// Every operator, attribute and word that a graph of this crate may have.
const WORDS: [&str; 66] = [
    "Add",
    "ArgMax",
    "Cast",
    "Concat",
    "Conv",
    "CumSum",
    "DequantizeLinear",
    "Div",
    "Equal",
    "Erf",
    "Expand",
    "Floor",
    "Gather",
    "Gemm",
    "GridSample",
    "Identity",
    "InstanceNormalization",
    "LayerNormalization",
    "Log",
    "MatMul",
    "Max",
    "MaxPool",
    "Min",
    "Mul",
    "QuantizeLinear",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Sub",
    "Transpose",
    "align_corners",
    "asymmetric",
    "axes",
    "axis",
    "bilinear",
    "coordinate_transformation_mode",
    "dilations",
    "epsilon",
    "floor",
    "group",
    "keepdims",
    "kernel_shape",
    "mode",
    "nearest",
    "nearest_mode",
    "padding_mode",
    "pads",
    "perm",
    "stash_type",
    "strides",
    "to",
    "transA",
    "transB",
    "zeros",
    "alpha",
    "beta",
];

/// A word that a graph file may have, as graphs keep it.
pub(crate) fn known_word(word: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|w| *w == word)
}
