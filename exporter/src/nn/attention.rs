//! Multi-head attention with keys and values of one sequence.

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::Linear;
use crate::tensor::Dim;
use crate::weights::Weights;

/// `torch.nn.MultiheadAttention` in evaluation mode, without masks.
pub struct MultiheadAttention {
    path: String,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    channels: usize,
    heads: usize,
}

impl MultiheadAttention {
    /// Loads PyTorch's packed layout: `in_proj_weight [3 C, C]`, `out_proj`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(w: &Weights, channels: usize, heads: usize) -> Result<Self> {
        let c = channels;
        let weight = w.get(&[3 * c, c], "in_proj_weight")?;
        let bias = w.get(&[3 * c], "in_proj_bias")?;
        let part = |i: usize, name: &str| {
            let (start, end) = (i * c, (i + 1) * c);
            let (weight, bias) = (weight.rows(start, end, name), bias.rows(start, end, name));
            Linear::from_params(&format!("{}.{name}", w.path()), weight, bias)
        };
        Ok(Self {
            path: w.path().to_owned(),
            query: part(0, "q"),
            key: part(1, "k"),
            value: part(2, "v"),
            out: Linear::load(&w.pp("out_proj"), c, c)?,
            channels,
            heads,
        })
    }

    /// From four separate linear layers.
    pub fn from_linears(path: &str, parts: [Linear; 4], heads: usize) -> Self {
        let [query, key, value, out] = parts;
        Self {
            path: path.to_owned(),
            channels: query.outputs(),
            query,
            key,
            value,
            out,
            heads,
        }
    }

    /// Attention of `query [B, M, C]` over `key` and `value` (`[B, N, C]`, or `[1, N, C]` for all
    /// B), all of them with one leading axis, or all of them without (`[M, C]`, `[N, C]`).
    ///
    /// # Errors
    /// The operands do not fit.
    pub fn emit(&self, g: &mut Graph, query: Value, key: Value, value: Value) -> Result<Value> {
        self.emit_scaled(g, query, key, value, 1.0)
    }

    /// Like [`Self::emit`], with scores multiplied by `factor`.
    ///
    /// # Errors
    /// The operands do not fit.
    pub fn emit_scaled(
        &self,
        g: &mut Graph,
        query: Value,
        key: Value,
        value: Value,
        factor: f32,
    ) -> Result<Value> {
        let (heads, c) = (self.heads, self.channels);
        let d = c / heads;
        let factors = vec![factor / (d as f32).sqrt(); c];
        let identity: Vec<usize> = (0..c).collect();
        let q = self
            .query
            .emit_rescaled(g, query, "scaled", &identity, &factors)?;
        let k = self.key.emit(g, key)?;
        let v = self.value.emit(g, value)?;
        let out = g.scoped(&self.path, |g| -> Result<Value> {
            let batched = g.shape(q).len() == 3;
            let split = |g: &mut Graph, x: Value, transposed: bool| -> Result<Value> {
                let mut shape = g.shape(x).to_vec();
                shape.truncate(shape.len() - 1);
                shape.extend([heads.into(), d.into()]);
                let x = g.reshape(x, &shape)?;
                let perm: &[usize] = match (batched, transposed) {
                    (true, false) => &[0, 2, 1, 3],
                    (true, true) => &[0, 2, 3, 1],
                    (false, false) => &[1, 0, 2],
                    (false, true) => &[1, 2, 0],
                };
                Ok(g.transpose(x, perm)?)
            };
            let (qh, kt, vh) = (split(g, q, false)?, split(g, k, true)?, split(g, v, false)?);
            let scores = g.matmul(qh, kt)?;
            let weights = g.softmax(scores, -1)?;
            let mixed = g.matmul(weights, vh)?;
            let perm: &[usize] = if batched { &[0, 2, 1, 3] } else { &[1, 0, 2] };
            let mixed = g.transpose(mixed, perm)?;
            let mut shape = g.shape(mixed).to_vec();
            shape.truncate(shape.len() - 2);
            shape.push(Dim::Fixed(c));
            Ok(g.reshape(mixed, &shape)?)
        })?;
        self.out.emit(g, out)
    }
}
