//! Text-visual fusion through proxies (`models/soc.py`, `forward`; `models/vla.py`, `MMF`).

use super::Shapes;
use super::sections::Sections;
use crate::error::Result;
use crate::graph::{self, Graph, Value};
use crate::nn::MultiheadAttention;
use crate::tensor::{DType, Dim};
use crate::weights::Weights;

/// Heads of the fusion attentions; the official code fixes them.
const HEADS: usize = 8;

/// Levels `[T, N, C]`, word features and positions `[S, C]` to fused levels `[T, N, C]`, the mean
/// proxy `[C]` that every query starts from, and the text feature `[C]`.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let (t, n, c) = (s.request.frames, s.positions(), s.arch.d_model);
    let levels = g.input("levels", DType::F32, &[t.into(), n.into(), c.into()])?;
    let word_shape = [Dim::Symbol("sequence".to_owned()), c.into()];
    let words = g.input("word_features", DType::F32, &word_shape)?;
    let positions = g.input("word_positions", DType::F32, &word_shape)?;

    let keys = g.add(words, positions)?;
    let vlf = Fusion::load(&w.pp("vlf"), c)?;
    let sections = Sections::whole(t, 1, levels).regrouped(g, &s.sections())?;
    let fused = sections.map(g, 1, |g, (_, range), levels| -> Result<Value> {
        let flat = g.view(levels, &[range.len() * n, c])?;
        let fused = vlf.emit(g, flat, keys, words)?;
        Ok(g.view(fused, &[range.len(), n, c])?)
    })?;

    let proxies = proxies(g, w, s, &fused)?;
    let fused = fused.joined(g)?;
    let words = Fusion::load(&w.pp("lvf"), c)?.emit(g, words, proxies, proxies)?;
    let text_feature = g.reduce_mean(words, &[0], false)?;
    let query_init = g.reduce_mean(proxies, &[0], false)?;
    if s.request.probe {
        let parts = g.split(fused, 1, &s.level_lengths())?;
        for (i, (part, level)) in parts.into_iter().zip(s.levels).enumerate() {
            let map = g.transpose(part, &[0, 2, 1])?;
            let map = g.view(map, &[t, c, level.height, level.width])?;
            g.output(&format!("fusion.src{i}"), map)?;
        }
    }
    g.output("fused_levels", fused)?;
    g.output("query_init", query_init)?;
    Ok(g.output("text_feature", text_feature)?)
}

/// The proxies `[P, C]` after they have attended to strides 8, 16 and 32 in turn; stride 64 does not
/// touch them.
fn proxies(g: &mut Graph, w: &Weights, s: &Shapes, fused: &Sections) -> Result<Value> {
    let c = s.arch.d_model;
    let shape = [s.arch.num_proxies, c];
    let mut proxies = w.pp("proxy_embed").get(&shape, "weight")?.emit(g)?;
    let v2p = Fusion::load(&w.pp("v2p"), c)?;
    let sections = fused.values().iter();
    let levels = sections.map(|fused| g.split(*fused, 1, &s.level_lengths()));
    let levels = levels.collect::<graph::Result<Vec<_>>>()?;
    for i in 0..3 {
        let memory = levels.iter().zip(s.sections()).map(|(levels, range)| {
            let memory = g.view(levels[i], &[range.len() * s.levels[i].len(), c])?;
            Ok((memory, memory))
        });
        let memory = memory.collect::<graph::Result<Vec<_>>>()?;
        // The official code adds the features to themselves as positions: keys of 2x. The factor
        // moves to the scores; what it does to the keys' bias is the same for every key.
        let update = v2p.emit_over(g, proxies, &memory, 2.0)?;
        proxies = g.add(proxies, update)?;
    }
    Ok(proxies)
}

/// `MMF`: the target times its attention over the memory.
struct Fusion(MultiheadAttention);

impl Fusion {
    fn load(w: &Weights, c: usize) -> Result<Self> {
        let attention = MultiheadAttention::load(&w.pp("multihead_attn"), c, HEADS)?;
        Ok(Self(attention))
    }

    fn emit(&self, g: &mut Graph, target: Value, keys: Value, values: Value) -> Result<Value> {
        self.emit_over(g, target, &[(keys, values)], 1.0)
    }

    /// Over keys and values in sections, with scores multiplied by `factor`.
    fn emit_over(
        &self,
        g: &mut Graph,
        target: Value,
        memory: &[(Value, Value)],
        factor: f32,
    ) -> Result<Value> {
        let mixed = self.0.emit_over(g, target, memory, factor)?;
        Ok(g.mul(target, mixed)?)
    }
}
