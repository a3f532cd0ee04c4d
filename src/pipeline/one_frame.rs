//! One frame of what the stages of a whole clip say, for stages that were built for one.

use ndarray::{Axis, Slice};
use socc_engines::{Engine, HostTensor, Tensor, host};

use super::{PipelineError, Result, Values};

/// Frame `index` of values whose first axis counts frames, `[1, ...]`.
pub(crate) fn only_frame(engine: &dyn Engine, values: &Values, index: usize) -> Result<Values> {
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
        Ok((name.clone(), engine.upload(kept)?))
    };
    values.iter().map(cut).collect()
}
