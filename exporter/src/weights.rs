//! A prefix-scoped view of a checkpoint: `w.pp("encoder").pp(0).get(&[c, c], "weight")`.

use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::graph::{self, Data, Graph};
use crate::tensor::DType;

/// Why a weight could not be found.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The checkpoint lacks the key, or reading failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The key is missing.
    #[error("{file}: the checkpoint has no `{key}`; run `socc inspect` for all missing keys")]
    Missing {
        /// The checkpoint file.
        file: String,
        /// The key.
        key: String,
    },
    /// The tensor has another shape than the architecture needs.
    #[error(
        "{file}: `{key}` has shape {got:?} where the architecture needs {expected:?}; check the configuration file"
    )]
    Shape {
        /// The checkpoint file.
        file: String,
        /// The key.
        key: String,
        /// What the architecture needs.
        expected: Vec<usize>,
        /// What the checkpoint holds.
        got: Vec<usize>,
    },
}

/// A checkpoint seen from a module path.
#[derive(Clone)]
pub struct Weights {
    checkpoint: Arc<Checkpoint>,
    prefix: String,
}

impl Weights {
    /// The whole checkpoint.
    pub fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Self {
            checkpoint,
            prefix: String::new(),
        }
    }

    /// The view one module deeper.
    pub fn pp(&self, name: impl Display) -> Self {
        Self {
            checkpoint: Arc::clone(&self.checkpoint),
            prefix: self.key(&name.to_string()),
        }
    }

    /// The module path, without a trailing dot.
    pub fn path(&self) -> &str {
        &self.prefix
    }

    /// Whether the module has a tensor called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.tensors().contains_key(&self.key(name))
    }

    fn key(&self, name: &str) -> String {
        if self.prefix.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.prefix)
        }
    }

    fn file(&self) -> String {
        self.checkpoint.path().display().to_string()
    }

    /// Shape of the module's tensor `name`.
    ///
    /// # Errors
    /// The checkpoint lacks it.
    pub fn shape(&self, name: &str) -> Result<&[usize], WeightError> {
        let key = self.key(name);
        match self.checkpoint.tensors().get(&key) {
            Some(info) => Ok(&info.shape),
            None => Err(WeightError::Missing {
                file: self.file(),
                key,
            }),
        }
    }

    /// The module's tensor `name`, which must have `shape`; nothing is read yet.
    ///
    /// # Errors
    /// The checkpoint lacks it or holds another shape.
    pub fn get(&self, shape: &[usize], name: &str) -> Result<Param, WeightError> {
        let got = self.shape(name)?;
        if got != shape {
            return Err(WeightError::Shape {
                file: self.file(),
                key: self.key(name),
                expected: shape.to_vec(),
                got: got.to_vec(),
            });
        }
        Ok(Param {
            checkpoint: Arc::clone(&self.checkpoint),
            key: self.key(name),
            name: self.key(name),
            elements: 0..shape.iter().product(),
            shape: shape.to_vec(),
        })
    }
}

/// A checkpoint tensor, or a range of its rows, that is read when it is needed.
#[derive(Clone)]
pub struct Param {
    checkpoint: Arc<Checkpoint>,
    key: String,
    name: String,
    elements: Range<usize>,
    shape: Vec<usize>,
}

impl Param {
    /// Shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The rows `start..end`, as a parameter whose name ends with `suffix`.
    #[must_use]
    pub fn rows(&self, start: usize, end: usize, suffix: &str) -> Self {
        let row: usize = self.shape[1..].iter().product();
        let mut shape = self.shape.clone();
        shape[0] = end - start;
        Self {
            checkpoint: Arc::clone(&self.checkpoint),
            key: self.key.clone(),
            name: format!("{}.{suffix}", self.name),
            elements: self.elements.start + start * row..self.elements.start + end * row,
            shape,
        }
    }

    /// The same elements under another shape of as many.
    #[must_use]
    pub fn viewed(mut self, shape: &[usize]) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), self.elements.len());
        shape.clone_into(&mut self.shape);
        self
    }

    /// Reads the values as float32.
    ///
    /// # Errors
    /// The checkpoint cannot be read.
    pub fn read(&self) -> Result<Vec<f32>, CheckpointError> {
        let mut values = self.checkpoint.read_f32(&self.key)?;
        if self.elements.len() < values.len() {
            values.truncate(self.elements.end);
            values.drain(..self.elements.start);
        }
        Ok(values)
    }

    /// The parameter as an initializer: the checkpoint's own bytes.
    ///
    /// # Errors
    /// The name is taken by a value of another shape.
    pub fn emit(&self, g: &mut Graph) -> graph::Result {
        let source = self.clone();
        let data = Data::stream(move |out| {
            let elements = source.elements.clone();
            Ok(source.checkpoint.copy_f32(&source.key, elements, out)?)
        });
        g.initializer(&self.name, DType::F32, &self.shape, data)
    }

    /// An initializer called `NAME.suffix` whose values `derive` makes from the parameter's.
    ///
    /// # Errors
    /// The name is taken by a value of another shape.
    pub fn emit_derived(
        &self,
        g: &mut Graph,
        suffix: &str,
        shape: &[usize],
        derive: impl Fn(Vec<f32>) -> Vec<f32> + Send + Sync + 'static,
    ) -> graph::Result {
        let source = self.clone();
        let data = Data::compute(move || Ok(derive(source.read()?)));
        g.initializer(&format!("{}.{suffix}", self.name), DType::F32, shape, data)
    }
}
