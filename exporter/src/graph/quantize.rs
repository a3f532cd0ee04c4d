//! Symmetric int8: quantisation and its inverse.

use super::{Attribute, Graph, Result, Value};
use crate::tensor::DType;

impl Graph {
    /// `x` as int8: `round(x / scale) + zero_point`, clipped. Scale and zero point are scalars.
    pub fn quantize(&mut self, x: Value, scale: Value, zero_point: Value) -> Result {
        self.linear("QuantizeLinear", [x, scale, zero_point], None, DType::I8)
    }

    /// `(x - zero_point) * scale` of int8 `x`, in the type of the scale. Scale and zero point are scalars, or have a
    /// value for each position of `axis`.
    pub fn dequantize(
        &mut self,
        x: Value,
        scale: Value,
        zero_point: Value,
        axis: Option<usize>,
    ) -> Result {
        let dtype = self.dtype(scale);
        self.linear("DequantizeLinear", [x, scale, zero_point], axis, dtype)
    }

    fn linear(
        &mut self,
        op: &'static str,
        operands: [Value; 3],
        axis: Option<usize>,
        dtype: DType,
    ) -> Result {
        let [x, scale, zero_point] = operands;
        let shape = self.shape(x).to_vec();
        let scales = self.shape(scale);
        let fits = match axis {
            None => scales.is_empty(),
            Some(axis) => scales.len() == 1 && shape.get(axis) == scales.first(),
        };
        // Without an int8 zero point the result would be uint8.
        if !fits || self.shape(zero_point) != scales || self.dtype(zero_point) != DType::I8 {
            return self.refuse(op, &operands, "scales or zero points do not fit the axis");
        }
        let axis = axis.map(|axis| ("axis", Attribute::Int(axis as i64)));
        self.push(op, &operands, axis.into_iter().collect(), dtype, shape)
    }
}
