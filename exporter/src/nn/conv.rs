//! 2-D convolution.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::weights::{Param, Weights};

/// `torch.nn.Conv2d` with a square stride and padding.
pub struct Conv2d {
    path: String,
    weight: Param,
    bias: Option<Param>,
    stride: usize,
    padding: [usize; 4],
}

impl Conv2d {
    /// Loads `weight` (shape `[out, in, kh, kw]`) and, where `bias` is true, `bias [out]`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(
        w: &Weights,
        shape: [usize; 4],
        stride: usize,
        padding: usize,
        bias: bool,
    ) -> Result<Self> {
        Ok(Self {
            path: w.path().to_owned(),
            weight: w.get(&shape, "weight")?,
            bias: if bias {
                Some(w.get(&[shape[0]], "bias")?)
            } else {
                None
            },
            stride,
            padding: [padding; 4],
        })
    }

    /// A convolution from parameters at hand; `padding` is top, left, bottom, right.
    pub fn from_params(
        path: &str,
        weight: Param,
        bias: Param,
        stride: usize,
        padding: [usize; 4],
    ) -> Self {
        Self {
            path: path.to_owned(),
            weight,
            bias: Some(bias),
            stride,
            padding,
        }
    }

    /// `[N, in, h, w]` to `[N, out, h', w']`.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit(&self, g: &mut Graph, x: Value) -> Result<Value> {
        g.scoped(&self.path, |g| {
            let weight = self.weight.emit(g)?;
            let bias = self.bias.as_ref().map(|b| b.emit(g)).transpose()?;
            Ok(g.conv(x, weight, bias, self.stride, self.padding)?)
        })
    }
}
