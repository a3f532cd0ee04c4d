//! A graph of sections, run piece by piece.
//!
//! Within one run rten takes nodes in an order of its own and keeps the memory of every value that is done with, so
//! that a long clip's sections would need as much as all of them at once. A run for each piece gives it back.

use std::collections::HashMap;

use rten::{Model, NodeId, RunError, RunOptions, Value, ValueOrView};
use rten_tensor::Tensor as RtenTensor;
use rten_tensor::prelude::*;
use socc_exporter::onnx::Flow;

/// What one piece needs of what was made before, and hands on.
#[derive(Debug, Default)]
struct Piece {
    takes: Vec<NodeId>,
    gives: Vec<NodeId>,
    /// What nothing needs after it.
    done: Vec<NodeId>,
}

/// The pieces of a graph in their order.
#[derive(Debug)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    /// `None` where rten has made the graph into another in which a value between two pieces is not to be found.
    pub(super) fn new(flow: &Flow, model: &Model, outputs: &[NodeId]) -> Option<Self> {
        // By value: the piece that makes it, and the last that takes it.
        let mut made: HashMap<&str, usize> = HashMap::new();
        let mut last: HashMap<&str, usize> = HashMap::new();
        for (i, range) in flow.pieces.iter().enumerate() {
            for node in flow.nodes.get(range.clone())? {
                made.extend(node.outputs.iter().map(|name| (name.as_str(), i)));
                last.extend(node.inputs.iter().map(|name| (name.as_str(), i)));
            }
        }
        let mut pieces: Vec<Piece> = Vec::new();
        pieces.resize_with(flow.pieces.len(), Piece::default);
        for (name, piece) in &made {
            let id = model.find_node(name);
            let is_output = id.is_some_and(|id| outputs.contains(&id));
            let used = last.get(name).copied();
            if is_output || used.is_some_and(|used| used > *piece) {
                pieces[*piece].gives.push(id?);
            }
            if let Some(used) = used.filter(|used| used > piece && !is_output) {
                pieces[used].done.push(id?);
            }
        }
        for (i, range) in flow.pieces.iter().enumerate() {
            let names = flow.nodes[range.clone()].iter().flat_map(|n| &n.inputs);
            for name in names.filter(|name| made.get(name.as_str()).is_some_and(|m| *m < i)) {
                let id = model.find_node(name)?;
                if !pieces[i].takes.contains(&id) {
                    pieces[i].takes.push(id);
                }
            }
        }
        Some(Self(pieces))
    }

    /// Runs them all on the graph's `inputs`, and gives the graph's `outputs`.
    pub(super) fn run(
        &self,
        model: &Model,
        inputs: &[(NodeId, ValueOrView<'_>)],
        outputs: &[NodeId],
        options: &RunOptions,
    ) -> Result<Vec<Value>, RunError> {
        let mut live: HashMap<NodeId, Value> = HashMap::new();
        for piece in self.0.iter().filter(|piece| !piece.gives.is_empty()) {
            let made = {
                let given = inputs
                    .iter()
                    .map(|(id, value)| (*id, value.as_view().into()));
                let taken = piece.takes.iter();
                let taken = taken.filter_map(|id| Some((*id, live.get(id)?.as_view().into())));
                let values = given.chain(taken).collect();
                model.run(values, &piece.gives, Some(options.clone()))?
            };
            live.extend(piece.gives.iter().copied().zip(made.into_iter().map(tight)));
            for id in &piece.done {
                live.remove(id);
            }
        }
        Ok(outputs.iter().filter_map(|id| live.remove(id)).collect())
    }
}

/// The value without the memory that it has beyond its elements: its buffer may have been another's before.
fn tight(value: Value) -> Value {
    match value {
        Value::FloatTensor(tensor) => {
            let shape = tensor.shape().to_vec();
            let mut data = tensor.into_data();
            data.shrink_to_fit();
            Value::FloatTensor(RtenTensor::from_data(shape.as_slice(), data))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use rten::ModelOptions;
    use socc_exporter::graph::Graph;
    use socc_exporter::onnx::to_memory;
    use socc_exporter::tensor::DType;

    use super::*;

    /// Two sections of two rows, each times a matrix, transposed on the way.
    fn sections() -> Graph {
        let mut g = Graph::new("sections");
        let x = g.input("x", DType::F32, &[2.into(), 4.into()]).unwrap();
        let rows = g.transpose(x, &[1, 0]).unwrap();
        let weight = g.constant(&[2, 2], &[1.0, 2.0, -3.0, 1.0]).unwrap();
        let mut made = Vec::new();
        for start in [0, 2] {
            let mut part = g.slice(rows, 0, start, start + 2).unwrap();
            if let Some(last) = made.last() {
                part = g.after(part, *last).unwrap();
            }
            let part = g.matmul(part, weight).unwrap();
            made.push(g.relu(part).unwrap());
        }
        let all = g.concat(&made, 0).unwrap();
        g.output("y", all).unwrap();
        g
    }

    #[test]
    fn the_pieces_make_the_whole() {
        let memory = to_memory(&sections()).unwrap();
        let flow = Flow::read(&memory.model).unwrap();
        assert_eq!(flow.pieces.len(), 2);
        let mut options = ModelOptions::with_all_ops();
        for (location, bytes) in memory.external {
            options.external_data(&location, bytes);
        }
        let model = options.load(memory.model).unwrap();
        let outputs = model.output_ids().to_vec();
        let pieces = Pieces::new(&flow, &model, &outputs).unwrap();
        let x = [1.0, 2.0, 3.0, 4.0, 0.0, 1.0, -1.0, 2.0];
        let x = Value::from(RtenTensor::from_data(&[2, 4], x.to_vec()));
        let inputs = [(model.input_ids()[0], x.into())];
        let made = pieces.run(&model, &inputs, &outputs, &RunOptions::default());
        let made: RtenTensor<f32> = made.unwrap().remove(0).try_into().unwrap();
        assert_eq!(made.shape(), [4, 2]);
        // Rows (1, 0), (2, 1), (3, -1), (4, 2).
        let expected = [1.0, 2.0, 0.0, 5.0, 6.0, 5.0, 0.0, 10.0];
        assert_eq!(made.into_data(), expected);
    }
}
