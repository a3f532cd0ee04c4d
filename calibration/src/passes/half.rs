//! Float32 to float16, with islands.

use socc_exporter::graph::{Graph, Node};
use socc_exporter::tensor::DType;

use super::islands::{Choice, choose};
use super::rewrite::Rewrite;
use super::{Island, Lowering, Report, Result, grouped};

/// Operator set in which Q/DQ take float16.
const QDQ_HALF_OPSET: i64 = 19;

/// The graph in float16 wherever [`choose`] allows it: weights stored as float16, casts where types meet.
pub(super) fn halve(graph: &Graph, lowering: &Lowering, report: &mut Report) -> Result<Graph> {
    let mut rewrite = Rewrite::new(graph)?;
    let choices = choose(&rewrite, lowering)?;
    for (node, choice) in graph.nodes().iter().zip(&choices) {
        rewrite.node(node, &operand_types(graph, node, choice), choice.dtype())?;
        match choice {
            Choice::Half => report.half_nodes += 1,
            Choice::Single { reason, .. } => {
                let island = grouped(
                    &mut report.islands,
                    |island: &Island| island.reason == *reason,
                    || Island {
                        reason: reason.clone(),
                        nodes: Vec::new(),
                    },
                );
                island.nodes.push(node.name.clone());
            }
            Choice::Follows | Choice::Neutral => {}
        }
    }
    report.casts = rewrite.casts;
    let mut half = rewrite.finish()?;
    let quantized = half.nodes().iter().any(|n| n.op == "QuantizeLinear");
    if quantized {
        half = upgrade(&half)?;
    }
    Ok(half)
}

/// Types of a node's operands, in order, optional ones that are left out not counted.
fn operand_types(graph: &Graph, node: &Node, choice: &Choice) -> Vec<DType> {
    let inputs = node.inputs.iter().flatten();
    inputs
        .map(|value| match graph.dtype(*value) {
            dtype if dtype.is_float() => choice.dtype(),
            dtype => dtype,
        })
        .collect()
}

/// The graph in the operator set that has float16 Q/DQ: axes of reductions become operands.
fn upgrade(graph: &Graph) -> Result<Graph> {
    use socc_exporter::graph::Attribute;
    let mut rewrite = Rewrite::new(graph)?;
    rewrite.new.set_opset(QDQ_HALF_OPSET);
    for node in graph.nodes() {
        let own = |value| graph.dtype(value);
        let types: Vec<DType> = node.inputs.iter().flatten().map(|v| own(*v)).collect();
        let result = node.outputs.first().map_or(DType::F32, |v| own(*v));
        let axes = match node.attribute("axes") {
            Some(Attribute::Ints(axes)) if node.op.starts_with("Reduce") => axes.clone(),
            _ => {
                rewrite.node(node, &types, result)?;
                continue;
            }
        };
        let mut node = node.clone();
        node.attributes.retain(|(name, _)| *name != "axes");
        let axes = rewrite.new.constant_i64(&[axes.len()], &axes)?;
        let mut inputs = Vec::new();
        for (value, dtype) in node.inputs.iter().flatten().zip(&types) {
            inputs.push(Some(rewrite.operand(*value, *dtype, node.scope())?));
        }
        inputs.push(Some(axes));
        rewrite.node_with(&node, inputs, result)?;
    }
    rewrite.finish()
}
