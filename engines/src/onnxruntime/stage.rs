//! A graph loaded into an ONNX Runtime session.

use std::borrow::Cow;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayD;
use ort::session::{Session, SessionInputValue};
use ort::value::{PrimitiveTensorElementType, Tensor as OrtTensor, TensorRef};
use socc_exporter::tensor::TensorSpec;
use tempfile::TempDir;

use crate::check::{self, Symbols};
use crate::engine::{OperatorTime, Stage};
use crate::error::EngineError;
use crate::tensor::{HostTensor, Tensor};

use super::buffer::OrtBuffer;
use super::profile;

/// A stage that ONNX Runtime runs.
pub(super) struct OrtStage {
    engine: &'static str,
    name: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    session: Session,
    /// Place of each declared output among the session's.
    order: Vec<usize>,
    /// Where the session's profile goes, while it is being made.
    profile: Option<TempDir>,
}

impl OrtStage {
    /// Finds the declared inputs and outputs in the session.
    pub(super) fn new(
        engine: &'static str,
        name: String,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        session: Session,
    ) -> Result<Self, EngineError> {
        let names = |outlets: &[ort::value::Outlet]| -> Vec<String> {
            outlets.iter().map(|o| o.name().to_string()).collect()
        };
        check::names(&name, "input", &inputs, &names(session.inputs()))?;
        let given = names(session.outputs());
        check::names(&name, "output", &outputs, &given)?;
        let place = |spec: &TensorSpec| given.iter().position(|n| *n == spec.name);
        let order = outputs.iter().filter_map(place).collect();
        Ok(Self {
            engine,
            name,
            inputs,
            outputs,
            session,
            order,
            profile: None,
        })
    }

    /// The same stage, whose session writes its profile into `folder`.
    pub(super) fn profiled(self, folder: Option<TempDir>) -> Self {
        Self {
            profile: folder,
            ..self
        }
    }

    fn call(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let stage = &self.name;
        let engine = self.engine;
        let failed = |detail: String| EngineError::Run {
            engine,
            stage: stage.clone(),
            detail,
        };
        // Tensors of other engines come to the CPU first and must outlive the views of them.
        let hosts = inputs
            .iter()
            .map(|t| match t.as_any().is::<OrtBuffer>() {
                true => Ok(None),
                false => crate::host(t).map(Some),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> =
            Vec::with_capacity(inputs.len());
        for ((spec, tensor), host) in self.inputs.iter().zip(inputs).zip(&hosts) {
            let value = match (tensor.as_any().downcast_ref::<OrtBuffer>(), host) {
                (Some(native), _) => native.value().into(),
                (None, Some(host)) => convert(host).map_err(|e| failed(e.to_string()))?,
                (None, None) => continue,
            };
            values.push((spec.name.as_str().into(), value));
        }
        let results = self
            .session
            .run(values)
            .map_err(|e| failed(e.message().trim().to_string()))?;
        let mut results: Vec<_> = results.into_iter().map(|(_, value)| Some(value)).collect();
        let mut outputs: Vec<Tensor> = Vec::with_capacity(self.order.len());
        for (spec, &place) in self.outputs.iter().zip(&self.order) {
            let value = results.get_mut(place).and_then(Option::take);
            let value =
                value.ok_or_else(|| failed(format!("it did not return `{}`", spec.name)))?;
            let buffer = OrtBuffer::new(engine, value).map_err(|got| {
                failed(format!(
                    "output `{}` is {got}, not {}",
                    spec.name, spec.dtype
                ))
            })?;
            outputs.push(Arc::new(buffer));
        }
        Ok(outputs)
    }
}

impl Stage for OrtStage {
    fn inputs(&self) -> &[TensorSpec] {
        &self.inputs
    }

    fn outputs(&self) -> &[TensorSpec] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let mut symbols = Symbols::default();
        check::tensors(&self.name, "input", &self.inputs, inputs, &mut symbols)?;
        let name = self.name.clone();
        let outputs = check::guard(self.engine, &name, "running", || self.call(inputs))?;
        check::tensors(&self.name, "output", &self.outputs, &outputs, &mut symbols)?;
        Ok(outputs)
    }

    fn operator_times(&mut self) -> Result<Option<Vec<OperatorTime>>, EngineError> {
        // The folder goes when the profile was read.
        let Some(_folder) = self.profile.take() else {
            return Ok(None);
        };
        let ended = self.session.end_profiling();
        let path = ended.map_err(|e| EngineError::Profile {
            engine: self.engine,
            stage: self.name.clone(),
            detail: e.message().trim().to_owned(),
        })?;
        profile::read(&self.name, Path::new(&path)).map(Some)
    }
}

fn convert(tensor: &HostTensor) -> ort::Result<SessionInputValue<'_>> {
    match tensor {
        HostTensor::F32(a) => view(a),
        HostTensor::I64(a) => view(a),
        HostTensor::I32(a) => view(a),
        HostTensor::U8(a) => view(a),
    }
}

/// A borrowed value where the array is contiguous, a copy otherwise.
fn view<T>(array: &ArrayD<T>) -> ort::Result<SessionInputValue<'_>>
where
    T: PrimitiveTensorElementType + Clone + Debug + 'static,
{
    if array.is_standard_layout() {
        Ok(TensorRef::from_array_view(array.view())?.into())
    } else {
        Ok(OrtTensor::from_array(array.as_standard_layout().into_owned())?.into())
    }
}
