//! Linear layers and stacks of them.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::tensor::Dim;
use crate::weights::{Param, Weights};

/// `torch.nn.Linear`.
pub struct Linear {
    path: String,
    weight: Param,
    bias: Option<Param>,
}

impl Linear {
    /// Loads `weight [outputs, inputs]` and `bias [outputs]`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(w: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            path: w.path().to_owned(),
            weight: w.get(&[outputs, inputs], "weight")?,
            bias: Some(w.get(&[outputs], "bias")?),
        })
    }

    /// Loads a layer without bias.
    ///
    /// # Errors
    /// The weight is missing or has another shape.
    pub fn load_without_bias(w: &Weights, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            path: w.path().to_owned(),
            weight: w.get(&[outputs, inputs], "weight")?,
            bias: None,
        })
    }

    /// A layer from parameters at hand.
    pub fn from_params(path: &str, weight: Param, bias: Param) -> Self {
        Self {
            path: path.to_owned(),
            weight,
            bias: Some(bias),
        }
    }

    /// Length of the output's last axis.
    pub fn outputs(&self) -> usize {
        self.weight.shape()[0]
    }

    /// `[..., inputs]` to `[..., outputs]`. Axes before the last are flattened for the product.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit(&self, g: &mut Graph, x: Value) -> Result<Value> {
        g.scoped(&self.path, |g| {
            let weight = self.weight.emit(g)?;
            let bias = self.bias.as_ref().map(|b| b.emit(g)).transpose()?;
            apply(g, x, weight, bias)
        })
    }

    /// Like [`Linear::emit`], with row `o` of weight and bias multiplied by `factors[o]` and, where
    /// `order` is given, output `i` taken from row `order[i]`.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit_rescaled(
        &self,
        g: &mut Graph,
        x: Value,
        suffix: &str,
        order: &[usize],
        factors: &[f32],
    ) -> Result<Value> {
        let (outputs, inputs) = (self.weight.shape()[0], self.weight.shape()[1]);
        debug_assert!(order.len() == outputs && factors.len() == outputs);
        g.scoped(&self.path, |g| {
            let rescale = |width: usize| {
                let rows: Vec<(usize, f32)> = order.iter().map(|o| (*o, factors[*o])).collect();
                move |values: Vec<f32>| -> Vec<f32> {
                    let row = |(o, f): &(usize, f32)| {
                        let f = *f;
                        values[o * width..(o + 1) * width]
                            .iter()
                            .map(move |v| v * f)
                    };
                    rows.iter().flat_map(row).collect()
                }
            };
            let weight =
                self.weight
                    .emit_derived(g, suffix, &[outputs, inputs], rescale(inputs))?;
            let bias = match &self.bias {
                Some(b) => Some(b.emit_derived(g, suffix, &[outputs], rescale(1))?),
                None => None,
            };
            apply(g, x, weight, bias)
        })
    }
}

fn apply(g: &mut Graph, x: Value, weight: Value, bias: Option<Value>) -> Result<Value> {
    let shape = g.shape(x).to_vec();
    let Some((last, outer)) = shape.split_last() else {
        return Ok(g.gemm(x, weight, bias)?);
    };
    let rows = match outer {
        [only] => only.clone(),
        _ => outer
            .iter()
            .filter_map(Dim::fixed)
            .product::<usize>()
            .into(),
    };
    let flat = g.reshape(x, &[rows, last.clone()])?;
    let y = g.gemm(flat, weight, bias)?;
    let mut out = outer.to_vec();
    out.extend(g.shape(y).last().cloned());
    Ok(g.reshape(y, &out)?)
}

/// Elementwise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// Exact Gaussian error linear unit.
    Gelu,
}

impl Activation {
    /// Applies it.
    ///
    /// # Errors
    /// Never for a float operand.
    pub fn emit(self, g: &mut Graph, x: Value) -> Result<Value> {
        Ok(match self {
            Self::Relu => g.relu(x)?,
            Self::Gelu => g.gelu(x)?,
        })
    }
}

/// Linear layers with an activation between them (`models/soc.py`, `MLP`).
pub struct Mlp {
    layers: Vec<Linear>,
    activation: Activation,
}

impl Mlp {
    /// Loads layers called `names` under `w`, widths `dims[0] -> dims[1] -> ...`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(w: &Weights, names: &[&str], dims: &[usize], a: Activation) -> Result<Self> {
        let pairs = names.iter().zip(dims.windows(2));
        Ok(Self {
            layers: pairs
                .map(|(name, d)| Linear::load(&w.pp(name), d[0], d[1]))
                .collect::<Result<_>>()?,
            activation: a,
        })
    }

    /// `[..., dims[0]]` to `[..., dims.last]`.
    ///
    /// # Errors
    /// The operand does not fit.
    pub fn emit(&self, g: &mut Graph, mut x: Value) -> Result<Value> {
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                let before = &self.layers[i - 1].path;
                x = g.scoped(before, |g| self.activation.emit(g, x))?;
            }
            x = layer.emit(g, x)?;
        }
        Ok(x)
    }
}
