//! Single parts of the model against the official modules: emitted with the weights of a fixture, run by rten.
//!
//! The fixtures and where they come from: `tests/fixtures/parts/README.md`.
#![allow(clippy::unwrap_used)]

mod deformable;
mod swin;
mod temporal;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use rten::{ModelOptions, Value as RtenValue};
use rten_tensor::Tensor as RtenTensor;
use rten_tensor::prelude::*;

use crate::checkpoint::Checkpoint;
use crate::graph::{Graph, Value};
use crate::onnx;
use crate::tensor::DType;
use crate::weights::Weights;

/// Shape and values.
type Array = (Vec<usize>, Vec<f32>);

/// A fixture: weights, operands, results.
struct Part(Arc<Checkpoint>);

impl Part {
    fn open(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parts");
        let path = dir.join(format!("{name}.safetensors"));
        Self(Arc::new(Checkpoint::open(&path).unwrap()))
    }

    fn weights(&self) -> Weights {
        Weights::new(Arc::clone(&self.0))
    }

    /// Names of the calls that the fixture holds.
    fn cases(&self) -> Vec<&str> {
        let keys = self.0.tensors().keys();
        let names: BTreeSet<&str> = keys
            .filter_map(|k| k.strip_prefix("cases.")?.split_once('.'))
            .map(|(name, _)| name)
            .collect();
        assert!(!names.is_empty());
        names.into_iter().collect()
    }

    /// An operand or result of a call.
    fn get(&self, case: &str, key: &str) -> Array {
        let key = format!("cases.{case}.{key}");
        let shape = self.0.tensors()[&key].shape.clone();
        (shape, self.0.read_f32(&key).unwrap())
    }
}

/// The same elements under another shape.
fn view((shape, values): Array, new: &[usize]) -> Array {
    assert_eq!(
        shape.iter().product::<usize>(),
        new.iter().product::<usize>()
    );
    (new.to_vec(), values)
}

/// Emits a graph over `inputs`, runs it and returns what `emit` returned.
fn run<const N: usize, const M: usize>(
    inputs: [Array; N],
    emit: impl FnOnce(&mut Graph, [Value; N]) -> [Value; M],
) -> [Array; M] {
    let mut g = Graph::new("part");
    let values = std::array::from_fn(|i| {
        let shape: Vec<_> = inputs[i].0.iter().map(|n| (*n).into()).collect();
        g.input(&format!("in{i}"), DType::F32, &shape).unwrap()
    });
    for (i, value) in emit(&mut g, values).into_iter().enumerate() {
        g.output(&format!("out{i}"), value).unwrap();
    }
    let memory = onnx::to_memory(&g).unwrap();
    let mut options = ModelOptions::with_all_ops();
    for (location, bytes) in memory.external {
        options.external_data(&location, bytes);
    }
    let model = options.load(memory.model).unwrap();
    let feeds = inputs.into_iter().zip(model.input_ids());
    let feeds = feeds.map(|((shape, values), id)| {
        let tensor = RtenTensor::from_data(shape.as_slice(), values);
        (*id, RtenValue::from(tensor).into())
    });
    let outputs = model.run(feeds.collect(), model.output_ids(), None);
    let arrays = outputs.unwrap().into_iter().map(|value| match value {
        RtenValue::FloatTensor(tensor) => (tensor.shape().to_vec(), tensor.to_vec()),
        other => panic!("{:?}", other.dtype()),
    });
    arrays.collect::<Vec<_>>().try_into().unwrap()
}

/// Fails unless both have one shape and the relative L2 error is that of rounding.
fn assert_close(got: &Array, expected: &Array, what: &str) {
    assert_eq!(got.0, expected.0, "{what}");
    let pairs = || got.1.iter().zip(&expected.1);
    let square = |v: f32| f64::from(v).powi(2);
    let apart: f64 = pairs().map(|(a, b)| square(a - b)).sum();
    let norm: f64 = expected.1.iter().map(|v| square(*v)).sum();
    let error = (apart / norm).sqrt();
    assert!(error < 2e-6, "{what}: relative L2 error {error:.1e}");
}
