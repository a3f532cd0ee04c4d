//! Normalisations.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::weights::{Param, Weights};

/// `torch.nn.LayerNorm` over the last axis.
pub struct LayerNorm {
    path: String,
    weight: Param,
    bias: Param,
    epsilon: f32,
}

impl LayerNorm {
    /// Loads `weight [channels]` and `bias [channels]`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(w: &Weights, channels: usize, epsilon: f32) -> Result<Self> {
        Ok(Self {
            path: w.path().to_owned(),
            weight: w.get(&[channels], "weight")?,
            bias: w.get(&[channels], "bias")?,
            epsilon,
        })
    }

    /// `[..., channels]` to the same shape.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit(&self, g: &mut Graph, x: Value) -> Result<Value> {
        g.scoped(&self.path, |g| {
            let (weight, bias) = (self.weight.emit(g)?, self.bias.emit(g)?);
            Ok(g.layer_norm(x, weight, bias, self.epsilon)?)
        })
    }
}

/// `torch.nn.GroupNorm` over `[N, C, h, w]`.
///
/// Emitted as an instance normalisation of the groups and an affine step, since the operator
/// `GroupNormalization` needs opset 21 and not every engine has it.
pub struct GroupNorm {
    path: String,
    weight: Param,
    bias: Param,
    groups: usize,
}

impl GroupNorm {
    /// Loads `weight [channels]` and `bias [channels]`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(w: &Weights, channels: usize, groups: usize) -> Result<Self> {
        Ok(Self {
            path: w.path().to_owned(),
            weight: w.get(&[channels], "weight")?.viewed(&[channels, 1, 1]),
            bias: w.get(&[channels], "bias")?.viewed(&[channels, 1, 1]),
            groups,
        })
    }

    /// `[N, C, h, w]` to the same shape.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit(&self, g: &mut Graph, x: Value) -> Result<Value> {
        g.scoped(&self.path, |g| {
            let shape = g.shape(x).to_vec();
            let s = g.fixed_shape(x).unwrap_or_default();
            let per_group: usize = s[1..].iter().product::<usize>() / self.groups;
            let grouped = g.view(x, &[s[0], self.groups, per_group])?;
            let one = g.constant(&[self.groups], &vec![1.0; self.groups])?;
            let zero = g.constant(&[self.groups], &vec![0.0; self.groups])?;
            let normal = g.instance_norm(grouped, one, zero, 1e-5)?;
            let normal = g.reshape(normal, &shape)?;
            let weight = self.weight.emit(g)?;
            let scaled = g.mul(normal, weight)?;
            let bias = self.bias.emit(g)?;
            Ok(g.add(scaled, bias)?)
        })
    }
}
