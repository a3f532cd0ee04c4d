//! Golden cases as they lie on disk: `case.json`, `frames/*.png`, `exprN.safetensors`, `probe.json`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ndarray::{Array4, ArrayD};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::probe::Samples;
use crate::host::frames::{Clip, Selection};
use crate::host::{HostError, resize};

/// Why a golden case cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A file is missing or unreadable.
    #[error(
        "cannot read {path}: {source}; a golden case has case.json, frames/ and one safetensors file per expression"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file is damaged or inconsistent.
    #[error("{path} is not usable: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The frames cannot be used.
    #[error(transparent)]
    Frames(#[from] HostError),
}

/// Result of reading.
pub type Result<T> = std::result::Result<T, CaseError>;

#[derive(Deserialize)]
struct CaseJson {
    frames: usize,
    height: usize,
    width: usize,
    resized: Option<[usize; 2]>,
    expressions: Vec<ExpressionCase>,
}

/// A sentence of a case and the official model's answer.
#[derive(Debug, Clone, Deserialize)]
pub struct ExpressionCase {
    /// The sentence.
    pub text: String,
    /// File of the golden tensors, within the case.
    pub file: String,
    /// The query that the official model selects.
    pub selected_query: usize,
}

/// A golden case.
#[derive(Debug)]
pub struct Case {
    /// The folder.
    pub dir: PathBuf,
    /// The frames as they lie in the folder.
    pub clip: Clip,
    /// Height that the model sees, in pixels.
    pub height: usize,
    /// Width that the model sees, in pixels.
    pub width: usize,
    /// The sentences.
    pub expressions: Vec<ExpressionCase>,
    /// Tensors of which only samples are kept.
    pub probes: BTreeMap<String, Samples>,
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|source| CaseError::Read {
        path: path.to_owned(),
        source,
    })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_slice(&read(path)?).map_err(|e| damaged(path, e.to_string()))
}

fn damaged(path: &Path, reason: String) -> CaseError {
    CaseError::Damaged {
        path: path.to_owned(),
        reason,
    }
}

impl Case {
    /// Reads a case, without its tensors.
    ///
    /// # Errors
    /// A file is missing or damaged, or the frames are not those that `case.json` describes.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = dir.join("case.json");
        let case: CaseJson = json(&path)?;
        let clip = Clip::load(&dir.join("frames"), &Selection::default())?;
        let got = (clip.frames.len(), clip.size());
        if got != (case.frames, (case.width as u32, case.height as u32)) {
            return Err(damaged(
                &path,
                format!(
                    "it says {} frames of {}x{}, the folder frames/ has {} of {}x{}",
                    case.frames, case.height, case.width, got.0, got.1.1, got.1.0
                ),
            ));
        }
        if case.expressions.is_empty() {
            return Err(damaged(&path, "it has no expressions".to_owned()));
        }
        let [height, width] = case.resized.unwrap_or([case.height, case.width]);
        let probes = dir.join("probe.json");
        Ok(Self {
            dir: dir.to_owned(),
            clip,
            height,
            width,
            expressions: case.expressions,
            probes: match probes.is_file() {
                true => json(&probes)?,
                false => BTreeMap::new(),
            },
        })
    }

    /// The frames as the model sees them, `[T, 3, H, W]`.
    pub fn frames_tensor(&self) -> Array4<u8> {
        let (width, height) = (self.width as u32, self.height as u32);
        let resized = self.clip.frames.iter();
        let resized: Vec<_> = resized.map(|f| resize::resize(f, width, height)).collect();
        resize::frames_tensor(&resized)
    }
}

/// The golden tensors of one expression.
pub struct Golden {
    path: PathBuf,
    bytes: Vec<u8>,
    names: Vec<String>,
}

/// Golden tensors that are inputs, not results.
const INPUTS: [&str; 1] = ["text.input_ids"];

impl ExpressionCase {
    /// Reads the tensors.
    ///
    /// # Errors
    /// The file is missing or damaged.
    pub fn load(&self, dir: &Path) -> Result<Golden> {
        let path = dir.join(&self.file);
        let bytes = read(&path)?;
        let tensors =
            SafeTensors::deserialize(&bytes).map_err(|e| damaged(&path, e.to_string()))?;
        let mut names: Vec<String> = tensors.names().iter().map(|n| n.to_string()).collect();
        names.retain(|n| !INPUTS.contains(&n.as_str()));
        names.sort();
        Ok(Golden { path, bytes, names })
    }
}

impl Golden {
    /// Names of the results.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    fn tensor<const N: usize, T>(
        &self,
        name: &str,
        dtype: Dtype,
        convert: fn([u8; N]) -> T,
    ) -> Result<ArrayD<T>> {
        let fail = |reason: String| damaged(&self.path, format!("`{name}`: {reason}"));
        let tensors = SafeTensors::deserialize(&self.bytes).map_err(|e| fail(e.to_string()))?;
        let view = tensors.tensor(name).map_err(|e| fail(e.to_string()))?;
        if view.dtype() != dtype {
            return Err(fail(format!(
                "it holds {:?}, expected {dtype:?}",
                view.dtype()
            )));
        }
        let (whole, _) = view.data().as_chunks::<N>();
        let values = whole.iter().map(|c| convert(*c)).collect();
        ArrayD::from_shape_vec(view.shape().to_vec(), values).map_err(|e| fail(e.to_string()))
    }

    /// A float32 tensor.
    ///
    /// # Errors
    /// It is missing or of another type.
    pub fn f32(&self, name: &str) -> Result<ArrayD<f32>> {
        self.tensor(name, Dtype::F32, f32::from_le_bytes)
    }

    /// An int64 tensor.
    ///
    /// # Errors
    /// It is missing or of another type.
    pub fn i64(&self, name: &str) -> Result<ArrayD<i64>> {
        self.tensor(name, Dtype::I64, i64::from_le_bytes)
    }
}
