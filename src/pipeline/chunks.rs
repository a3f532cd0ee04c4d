//! Stages that look at one frame at a time, compiled for fewer frames than the clip has: they run chunk by
//! chunk, and only their inputs and outputs are as long as the clip.

use ndarray::{ArrayD, Axis, IxDyn, Slice};
use socc_engines::{Engine, HostTensor, Stage, Tensor, host};
use socc_exporter::tensor::TensorSpec;

use super::{PipelineError, Result, windows};

/// Stages whose frames do not know of each other: deformable attention stays within a frame, and so does
/// the mask of a query that is chosen.
pub const PER_FRAME: [&str; 2] = ["transformer", "mask_head"];

/// The axis of a tensor of a [`PER_FRAME`] stage that counts frames.
fn frame_axis(name: &str) -> Option<usize> {
    match name {
        "query_init" => None,
        // Decoder levels come first.
        "frame_queries" | "transformer.inter_references" => Some(1),
        _ => Some(0),
    }
}

/// Frames that a stage takes at once, and that its inputs have, where these are more.
pub(super) fn chunked(name: &str, stage: &dyn Stage, inputs: &[Tensor]) -> Option<(usize, usize)> {
    if !PER_FRAME.contains(&name) {
        return None;
    }
    let mut pairs = stage.inputs().iter().zip(inputs);
    pairs.find_map(|(spec, tensor)| {
        let axis = frame_axis(&spec.name)?;
        let chunk = spec.shape.get(axis)?.fixed()?;
        let frames = *tensor.shape().get(axis)?;
        (frames > chunk).then_some((chunk, frames))
    })
}

/// Runs a stage over `frames` frames, `chunk` at a time; the last chunk overlaps the one before it.
pub(super) fn run(
    engine: &dyn Engine,
    stage: &mut dyn Stage,
    inputs: &[Tensor],
    (chunk, frames): (usize, usize),
) -> Result<Vec<Tensor>> {
    let specs = stage.inputs().to_vec();
    let outputs = stage.outputs().to_vec();
    // To the host once, not once for every chunk.
    let whole: Vec<_> = inputs
        .iter()
        .map(host)
        .collect::<std::result::Result<_, _>>()?;
    let mut joined: Vec<Option<ArrayD<f32>>> = vec![None; outputs.len()];
    for window in windows(frames, chunk) {
        let range = Slice::from(window.first..window.first + chunk);
        let mut taken = Vec::with_capacity(inputs.len());
        for ((spec, tensor), whole) in specs.iter().zip(inputs).zip(&whole) {
            taken.push(match frame_axis(&spec.name) {
                None => tensor.clone(),
                Some(axis) => {
                    let values = whole.as_f32()?;
                    if values.shape().get(axis) != Some(&frames) {
                        return Err(wrong(spec, values.shape()));
                    }
                    let part = values.slice_axis(Axis(axis), range).to_owned();
                    engine.upload(HostTensor::F32(part))?
                }
            });
        }
        let results = stage.run(&taken)?;
        let skip = window.start - window.first;
        for ((spec, result), joined) in outputs.iter().zip(results).zip(&mut joined) {
            let axis = frame_axis(&spec.name).unwrap_or(0);
            let result = host(&result)?;
            let values = result.as_f32()?;
            let mut shape = values.shape().to_vec();
            if shape.get(axis) != Some(&chunk) {
                return Err(wrong(spec, &shape));
            }
            shape[axis] = frames;
            let own = values.slice_axis(Axis(axis), Slice::from(skip..skip + window.len));
            let place = Slice::from(window.start..window.start + window.len);
            let all = joined.get_or_insert_with(|| ArrayD::zeros(IxDyn(&shape)));
            all.slice_axis_mut(Axis(axis), place).assign(&own);
        }
    }
    let joined = joined.into_iter().flatten();
    let joined = joined.map(|all| Ok(engine.upload(HostTensor::F32(all))?));
    joined.collect()
}

fn wrong(spec: &TensorSpec, got: &[usize]) -> PipelineError {
    PipelineError::Shape {
        tensor: spec.name.clone(),
        got: got.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use socc_engines::{Options, engine};
    use socc_exporter::model::STAGES;

    use super::*;
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
        let frames = case.clip.frames.len();
        let mut request = source.request(frames, case.height, case.width);
        request.probe = true;
        let stages = STAGES.map(|(name, _)| {
            let mut own = request;
            if PER_FRAME.contains(&name) {
                own.frames = 2;
            }
            (name, own)
        });
        let backend = engine("embedded", &Options::default()).unwrap();
        let compiled = source.compile_stages(backend, &stages, &mut |_| ());
        let mut pipeline = compiled.unwrap();
        let report = verify::run(&case, &mut pipeline, Tolerance::FP32, &|_| None).unwrap();
        assert_eq!(frames, 5);
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
