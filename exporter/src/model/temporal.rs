//! Temporal aggregation of frame queries, their fusion, and the heads (`models/voc.py`, `NewVOC`;
//! `models/soc.py`, `forward` and `BMRW`).

use super::Shapes;
use super::sections::Sections;
use super::transformer::{BoxHead, inverse_sigmoid};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Activation, LayerNorm, Linear, Mlp, MultiheadAttention};
use crate::tensor::DType;
use crate::weights::Weights;

/// Heads of the query fusion; the official code fixes them.
const FUSION_HEADS: usize = 8;
/// Weight of the random walk in `BMRW`.
const WALK: f32 = 0.5;

/// Queries of all decoder levels `[L, T, Q, C]`, the text feature `[C]` and the references to class
/// logits `[T, Q, K]`, boxes `[T, Q, 4]`, scores `[Q]`, the selected query `[1]`, and what the mask
/// head needs of the selected query (or of all): `[T, M, C]` and `[T, M, 2]`.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let levels = s.arch.transformer.dec_layers;
    let width = if s.arch.with_box_refine && levels > 1 {
        4
    } else {
        2
    };
    let all = [levels, t, q, c].map(Into::into);
    let all = g.input("frame_queries", DType::F32, &all)?;
    let text = g.input("text_feature", DType::F32, &[c.into()])?;
    let shape = [t, q, width].map(Into::into);
    let previous = g.input("reference_previous", DType::F32, &shape)?;
    let points = g.input("reference_points", DType::F32, &[t, q, 2].map(Into::into))?;

    let last = g.slice(all, 0, levels - 1, levels)?;
    let last = g.view(last, &[t, q, c])?;
    let score = frame_score(g, &w.pp("voc"), s, all, last, text)?;
    let video = aggregate(g, &w.pp("voc"), s, last, score, text)?;
    let frames = g.view(last, &[t * q, c])?;
    let walked = g.scoped("bmrw", |g| random_walk(g, video, frames))?;
    let attention = w.pp("query_fusion");
    let fused = cross_attention(g, &attention, FUSION_HEADS, [frames, walked, walked], c)?;
    let fused = g.view(fused, &[t, q, c])?;
    if s.request.probe {
        let video = g.identity(video)?;
        g.output("temporal.video_queries", video)?;
        let fused = g.identity(fused)?;
        g.output("temporal.fused_queries", fused)?;
    }
    heads(g, w, s, fused, previous, points)
}

/// Classes, boxes, scores, and the choice.
fn heads(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    fused: Value,
    previous: Value,
    points: Value,
) -> Result<()> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let last = s.arch.transformer.dec_layers - 1;
    let class = Linear::load(&w.pp("class_embed").pp(last), c, s.arch.num_classes)?;
    let class = class.emit(g, fused)?;
    let delta = BoxHead::load(&w.pp("bbox_embed").pp(last), c)?.emit(g, fused)?;
    let boxes = g.scoped("boxes", |g| -> Result<Value> {
        let mut anchor = inverse_sigmoid(g, previous)?;
        if g.shape(anchor)[2].fixed() == Some(2) {
            let zeros = g.constant(&[t, q, 2], &vec![0.0; t * q * 2])?;
            anchor = g.concat(&[anchor, zeros], 2)?;
        }
        let sum = g.add(delta, anchor)?;
        Ok(g.sigmoid(sum)?)
    })?;
    let (scores, selected) = g.scoped("select", |g| -> Result<(Value, Value)> {
        let probability = g.sigmoid(class)?;
        let mean = g.reduce_mean(probability, &[0], false)?;
        let scores = g.reduce_max(mean, &[1], false)?;
        // TensorRT finds no maximum in one dimension.
        let row = g.view(scores, &[1, q])?;
        let selected = g.argmax(row, 1)?;
        let selected = g.view(selected, &[1])?;
        Ok((scores, selected))
    })?;
    let (queries, references) = if s.request.all_queries() {
        (g.identity(fused)?, g.identity(points)?)
    } else {
        (
            g.gather(fused, selected, 1)?,
            g.gather(points, selected, 1)?,
        )
    };
    g.output("class_scores", class)?;
    g.output("boxes", boxes)?;
    g.output("scores", scores)?;
    g.output("selected_query", selected)?;
    g.output("mask_queries", queries)?;
    Ok(g.output("mask_references", references)?)
}

/// Weight of every frame, `[T, 1]`: visibility + language match + half the change against the past.
pub(super) fn frame_score(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    all: Value,
    last: Value,
    text: Value,
) -> Result<Value> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let flat = g.view(last, &[t, q * c])?;
    let visibility = score_head(g, &w.pp("score_embd"), flat)?;
    let matching = g.scoped("voc.match", |g| language_match(g, s, all, text))?;
    let change = g.scoped("voc.change", |g| -> Result<Value> {
        // x_t minus the mean of x_0 ..= x_t, for all t at once.
        let mut change = vec![0.0; t * t];
        for (i, row) in change.chunks_mut(t).enumerate() {
            row[..=i].fill(-1.0 / (i + 1) as f32);
            row[i] += 1.0;
        }
        let change = g.constant(&[t, t], &change)?;
        Ok(g.matmul(change, flat)?)
    })?;
    let change = score_head(g, &w.pp("diff_embd"), change)?;
    g.scoped("voc.score", |g| {
        let half = g.scale(change, 0.5)?;
        let sum = g.add(visibility, matching)?;
        Ok(g.add(sum, half)?)
    })
}

/// A feed-forward layer and a logistic unit: `[T, Q * C]` to `[T, 1]`.
fn score_head(g: &mut Graph, w: &Weights, x: Value) -> Result<Value> {
    let width = g.shape(x)[1].fixed().unwrap_or(0);
    let y = feed_forward(g, &w.pp(0), x, width)?;
    let y = Linear::load(&w.pp(1), width, 1)?.emit(g, y)?;
    Ok(g.scoped(w.path(), |g| g.sigmoid(y))?)
}

/// Mean cosine of each frame's queries with the text, `[T, 1]`, through a sigmoid.
///
/// The official code lays these scores out as (frame, level) and reads them back as (level, frame);
/// trained weights depend on it. The last level's frames therefore take the scores of the flat
/// positions `(L - 1) T .. L T` of the (frame, level) order.
pub(super) fn language_match(g: &mut Graph, s: &Shapes, all: Value, text: Value) -> Result<Value> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let levels = s.arch.transformer.dec_layers;
    let scrambled = g.transpose(all, &[1, 0, 2, 3])?;
    let scrambled = g.view(scrambled, &[t * levels, q, c])?;
    let x = g.slice(scrambled, 0, (levels - 1) * t, levels * t)?;
    let norm = g.reduce_l2(x, &[2], true)?;
    let x = g.div(x, norm)?;
    let norm = g.reduce_l2(text, &[0], true)?;
    let text = g.div(text, norm)?;
    let text = g.view(text, &[c, 1])?;
    let cosine = g.matmul(x, text)?;
    let mean = g.reduce_mean(cosine, &[1], false)?;
    Ok(g.sigmoid(mean)?)
}

/// Video queries `[Q, C]`.
pub(super) fn aggregate(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    last: Value,
    score: Value,
    text: Value,
) -> Result<Value> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let config = &s.arch.temporal;
    let scored = g.scoped("voc", |g| -> Result<Value> {
        let score = g.view(score, &[t, 1, 1])?;
        let scored = g.mul(last, score)?;
        Ok(g.view(scored, &[t * q, c])?)
    })?;
    let x = g.view(last, &[t * q, c])?;
    // Every query attends to those of all frames: of a long clip, section by section.
    let x = Sections::whole(t, q, x);
    let mut x = g.scoped("voc", |g| x.regrouped(g, &s.sections()))?;
    for i in 0..config.enc_layers {
        let attention = w.pp("enc_self_attn").pp(i);
        x = x.map(g, q, |g, _, x| {
            let x = cross_attention(g, &attention, config.heads, [x, scored, scored], c)?;
            feed_forward(g, &w.pp("enc_ffn").pp(i), x, c)
        })?;
    }
    let x = g.scoped("voc", |g| x.joined(g))?;
    let keys = g.scoped("voc", |g| -> Result<Value> {
        let places = w.pp("fq_pos").get(&[q, c], "weight")?.emit(g)?;
        let by_frame = g.view(x, &[t, q, c])?;
        let keys = g.add(by_frame, places)?;
        Ok(g.view(keys, &[t * q, c])?)
    })?;
    let place = w.pp("query_embed").get(&[q, c], "weight")?.emit(g)?;
    let start = w.pp("video_query_embed").get(&[q, c], "weight")?.emit(g)?;
    let mut out = g.scoped("voc", |g| g.add(start, text))?;
    for i in 0..config.dec_layers {
        let cross = w.pp("transformer_cross_attention_layers").pp(i);
        let attention = MultiheadAttention::load(&cross.pp("multihead_attn"), c, config.heads)?;
        let query = g.scoped(cross.path(), |g| g.add(out, place))?;
        let mixed = attention.emit(g, query, keys, x)?;
        out = residual(g, &cross, out, mixed, c)?;

        let own = w.pp("transformer_self_attention_layers").pp(i);
        let attention = MultiheadAttention::load(&own.pp("self_attn"), c, config.heads)?;
        let query = g.scoped(own.path(), |g| g.add(out, place))?;
        let mixed = attention.emit(g, query, query, out)?;
        out = residual(g, &own, out, mixed, c)?;
        out = feed_forward(g, &w.pp("transformer_ffn_layers").pp(i), out, c)?;
    }
    LayerNorm::load(&w.pp("decoder_norm"), c, 1e-5)?.emit(g, out)
}

/// `CrossAttentionLayer` without positions.
fn cross_attention(
    g: &mut Graph,
    w: &Weights,
    heads: usize,
    [target, keys, values]: [Value; 3],
    c: usize,
) -> Result<Value> {
    let attention = MultiheadAttention::load(&w.pp("multihead_attn"), c, heads)?;
    let mixed = attention.emit(g, target, keys, values)?;
    residual(g, w, target, mixed, c)
}

fn residual(g: &mut Graph, w: &Weights, x: Value, y: Value, c: usize) -> Result<Value> {
    let sum = g.scoped(w.path(), |g| g.add(x, y))?;
    LayerNorm::load(&w.pp("norm"), c, 1e-5)?.emit(g, sum)
}

/// `FFNLayer`: two linear layers, residual, norm.
fn feed_forward(g: &mut Graph, w: &Weights, x: Value, width: usize) -> Result<Value> {
    let hidden = w.pp("linear1").shape("weight")?[0];
    let dims = [width, hidden, width];
    let mlp = Mlp::load(w, &["linear1", "linear2"], &dims, Activation::Relu)?;
    let y = mlp.emit(g, x)?;
    residual(g, w, x, y, width)
}

/// Bidirectional random walk between video queries `x [Q, C]` and frame queries `y [T * Q, C]`.
///
/// `(I - M)^-1` with `M = w^2 A`, A row-stochastic, is the series of M's powers; sixteen terms,
/// `(I + M)(I + M^2)(I + M^4)(I + M^8)`, leave an error of 0.25^16, below f32.
pub(super) fn random_walk(g: &mut Graph, x: Value, y: Value) -> Result<Value> {
    let q = g.shape(x)[0].fixed().unwrap_or(0);
    let unit = |g: &mut Graph, v: Value| -> Result<Value> {
        let norm = g.reduce_l2(v, &[1], true)?;
        let norm = g.shift(norm, 1e-9)?;
        Ok(g.div(v, norm)?)
    };
    let (nx, ny) = (unit(g, x)?, unit(g, y)?);
    let nx_t = g.transpose(nx, &[1, 0])?;
    let similarity = g.matmul(ny, nx_t)?;
    let similarity = g.scale(similarity, 5.0)?;
    let z = g.softmax(similarity, 0)?;
    let total = g.reduce_sum(z, &[1], true)?;
    let total = g.shift(total, 1e-9)?;
    let normal = g.div(z, total)?;
    let z_t = g.transpose(z, &[1, 0])?;
    let affinity = g.matmul(z_t, normal)?;
    let mut power = g.scale(affinity, WALK * WALK)?;

    let message = g.matmul(z_t, y)?;
    let message = g.scale(message, WALK)?;
    let message = g.add(message, x)?;
    let mut identity = vec![0.0; q * q];
    identity.iter_mut().step_by(q + 1).for_each(|v| *v = 1.0);
    let identity = g.constant(&[q, q], &identity)?;
    let mut out = message;
    for step in 0..4 {
        if step > 0 {
            power = g.matmul(power, power)?;
        }
        let factor = g.add(power, identity)?;
        out = g.matmul(factor, out)?;
    }
    Ok(g.scale(out, 1.0 - WALK)?)
}
