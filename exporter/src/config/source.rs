//! What the configuration reader asks of a checkpoint; a table of shapes serves as well, so that no file is needed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::error::ConfigError;
use crate::checkpoint::Checkpoint;
use crate::tensor::DType;

/// A set of named tensors whose types and shapes are known and whose values can be asked for.
pub trait Source {
    /// What to call it in messages: the file.
    fn label(&self) -> String;
    /// Every tensor: name, element type, shape.
    fn entries(&self) -> Vec<(&str, DType, &[usize])>;
    /// The values of an integer tensor in row-major order; `None` if they cannot be had.
    fn integers(&self, key: &str) -> Option<Vec<i64>>;
    /// The values of a real tensor in row-major order; `None` if they cannot be had.
    fn reals(&self, key: &str) -> Option<Vec<f32>>;
}

impl Source for Checkpoint {
    fn label(&self) -> String {
        self.path().display().to_string()
    }
    fn entries(&self) -> Vec<(&str, DType, &[usize])> {
        self.tensors()
            .iter()
            .map(|(name, info)| (name.as_str(), info.dtype, info.shape.as_slice()))
            .collect()
    }
    fn integers(&self, key: &str) -> Option<Vec<i64>> {
        self.read_i64(key).ok()
    }
    fn reals(&self, key: &str) -> Option<Vec<f32>> {
        self.read_f32(key).ok()
    }
}

impl<S: Source + ?Sized> Source for Arc<S> {
    fn label(&self) -> String {
        (**self).label()
    }
    fn entries(&self) -> Vec<(&str, DType, &[usize])> {
        (**self).entries()
    }
    fn integers(&self, key: &str) -> Option<Vec<i64>> {
        (**self).integers(key)
    }
    fn reals(&self, key: &str) -> Option<Vec<f32>> {
        (**self).reals(key)
    }
}

/// The tensors of a source by name, with the questions that the readers ask.
pub(crate) struct Shapes<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) file: String,
    pub(crate) tensors: BTreeMap<&'a str, (DType, &'a [usize])>,
}

impl<'a> Shapes<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self {
            source,
            file: source.label(),
            tensors: source
                .entries()
                .into_iter()
                .map(|(name, dtype, shape)| (name, (dtype, shape)))
                .collect(),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.tensors.contains_key(key)
    }

    /// Whether a key begins with `prefix`.
    pub(crate) fn has_prefix(&self, prefix: &str) -> bool {
        self.names_from(prefix).next().is_some()
    }

    /// Keys that begin with `prefix`, in order.
    fn names_from<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.tensors
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .map(|(name, _)| *name)
            .take_while(move |name| name.starts_with(prefix))
    }

    /// Shape of `key` if it is there.
    pub(crate) fn find(&self, key: &str) -> Option<&'a [usize]> {
        self.tensors.get(key).map(|(_, shape)| *shape)
    }

    /// Shape of `key`, of which `N` axes are expected; `expected` names them in messages.
    ///
    /// # Errors
    /// The key is missing, has another number of axes, or an axis of length 0.
    pub(crate) fn axes<const N: usize>(
        &self,
        key: &str,
        expected: &str,
    ) -> Result<[usize; N], ConfigError> {
        let Some(shape) = self.find(key) else {
            return Err(self.missing(key));
        };
        match <[usize; N]>::try_from(shape) {
            Ok(axes) if !axes.contains(&0) => Ok(axes),
            _ => Err(self.misshapen(key, expected)),
        }
    }

    /// How many `PREFIX.0`, `PREFIX.1`, ... there are: one more than the largest index. Gaps are left to the audit of
    /// the keys, unless more are missing than there: that is not a numbering of layers.
    ///
    /// # Errors
    /// The numbering has more gaps than layers.
    pub(crate) fn count(&self, prefix: &str) -> Result<usize, ConfigError> {
        let dotted = format!("{prefix}.");
        let seen: BTreeSet<usize> = self
            .names_from(&dotted)
            .filter_map(|name| name[dotted.len()..].split('.').next()?.parse().ok())
            .collect();
        let Some(&last) = seen.last() else {
            return Ok(0);
        };
        if last >= seen.len() * 2 {
            return Err(ConfigError::Unknown {
                file: self.file.clone(),
                fact: "the number of layers",
                reason: format!(
                    "`{prefix}.*` is numbered up to {last}, yet {} of these layers are there",
                    seen.len()
                ),
                remedy: "a complete checkpoint",
            });
        }
        Ok(last + 1)
    }

    /// As [`Self::count`], where none is an error.
    pub(crate) fn layers(&self, prefix: &str) -> Result<usize, ConfigError> {
        match self.count(prefix)? {
            0 => Err(self.missing(&format!("{prefix}.0.*"))),
            n => Ok(n),
        }
    }

    pub(crate) fn missing(&self, key: &str) -> ConfigError {
        ConfigError::Missing {
            file: self.file.clone(),
            key: key.to_owned(),
            nearest: crate::keys::nearest(key, self.tensors.keys().copied()).map(str::to_owned),
        }
    }

    pub(crate) fn misshapen(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Shape {
            file: self.file.clone(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got: self.find(key).unwrap_or_default().to_vec(),
        }
    }

    pub(crate) fn refused(&self, refusal: super::error::Refusal) -> ConfigError {
        ConfigError::Refused {
            file: self.file.clone(),
            refusal,
        }
    }
}
