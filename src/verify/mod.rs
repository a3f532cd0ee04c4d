//! A golden case of the official model against what a pipeline computes.

mod case;
mod compare;
mod probe;

use ndarray::{ArrayD, ArrayViewD, Axis, Slice};
use serde::Serialize;
use socc_engines::{EngineError, host};

pub use case::{Case, CaseError, ExpressionCase};
pub use compare::{Difference, Tolerance, compare};

use crate::host::masks;
use crate::pipeline::{Pipeline, PipelineError, Segmentation, Values};

/// Stage outputs and the golden tensors that they must equal. Other outputs that probes add carry
/// the golden tensor's own name.
const GOLDEN_NAMES: [(&str, &str); 11] = [
    ("word_features", "text.word_features"),
    ("query_init", "fusion.query_init"),
    ("frame_queries", "transformer.hs"),
    ("memory8", "transformer.memory0"),
    ("memory16", "transformer.memory1"),
    ("memory32", "transformer.memory2"),
    ("text_feature", "temporal.text_feature"),
    ("class_scores", "out.pred_cls"),
    ("boxes", "out.pred_boxes"),
    ("mask_logits", "out.pred_masks"),
    ("scores", "post.scores"),
];
const MASKS: &str = "out.pred_masks";

/// Why a case could not be run; a difference is no error but a failed [`Report`].
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The case cannot be read.
    #[error(transparent)]
    Case(#[from] CaseError),
    /// The pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A result could not be brought to the CPU.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The golden tensor is of another shape than the pipeline's.
    #[error(
        "{case}: `{tensor}` is {golden:?} in the golden file and {got:?} here; the case belongs to another model"
    )]
    Shape {
        /// The case.
        case: String,
        /// The tensor.
        tensor: String,
        /// Shape in the golden file.
        golden: Vec<usize>,
        /// Shape here.
        got: Vec<usize>,
    },
}

/// Result of verification.
pub type Result<T> = std::result::Result<T, VerifyError>;

/// What a case showed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether everything was within the tolerance.
    pub passed: bool,
    /// The tolerance that was applied.
    pub tolerance: Tolerance,
    /// Each expression's findings.
    pub expressions: Vec<ExpressionReport>,
}

/// What one expression of a case showed.
#[derive(Debug, Clone, Serialize)]
pub struct ExpressionReport {
    /// The sentence.
    pub text: String,
    /// Whether everything was within the tolerance.
    pub passed: bool,
    /// Whether the tokenizer gives the golden tokens; absent where no tokenizer is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_equal: Option<bool>,
    /// Every golden tensor that the graphs give.
    pub tensors: Vec<TensorReport>,
    /// Golden tensors that the graphs do not give (a bundle without `--probe`).
    pub not_given: Vec<String>,
    /// The selected query here.
    pub selected_query: usize,
    /// The official model's.
    pub golden_selected_query: usize,
    /// Intersection over union of the masks at the frames' size, over the whole clip.
    pub mask_iou: f64,
}

/// One tensor's difference.
#[derive(Debug, Clone, Serialize)]
pub struct TensorReport {
    /// Golden name.
    pub name: String,
    /// Whether the difference is within the tolerance.
    pub passed: bool,
    /// Whether only samples of the tensor were compared.
    pub sampled: bool,
    /// The difference.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Runs every expression of a case. `tokens` gives the token ids of a sentence, if a tokenizer is
/// known.
///
/// # Errors
/// The case cannot be read, the pipeline fails, or the case belongs to another model.
pub fn run(
    case: &Case,
    pipeline: &mut Pipeline,
    tolerance: Tolerance,
    tokens: &dyn Fn(&str) -> Option<Vec<i64>>,
) -> Result<Report> {
    let clip = pipeline.encode_clip(case.frames_tensor())?;
    let mut expressions = Vec::new();
    for expression in &case.expressions {
        let golden = expression.load(&case.dir)?;
        let ids = golden.i64("text.input_ids")?;
        let ids: Vec<i64> = ids.iter().copied().collect();
        let text = pipeline.encode_text(&ids)?;
        let values = pipeline.segment(&clip, &text)?;
        let found = Segmentation::read(&values)?;
        let mut tensors = Vec::new();
        let mut not_given = Vec::new();
        for name in golden.names() {
            let Some(value) = values.get(stage_output(name)) else {
                not_given.push(name.to_owned());
                continue;
            };
            let got = host(value)?;
            let expected = golden.f32(name)?;
            let got = columns(name, got.as_f32()?, &expected, found.selected_query);
            let expected = columns(name, expected.view(), &got, expression.selected_query);
            if got.shape() != expected.shape() {
                return Err(VerifyError::Shape {
                    case: case.dir.display().to_string(),
                    tensor: name.to_owned(),
                    golden: expected.shape().to_vec(),
                    got: got.shape().to_vec(),
                });
            }
            tensors.push(tensor_report(name, got.view(), expected.view(), tolerance));
        }
        tensors.extend(sampled(case, &values, tolerance, &mut not_given)?);
        let mask_iou = mask_iou(case, expression, &found, &golden.f32(MASKS)?);
        let tokens_equal = tokens(&expression.text).map(|t| t == ids);
        let passed = tensors.iter().all(|t| t.passed)
            && tokens_equal != Some(false)
            && found.selected_query == expression.selected_query
            && mask_iou >= tolerance.mask_iou;
        expressions.push(ExpressionReport {
            text: expression.text.clone(),
            passed,
            tokens_equal,
            tensors,
            not_given,
            selected_query: found.selected_query,
            golden_selected_query: expression.selected_query,
            mask_iou,
        });
    }
    Ok(Report {
        passed: expressions.iter().all(|e| e.passed),
        tolerance,
        expressions,
    })
}

/// Name under which a stage gives golden tensor `name`.
fn stage_output(name: &str) -> &str {
    let known = GOLDEN_NAMES.iter().find(|(_, golden)| *golden == name);
    known.map_or(name, |(output, _)| output)
}

/// Masks of all queries cut down to the selected one where the other side has only that.
fn columns(name: &str, side: ArrayViewD<f32>, other: &ArrayD<f32>, selected: usize) -> ArrayD<f32> {
    let wide = |shape: &[usize]| shape.get(1).copied().unwrap_or(0);
    if name == MASKS && wide(other.shape()) == 1 && selected < wide(side.shape()) {
        return side
            .slice_axis(Axis(1), Slice::from(selected..=selected))
            .to_owned();
    }
    side.to_owned()
}

fn tensor_report(
    name: &str,
    got: ArrayViewD<f32>,
    expected: ArrayViewD<f32>,
    tolerance: Tolerance,
) -> TensorReport {
    let difference = compare(got.iter().copied(), expected.iter().copied());
    TensorReport {
        name: name.to_owned(),
        passed: difference.relative_l2 <= tolerance.relative_l2,
        sampled: false,
        difference,
    }
}

/// Tensors of which the case keeps samples only.
fn sampled(
    case: &Case,
    values: &Values,
    tolerance: Tolerance,
    not_given: &mut Vec<String>,
) -> Result<Vec<TensorReport>> {
    let mut reports = Vec::new();
    for (name, samples) in &case.probes {
        let Some(value) = values.get(stage_output(name)) else {
            not_given.push(name.clone());
            continue;
        };
        let got = host(value)?;
        let got = got.as_f32()?;
        if got.shape() != samples.shape {
            return Err(VerifyError::Shape {
                case: case.dir.display().to_string(),
                tensor: name.clone(),
                golden: samples.shape.clone(),
                got: got.shape().to_vec(),
            });
        }
        let (difference, moments_equal) = samples.compare(got, tolerance);
        reports.push(TensorReport {
            name: name.clone(),
            passed: moments_equal && difference.relative_l2 <= tolerance.relative_l2,
            sampled: true,
            difference,
        });
    }
    Ok(reports)
}

/// IoU over all frames of the masks at the frames' own size.
fn mask_iou(
    case: &Case,
    expression: &ExpressionCase,
    found: &Segmentation,
    golden: &ArrayD<f32>,
) -> f64 {
    let queries = golden.shape().get(1).copied().unwrap_or(0);
    let query = if queries == 1 {
        0
    } else {
        expression.selected_query
    };
    if query >= queries {
        return 0.0;
    }
    let (width, height) = case.clip.size();
    let (mut both, mut any) = (0, 0);
    let golden = golden.index_axis(Axis(1), query);
    for (got, golden) in found.logits.outer_iter().zip(golden.outer_iter()) {
        let Ok(golden) = golden.into_dimensionality() else {
            continue;
        };
        let got = masks::from_logits(got, width, height);
        let golden = masks::from_logits(golden, width, height);
        let (b, a) = masks::overlap(&got, &golden);
        both += b;
        any += a;
    }
    masks::ratio(both, any)
}
