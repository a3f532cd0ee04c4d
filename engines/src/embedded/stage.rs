//! A graph loaded into rten.

use std::sync::Arc;

use ndarray::{ArrayBase, Data, IxDyn};
use rten::{Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::{Tensor as RtenTensor, TensorView};
use socc_exporter::onnx::Flow;
use socc_exporter::tensor::TensorSpec;

use crate::check::{self, Symbols};
use crate::engine::{OperatorTime, Stage};
use crate::error::EngineError;
use crate::tensor::{HostTensor, Tensor};

use super::NAME;
use super::buffer::RtenBuffer;
use super::pieces::Pieces;
use super::profile::Profile;

/// A stage that rten runs.
pub(super) struct EmbeddedStage {
    name: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    model: Model,
    input_ids: Vec<NodeId>,
    output_ids: Vec<NodeId>,
    /// Of a graph that runs in pieces.
    pieces: Option<Pieces>,
    pool: Option<Arc<ThreadPool>>,
    /// Times of the operators, where they are taken.
    profile: Option<Profile>,
}

impl EmbeddedStage {
    /// Finds the declared inputs and outputs in the loaded graph.
    pub(super) fn new(
        name: String,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        model: Model,
        flow: Option<Flow>,
        pool: Option<Arc<ThreadPool>>,
    ) -> Result<Self, EngineError> {
        let input_ids = ids(&name, "input", &inputs, &model, model.input_ids())?;
        let output_ids = ids(&name, "output", &outputs, &model, model.output_ids())?;
        let pieces = flow.and_then(|flow| Pieces::new(&flow, &model, &output_ids));
        Ok(Self {
            name,
            inputs,
            outputs,
            pieces,
            model,
            input_ids,
            output_ids,
            pool,
            profile: None,
        })
    }

    /// The same stage, which times its operators where `profile` says so.
    pub(super) fn profiled(self, profile: bool) -> Self {
        Self {
            profile: profile.then(Profile::default),
            ..self
        }
    }

    fn call(&self, inputs: &[Tensor]) -> Result<Vec<Value>, EngineError> {
        // Tensors of other engines come to the CPU first and must outlive the views of them.
        let hosts = inputs
            .iter()
            .map(|t| match t.as_any().is::<RtenBuffer>() {
                true => Ok(None),
                false => crate::host(t).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut values = Vec::with_capacity(inputs.len());
        for (i, tensor) in inputs.iter().enumerate() {
            let value = match (tensor.as_any().downcast_ref::<RtenBuffer>(), &hosts[i]) {
                (Some(native), _) => native.view().into(),
                (None, Some(host)) => self.convert(host, &self.inputs[i])?,
                (None, None) => continue,
            };
            values.push((self.input_ids[i], value));
        }
        let options = RunOptions::default()
            .with_thread_pool(self.pool.clone())
            .with_verbose(self.profile.is_some());
        let run = || {
            let (model, outputs) = (&self.model, &self.output_ids);
            let pieces = self.pieces.as_ref();
            let made = pieces.map(|pieces| pieces.run(model, &values, outputs, &options));
            let made = match made {
                Some(Ok(made)) => Ok(made),
                // Where rten has folded a value between two pieces, or it failed: the whole says what is wrong.
                Some(Err(_)) | None => model.run(values, outputs, Some(options)),
            };
            made.map_err(|e| self.failed(e.to_string()))
        };
        match &self.profile {
            None => run(),
            Some(profile) => profile.watch(&self.name, run),
        }
    }

    fn convert<'a>(
        &self,
        tensor: &'a HostTensor,
        spec: &TensorSpec,
    ) -> Result<ValueOrView<'a>, EngineError> {
        match tensor {
            HostTensor::F32(a) => Ok(view(a)),
            HostTensor::I32(a) => Ok(view(a)),
            HostTensor::U8(a) => Ok(view(a)),
            HostTensor::I64(a) => {
                let narrow = a.iter().map(|&value| {
                    i32::try_from(value).map_err(|_| EngineError::Range {
                        engine: NAME,
                        stage: self.name.clone(),
                        tensor: spec.name.clone(),
                        value,
                    })
                });
                let data = narrow.collect::<Result<Vec<i32>, _>>()?;
                Ok(Value::from(RtenTensor::from_data(a.shape(), data)).into())
            }
        }
    }

    fn failed(&self, detail: String) -> EngineError {
        EngineError::Run {
            engine: NAME,
            stage: self.name.clone(),
            detail,
        }
    }
}

impl Stage for EmbeddedStage {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let mut symbols = Symbols::default();
        check::tensors(&self.name, "input", &self.inputs, inputs, &mut symbols)?;
        let values = check::guard(NAME, &self.name, "running", || self.call(inputs))?;
        let outputs = values
            .into_iter()
            .zip(&self.outputs)
            .map(|(value, spec)| match RtenBuffer::new(value, spec.dtype) {
                // A long clip's tensors are cut on the host, which is not to copy them first.
                Ok(buffer) if self.pieces.is_some() => {
                    buffer.into_host().map(|t| Arc::new(t) as Tensor)
                }
                Ok(buffer) => Ok(Arc::new(buffer) as Tensor),
                Err(got) => Err(EngineError::DType {
                    stage: self.name.clone(),
                    role: "output",
                    tensor: spec.name.clone(),
                    expected: spec.dtype,
                    got,
                }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        check::tensors(&self.name, "output", &self.outputs, &outputs, &mut symbols)?;
        Ok(outputs)
    }

    fn operator_times(&mut self) -> Result<Option<Vec<OperatorTime>>, EngineError> {
        Ok(self.profile.take().map(Profile::finish))
    }
}

/// A borrowed rten value where the array is contiguous, a copy otherwise.
fn view<'a, T, S>(array: &'a ArrayBase<S, IxDyn>) -> ValueOrView<'a>
where
    T: Clone + 'a,
    S: Data<Elem = T>,
    ValueView<'a>: From<TensorView<'a, T>>,
    Value: From<RtenTensor<T>>,
{
    match array.as_slice() {
        Some(data) => ValueView::from(TensorView::from_data(array.shape(), data)).into(),
        None => {
            let data: Vec<T> = array.iter().cloned().collect();
            Value::from(RtenTensor::from_data(array.shape(), data)).into()
        }
    }
}

/// Node ids of the declared tensors, in their order.
fn ids(
    stage: &str,
    role: &'static str,
    specs: &[TensorSpec],
    model: &Model,
    graph: &[NodeId],
) -> Result<Vec<NodeId>, EngineError> {
    let name = |id: &NodeId| {
        model
            .node_info(*id)
            .and_then(|n| n.name().map(str::to_string))
    };
    let names: Vec<String> = graph
        .iter()
        .map(|id| name(id).unwrap_or_default())
        .collect();
    check::names(stage, role, specs, &names)?;
    let position = |spec: &TensorSpec| names.iter().position(|n| *n == spec.name);
    Ok(specs
        .iter()
        .filter_map(position)
        .map(|i| graph[i])
        .collect())
}
