//! Multi-head attention with keys and values of one sequence.

use crate::error::Result;
use crate::graph::{self, Graph, Value};
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
        self.emit_over(g, query, &[(key, value)], factor)
    }

    /// Like [`Self::emit_scaled`], with keys and values in sections that follow each other: only the scores
    /// are made for all of them at once.
    ///
    /// # Errors
    /// The operands do not fit, or there is no section.
    pub fn emit_over(
        &self,
        g: &mut Graph,
        query: Value,
        memory: &[(Value, Value)],
        factor: f32,
    ) -> Result<Value> {
        let (heads, c) = (self.heads, self.channels);
        let d = c / heads;
        let factors = vec![factor / (d as f32).sqrt(); c];
        let identity: Vec<usize> = (0..c).collect();
        let q = self
            .query
            .emit_rescaled(g, query, "scaled", &identity, &factors)?;
        // In sections, a key lives until its scores are there, and a value waits for all of them.
        let mut scores: Vec<Value> = Vec::with_capacity(memory.len());
        for (key, _) in memory {
            let key = self.waiting(g, *key, scores.last())?;
            let k = self.key.emit(g, key)?;
            scores.push(g.scoped(&self.path, |g| {
                let (q, k) = (self.by_head(g, q, false)?, self.by_head(g, k, true)?);
                g.matmul(q, k)
            })?);
        }
        let weights = g.scoped(&self.path, |g| weights(g, &scores))?;
        let mut mixed: Option<Value> = None;
        for ((_, value), weights) in memory.iter().zip(weights) {
            let sections = (memory.len() > 1).then_some(mixed.unwrap_or(weights));
            let value = self.waiting(g, *value, sections.as_ref())?;
            let v = self.value.emit(g, value)?;
            mixed = Some(g.scoped(&self.path, |g| {
                let v = self.by_head(g, v, false)?;
                let more = g.matmul(weights, v)?;
                mixed.map_or(Ok(more), |sum| g.add(sum, more))
            })?);
        }
        let Some(mixed) = mixed else { return Ok(q) };
        let out = g.scoped(&self.path, |g| {
            let batched = g.shape(q).len() == 3;
            let perm: &[usize] = if batched { &[0, 2, 1, 3] } else { &[1, 0, 2] };
            let mixed = g.transpose(mixed, perm)?;
            let mut shape = g.shape(mixed).to_vec();
            shape.truncate(shape.len() - 2);
            shape.push(Dim::Fixed(c));
            g.reshape(mixed, &shape)
        })?;
        self.out.emit(g, out)
    }

    fn waiting(&self, g: &mut Graph, x: Value, done: Option<&Value>) -> graph::Result {
        match done {
            Some(done) => g.scoped(&self.path, |g| g.after(x, *done)),
            None => Ok(x),
        }
    }

    /// `[B, M, C]` to `[B, heads, M, d]`, or `[B, heads, d, M]` where `transposed`; likewise without B.
    fn by_head(&self, g: &mut Graph, x: Value, transposed: bool) -> graph::Result {
        let d = self.channels / self.heads;
        let mut shape = g.shape(x).to_vec();
        let batched = shape.len() == 3;
        shape.truncate(shape.len() - 1);
        shape.extend([self.heads.into(), d.into()]);
        let x = g.reshape(x, &shape)?;
        let perm: &[usize] = match (batched, transposed) {
            (true, false) => &[0, 2, 1, 3],
            (true, true) => &[0, 2, 3, 1],
            (false, false) => &[1, 0, 2],
            (false, true) => &[1, 2, 0],
        };
        g.transpose(x, perm)
    }
}

/// The softmax over all sections' scores, by section.
fn weights(g: &mut Graph, scores: &[Value]) -> graph::Result<Vec<Value>> {
    let [.., last] = scores else {
        return Ok(Vec::new());
    };
    let axis = g.shape(*last).len() - 1;
    let lengths = scores.iter().filter_map(|s| g.shape(*s)[axis].fixed());
    let lengths: Vec<usize> = lengths.collect();
    let all = g.concat(scores, axis)?;
    let weights = g.softmax(all, -1)?;
    match scores.len() {
        1 => Ok(vec![weights]),
        _ => g.split(weights, axis, &lengths),
    }
}
