//! Stages that look at one frame at a time, compiled for fewer frames than the clip has: they run chunk by
//! chunk, and only their inputs and outputs are as long as the clip.

use std::borrow::Cow;

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use socc_engines::{Engine, HostTensor, Tensor, host};
use socc_exporter::graph::Graph;
use socc_exporter::model::PER_FRAME;
use socc_exporter::tensor::TensorSpec;

use super::{PipelineError, Result, Window, windows};

/// The axis of a tensor of a [`PER_FRAME`] stage that counts frames.
fn frame_axis(name: &str) -> Option<usize> {
    match name {
        "query_init" => None,
        // Decoder levels come first.
        "frame_queries" | "transformer.inter_references" => Some(1),
        _ => Some(0),
    }
}

/// How often a stage with this graph runs for a clip of `frames` frames.
pub fn chunk_runs(stage: &Graph, frames: usize) -> usize {
    let signature = Signature {
        stage: stage.name(),
        inputs: &stage.inputs(),
        outputs: &[],
    };
    let chunk = signature.chunk().unwrap_or(frames);
    frames.div_ceil(chunk.max(1)).max(1)
}

/// What a stage takes and gives.
#[derive(Clone, Copy)]
pub struct Signature<'a> {
    /// Name of the stage.
    pub stage: &'a str,
    /// Inputs.
    pub inputs: &'a [TensorSpec],
    /// Outputs.
    pub outputs: &'a [TensorSpec],
}

impl Signature<'_> {
    /// Frames that the stage takes at once, where it is one of [`PER_FRAME`].
    fn chunk(&self) -> Option<usize> {
        if !PER_FRAME.contains(&self.stage) {
            return None;
        }
        let mut inputs = self.inputs.iter();
        inputs.find_map(|spec| spec.shape.get(frame_axis(&spec.name)?)?.fixed())
    }

    /// Frames of the inputs, where these are more than the stage takes at once.
    fn frames(&self, inputs: &[Tensor]) -> Option<(usize, usize)> {
        let chunk = self.chunk()?;
        let mut pairs = self.inputs.iter().zip(inputs);
        let frames = pairs.find_map(|(spec, tensor)| {
            let axis = frame_axis(&spec.name)?;
            tensor.shape().get(axis).copied()
        })?;
        (frames > chunk).then_some((chunk, frames))
    }

    /// Runs a stage, once for each chunk where it takes fewer frames than `inputs` have; the last chunk
    /// overlaps the one before it.
    ///
    /// # Errors
    /// `run` fails, or a tensor has not as many frames as it should have.
    pub fn run<E: From<PipelineError>>(
        &self,
        engine: &dyn Engine,
        inputs: &[Tensor],
        mut run: impl FnMut(&[Tensor]) -> std::result::Result<Vec<Tensor>, E>,
    ) -> std::result::Result<Vec<Tensor>, E> {
        let Some((chunk, frames)) = self.frames(inputs) else {
            return run(inputs);
        };
        let mut joined = Joined::new(self.outputs, chunk, frames);
        // To the host once, not once for every chunk.
        let whole = inputs.iter().zip(self.inputs);
        let whole = whole.map(|(tensor, spec)| match frame_axis(&spec.name) {
            Some(axis) => Ok(Operand::Frames(host(tensor)?, axis)),
            None => Ok(Operand::Whole(tensor.clone())),
        });
        let whole = whole.collect::<Result<Vec<_>>>()?;
        for window in windows(frames, chunk) {
            let taken = whole.iter().zip(self.inputs);
            let taken =
                taken.map(|(operand, spec)| operand.cut(engine, spec, window, (chunk, frames)));
            let results = run(&taken.collect::<Result<Vec<_>>>()?)?;
            joined.add(window, &results)?;
        }
        Ok(joined.finish(engine)?)
    }
}

/// What a stage takes, of all frames.
enum Operand<'a> {
    /// Values with an axis that counts frames.
    Frames(Cow<'a, HostTensor>, usize),
    /// Values without one.
    Whole(Tensor),
}

impl Operand<'_> {
    /// The frames of a window of `chunk` out of `frames`.
    fn cut(
        &self,
        engine: &dyn Engine,
        spec: &TensorSpec,
        window: Window,
        (chunk, frames): (usize, usize),
    ) -> Result<Tensor> {
        let (whole, axis) = match self {
            Self::Frames(whole, axis) => (whole, *axis),
            Self::Whole(tensor) => return Ok(tensor.clone()),
        };
        let values = whole.as_f32()?;
        if values.shape().get(axis) != Some(&frames) {
            return Err(wrong(spec, values.shape()));
        }
        let range = Slice::from(window.first..window.first + chunk);
        let part = values.slice_axis(Axis(axis), range).to_owned();
        Ok(engine.upload(HostTensor::F32(part))?)
    }
}

/// Outputs that grow chunk by chunk.
struct Joined<'a> {
    specs: &'a [TensorSpec],
    chunk: usize,
    frames: usize,
    values: Vec<Option<ArrayD<f32>>>,
}

impl<'a> Joined<'a> {
    fn new(specs: &'a [TensorSpec], chunk: usize, frames: usize) -> Self {
        Self {
            specs,
            chunk,
            frames,
            values: vec![None; specs.len()],
        }
    }

    fn add(&mut self, window: Window, results: &[Tensor]) -> Result<()> {
        let skip = window.start - window.first;
        for ((spec, result), joined) in self.specs.iter().zip(results).zip(&mut self.values) {
            let axis = frame_axis(&spec.name).unwrap_or(0);
            let result = host(result)?;
            let values = result.as_f32()?;
            let mut shape = values.shape().to_vec();
            if shape.get(axis) != Some(&self.chunk) {
                return Err(wrong(spec, &shape));
            }
            shape[axis] = self.frames;
            let own = values.slice_axis(Axis(axis), Slice::from(skip..skip + window.len));
            let place = Slice::from(window.start..window.start + window.len);
            let all = joined.get_or_insert_with(|| ArrayD::zeros(IxDyn(&shape)));
            all.slice_axis_mut(Axis(axis), place).assign(&own);
        }
        Ok(())
    }

    fn finish(self, engine: &dyn Engine) -> Result<Vec<Tensor>> {
        let values = self.values.into_iter().flatten();
        let values = values.map(|all| Ok(engine.upload(HostTensor::F32(all))?));
        values.collect()
    }
}

fn wrong(spec: &TensorSpec, got: &[usize]) -> PipelineError {
    PipelineError::Shape {
        tensor: spec.name.clone(),
        got: got.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::path::PathBuf;

    use socc_engines::{Options, engine};

    use crate::source::Source;
    use crate::verify::{self, Case, Tolerance};

    /// Five frames, two at once, against the official model's tensors for all five.
    #[test]
    fn chunks_give_what_the_whole_clip_gives() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let demo = root.join("assets/demo");
        let config = demo.join("config.yaml");
        let source = Source::open(&demo.join("model.safetensors"), Some(&config), None).unwrap();
        let case = Case::open(&root.join("tests/fixtures/cases/odd")).unwrap();
        let mut request = source.request(case.clip.frames.len(), case.height, case.width);
        request.frames_at_once = NonZeroUsize::MIN.saturating_add(1);
        request.probe = true;
        let backend = engine("embedded", &Options::default()).unwrap();
        let mut pipeline = source.compile(backend, &request, &mut |_| ()).unwrap();
        let report = verify::run(&case, &mut pipeline, Tolerance::FP32, &|_| None).unwrap();
        assert_eq!(request.frames, 5);
        for expression in &report.expressions {
            assert!(
                expression.not_given.is_empty(),
                "{:?}",
                expression.not_given
            );
            assert!(expression.passed, "{expression:?}");
        }
    }
}
