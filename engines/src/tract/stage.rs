//! A graph that tract optimises for each set of input shapes that it meets.

use std::sync::Arc;

use socc_exporter::tensor::{Dim, TensorSpec};
use tract_onnx::prelude::{
    DatumType, InferenceFact, InferenceModel, InferenceModelExt, IntoArcTensor, IntoRunnable,
    IntoTValue, OutletId, TValue, TractResult, TypedRunnableModel,
};
use tract_onnx::tract_hir::internal::anyhow;

use crate::check::{self, Symbols};
use crate::engine::Stage;
use crate::error::EngineError;
use crate::tensor::Tensor;

use super::buffer::{TractBuffer, datum_type, upload};
use super::{Graph, NAME, refused};

/// Shape sets whose plans are kept. A clip has one; sentences differ in length.
const KEPT: usize = 8;

/// A plan and the input shapes that it is for.
type Plan = (Vec<Vec<usize>>, Arc<TypedRunnableModel>);

/// A stage that tract runs.
pub(super) struct TractStage {
    name: String,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    graph: InferenceModel,
    /// Most recently used last.
    plans: Vec<Plan>,
}

impl TractStage {
    /// Orders the graph's inputs and outputs as declared, and compiles it now if all axes are fixed.
    pub(super) fn new(
        name: String,
        inputs: Vec<TensorSpec>,
        outputs: Vec<TensorSpec>,
        graph: Graph,
    ) -> Result<Self, EngineError> {
        check::names(&name, "input", &inputs, &graph.inputs)?;
        check::names(&name, "output", &outputs, &graph.outputs)?;
        let model = order(graph, &inputs, &outputs).map_err(|e| refused(&name, &e))?;
        let mut stage = Self {
            name,
            inputs,
            outputs,
            graph: model,
            plans: Vec::new(),
        };
        let fixed = |spec: &TensorSpec| {
            spec.shape
                .iter()
                .map(Dim::fixed)
                .collect::<Option<Vec<_>>>()
        };
        if let Some(shapes) = stage.inputs.iter().map(fixed).collect::<Option<Vec<_>>>() {
            stage.plan(shapes)?;
        }
        Ok(stage)
    }

    /// The plan for these input shapes, compiled unless it is kept.
    fn plan(&mut self, shapes: Vec<Vec<usize>>) -> Result<Arc<TypedRunnableModel>, EngineError> {
        let kept = self.plans.iter().position(|(known, _)| *known == shapes);
        let entry = match kept {
            Some(place) => self.plans.remove(place),
            None => {
                let plan = self.compile(&shapes).map_err(|e| refused(&self.name, &e))?;
                (shapes, plan)
            }
        };
        let plan = entry.1.clone();
        if self.plans.len() == KEPT {
            self.plans.remove(0);
        }
        self.plans.push(entry);
        Ok(plan)
    }

    fn compile(&self, shapes: &[Vec<usize>]) -> TractResult<Arc<TypedRunnableModel>> {
        let mut model = self.graph.clone();
        for (i, (spec, shape)) in self.inputs.iter().zip(shapes).enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(datum_type(spec.dtype), shape))?;
        }
        model.into_optimized()?.into_runnable()
    }

    fn call(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let plan = self.plan(inputs.iter().map(|t| t.shape()).collect())?;
        let failed = |detail: String| EngineError::Run {
            engine: NAME,
            stage: self.name.clone(),
            detail,
        };
        let value = |tensor: &Tensor| -> Result<TValue, EngineError> {
            if let Some(native) = tensor.as_any().downcast_ref::<TractBuffer>() {
                return Ok(TValue::from_const(native.0.clone()));
            }
            let copy =
                upload(crate::host(tensor)?.as_ref()).map_err(|e| failed(format!("{e:#}")))?;
            Ok(copy.into_tvalue())
        };
        let values = inputs.iter().map(value).collect::<Result<_, _>>()?;
        let results = plan.run(values).map_err(|e| failed(format!("{e:#}")))?;
        let output = |(value, spec): (TValue, &TensorSpec)| -> Result<Tensor, EngineError> {
            let mut tensor = value.into_arc_tensor();
            let expected = datum_type(spec.dtype);
            // tract computes int64 that may be shapes with a symbolic type of its own.
            if tensor.datum_type() == DatumType::TDim {
                let cast = tensor
                    .cast_to_dt(expected)
                    .map_err(|e| failed(format!("{e:#}")))?;
                tensor = Arc::new(cast.into_owned());
            }
            let got = tensor.datum_type();
            if got != expected {
                let message = format!("output `{}` is {got:?}, not {}", spec.name, spec.dtype);
                return Err(failed(message));
            }
            Ok(Arc::new(TractBuffer(tensor)))
        };
        results.into_iter().zip(&self.outputs).map(output).collect()
    }
}

impl Stage for TractStage {
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
        let outputs = check::guard(NAME, &name, "running", || self.call(inputs))?;
        check::tensors(&self.name, "output", &self.outputs, &outputs, &mut symbols)?;
        Ok(outputs)
    }
}

/// Puts the graph's inputs and outputs into the declared order.
fn order(
    graph: Graph,
    inputs: &[TensorSpec],
    outputs: &[TensorSpec],
) -> TractResult<InferenceModel> {
    let Graph { parsed, .. } = graph;
    if !parsed.unresolved_inputs.is_empty() {
        return Err(anyhow!("nothing computes {:?}", parsed.unresolved_inputs));
    }
    let outlets = |specs: &[TensorSpec]| -> TractResult<Vec<OutletId>> {
        let find = |s: &TensorSpec| parsed.outlets_by_name.get(&s.name).copied();
        specs
            .iter()
            .map(|s| find(s).ok_or_else(|| anyhow!("no value `{}`", s.name)))
            .collect()
    };
    let (inputs, outputs) = (outlets(inputs)?, outlets(outputs)?);
    let mut model = parsed.model;
    model.set_input_outlets(&inputs)?;
    model.select_output_outlets(&outputs)?;
    Ok(model)
}
