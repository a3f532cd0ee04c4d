//! Explicit Q/DQ pairs: symmetric int8, zero point 0.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use socc_exporter::graph::{Data, Graph, Initializer, Node, Value};
use socc_exporter::tensor::DType;

use super::convert::to_int8;
use super::rewrite::Rewrite;
use super::{Lowering, PassError, Quantized, Report, Result, grouped};
use crate::rules::{Action, Rule};
use crate::table::StageRanges;

/// Largest quantised magnitude: symmetric, so that 0 is 0 and -128 is not used.
const LEVELS: f32 = 127.0;

/// The graph with pairs where the rules put them.
pub(super) fn quantize(graph: &Graph, lowering: &Lowering, report: &mut Report) -> Result<Graph> {
    let ranges = lowering.ranges.ok_or_else(|| PassError::NoRanges {
        stage: graph.name().to_owned(),
        precision: lowering.precision,
    })?;
    let mut pass = Pass {
        rewrite: Rewrite::new(graph)?,
        ranges,
        pairs: HashMap::new(),
        weights: HashMap::new(),
        convolved: HashSet::new(),
    };
    for node in graph.nodes() {
        let kept = lowering.keep_fp32.is_some_and(|re| re.is_match(&node.name));
        let rule = lowering.rules.rule(node);
        let rule = rule.filter(|_| !kept && (lowering.may_lower)(node));
        if pass.node(node, rule)?
            && let Some(rule) = rule
        {
            let group = grouped(
                &mut report.quantized,
                |g: &Quantized| g.rule == rule.name,
                || Quantized {
                    rule: rule.name.to_owned(),
                    nodes: Vec::new(),
                },
            );
            group.nodes.push(node.name.clone());
        }
    }
    pass.rewrite.finish()
}

struct Pass<'a> {
    rewrite: Rewrite<'a>,
    ranges: &'a StageRanges,
    /// Old activation to its dequantised form, which all takers share.
    pairs: HashMap<Value, Value>,
    /// How often each weight was quantised.
    weights: HashMap<Value, usize>,
    /// Results of quantised convolutions.
    convolved: HashSet<Value>,
}

impl Pass<'_> {
    /// Adds a node, and whether it is quantised now.
    fn node(&mut self, node: &Node, rule: Option<&Rule>) -> Result<bool> {
        let graph = self.rewrite.old;
        let action = rule.map_or(Action::Keep, |r| r.action);
        let mut inputs = Vec::with_capacity(node.inputs.len());
        let mut pairs = 0;
        let product = action == Action::Product && self.is_product(node)?;
        let residual = match action {
            Action::Residual => self.branch(node),
            _ => None,
        };
        for (place, input) in node.inputs.iter().enumerate() {
            let Some(value) = *input else {
                inputs.push(None);
                continue;
            };
            let float = graph.dtype(value) == DType::F32;
            let constant = self.rewrite.initializer(value);
            let pair = match (action, constant) {
                _ if !float => None,
                (Action::Product, None) if product && place == 0 => self.activation(node, value)?,
                (Action::Product, Some(w)) if product && place == 1 => {
                    Some(self.weight(node, w, true)?)
                }
                (Action::Residual, None) if residual == Some(value) => {
                    self.activation(node, value)?
                }
                (Action::Everything, None) => self.activation(node, value)?,
                (Action::Everything, Some(w)) if is_matrix(node, place) => {
                    Some(self.weight(node, w, false)?)
                }
                _ => None,
            };
            pairs += usize::from(pair.is_some());
            inputs.push(Some(match pair {
                Some(pair) => pair,
                None => self
                    .rewrite
                    .operand(value, graph.dtype(value), node.scope())?,
            }));
        }
        self.rewrite.node_with(node, inputs, DType::F32)?;
        if product && node.op == "Conv" {
            self.convolved.extend(&node.outputs);
        }
        Ok(pairs > 0)
    }

    /// Whether this is a product of an activation that was seen to be other than 0 with a constant.
    fn is_product(&self, node: &Node) -> Result<bool> {
        let [Some(x), Some(weight), ..] = node.inputs[..] else {
            return Ok(false);
        };
        let constant = |v| self.rewrite.initializer(v).is_some();
        Ok(!constant(x) && constant(weight) && self.scale(node, x)?.is_some())
    }

    /// The operand of an addition that a quantised convolution made, where the other is computed too.
    fn branch(&self, node: &Node) -> Option<Value> {
        let [Some(a), Some(b)] = node.inputs[..] else {
            return None;
        };
        let constant = |v| self.rewrite.initializer(v).is_some();
        let branch = [a, b].into_iter().find(|v| self.convolved.contains(v))?;
        (!constant(a) && !constant(b)).then_some(branch)
    }

    /// Scale of an activation; `None` if it was only ever seen as 0.
    fn scale(&self, node: &Node, value: Value) -> Result<Option<f32>> {
        let name = &self.rewrite.old.spec(value).name;
        let range = self.ranges.tensors.get(name);
        let range = range.ok_or_else(|| PassError::NoRange {
            stage: self.rewrite.old.name().to_owned(),
            tensor: name.clone(),
            node: node.name.clone(),
        })?;
        let scale = range.amax / LEVELS;
        Ok((scale >= f32::MIN_POSITIVE).then_some(scale))
    }

    /// An activation behind its pair; `None` if it was only ever seen as 0.
    fn activation(&mut self, node: &Node, value: Value) -> Result<Option<Value>> {
        if let Some(pair) = self.pairs.get(&value) {
            return Ok(Some(*pair));
        }
        let Some(scale) = self.scale(node, value)? else {
            return Ok(None);
        };
        let x = self.rewrite.operand(value, DType::F32, node.scope())?;
        let g = &mut self.rewrite.new;
        let pair = g.scoped(node.scope(), |g| {
            let scale = g.constant(&[], &[scale])?;
            let zero = g.constant_i8(&[], &[0])?;
            let quantized = g.quantize(x, scale, zero)?;
            g.dequantize(quantized, scale, zero, None)
        })?;
        self.pairs.insert(value, pair);
        Ok(Some(pair))
    }

    /// A weight as int8, dequantised. Weight, scale and zero point are the product's own: ONNX Runtime 1.32 cannot load
    /// a graph in which two products share one of them (with `session.x64quantprecision`).
    fn weight(&mut self, node: &Node, weight: &Initializer, per_channel: bool) -> Result<Value> {
        let values = self.rewrite.read(weight)?;
        let name = self.rewrite.old.spec(weight.value).name.clone();
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(PassError::NotFinite {
                stage: self.rewrite.old.name().to_owned(),
                name,
                value: *value,
            });
        }
        let channels = match per_channel {
            true => weight.shape.first().copied().unwrap_or(1).max(1),
            false => 1,
        };
        let row = values.len().div_ceil(channels).max(1);
        let scales: Vec<f32> = values.chunks(row).map(channel_scale).collect();
        let data = to_int8(&weight.data, Arc::from(scales.as_slice()), row);
        let g = &mut self.rewrite.new;
        let uses = self.weights.entry(weight.value).or_insert(0);
        *uses += 1;
        let own = |what: &str| match *uses {
            1 => format!("{name}.{what}"),
            n => format!("{name}.{n}.{what}"),
        };
        let int8 = g.initializer(&own("int8"), DType::I8, &weight.shape, data)?;
        let shape: &[usize] = if per_channel { &[channels] } else { &[] };
        let bytes: Vec<u8> = scales.iter().flat_map(|s| s.to_le_bytes()).collect();
        let data = Data::Bytes(Arc::from(bytes));
        let scale = g.initializer(&own("scale"), DType::F32, shape, data)?;
        let zeros = Data::Bytes(Arc::from(vec![0; channels]));
        let zero = g.initializer(&own("zero_point"), DType::I8, shape, zeros)?;
        let axis = per_channel.then_some(0);
        Ok(g.scoped(node.scope(), |g| g.dequantize(int8, scale, zero, axis))?)
    }
}

/// Scale of one channel; 1 for a channel of zeros, which any scale represents.
fn channel_scale(values: &[f32]) -> f32 {
    let amax = values.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
    let scale = amax / LEVELS;
    if scale >= f32::MIN_POSITIVE {
        scale
    } else {
        1.0
    }
}

/// Whether the operand at `place` is a factor of a product rather than a bias, an affine weight or a table.
fn is_matrix(node: &Node, place: usize) -> bool {
    place < 2 && matches!(node.op, "Gemm" | "Conv" | "MatMul")
}
