//! The staged pipeline: text once per expression, backbone once per clip, the rest once for each
//! pair.

mod chunks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ndarray::{Array2, Array3, Array4, ArrayView4, Axis, Ix1, Ix3, Ix4, Slice, concatenate, s};
use socc_engines::{
    Breakdown, Engine, EngineError, HostTensor, ModelSource, OperatorTime, Stage, StageModel,
    Tensor, host,
};
use socc_exporter::model::Rate;
use socc_exporter::tensor::TensorSpec;

pub use chunks::PER_FRAME;

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
    /// one frame: the official evaluation of single annotated frames.
    pub fn keep_frame(mut self, index: usize) -> Self {
        self.kept_frame = Some(index);
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
            Some(index) => self.only_frame(&values, index),
            None => Ok(values),
        }
    }

    /// Frame `index` of values whose first axis counts frames, `[1, ...]`.
    fn only_frame(&self, values: &Values, index: usize) -> Result<Values> {
        let cut = |(name, tensor): (&String, &Tensor)| {
            let tensor = host(tensor)?;
            let bad = || PipelineError::Shape {
                tensor: name.clone(),
                got: tensor.shape().to_vec(),
            };
            if tensor.shape().first().is_none_or(|frames| index >= *frames) {
                return Err(bad());
            }
            let frame = Slice::from(index..=index);
            let kept = match &*tensor {
                HostTensor::F32(a) => HostTensor::F32(a.slice_axis(Axis(0), frame).to_owned()),
                HostTensor::U8(a) => HostTensor::U8(a.slice_axis(Axis(0), frame).to_owned()),
                HostTensor::I64(_) | HostTensor::I32(_) => return Err(bad()),
            };
            Ok((name.clone(), self.engine.upload(kept)?))
        };
        values.iter().map(cut).collect()
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
        let outputs = match chunks::chunked(&self.name, &*self.stage, &inputs) {
            Some(frames) => chunks::run(engine, &mut *self.stage, &inputs, frames)?,
            None => self.stage.run(&inputs)?,
        };
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

/// Runs a stage that belongs to no pipeline on `values` and adds what it gives.
///
/// # Errors
/// A value is missing, or the engine fails.
pub fn run_stage(stage: &mut dyn Stage, name: &str, values: &mut Values) -> Result<()> {
    let outputs = stage.run(&operands(stage, name, values)?)?;
    let names = stage.outputs().iter().map(|s| s.name.clone());
    values.extend(names.zip(outputs));
    Ok(())
}

/// What the pipeline found for one expression in one window of frames.
#[derive(Debug, Clone)]
pub struct Segmentation {
    /// Time-mean of each query's score.
    pub scores: Vec<f32>,
    /// The query with the highest score.
    pub selected_query: usize,
    /// Boxes of the selected query per frame, `[cx, cy, w, h]` in 0..1.
    pub boxes: Vec<[f32; 4]>,
    /// Mask logits of the selected query, `[T, h, w]`.
    pub logits: Array3<f32>,
}

/// Float32 tensor `name` on the host.
///
/// # Errors
/// It is missing or of another type.
pub fn read_f32(values: &Values, name: &str) -> Result<ndarray::ArrayD<f32>> {
    let tensor = values.get(name).ok_or_else(|| PipelineError::Missing {
        stage: "result".to_owned(),
        tensor: name.to_owned(),
    })?;
    Ok(host(tensor)?.as_f32()?.to_owned())
}

fn shaped<D: ndarray::Dimension>(values: &Values, name: &str) -> Result<ndarray::Array<f32, D>> {
    let array = read_f32(values, name)?;
    let got = array.shape().to_vec();
    array
        .into_dimensionality::<D>()
        .map_err(|_| PipelineError::Shape {
            tensor: name.to_owned(),
            got,
        })
}

impl Segmentation {
    /// Reads the answer off the values of [`Pipeline::segment`].
    ///
    /// # Errors
    /// A tensor is missing or of another shape.
    pub fn read(values: &Values) -> Result<Self> {
        let scores = shaped::<Ix1>(values, "scores")?;
        let selected = values
            .get("selected_query")
            .ok_or_else(|| PipelineError::Missing {
                stage: "result".to_owned(),
                tensor: "selected_query".to_owned(),
            })?;
        let selected = host(selected)?.as_i64()?.first().copied().unwrap_or(0);
        let boxes = shaped::<Ix3>(values, "boxes")?;
        let logits = shaped::<Ix4>(values, "mask_logits")?;
        let query = usize::try_from(selected).unwrap_or(0);
        let bad = |tensor: &str, got: &[usize]| PipelineError::Shape {
            tensor: tensor.to_owned(),
            got: got.to_vec(),
        };
        if query >= boxes.len_of(Axis(1)) || boxes.len_of(Axis(2)) != 4 {
            return Err(bad("boxes", boxes.shape()));
        }
        let column = if logits.len_of(Axis(1)) == 1 {
            0
        } else {
            query
        };
        if column >= logits.len_of(Axis(1)) {
            return Err(bad("mask_logits", logits.shape()));
        }
        let boxes = boxes.index_axis(Axis(1), query);
        Ok(Self {
            scores: scores.to_vec(),
            selected_query: query,
            boxes: boxes
                .outer_iter()
                .map(|b| [b[0], b[1], b[2], b[3]])
                .collect(),
            logits: logits.index_axis(Axis(1), column).to_owned(),
        })
    }
}

/// Frames `start..start + len` that a window answers for, and where they lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First frame of the window.
    pub first: usize,
    /// First frame that it answers for.
    pub start: usize,
    /// Frames that it answers for.
    pub len: usize,
}

/// Windows of `length` frames over `total`: side by side, the last one moved back so that it ends
/// with the video. A shorter video is one window, completed by its last frame.
pub fn windows(total: usize, length: usize) -> Vec<Window> {
    overlapping_windows(total, length, 0)
}

/// Windows as by [`windows`], but each begins `overlap` frames before the first that it answers for (at
/// most `length - 1`), the first one excepted: a window answers for what the one before it has not seen.
pub fn overlapping_windows(total: usize, length: usize, overlap: usize) -> Vec<Window> {
    let length = length.max(1);
    let step = length - overlap.min(length - 1);
    let mut windows = Vec::new();
    let mut start = 0;
    while start < total {
        let own = if start == 0 { length } else { step };
        let end = (start + own).min(total);
        windows.push(Window {
            first: end.saturating_sub(length),
            start,
            len: end - start,
        });
        start = end;
    }
    windows
}

/// Frames of a window, `[length, 3, H, W]`.
pub fn window_frames(frames: ArrayView4<u8>, window: Window, length: usize) -> Array4<u8> {
    let total = frames.len_of(Axis(0));
    let end = (window.first + length).min(total);
    let mut taken = frames.slice(s![window.first..end, .., .., ..]).to_owned();
    while taken.len_of(Axis(0)) < length {
        let last = frames.slice(s![total - 1.., .., .., ..]);
        taken = concatenate(Axis(0), &[taken.view(), last]).unwrap_or(taken);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_frame_once() {
        for (total, length) in [(8, 8), (20, 8), (3, 8), (17, 1), (16, 8)] {
            let all = windows(total, length);
            let covered: Vec<usize> = all.iter().flat_map(|w| w.start..w.start + w.len).collect();
            assert_eq!(
                covered,
                (0..total).collect::<Vec<_>>(),
                "{total} in {length}"
            );
            for w in all {
                assert!(w.first <= w.start && w.start + w.len <= (w.first + length).min(total));
            }
        }
    }

    #[test]
    fn windows_overlap_by_what_was_asked_for() {
        let all = overlapping_windows(20, 8, 3);
        let places: Vec<[usize; 3]> = all.iter().map(|w| [w.first, w.start, w.len]).collect();
        assert_eq!(places, [[0, 0, 8], [5, 8, 5], [10, 13, 5], [12, 18, 2]]);
        for (total, length, overlap) in [(20, 8, 7), (3, 8, 2), (9, 8, 100), (16, 8, 0), (5, 1, 0)]
        {
            let mut next = 0;
            for w in overlapping_windows(total, length, overlap) {
                assert_eq!(w.start, next);
                assert!(w.first <= w.start && w.start + w.len <= w.first + length);
                assert!(w.start == 0 || w.start - w.first >= overlap.min(length - 1).min(w.start));
                next += w.len;
            }
            assert_eq!(next, total);
        }
    }
}
