//! Clips that are longer than what is computed at once, in sections of frames.
//!
//! What no frame's computation needs of others, and window attention, whose windows are some frames
//! long, is emitted section by section: tensors wider than a stage's own outputs stay as small as a
//! section, and the result is that of the whole clip. A clip of one section has the plain graph.

use std::ops::Range;

use crate::graph::{Graph, GraphError, Result, Value};

/// Ranges of `at_once` frames, the last one shorter.
pub(super) fn ranges(frames: usize, at_once: usize) -> Vec<Range<usize>> {
    let step = at_once.max(1);
    let starts = (0..frames).step_by(step);
    starts.map(|i| i..(i + step).min(frames)).collect()
}

/// A clip's rows (tokens, maps) by sections, which follow each other; axis 0 has `rows` of each frame.
#[derive(Clone)]
pub(super) struct Sections {
    ranges: Vec<Range<usize>>,
    values: Vec<Value>,
    rows: usize,
}

impl Sections {
    /// A clip of `frames` frames as one section, with `rows` rows of each.
    pub(super) fn whole(frames: usize, rows: usize, value: Value) -> Self {
        Self {
            ranges: ranges(frames, frames),
            values: vec![value],
            rows,
        }
    }

    /// The same rows by other ranges, which also cover all frames in their order.
    pub(super) fn regrouped(&self, g: &mut Graph, ranges: &[Range<usize>]) -> Result<Self> {
        let values = ranges.iter().map(|range| self.take(g, range));
        Ok(Self {
            values: values.collect::<Result<_>>()?,
            ranges: ranges.to_vec(),
            rows: self.rows,
        })
    }

    /// Rows of the frames in `wanted`.
    fn take(&self, g: &mut Graph, wanted: &Range<usize>) -> Result {
        let mut pieces = Vec::new();
        for (range, value) in self.ranges.iter().zip(&self.values) {
            let (start, end) = (wanted.start.max(range.start), wanted.end.min(range.end));
            if start < end {
                let [start, end] = [start, end].map(|i| (i - range.start) * self.rows);
                pieces.push(g.slice(*value, 0, start, end)?);
            }
        }
        g.concat(&pieces, 0)
    }

    /// What `f` makes of each section, one after the other, with `rows` of each frame; it hears the section's
    /// number and frames.
    pub(super) fn map<E: From<GraphError>>(
        &self,
        g: &mut Graph,
        rows: usize,
        mut f: impl FnMut(&mut Graph, (usize, &Range<usize>), Value) -> std::result::Result<Value, E>,
    ) -> std::result::Result<Self, E> {
        let mut values: Vec<Value> = Vec::with_capacity(self.values.len());
        for (number, (range, value)) in self.ranges.iter().zip(&self.values).enumerate() {
            let value = match values.last() {
                Some(last) => g.after(*value, *last)?,
                None => *value,
            };
            values.push(f(g, (number, range), value)?);
        }
        Ok(Self {
            values,
            ranges: self.ranges.clone(),
            rows,
        })
    }

    /// The sections' values.
    pub(super) fn values(&self) -> &[Value] {
        &self.values
    }

    /// The whole clip's rows.
    pub(super) fn joined(&self, g: &mut Graph) -> Result {
        g.concat(&self.values, 0)
    }
}
