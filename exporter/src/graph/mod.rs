//! A typed ONNX graph: every value has an element type and a shape the moment it exists.
//!
//! The operators are methods of [`Graph`], grouped by family; each infers its output's shape and
//! refuses operands that do not fit. Weights stay lazy: an initializer knows how to write its bytes,
//! not what they are.

mod arithmetic;
mod data;
mod layout;
mod linear;
mod naming;
mod node;
mod quantize;
mod reduce;
mod sample;
mod segment;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use arithmetic::dtype_of_onnx;
pub use arithmetic::onnx_dtype;
pub use data::{Data, DataError, Initializer};
pub use layout::WAITING;
pub use naming::is_within;
pub(crate) use node::known_word;
pub use node::{Attribute, Node, scope};

use crate::tensor::{DType, Dim, TensorSpec};

/// The ONNX operator set of every emitted graph: the lowest with `GridSample` (16) and
/// `LayerNormalization` (17), which TensorRT 10.3 to 11 all parse.
pub const OPSET: i64 = 17;

/// A value of a [`Graph`]; only meaningful for the graph that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Value(pub(crate) usize);

/// Why a graph could not be extended.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// Operands whose shapes or types do not fit the operator.
    #[error("graph `{graph}`, {scope}: {op} cannot take {operands}: {reason}")]
    Operands {
        /// Name of the graph.
        graph: String,
        /// Module scope in which the node was added.
        scope: String,
        /// ONNX operator.
        op: &'static str,
        /// The operands, each as `dtype [shape]`.
        operands: String,
        /// What does not fit.
        reason: String,
    },
    /// Two values would have the same name.
    #[error("graph `{graph}` already has a value named `{name}`")]
    DuplicateName {
        /// Name of the graph.
        graph: String,
        /// The name that is taken.
        name: String,
    },
}

/// Result of adding a node.
pub type Result<T = Value> = std::result::Result<T, GraphError>;

/// Type, shape and bytes by which equal constants are told.
type Constant = (DType, Vec<usize>, Arc<[u8]>);

/// What a node does, by which equal ones are told: operator, operands, attributes in words.
type Work = (&'static str, Vec<Option<Value>>, String);

/// A graph under construction, and what is emitted from it.
#[derive(Debug)]
pub struct Graph {
    name: String,
    opset: i64,
    scope: Vec<String>,
    specs: Vec<TensorSpec>,
    names: HashMap<String, Value>,
    inputs: Vec<Value>,
    outputs: Vec<Value>,
    nodes: Vec<Node>,
    initializers: Vec<Initializer>,
    counters: HashMap<String, usize>,
    constants: HashMap<Constant, Value>,
    done: HashMap<Work, Vec<Value>>,
}

impl Graph {
    /// An empty graph called `name`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            opset: OPSET,
            scope: Vec::new(),
            specs: Vec::new(),
            names: HashMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            counters: HashMap::new(),
            constants: HashMap::new(),
            done: HashMap::new(),
        }
    }

    /// The graph's name: its stage.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The ONNX operator set, at first [`OPSET`].
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// Sets the operator set; that the nodes are written in it is the caller's to see to.
    pub fn set_opset(&mut self, opset: i64) {
        self.opset = opset;
    }

    /// The nodes in the order in which they were added, which is topological.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The initializers in the order in which they were added.
    pub fn initializers(&self) -> &[Initializer] {
        &self.initializers
    }

    /// Names, types and shapes of the inputs.
    pub fn inputs(&self) -> Vec<TensorSpec> {
        self.inputs.iter().map(|v| self.spec(*v).clone()).collect()
    }

    /// Names, types and shapes of the outputs.
    pub fn outputs(&self) -> Vec<TensorSpec> {
        self.outputs.iter().map(|v| self.spec(*v).clone()).collect()
    }

    /// The inputs.
    pub fn input_values(&self) -> &[Value] {
        &self.inputs
    }

    /// The outputs.
    pub fn output_values(&self) -> &[Value] {
        &self.outputs
    }

    /// Name, type and shape of a value.
    pub fn spec(&self, value: Value) -> &TensorSpec {
        &self.specs[value.0]
    }

    /// Shape of a value.
    pub fn shape(&self, value: Value) -> &[Dim] {
        &self.specs[value.0].shape
    }

    /// Element type of a value.
    pub fn dtype(&self, value: Value) -> DType {
        self.specs[value.0].dtype
    }

    /// Values that nodes compute and that are no outputs.
    pub fn intermediate(&self) -> impl Iterator<Item = &TensorSpec> {
        self.nodes
            .iter()
            .flat_map(|n| n.outputs.iter())
            .filter(|v| !self.outputs.contains(v))
            .map(|v| self.spec(*v))
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> Result {
        let value = self.new_value(name.to_owned(), dtype, shape.to_vec())?;
        self.inputs.push(value);
        Ok(value)
    }

    /// Makes `value` an output called `name`.
    pub fn output(&mut self, name: &str, value: Value) -> Result<()> {
        let taken = self.inputs.contains(&value) || self.outputs.contains(&value);
        let is_initializer = self.initializers.iter().any(|i| i.value == value);
        if taken || is_initializer {
            let copy = self.identity(value)?;
            return self.output(name, copy);
        }
        if self.names.contains_key(name) {
            return Err(GraphError::DuplicateName {
                graph: self.name.clone(),
                name: name.to_owned(),
            });
        }
        let old = std::mem::replace(&mut self.specs[value.0].name, name.to_owned());
        self.names.remove(&old);
        self.names.insert(name.to_owned(), value);
        self.outputs.push(value);
        Ok(())
    }

    /// Makes `value`, which a node computes, an output under its own name.
    pub fn keep(&mut self, value: Value) {
        if !self.outputs.contains(&value) {
            self.outputs.push(value);
        }
    }

    /// Adds a node as it is said to be: for passes and readers, which know types and shapes already.
    ///
    /// # Errors
    /// An output's name is taken.
    pub fn node(
        &mut self,
        name: &str,
        op: &'static str,
        inputs: Vec<Option<Value>>,
        attributes: Vec<(&'static str, Attribute)>,
        outputs: Vec<TensorSpec>,
    ) -> Result<Vec<Value>> {
        let outputs = outputs
            .into_iter()
            .map(|spec| self.new_value(spec.name, spec.dtype, spec.shape))
            .collect::<Result<Vec<_>>>()?;
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs,
            outputs: outputs.clone(),
            attributes,
        });
        Ok(outputs)
    }

    /// Adds an initializer, or returns the one of the same name that is there already.
    ///
    /// # Errors
    /// The name belongs to a value of another type or shape.
    pub fn initializer(&mut self, name: &str, dtype: DType, shape: &[usize], data: Data) -> Result {
        let dims: Vec<Dim> = shape.iter().map(|n| Dim::Fixed(*n)).collect();
        if let Some(value) = self.names.get(name).copied() {
            let spec = self.spec(value);
            if spec.dtype == dtype && spec.shape == dims {
                return Ok(value);
            }
        }
        let value = self.new_value(name.to_owned(), dtype, dims)?;
        self.initializers.push(Initializer {
            value,
            shape: shape.to_vec(),
            data,
        });
        Ok(value)
    }

    /// A float32 constant; equal constants are shared.
    pub fn constant(&mut self, shape: &[usize], values: &[f32]) -> Result {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.shared(DType::F32, shape, bytes)
    }

    /// An int64 constant; equal constants are shared.
    pub fn constant_i64(&mut self, shape: &[usize], values: &[i64]) -> Result {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.shared(DType::I64, shape, bytes)
    }

    /// An int8 constant; equal constants are shared.
    pub fn constant_i8(&mut self, shape: &[usize], values: &[i8]) -> Result {
        let bytes = values.iter().map(|x| *x as u8).collect();
        self.shared(DType::I8, shape, bytes)
    }

    fn shared(&mut self, dtype: DType, shape: &[usize], bytes: Vec<u8>) -> Result {
        let key = (dtype, shape.to_vec(), Arc::from(bytes));
        if let Some(value) = self.constants.get(&key) {
            return Ok(*value);
        }
        let name = self.fresh("const");
        let data = Data::Bytes(Arc::clone(&key.2));
        let value = self.initializer(&name, dtype, shape, data)?;
        self.constants.insert(key, value);
        Ok(value)
    }

    fn new_value(&mut self, name: String, dtype: DType, shape: Vec<Dim>) -> Result {
        if self.names.contains_key(&name) {
            return Err(GraphError::DuplicateName {
                graph: self.name.clone(),
                name,
            });
        }
        let value = Value(self.specs.len());
        self.names.insert(name.clone(), value);
        self.specs.push(TensorSpec { name, dtype, shape });
        Ok(value)
    }

    /// Adds a node with one output.
    fn push(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: Vec<(&'static str, Attribute)>,
        dtype: DType,
        shape: Vec<Dim>,
    ) -> Result {
        let outputs = self.push_many(op, inputs, attributes, vec![(dtype, shape)])?;
        Ok(outputs[0])
    }

    fn push_many(
        &mut self,
        op: &'static str,
        inputs: &[Value],
        attributes: Vec<(&'static str, Attribute)>,
        outputs: Vec<(DType, Vec<Dim>)>,
    ) -> Result<Vec<Value>> {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.push_node(op, inputs, attributes, outputs)
    }

    fn push_node(
        &mut self,
        op: &'static str,
        inputs: Vec<Option<Value>>,
        attributes: Vec<(&'static str, Attribute)>,
        outputs: Vec<(DType, Vec<Dim>)>,
    ) -> Result<Vec<Value>> {
        // Nothing is computed twice; but an `Identity` is wanted for the name that it gives.
        let work = (op, inputs.clone(), format!("{attributes:?}"));
        if op != "Identity"
            && let Some(values) = self.done.get(&work)
        {
            return Ok(values.clone());
        }
        let name = self.fresh(op);
        let many = outputs.len() > 1;
        let mut values = Vec::with_capacity(outputs.len());
        for (i, (dtype, shape)) in outputs.into_iter().enumerate() {
            let out = if many {
                format!("{name}:{i}")
            } else {
                format!("{name}:out")
            };
            values.push(self.new_value(out, dtype, shape)?);
        }
        self.nodes.push(Node {
            name,
            op,
            inputs,
            outputs: values.clone(),
            attributes,
        });
        self.done.insert(work, values.clone());
        Ok(values)
    }

    fn refuse<T>(
        &self,
        op: &'static str,
        operands: &[Value],
        reason: impl Into<String>,
    ) -> Result<T> {
        let list: Vec<String> = operands.iter().map(|v| self.spec(*v).to_string()).collect();
        Err(GraphError::Operands {
            graph: self.name.clone(),
            scope: self.present_scope().to_owned(),
            op,
            operands: list.join(", "),
            reason: reason.into(),
        })
    }

    /// The shape as numbers; `None` where it has a symbol.
    pub fn fixed_shape(&self, value: Value) -> Option<Vec<usize>> {
        self.shape(value).iter().map(Dim::fixed).collect()
    }
}
