//! Pieces of a graph, run one after the other: so that every value can be looked at without all of them being in
//! memory at once.

use std::collections::HashSet;
use std::ops::Range;

use super::{Graph, Node, Value};
use crate::tensor::{DType, Dim};

impl Graph {
    /// Consecutive ranges of nodes whose float32 results have at most `budget_bytes` each, an axis with a symbol
    /// counting as `symbol_length`. A single node with more gets a range of its own, unless a value that engines do
    /// not pass on would cross its border.
    pub fn cuts(&self, budget_bytes: usize, symbol_length: usize) -> Vec<Range<usize>> {
        let closed = self.closed_cuts();
        let mut cuts = Vec::new();
        let (mut start, mut bytes, mut open) = (0, 0_usize, None);
        for (i, node) in self.nodes.iter().enumerate() {
            if i > start && !closed.contains(&i) {
                // The bytes before this place, should the cut be here.
                open = Some((i, bytes));
            }
            bytes = bytes.saturating_add(self.float_bytes(node, symbol_length));
            if bytes > budget_bytes
                && let Some((cut, before)) = open.take()
            {
                cuts.push(start..cut);
                (start, bytes) = (cut, bytes - before);
            }
        }
        cuts.push(start..self.nodes.len());
        cuts.retain(|range| !range.is_empty());
        cuts
    }

    /// The nodes in `nodes` as a graph of its own. Its inputs are the values that cross its border inwards; weights
    /// stay initializers. Its outputs are all float32 values that it makes, and those others that later nodes or the
    /// outputs of the whole need. All keep their names.
    ///
    /// The nodes are to be one of [`Graph::cuts`].
    pub fn segment(&self, nodes: Range<usize>) -> Self {
        let inside = &self.nodes[nodes.clone()];
        let made: HashSet<Value> = inside.iter().flat_map(|n| &n.outputs).copied().collect();
        let after = self.nodes[nodes.end..].iter().flat_map(operands);
        let needed: HashSet<Value> = after.chain(self.outputs.iter().copied()).collect();
        let used: HashSet<Value> = inside.iter().flat_map(operands).collect();
        let constants: HashSet<Value> = self.initializers.iter().map(|i| i.value).collect();

        let mut segment = Self::new(&self.name);
        segment.opset = self.opset;
        // All values keep their numbers, so that nodes can be taken as they are.
        segment.specs.clone_from(&self.specs);
        segment.names.clone_from(&self.names);
        let wanted = self.initializers.iter().filter(|i| used.contains(&i.value));
        segment.initializers = wanted.cloned().collect();
        segment.inputs = (0..self.specs.len())
            .map(Value)
            .filter(|v| used.contains(v) && !made.contains(v) && !constants.contains(v))
            .collect();
        segment.outputs = inside
            .iter()
            .flat_map(|n| n.outputs.iter().copied())
            .filter(|v| self.dtype(*v) == DType::F32 || needed.contains(v))
            .collect();
        segment.nodes = inside.to_vec();
        segment
    }

    /// Places where no cut may be: before node `i`, for a value that no engine passes on.
    fn closed_cuts(&self) -> HashSet<usize> {
        let mut closed = HashSet::new();
        for (made, node) in self.nodes.iter().enumerate() {
            for value in node.outputs.iter().filter(|v| !self.crosses(**v)) {
                let mut users = self.nodes[made..].iter();
                let last = users.rposition(|n| operands(n).any(|v| v == *value));
                closed.extend(made + 1..=made + last.unwrap_or(0));
            }
        }
        closed
    }

    fn crosses(&self, value: Value) -> bool {
        matches!(
            self.dtype(value),
            DType::F32 | DType::I64 | DType::I32 | DType::U8
        )
    }

    fn float_bytes(&self, node: &Node, symbol_length: usize) -> usize {
        let floats = node
            .outputs
            .iter()
            .filter(|v| self.dtype(**v) == DType::F32);
        let length = |dim: &Dim| dim.fixed().unwrap_or(symbol_length);
        let elements = floats.map(|v| {
            let lengths = self.shape(*v).iter().map(length);
            lengths.fold(1, usize::saturating_mul)
        });
        let elements = elements.fold(0, usize::saturating_add);
        elements.saturating_mul(DType::F32.size_bytes())
    }
}

fn operands(node: &Node) -> impl Iterator<Item = Value> {
    node.inputs.iter().flatten().copied()
}

#[cfg(test)]
mod tests;
