//! Which nodes stay in float32 when the others become float16.

use std::collections::{HashMap, HashSet};

use half::f16;
use socc_exporter::graph::{Graph, Node, Value};
use socc_exporter::tensor::{DType, Dim};

use super::convert::half_fit;
use super::rewrite::Rewrite;
use super::{Lowering, PassError, Result};
use crate::hazards::hazard;

/// Largest measured magnitude that float16 is trusted with: half of what it holds, for data that was not measured.
const HALF_LIMIT: f32 = 32_752.0;
/// Largest relative L2 error of rounding a weight to float16; 2.1e-4 is what normal numbers cost.
const WEIGHT_ERROR: f64 = 5e-4;
/// Largest map side for which half coordinates of a sampling grid miss by at most 1/64 pixel: near the edge they are
/// 2^-12 off, of half the side.
const MAX_HALF_GRID: usize = 128;

/// What a node computes in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Choice {
    /// Float16.
    Half,
    /// Float32, and whether elementwise steps on it stay so.
    Single { reason: String, sticky: bool },
    /// The type of its operand, which stays in float32.
    Follows,
    /// No float operand or result, or one that is no matter of choice.
    Neutral,
}

impl Choice {
    fn single(reason: impl Into<String>, sticky: bool) -> Self {
        let reason = reason.into();
        Self::Single { reason, sticky }
    }

    /// Type of the node's float results.
    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Half => DType::F16,
            _ => DType::F32,
        }
    }

    fn is_single(&self) -> bool {
        matches!(self, Self::Single { .. } | Self::Follows)
    }
}

/// Operators that move elements without changing them.
const LAYOUT: [&str; 11] = [
    "Concat",
    "Expand",
    "Gather",
    "Identity",
    "MaxPool",
    "Relu",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Transpose",
];
/// Operators whose first two operands are multiplied.
const FACTORS: [&str; 7] = [
    "Conv",
    "DequantizeLinear",
    "Div",
    "Gemm",
    "MatMul",
    "Mul",
    "QuantizeLinear",
];
/// Elementwise operators.
const POINTWISE: [&str; 10] = [
    "Add", "Cast", "Div", "Erf", "Floor", "Max", "Min", "Mul", "Sigmoid", "Sub",
];

/// The choice for every node of the graph behind `rewrite`, in order.
pub(super) fn choose(rewrite: &Rewrite, lowering: &Lowering) -> Result<Vec<Choice>> {
    let graph = rewrite.old;
    let view = View::new(graph);
    let coordinates = view.coordinates();
    let mut choices = Vec::with_capacity(graph.nodes().len());
    for (i, node) in graph.nodes().iter().enumerate() {
        choices.push(match coordinates.contains(&i) {
            _ if !view.has_float(node) => Choice::Neutral,
            true => Choice::single(
                "sampling coordinates and indices are exact in float32 only",
                true,
            ),
            false => forced(rewrite, node, lowering)?.unwrap_or(Choice::Half),
        });
    }
    view.join_quantized(&mut choices);
    view.follow(&mut choices);
    Ok(choices)
}

/// Why a node must stay in float32 by itself.
fn forced(rewrite: &Rewrite, node: &Node, lowering: &Lowering) -> Result<Option<Choice>> {
    if lowering.keep_fp32.is_some_and(|re| re.is_match(&node.name)) {
        return Ok(Some(Choice::single("asked for by --keep-fp32", false)));
    }
    if !(lowering.may_lower)(node) {
        return Ok(Some(Choice::single("the precision plan keeps it", false)));
    }
    if let Some(hazard) = hazard(node) {
        return Ok(Some(Choice::single(hazard.reason, hazard.sticky)));
    }
    if let Some(reason) =
        grid_too_fine(rewrite.old, node).or_else(|| measured(rewrite, node, lowering))
    {
        return Ok(Some(Choice::single(reason, false)));
    }
    Ok(unfit_weight(rewrite, node)?.map(|reason| Choice::single(reason, false)))
}

fn grid_too_fine(graph: &Graph, node: &Node) -> Option<String> {
    let map = node.inputs.first().copied().flatten()?;
    if node.op != "GridSample" {
        return None;
    }
    let sides = graph.shape(map).iter().skip(2).filter_map(Dim::fixed);
    let side = sides.max().filter(|side| *side > MAX_HALF_GRID)?;
    let miss = side as f64 / 2.0 / 4096.0;
    Some(format!(
        "half coordinates would miss by up to {miss:.3} pixels of a map {side} wide"
    ))
}

/// What measured ranges say against float16.
fn measured(rewrite: &Rewrite, node: &Node, lowering: &Lowering) -> Option<String> {
    let ranges = lowering.ranges?;
    let values = node.inputs.iter().flatten().chain(&node.outputs);
    for value in values {
        let name = &rewrite.old.spec(*value).name;
        let Some(range) = ranges.tensors.get(name) else {
            continue;
        };
        let peak = range.peak();
        if peak > HALF_LIMIT {
            return Some(format!(
                "measured values reach {peak:.3e}, float16 ends at 65504"
            ));
        }
        if peak > 0.0 && peak < f16::MIN_POSITIVE.to_f32() {
            return Some(format!(
                "measured values stay below {peak:.1e}, where float16 has few digits"
            ));
        }
    }
    None
}

/// What the node's own weights say against float16.
fn unfit_weight(rewrite: &Rewrite, node: &Node) -> Result<Option<String>> {
    for (place, value) in node.inputs.iter().enumerate() {
        let Some((value, initializer)) = value.and_then(|v| Some((v, rewrite.initializer(v)?)))
        else {
            continue;
        };
        let spec = rewrite.old.spec(value);
        if spec.dtype != DType::F32 {
            continue;
        }
        let values = rewrite.read(initializer)?;
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(PassError::NotFinite {
                stage: rewrite.old.name().to_owned(),
                name: spec.name.clone(),
                value: *value,
            });
        }
        let fit = half_fit(&values);
        if fit.peak > f16::MAX.to_f32() {
            let peak = fit.peak;
            return Ok(Some(format!("a weight of {peak:.3e} is beyond float16")));
        }
        // What is added may be small: then it hardly matters.
        let factor = place < 2 && FACTORS.contains(&node.op);
        if factor && fit.relative_l2 > WEIGHT_ERROR {
            return Ok(Some(format!(
                "weights too small for float16: {:.0} % are subnormal, rounding costs {:.1e}",
                fit.subnormal_share * 100.0,
                fit.relative_l2
            )));
        }
    }
    Ok(None)
}

/// Who makes and who takes each value.
struct View<'a> {
    graph: &'a Graph,
    maker: HashMap<Value, usize>,
    takers: HashMap<Value, Vec<usize>>,
}

impl<'a> View<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut view = Self {
            graph,
            maker: HashMap::new(),
            takers: HashMap::new(),
        };
        for (i, node) in graph.nodes().iter().enumerate() {
            view.maker.extend(node.outputs.iter().map(|v| (*v, i)));
            for value in node.inputs.iter().flatten() {
                view.takers.entry(*value).or_default().push(i);
            }
        }
        view
    }

    fn is_float(&self, value: Value) -> bool {
        self.graph.dtype(value).is_float()
    }

    fn has_float(&self, node: &Node) -> bool {
        let mut values = node.inputs.iter().flatten().chain(&node.outputs);
        values.any(|v| self.is_float(*v))
    }

    /// Nodes that make the float operands of a node, constants and graph inputs left out.
    fn makers(&self, node: &'a Node) -> impl Iterator<Item = usize> {
        let inputs = node.inputs.iter().flatten().copied();
        inputs
            .filter(|v| self.is_float(*v))
            .filter_map(|v| self.maker.get(&v).copied())
    }

    fn moves_or_maps(&self, i: usize) -> bool {
        let op = self.graph.nodes()[i].op;
        LAYOUT.contains(&op) || POINTWISE.contains(&op)
    }

    /// Elementwise steps and moves on the way to a sampling grid or to an index.
    fn coordinates(&self) -> HashSet<usize> {
        let mut open: Vec<usize> = Vec::new();
        for (i, node) in self.graph.nodes().iter().enumerate() {
            let to_index = node.op == "Cast" && !self.is_float(node.outputs[0]);
            if to_index && self.has_float(node) {
                open.push(i);
            }
            if node.op == "GridSample"
                && let Some(grid) = node.inputs.get(1).copied().flatten()
            {
                open.extend(self.maker.get(&grid));
            }
        }
        let mut found = HashSet::new();
        while let Some(i) = open.pop() {
            if self.moves_or_maps(i) && found.insert(i) {
                open.extend(self.makers(&self.graph.nodes()[i]));
            }
        }
        found
    }

    /// A product and the pairs that dequantise its operands compute in one type, or no engine could fuse them.
    fn join_quantized(&self, choices: &mut [Choice]) {
        let nodes = self.graph.nodes();
        // What one product decides, a shared pair carries to the next: until nothing changes.
        let mut changed = true;
        while changed {
            changed = false;
            for (i, node) in nodes.iter().enumerate() {
                let pairs = self.makers(node);
                let pairs: Vec<usize> = pairs
                    .filter(|m| nodes[*m].op == "DequantizeLinear")
                    .collect();
                let all = || pairs.iter().copied().chain([i]);
                let single = all().find(|m| choices[*m].is_single());
                let Some(single) = single.filter(|_| !pairs.is_empty()) else {
                    continue;
                };
                let choice = choices[single].clone();
                for m in all().filter(|m| *m != single) {
                    if !choices[m].is_single() {
                        choices[m] = choice.clone();
                        changed = true;
                    }
                }
            }
        }
    }

    /// Lets steps that only move or map float32 values stay in float32 where a cast would gain nothing.
    fn follow(&self, choices: &mut [Choice]) {
        let wants = self.wanted(choices);
        let mut sticky: HashSet<usize> = HashSet::new();
        for (i, node) in self.graph.nodes().iter().enumerate() {
            if let Choice::Single { sticky: true, .. } = choices[i] {
                sticky.insert(i);
            }
            // A comparison or a whole number that becomes a float is exact in either type.
            let from_other =
                node.op == "Cast" && node.inputs.iter().flatten().all(|v| !self.is_float(*v));
            if choices[i] != Choice::Half || !self.moves_or_maps(i) {
                continue;
            }
            let makers: Vec<usize> = self.makers(node).collect();
            let inputs = node.inputs.iter().flatten();
            let computed = inputs
                .filter(|v| self.is_float(**v) && !self.is_constant(**v))
                .count();
            let all = |set: &dyn Fn(usize) -> bool| {
                computed > 0 && makers.len() == computed && makers.iter().all(|m| set(*m))
            };
            if from_other || all(&|m| sticky.contains(&m)) {
                sticky.insert(i);
                choices[i] = Choice::Follows;
            } else if wants[i] && all(&|m| choices[m].is_single()) {
                choices[i] = Choice::Follows;
            }
        }
    }

    fn is_constant(&self, value: Value) -> bool {
        let made = self.maker.contains_key(&value);
        !made && !self.graph.input_values().contains(&value)
    }

    /// Whether every taker of a node's results computes in float32 or passes them to such as do.
    fn wanted(&self, choices: &[Choice]) -> Vec<bool> {
        let nodes = self.graph.nodes();
        let mut wanted = vec![false; nodes.len()];
        for (i, node) in nodes.iter().enumerate().rev() {
            wanted[i] = node.outputs.iter().all(|value| {
                let takers = self.takers.get(value).map_or(&[][..], Vec::as_slice);
                takers.iter().all(|t| match choices[*t] {
                    Choice::Half => self.moves_or_maps(*t) && wanted[*t],
                    _ => true,
                })
            });
        }
        wanted
    }
}
