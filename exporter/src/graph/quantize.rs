//! Symmetric int8: quantisation and its inverse.

use super::{Attribute, Graph, Result, Value};
use crate::tensor::{DType, Dim};

impl Graph {
    /// `x` as int8, `round(x / scale)` clipped, with zero point 0. `scale` is a scalar, or has a value for each position
    /// of `axis`.
    pub fn quantize(&mut self, x: Value, scale: Value, axis: Option<usize>) -> Result {
        self.linear("QuantizeLinear", x, scale, axis, DType::I8)
    }

    /// int8 `x` times `scale`, in the type of the scale. `scale` as for [`Graph::quantize`].
    pub fn dequantize(&mut self, x: Value, scale: Value, axis: Option<usize>) -> Result {
        let dtype = self.dtype(scale);
        self.linear("DequantizeLinear", x, scale, axis, dtype)
    }

    fn linear(
        &mut self,
        op: &'static str,
        x: Value,
        scale: Value,
        axis: Option<usize>,
        dtype: DType,
    ) -> Result {
        let shape = self.shape(x).to_vec();
        let scales = self.shape(scale).to_vec();
        let fits = match axis {
            None => scales.is_empty(),
            Some(axis) => scales.len() == 1 && shape.get(axis) == scales.first(),
        };
        if !fits {
            return self.refuse(op, &[x, scale], "the scales do not fit the axis");
        }
        // Without a zero point, int8 would be uint8.
        let lengths: Vec<usize> = scales.iter().filter_map(Dim::fixed).collect();
        let zero = self.shared(DType::I8, &lengths, vec![0; lengths.iter().product()])?;
        let axis = axis.map(|axis| ("axis", Attribute::Int(axis as i64)));
        let attributes = axis.into_iter().collect();
        self.push(op, &[x, scale, zero], attributes, dtype, shape)
    }
}
