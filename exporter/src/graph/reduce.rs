//! Reductions, prefix sums and normalisations.

use super::{Attribute, Graph, Result, Value};
use crate::tensor::{DType, Dim};

impl Graph {
    fn reduced(&self, x: Value, axes: &[usize], keep: bool) -> Vec<Dim> {
        let kept = self.shape(x).iter().enumerate();
        kept.filter_map(|(i, d)| match (axes.contains(&i), keep) {
            (false, _) => Some(d.clone()),
            (true, true) => Some(Dim::Fixed(1)),
            (true, false) => None,
        })
        .collect()
    }

    /// Sum over `axes`.
    pub fn reduce_sum(&mut self, x: Value, axes: &[usize], keep: bool) -> Result {
        let shape = self.reduced(x, axes, keep);
        let list: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
        let list = self.constant_i64(&[list.len()], &list)?;
        let keepdims = Attribute::Int(keep.into());
        let dtype = self.dtype(x);
        self.push(
            "ReduceSum",
            &[x, list],
            vec![("keepdims", keepdims)],
            dtype,
            shape,
        )
    }

    /// Mean over `axes`.
    pub fn reduce_mean(&mut self, x: Value, axes: &[usize], keep: bool) -> Result {
        self.reduce_with_attribute("ReduceMean", x, axes, keep)
    }

    /// Euclidean norm over `axes`.
    pub fn reduce_l2(&mut self, x: Value, axes: &[usize], keep: bool) -> Result {
        self.reduce_with_attribute("ReduceL2", x, axes, keep)
    }

    /// Maximum over `axes`.
    pub fn reduce_max(&mut self, x: Value, axes: &[usize], keep: bool) -> Result {
        self.reduce_with_attribute("ReduceMax", x, axes, keep)
    }

    fn reduce_with_attribute(
        &mut self,
        op: &'static str,
        x: Value,
        axes: &[usize],
        keep: bool,
    ) -> Result {
        let shape = self.reduced(x, axes, keep);
        let attributes = vec![
            (
                "axes",
                Attribute::Ints(axes.iter().map(|a| *a as i64).collect()),
            ),
            ("keepdims", Attribute::Int(keep.into())),
        ];
        let dtype = self.dtype(x);
        self.push(op, &[x], attributes, dtype, shape)
    }

    /// Index (int64) of the first maximum along `axis`, which stays with length 1.
    pub fn argmax(&mut self, x: Value, axis: usize) -> Result {
        let shape = self.reduced(x, &[axis], true);
        let attributes = vec![
            ("axis", Attribute::Int(axis as i64)),
            ("keepdims", Attribute::Int(1)),
        ];
        self.push("ArgMax", &[x], attributes, DType::I64, shape)
    }

    /// Inclusive prefix sum along `axis`.
    pub fn cumsum(&mut self, x: Value, axis: usize) -> Result {
        let (dtype, shape) = (self.dtype(x), self.shape(x).to_vec());
        let axis = self.constant_i64(&[], &[axis as i64])?;
        self.push("CumSum", &[x, axis], vec![], dtype, shape)
    }

    /// Layer normalisation over the last axis.
    pub fn layer_norm(&mut self, x: Value, weight: Value, bias: Value, epsilon: f32) -> Result {
        if self.shape(x).last() != self.shape(weight).last() {
            return self.refuse("LayerNormalization", &[x, weight], "the last axes differ");
        }
        let attributes = vec![
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(epsilon)),
        ];
        let (dtype, shape) = (self.dtype(x), self.shape(x).to_vec());
        self.push(
            "LayerNormalization",
            &[x, weight, bias],
            attributes,
            dtype,
            shape,
        )
    }

    /// Instance normalisation of `[N, C, ...]` with scale and shift `[C]`.
    pub fn instance_norm(&mut self, x: Value, scale: Value, bias: Value, epsilon: f32) -> Result {
        if self.shape(x).get(1) != self.shape(scale).first() {
            return self.refuse("InstanceNormalization", &[x, scale], "the channels differ");
        }
        let (dtype, shape) = (self.dtype(x), self.shape(x).to_vec());
        let attributes = vec![("epsilon", Attribute::Float(epsilon))];
        self.push(
            "InstanceNormalization",
            &[x, scale, bias],
            attributes,
            dtype,
            shape,
        )
    }
}
