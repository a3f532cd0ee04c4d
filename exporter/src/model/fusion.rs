//! Text-visual fusion through proxies (`models/soc.py`, `forward`; `models/vla.py`, `MMF`).

use super::Shapes;
use crate::error::Result;
use crate::graph::{Graph, Value};
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

    let flat = g.view(levels, &[t * n, c])?;
    let keys = g.add(words, positions)?;
    let fused = Fusion::load(&w.pp("vlf"), c)?.emit(g, flat, keys, words, 1.0)?;
    let fused = g.view(fused, &[t, n, c])?;

    let proxies = proxies(g, w, s, fused)?;
    let words = Fusion::load(&w.pp("lvf"), c)?.emit(g, words, proxies, proxies, 1.0)?;
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
fn proxies(g: &mut Graph, w: &Weights, s: &Shapes, fused: Value) -> Result<Value> {
    let (t, c) = (s.request.frames, s.arch.d_model);
    let shape = [s.arch.num_proxies, c];
    let mut proxies = w.pp("proxy_embed").get(&shape, "weight")?.emit(g)?;
    let v2p = Fusion::load(&w.pp("v2p"), c)?;
    let parts = g.split(fused, 1, &s.level_lengths())?;
    for (part, level) in parts.into_iter().zip(s.levels).take(3) {
        let memory = g.view(part, &[t * level.len(), c])?;
        // The official code adds the features to themselves as positions: keys of 2x. The factor
        // moves to the scores; what it does to the keys' bias is the same for every key.
        let update = v2p.emit(g, proxies, memory, memory, 2.0)?;
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

    fn emit(
        &self,
        g: &mut Graph,
        target: Value,
        keys: Value,
        values: Value,
        factor: f32,
    ) -> Result<Value> {
        let mixed = self.0.emit_scaled(g, target, keys, values, factor)?;
        Ok(g.mul(target, mixed)?)
    }
}
