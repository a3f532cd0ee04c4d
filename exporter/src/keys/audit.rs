//! A checkpoint's keys against the official ones.

use std::collections::BTreeMap;

use serde::Serialize;

use super::expected::{Expected, expected};
use super::stage::Stage;
use super::widths::Widths;
use crate::config::source::Shapes;
use crate::config::{Architecture, Source};

/// Least similarity (1 is equal) at which a name is offered as the nearest.
const SIMILAR: f64 = 0.6;

/// Names whose nearest is looked for, per list; the search is quadratic.
const LOOKED_UP: usize = 100;

/// Bytes of the longest name that is compared; the official ones have up to 80.
const LONGEST: usize = 256;

/// Names that are looked through; the official models have up to 1500.
const CANDIDATES: usize = 10_000;

/// What a checkpoint's keys are, seen from the official model of the same architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Keys that inference needs and the checkpoint lacks.
    pub missing: Vec<Missing>,
    /// Keys of the checkpoint that the official model does not have.
    pub unused: Vec<Unused>,
    /// Keys of another shape than the architecture needs.
    pub wrong_shape: Vec<WrongShape>,
    /// Size of each stage's weights, as far as inference needs them, in the order of the data.
    pub per_stage: Vec<StageSize>,
}

impl Audit {
    /// Whether every needed key is there with its shape. Unused keys do no harm.
    pub fn complete(&self) -> bool {
        self.missing.is_empty() && self.wrong_shape.is_empty()
    }
}

/// A key that inference needs and the checkpoint lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The stage that needs it.
    pub stage: Stage,
    /// The most similar of the checkpoint's unused keys.
    pub nearest: Option<String>,
}

/// A key that the official model does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unused {
    /// The key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The most similar official key.
    pub nearest: Option<String>,
}

/// A key of another shape than the architecture needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WrongShape {
    /// The key.
    pub key: String,
    /// The shape that the architecture needs.
    pub expected: Vec<usize>,
    /// The checkpoint's.
    pub got: Vec<usize>,
}

/// Size of a stage's weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageSize {
    /// The stage.
    pub stage: Stage,
    /// Elements of the tensors that inference needs.
    pub parameters: u64,
    /// Bytes that they take in the checkpoint.
    pub bytes: u64,
}

/// Compares the checkpoint's keys with those of the official model of architecture `arch`. Second copies of shared
/// tensors, constant buffers and counters of profilers are known and neither missing nor unused.
pub fn audit<S: Source>(checkpoint: &S, arch: &Architecture) -> Audit {
    let shapes = &Shapes::new(checkpoint);
    let official = expected(arch, &Widths::read(shapes, arch));
    let mut unused: Vec<_> = shapes
        .tensors
        .iter()
        .filter(|(key, _)| !official.contains_key(**key) && !harmless(key))
        .map(|(key, (_, shape))| Unused {
            key: (*key).to_owned(),
            shape: shape.to_vec(),
            nearest: None,
        })
        .collect();
    let mut missing: Vec<_> = official
        .iter()
        .filter(|(key, e)| e.needed && !shapes.has(key))
        .map(|(key, e)| Missing {
            key: key.clone(),
            shape: e.shape.clone(),
            stage: e.stage,
            nearest: None,
        })
        .collect();
    for entry in missing.iter_mut().take(LOOKED_UP) {
        entry.nearest =
            nearest(&entry.key, unused.iter().map(|u| u.key.as_str())).map(str::to_owned);
    }
    for entry in unused.iter_mut().take(LOOKED_UP) {
        entry.nearest = nearest(&entry.key, official.keys().map(String::as_str)).map(str::to_owned);
    }
    let wrong_shape = official
        .iter()
        .filter_map(|(key, e)| Some((key, e, shapes.find(key)?)))
        .filter(|(_, e, got)| e.shape != *got)
        .map(|(key, e, got)| WrongShape {
            key: key.clone(),
            expected: e.shape.clone(),
            got: got.to_vec(),
        })
        .collect();
    Audit {
        missing,
        unused,
        wrong_shape,
        per_stage: sizes(shapes, &official),
    }
}

fn sizes(shapes: &Shapes<'_>, official: &BTreeMap<String, Expected>) -> Vec<StageSize> {
    let size = |stage: Stage| {
        let mut size = StageSize {
            stage,
            parameters: 0,
            bytes: 0,
        };
        for (key, _) in official
            .iter()
            .filter(|(_, e)| e.needed && e.stage == stage)
        {
            if let Some((dtype, shape)) = shapes.tensors.get(key.as_str()) {
                let elements = shape.iter().fold(1u64, |n, d| n.saturating_mul(*d as u64));
                size.parameters = size.parameters.saturating_add(elements);
                let bytes = elements.saturating_mul(dtype.size_bytes() as u64);
                size.bytes = size.bytes.saturating_add(bytes);
            }
        }
        size
    };
    Stage::ALL.map(size).into()
}

/// Keys that official checkpoints may hold beside the constructor's: buffers of older library versions, counters of
/// profilers.
fn harmless(key: &str) -> bool {
    key.starts_with("text_encoder.pooler.")
        || matches!(
            key,
            "text_encoder.embeddings.position_ids" | "text_encoder.embeddings.token_type_ids"
        )
        || [
            ".relative_position_index",
            ".num_batches_tracked",
            "total_params",
            "total_ops",
        ]
        .iter()
        .any(|end| key.ends_with(end))
}

/// The most similar of `names`, if any is similar enough to be meant. Similarity is 1 less the edit distance over the
/// longer name's length.
pub fn nearest<'a>(key: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = |name: &str| strsim::normalized_levenshtein(key, name);
    names
        .into_iter()
        .take(CANDIDATES)
        // A length too different cannot be similar enough: saves the costly comparison. No official name is long.
        .filter(|n| n.len().max(key.len()) <= LONGEST)
        .filter(|n| n.len().min(key.len()) as f64 >= SIMILAR * n.len().max(key.len()) as f64)
        .map(|name| (alike(name), name))
        .filter(|(score, _)| *score >= SIMILAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
