//! RoBERTa and the projection of its last hidden state (`models/soc.py`, `forward_text`).

use std::f32::consts::TAU;

use super::Shapes;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Activation, LayerNorm, Linear, MultiheadAttention, sine_rates};
use crate::tensor::{DType, Dim};
use crate::weights::Weights;

/// Token ids `[1, S]` to word features and word positions `[S, C]`.
///
/// S is symbolic and every token is valid, so no key mask is needed: the positions are normalised by
/// S itself.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let length = Dim::Symbol("sequence".to_owned());
    let ids = g.input("input_ids", DType::I64, &[1.into(), length.clone()])?;
    let ids = g.reshape(ids, &[length])?;
    let hidden = encoder(g, &w.pp("text_encoder"), s, ids)?;
    let features = project(g, &w.pp("txt_proj"), s, hidden)?;
    let positions = word_positions(g, s, ids)?;
    g.output("word_features", features)?;
    g.output("word_positions", positions).map_err(Into::into)
}

fn encoder(g: &mut Graph, w: &Weights, s: &Shapes, ids: Value) -> Result<Value> {
    let mut x = embeddings(g, &w.pp("embeddings"), s, ids)?;
    let config = &s.arch.text;
    let width = g.shape(x)[1].fixed().unwrap_or(0);
    for i in 0..config.layers {
        let w = w.pp("encoder").pp("layer").pp(i);
        let linear = |w: Weights| Linear::load(&w, width, width);
        let (attn, out) = (w.pp("attention").pp("self"), w.pp("attention").pp("output"));
        let parts = [
            linear(attn.pp("query"))?,
            linear(attn.pp("key"))?,
            linear(attn.pp("value"))?,
            linear(out.pp("dense"))?,
        ];
        let attention = MultiheadAttention::from_linears(attn.path(), parts, config.heads);
        let mixed = attention.emit(g, x, x, x)?;
        let sum = g.scoped(w.path(), |g| g.add(mixed, x))?;
        let eps = config.layer_norm_eps;
        x = LayerNorm::load(&out.pp("LayerNorm"), width, eps)?.emit(g, sum)?;

        let inner = w.pp("intermediate").pp("dense");
        let inner_width = inner.shape("weight")?[0];
        let y = Linear::load(&inner, width, inner_width)?.emit(g, x)?;
        let y = Activation::Gelu.emit(g, y)?;
        let y = Linear::load(&w.pp("output").pp("dense"), inner_width, width)?.emit(g, y)?;
        let sum = g.scoped(w.path(), |g| g.add(y, x))?;
        x = LayerNorm::load(&w.pp("output").pp("LayerNorm"), width, eps)?.emit(g, sum)?;
    }
    Ok(x)
}

/// Sum of word, position and type embeddings, normalised. Positions count the tokens that are not
/// padding, from the padding id on, as RoBERTa does.
fn embeddings(g: &mut Graph, w: &Weights, s: &Shapes, ids: Value) -> Result<Value> {
    let table = |name: &str| -> Result<_> {
        let shape = w.pp(name).shape("weight")?.to_vec();
        Ok(w.pp(name).get(&shape, "weight")?)
    };
    let (words, places, types) = (
        table("word_embeddings")?,
        table("position_embeddings")?,
        table("token_type_embeddings")?,
    );
    let width = words.shape()[1];
    let pad = s.arch.text.pad_token_id;
    g.scoped(w.path(), |g| -> Result<Value> {
        let pad_id = g.constant_i64(&[], &[pad])?;
        let is_pad = g.equal(ids, pad_id)?;
        // Counted in float32, which is exact here: tract sums no int64 that comes from a comparison.
        let is_pad = g.cast(is_pad, DType::F32)?;
        let one = g.constant(&[], &[1.0])?;
        let valid = g.sub(one, is_pad)?;
        let count = g.cumsum(valid, 0)?;
        let count = g.mul(count, valid)?;
        let count = g.cast(count, DType::I64)?;
        let place = g.add(count, pad_id)?;
        let table = words.emit(g)?;
        let word = g.gather(table, ids, 0)?;
        let table = places.emit(g)?;
        let place = g.gather(table, place, 0)?;
        let sum = g.add(word, place)?;
        let kind = types.rows(0, 1, "type0").emit(g)?;
        Ok(g.add(sum, kind)?)
    })
    .and_then(|sum| {
        LayerNorm::load(&w.pp("LayerNorm"), width, s.arch.text.layer_norm_eps)?.emit(g, sum)
    })
}

/// `FeatureResizer`.
fn project(g: &mut Graph, w: &Weights, s: &Shapes, hidden: Value) -> Result<Value> {
    let width = g.shape(hidden)[1].fixed().unwrap_or(0);
    let x = Linear::load(&w.pp("fc"), width, s.arch.d_model)?.emit(g, hidden)?;
    LayerNorm::load(&w.pp("layer_norm"), s.arch.d_model, 1e-12)?.emit(g, x)
}

/// `PositionEmbeddingSine1D(normalize=True)` over S valid tokens.
fn word_positions(g: &mut Graph, s: &Shapes, ids: Value) -> Result<Value> {
    g.scoped("text_pos", |g| {
        let same = g.equal(ids, ids)?;
        let ones = g.cast(same, DType::F32)?;
        let position = g.cumsum(ones, 0)?;
        let total = g.reduce_sum(ones, &[0], true)?;
        let total = g.shift(total, 1e-6)?;
        let position = g.div(position, total)?;
        let position = g.scale(position, TAU)?;
        let mut shape = g.shape(position).to_vec();
        shape.push(1.into());
        let position = g.reshape(position, &shape)?;
        let c = s.arch.d_model;
        let (rates, phases) = sine_rates(c);
        let rates = g.constant(&[1, c], &rates)?;
        let phases = g.constant(&[1, c], &phases)?;
        let angle = g.mul(position, rates)?;
        let angle = g.add(angle, phases)?;
        Ok(g.sin(angle)?)
    })
}
