//! What a pipeline found, read off the values of its last stages.

use ndarray::{Array3, Axis, Ix1, Ix3, Ix4};
use socc_engines::host;

use super::{PipelineError, Result, Values};

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
    /// Reads the answer off the values of [`super::Pipeline::segment`].
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
