//! Tables of names and shapes for tests.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::source::Source;
use crate::tensor::DType;

/// A checkpoint without values, save those given.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<(String, DType, Vec<usize>)>,
    pub(crate) integers: Vec<(String, Vec<i64>)>,
    pub(crate) reals: Vec<(String, Vec<f32>)>,
}

impl Source for Table {
    fn label(&self) -> String {
        "model.tar".to_owned()
    }
    fn entries(&self) -> Vec<(&str, DType, &[usize])> {
        self.rows
            .iter()
            .map(|(n, d, s)| (n.as_str(), *d, s.as_slice()))
            .collect()
    }
    fn integers(&self, key: &str) -> Option<Vec<i64>> {
        self.integers
            .iter()
            .find(|(n, _)| n == key)
            .map(|(_, v)| v.clone())
    }
    fn reals(&self, key: &str) -> Option<Vec<f32>> {
        self.reals
            .iter()
            .find(|(n, _)| n == key)
            .map(|(_, v)| v.clone())
    }
}

impl Table {
    /// Drops keys that begin with `prefix`.
    pub(crate) fn without(mut self, prefix: &str) -> Self {
        let before = self.rows.len();
        self.rows.retain(|(n, _, _)| !n.starts_with(prefix));
        assert!(self.rows.len() < before, "no {prefix}");
        self
    }

    /// Gives `key` another shape, or adds it.
    pub(crate) fn with(mut self, key: &str, shape: &[usize]) -> Self {
        self.rows.retain(|(n, _, _)| n != key);
        self.rows.push((key.to_owned(), DType::F32, shape.to_vec()));
        self
    }
}

/// The model of letter `model` in `text` (see the README beside the fixtures).
fn table(text: &str, model: char) -> Table {
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let models = words.next()?;
        let (key, kind) = (words.next()?, words.next()?);
        let dims = words
            .next()?
            .split(',')
            .map(|d| d.parse().unwrap())
            .collect();
        let dtype = if kind == "i" { DType::I64 } else { DType::F32 };
        models
            .contains(model)
            .then(|| (key.to_owned(), dtype, dims))
    });
    Table {
        rows: rows.collect(),
        ..Table::default()
    }
}

/// An official full-size model: `t`, `s`, `b` or `r`.
pub(crate) fn official(model: char) -> Table {
    table(include_str!("fixtures/official_keys.txt"), model)
}

/// The small trained model.
pub(crate) fn small() -> Table {
    table(include_str!("fixtures/shapes_keys.txt"), 'x')
}

/// The folder of the fixtures.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/fixtures"))
}
