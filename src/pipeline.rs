//! The staged pipeline: text once per expression, backbone once per clip, the rest once for each
//! pair.

mod answer;
mod chunks;
mod one_frame;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array2, Array4};
use socc_engines::{
    Breakdown, Engine, EngineError, HostTensor, ModelSource, OperatorTime, Stage, StageModel,
    Tensor,
};
use socc_exporter::model::Rate;
use socc_exporter::tensor::TensorSpec;

pub use answer::{Segmentation, read_f32};
pub use chunks::{Signature, chunk_runs};
pub(crate) use one_frame::only_frame;
pub use windows::{Cutter, Window, overlapping_windows, window_frames, windows};

/// Tensors by name.
pub type Values = BTreeMap<String, Tensor>;

/// Why a pipeline cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A stage needs what no earlier one gives.
    #[error(
        "stage `{stage}` needs `{tensor}`, which no stage before it gives; export the bundle again"
    )]
    Missing {
        /// The stage.
        stage: String,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the stages promise.
    #[error("`{tensor}` has shape {got:?}, which the pipeline cannot use; export the bundle again")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        got: Vec<usize>,
    },
}

/// Result of pipeline work.
pub type Result<T> = std::result::Result<T, PipelineError>;

/// A stage before compilation.
pub struct StageInput {
    /// Name.
    pub name: String,
    /// How often it runs.
    pub rate: Rate,
    /// Inputs.
    pub inputs: Vec<TensorSpec>,
    /// Outputs.
    pub outputs: Vec<TensorSpec>,
    /// The graph.
    pub source: ModelSource,
}

struct Compiled {
    name: String,
    rate: Rate,
    stage: Box<dyn Stage>,
}

/// One run of one stage.
#[derive(Debug, Clone, Copy)]
pub struct StageRun {
    /// Number of the stage, in the order of [`Pipeline::stages`].
    pub stage: usize,
    /// When it began.
    pub start: Instant,
    /// How long it took, on the CPU's clock.
    pub duration: Duration,
    /// Where the time went, where the engine can tell.
    pub breakdown: Option<Breakdown>,
}

/// Compiled stages of one engine.
pub struct Pipeline {
    engine: Arc<dyn Engine>,
    stages: Vec<Compiled>,
    runs: Vec<StageRun>,
    /// The only frame of which anything leaves the clip's stages.
    kept_frame: Option<usize>,
}

impl Pipeline {
    /// Compiles stages in turn; `compiled` hears each one's name when it is ready.
    ///
    /// # Errors
    /// A stage does not come, or the engine refuses its graph.
    pub fn compile<E: From<PipelineError>>(
        engine: impl Into<Arc<dyn Engine>>,
        stages: impl IntoIterator<Item = std::result::Result<StageInput, E>>,
        compiled: &mut dyn FnMut(&str),
    ) -> std::result::Result<Self, E> {
        let engine = engine.into();
        let mut done = Vec::new();
        for stage in stages {
            let stage = stage?;
            let model = StageModel {
                name: stage.name.clone(),
                inputs: stage.inputs,
                outputs: stage.outputs,
                source: stage.source,
            };
            let ready = engine.compile(model).map_err(PipelineError::from)?;
            compiled(&stage.name);
            done.push(Compiled {
                name: stage.name,
                rate: stage.rate,
                stage: ready,
            });
        }
        Ok(Self {
            engine,
            stages: done,
            runs: Vec::new(),
            kept_frame: None,
        })
    }

    /// Compiles a stage for this pipeline's engine without making it part of the pipeline.
    ///
    /// # Errors
    /// The engine refuses its graph.
    pub fn prepare(&self, stage: StageInput) -> Result<Box<dyn Stage>> {
        Ok(self.engine.compile(StageModel {
            name: stage.name,
            inputs: stage.inputs,
            outputs: stage.outputs,
            source: stage.source,
        })?)
    }

    /// Runs a stage that [`Pipeline::prepare`] compiled on `values` and adds what it gives.
    ///
    /// # Errors
    /// A value is missing, or the engine fails.
    pub fn run_prepared(
        &self,
        stage: &mut dyn Stage,
        name: &str,
        values: &mut Values,
    ) -> Result<()> {
        let inputs = operands(stage, name, values)?;
        let outputs = run(&*self.engine, stage, name, &inputs)?;
        let names = stage.outputs().iter().map(|s| s.name.clone());
        values.extend(names.zip(outputs));
        Ok(())
    }

    /// Runs one stage on `values` and adds what it gives.
    ///
    /// # Errors
    /// A value is missing, or the engine fails.
    pub fn run_stage(&mut self, name: &str, values: &mut Values) -> Result<()> {
        if let Some(number) = self.stages.iter().position(|c| c.name == name) {
            let run = self.stages[number].run(&*self.engine, number, values)?;
            self.runs.push(run);
        }
        Ok(())
    }

    /// Hands on what the clip's stages say of frame `index` alone, to later stages that were built for
    /// one frame: the official evaluation of single annotated frames. `None` hands on everything.
    pub fn keep_frame(mut self, index: Option<usize>) -> Self {
        self.kept_frame = index;
        self
    }

    /// Name of the engine.
    pub fn engine_name(&self) -> &str {
        self.engine.name()
    }

    /// Version of the engine.
    pub fn engine_version(&self) -> String {
        self.engine.version()
    }

    /// Frames per clip that the graphs take.
    pub fn frames(&self) -> usize {
        let inputs = self.stages.iter().flat_map(|c| c.stage.inputs());
        let mut frames = inputs.filter(|s| s.name == "frames");
        let frames = frames.next().and_then(|s| s.shape.first()?.fixed());
        frames.unwrap_or(0)
    }

    /// Names and rates of the stages, in the order of the data.
    pub fn stages(&self) -> impl Iterator<Item = (&str, Rate)> {
        self.stages.iter().map(|c| (c.name.as_str(), c.rate))
    }

    /// What the engine does otherwise than it was asked to, by stage.
    pub fn fallbacks(&self) -> Vec<(String, String)> {
        let stages = self.stages.iter();
        stages
            .filter_map(|c| Some((c.name.clone(), c.stage.fallback()?)))
            .collect()
    }

    /// Ends profiling: times of the operators by stage; `None` where the engine has no profiler.
    ///
    /// # Errors
    /// A profile cannot be read.
    pub fn operator_times(&mut self) -> Result<Vec<(String, Option<Vec<OperatorTime>>)>> {
        let stages = self.stages.iter_mut();
        stages
            .map(|c| Ok((c.name.clone(), c.stage.operator_times()?)))
            .collect()
    }

    /// Milliseconds of every run, by stage, in the order of the stages.
    pub fn times_ms(&self) -> Vec<(String, Vec<f64>)> {
        let times = self.stages.iter().enumerate().map(|(number, c)| {
            let runs = self.runs.iter().filter(|r| r.stage == number);
            let ms = runs.map(|r| r.duration.as_secs_f64() * 1e3);
            (c.name.clone(), ms.collect())
        });
        times.collect()
    }

    /// Takes every stage run so far, in the order in which they began; [`Pipeline::times_ms`] begins anew.
    pub fn take_runs(&mut self) -> Vec<StageRun> {
        std::mem::take(&mut self.runs)
    }

    /// What depends on the expression alone; `ids` are its tokens.
    ///
    /// # Errors
    /// The engine fails.
    pub fn encode_text(&mut self, ids: &[i64]) -> Result<Values> {
        let ids = Array2::from_shape_vec((1, ids.len()), ids.to_vec());
        let ids = ids.unwrap_or_default().into_dyn();
        let ids = self.engine.upload(HostTensor::I64(ids))?;
        let mut values = Values::from([("input_ids".to_owned(), ids)]);
        self.run(Rate::Expression, &mut values)?;
        Ok(values)
    }

    /// What depends on the frames `[T, 3, H, W]` alone.
    ///
    /// # Errors
    /// The engine fails.
    pub fn encode_clip(&mut self, frames: Array4<u8>) -> Result<Values> {
        let frames = self.engine.upload(HostTensor::U8(frames.into_dyn()))?;
        let mut values = Values::from([("frames".to_owned(), frames)]);
        self.run(Rate::Clip, &mut values)?;
        match self.kept_frame {
            Some(index) => only_frame(&*self.engine, &values, index),
            None => Ok(values),
        }
    }

    /// All that depends on both.
    ///
    /// # Errors
    /// The engine fails.
    pub fn segment(&mut self, clip: &Values, text: &Values) -> Result<Values> {
        let mut values = clip.clone();
        values.extend(text.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.run(Rate::ClipExpression, &mut values)?;
        Ok(values)
    }

    fn run(&mut self, rate: Rate, values: &mut Values) -> Result<()> {
        for number in 0..self.stages.len() {
            if self.stages[number].rate == rate {
                let run = self.stages[number].run(&*self.engine, number, values)?;
                self.runs.push(run);
            }
        }
        Ok(())
    }
}

impl Compiled {
    /// Takes its operands from `values` and adds its results, in chunks of frames where it was compiled for
    /// fewer than there are. `number` is its place in the pipeline.
    fn run(&mut self, engine: &dyn Engine, number: usize, values: &mut Values) -> Result<StageRun> {
        let inputs = operands(self.stage.as_ref(), &self.name, values)?;
        let start = Instant::now();
        let outputs = run(engine, &mut *self.stage, &self.name, &inputs)?;
        let run = StageRun {
            stage: number,
            start,
            duration: start.elapsed(),
            breakdown: self.stage.breakdown(),
        };
        let names = self.stage.outputs().iter().map(|s| s.name.clone());
        values.extend(names.zip(outputs));
        Ok(run)
    }
}

/// What a stage takes, out of `values`.
fn operands(stage: &dyn Stage, name: &str, values: &Values) -> Result<Vec<Tensor>> {
    let inputs = stage.inputs().iter().map(|spec| {
        let found = values.get(&spec.name).cloned();
        found.ok_or_else(|| PipelineError::Missing {
            stage: name.to_owned(),
            tensor: spec.name.clone(),
        })
    });
    inputs.collect()
}

/// Runs a stage in chunks of frames where it takes fewer than `inputs` have.
fn run(
    engine: &dyn Engine,
    stage: &mut dyn Stage,
    name: &str,
    inputs: &[Tensor],
) -> Result<Vec<Tensor>> {
    let (takes, gives) = (stage.inputs().to_vec(), stage.outputs().to_vec());
    let signature = Signature {
        stage: name,
        inputs: &takes,
        outputs: &gives,
    };
    signature.run(engine, inputs, |inputs| Ok(stage.run(inputs)?))
}
