//! A graph written anew from another, node by node.

use std::collections::HashMap;

use socc_exporter::graph::{Attribute, Data, Graph, Initializer, Node, Value, onnx_dtype};
use socc_exporter::tensor::{DType, TensorSpec};

use super::convert::to_half;
use super::{PassError, Result, convert};

/// A new graph and what became of the old one's values.
pub(super) struct Rewrite<'a> {
    pub old: &'a Graph,
    pub new: Graph,
    initializers: HashMap<Value, &'a Initializer>,
    /// Old value to the new one, in whatever type it was made.
    made: HashMap<Value, Value>,
    /// The same in other types.
    cast: HashMap<(Value, DType), Value>,
    /// Casts between float types that were added.
    pub casts: usize,
}

/// The same graph again.
pub(super) fn copy(old: &Graph) -> Result<Graph> {
    let mut rewrite = Rewrite::new(old)?;
    for node in old.nodes() {
        let inputs = node.inputs.iter().flatten();
        let types: Vec<DType> = inputs.map(|v| old.dtype(*v)).collect();
        rewrite.node(node, &types, DType::F32)?;
    }
    rewrite.finish()
}

impl<'a> Rewrite<'a> {
    /// Starts with the inputs of `old`.
    pub(super) fn new(old: &'a Graph) -> Result<Self> {
        let mut new = old.successor();
        let mut made = HashMap::new();
        let inputs = old.input_values().iter();
        for value in inputs {
            let spec = old.spec(*value);
            made.insert(*value, new.input(&spec.name, spec.dtype, &spec.shape)?);
        }
        let initializers = old.initializers().iter().map(|i| (i.value, i)).collect();
        Ok(Self {
            old,
            new,
            initializers,
            made,
            cast: HashMap::new(),
            casts: 0,
        })
    }

    /// The initializer behind an old value.
    pub(super) fn initializer(&self, value: Value) -> Option<&'a Initializer> {
        self.initializers.get(&value).copied()
    }

    /// All values of a float32 initializer.
    pub(super) fn read(&self, initializer: &Initializer) -> Result<Vec<f32>> {
        let fail = |source| PassError::Weight {
            stage: self.old.name().to_owned(),
            name: self.old.spec(initializer.value).name.clone(),
            source,
        };
        convert::read(&initializer.data).map_err(fail)
    }

    /// Old value in type `dtype`: the initializer converted, or a computed value behind a cast, once for all users.
    pub(super) fn operand(&mut self, value: Value, dtype: DType, scope: &str) -> Result<Value> {
        if let Some(done) = self.cast.get(&(value, dtype)) {
            return Ok(*done);
        }
        let operand = match self.initializer(value) {
            Some(initializer) => self.constant(initializer, dtype)?,
            None => {
                let made = self.made.get(&value).copied().unwrap_or(value);
                if self.new.dtype(made) == dtype {
                    made
                } else {
                    self.casts += 1;
                    self.new.scoped(scope, |g| g.cast(made, dtype))?
                }
            }
        };
        self.cast.insert((value, dtype), operand);
        Ok(operand)
    }

    fn constant(&mut self, initializer: &Initializer, dtype: DType) -> Result<Value> {
        let spec = self.old.spec(initializer.value);
        let (name, data): (String, Data) = match (spec.dtype, dtype) {
            (DType::F32, DType::F16) => (format!("{}.fp16", spec.name), to_half(&initializer.data)),
            _ => (spec.name.clone(), initializer.data.clone()),
        };
        Ok(self
            .new
            .initializer(&name, dtype, &initializer.shape, data)?)
    }

    /// Adds `node` again with its operands in the types `types` and float results in `result`.
    pub(super) fn node(&mut self, node: &Node, types: &[DType], result: DType) -> Result<()> {
        let mut types = types.iter();
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            inputs.push(match (input, input.and_then(|_| types.next())) {
                (Some(value), Some(dtype)) => Some(self.operand(*value, *dtype, node.scope())?),
                _ => None,
            });
        }
        self.node_with(node, inputs, result)
    }

    /// Adds `node` again with operands of the new graph.
    pub(super) fn node_with(
        &mut self,
        node: &Node,
        inputs: Vec<Option<Value>>,
        result: DType,
    ) -> Result<()> {
        let outputs = node
            .outputs
            .iter()
            .map(|v| self.result(*v, result))
            .collect();
        let mut attributes = node.attributes.clone();
        for (name, value) in &mut attributes {
            // The target of a cast is a type of the graph like any other.
            if node.op == "Cast" && *name == "to" {
                *value = Attribute::Int(onnx_dtype(self.result(node.outputs[0], result).dtype));
            }
        }
        let made = self
            .new
            .node(&node.name, node.op, inputs, attributes, outputs)?;
        self.made.extend(node.outputs.iter().copied().zip(made));
        Ok(())
    }

    /// What a result will be. The name of a graph output is left to the value that has the output's type.
    fn result(&self, value: Value, float: DType) -> TensorSpec {
        let mut spec = self.old.spec(value).clone();
        if spec.dtype.is_float() && spec.dtype != float {
            spec.dtype = float;
            if self.old.output_values().contains(&value) {
                spec.name = format!("{}.fp16", spec.name);
            }
        }
        spec
    }

    /// Makes the outputs of the old graph those of the new one, in their old types, and returns it.
    pub(super) fn finish(mut self) -> Result<Graph> {
        for value in self.old.output_values() {
            let spec = self.old.spec(*value);
            let made = self.made.get(value).copied().unwrap_or(*value);
            if self.new.dtype(made) == spec.dtype {
                self.new.keep(made);
                continue;
            }
            let cast = self.operand(*value, spec.dtype, self.old.name())?;
            self.new.output(&spec.name, cast)?;
        }
        Ok(self.new)
    }
}
