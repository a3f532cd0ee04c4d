//! A Video-Swin block: window attention and an MLP, each with a residual
//! (`models/video_swin_transformer.py`, `SwinTransformerBlock3D`).

use super::windows::{Group, Windows};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Activation, LayerNorm, Linear};
use crate::weights::{Param, Weights};

/// Extent of the full attention window and number of heads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub window: [usize; 3],
    pub heads: usize,
}

/// Tokens `[M, C]` to the same shape, M in the order t, h, w.
pub(super) fn emit(
    g: &mut Graph,
    w: &Weights,
    x: Value,
    windows: &Windows,
    config: Attention,
) -> Result<Value> {
    g.scoped(w.path(), |g| {
        let c = g.shape(x)[1].fixed().unwrap_or(0);
        let normal = LayerNorm::load(&w.pp("norm1"), c, 1e-5)?.emit(g, x)?;
        let mixed = attention(g, &w.pp("attn"), normal, windows, config)?;
        let x = g.add(x, mixed)?;
        let normal = LayerNorm::load(&w.pp("norm2"), c, 1e-5)?.emit(g, x)?;
        let (fc1, fc2) = (w.pp("mlp").pp("fc1"), w.pp("mlp").pp("fc2"));
        let hidden = fc1.shape("weight")?[0];
        let y = Linear::load(&fc1, c, hidden)?.emit(g, normal)?;
        let y = Activation::Gelu.emit(g, y)?;
        let y = Linear::load(&fc2, hidden, c)?.emit(g, y)?;
        Ok(g.add(x, y)?)
    })
}

/// `WindowAttention3D` between partition and reversal.
///
/// One `Gather` pads, shifts and partitions; one takes the real tokens back to their places.
/// Padding enters as zeros after the norm and is attended to, as the official code does.
fn attention(
    g: &mut Graph,
    w: &Weights,
    x: Value,
    windows: &Windows,
    config: Attention,
) -> Result<Value> {
    let c = g.shape(x)[1].fixed().unwrap_or(0);
    let entered = g.scoped(w.path(), |g| enter(g, x, windows, c))?;
    let [q, k, v] = projections(g, w, entered, c, config.heads)?;
    let tables = 2 * config.window[0] - 1;
    let tables = tables * (2 * config.window[1] - 1) * (2 * config.window[2] - 1);
    let table = w.get(&[tables, config.heads], "relative_position_bias_table")?;
    let mixed = g.scoped(w.path(), |g| -> Result<Value> {
        let lengths: Vec<usize> = windows
            .groups
            .iter()
            .map(|group| group.windows * group.tokens.len())
            .collect();
        let (q, k, v) = (
            g.split(q, 0, &lengths)?,
            g.split(k, 0, &lengths)?,
            g.split(v, 0, &lengths)?,
        );
        let mut parts = Vec::with_capacity(lengths.len());
        for (i, group) in windows.groups.iter().enumerate() {
            let bias = bias(g, &table, group, config)?;
            parts.push(group_attention(
                g,
                [q[i], k[i], v[i]],
                bias,
                group,
                config.heads,
            )?);
        }
        let all = g.concat(&parts, 0)?;
        permute(g, all, &windows.to_map)
    })?;
    Linear::load(&w.pp("proj"), c, c)?.emit(g, mixed)
}

fn enter(g: &mut Graph, x: Value, windows: &Windows, c: usize) -> Result<Value> {
    let x = if windows.padded {
        let zeros = g.constant(&[1, c], &vec![0.0; c])?;
        g.concat(&[x, zeros], 0)?
    } else {
        x
    };
    permute(g, x, &windows.from_map)
}

/// Rows in a new order; no node where the order is the old one.
fn permute(g: &mut Graph, x: Value, order: &[usize]) -> Result<Value> {
    let rows = g.shape(x)[0].fixed();
    if rows == Some(order.len()) && order.iter().enumerate().all(|(i, o)| i == *o) {
        return Ok(x);
    }
    let indices: Vec<i64> = order.iter().map(|i| *i as i64).collect();
    let indices = g.constant_i64(&[indices.len()], &indices)?;
    Ok(g.gather(x, indices, 0)?)
}

/// Queries (scaled by `d^-0.5`), keys and values, each `[P, C]`.
fn projections(g: &mut Graph, w: &Weights, x: Value, c: usize, heads: usize) -> Result<[Value; 3]> {
    let w = w.pp("qkv");
    let weight = w.get(&[3 * c, c], "weight")?;
    let bias = w.get(&[3 * c], "bias")?;
    let part = |i: usize, name: &str| {
        let (start, end) = (i * c, (i + 1) * c);
        let path = format!("{}.{name}", w.path());
        Linear::from_params(
            &path,
            weight.rows(start, end, name),
            bias.rows(start, end, name),
        )
    };
    let order: Vec<usize> = (0..c).collect();
    let scale = vec![((c / heads) as f32).powf(-0.5); c];
    Ok([
        part(0, "q").emit_rescaled(g, x, "scaled", &order, &scale)?,
        part(1, "k").emit(g, x)?,
        part(2, "v").emit(g, x)?,
    ])
}

fn group_attention(
    g: &mut Graph,
    [q, k, v]: [Value; 3],
    bias: Value,
    group: &Group,
    heads: usize,
) -> Result<Value> {
    let n = group.tokens.len();
    let c = g.shape(q)[1].fixed().unwrap_or(0);
    let split = |g: &mut Graph, x: Value, perm: [usize; 4]| -> Result<Value> {
        let x = g.view(x, &[group.windows, n, heads, c / heads])?;
        Ok(g.transpose(x, &perm)?)
    };
    let q = split(g, q, [0, 2, 1, 3])?;
    let k = split(g, k, [0, 2, 3, 1])?;
    let v = split(g, v, [0, 2, 1, 3])?;
    let scores = g.matmul(q, k)?;
    let scores = g.add(scores, bias)?;
    let weights = g.softmax(scores, -1)?;
    let mixed = g.matmul(weights, v)?;
    let mixed = g.transpose(mixed, &[0, 2, 1, 3])?;
    Ok(g.view(mixed, &[group.windows * n, c])?)
}

/// The group's relative-position bias `[heads, n, n]`, gathered from the table at export.
///
/// A window that shrank to a small map uses the top-left corner of the *full* window's index, as
/// the official code does: token `a` counts as if it lay at position `a` of the full window.
fn bias(g: &mut Graph, table: &Param, group: &Group, config: Attention) -> Result<Value> {
    let n = group.tokens.len();
    let Attention { window, heads } = config;
    let tokens = group.tokens.clone();
    let gather = move |table: Vec<f32>| -> Vec<f32> {
        // A table row is told by the difference of two tokens' places, so by the difference of these.
        let (rows, columns) = (2 * window[1] - 1, 2 * window[2] - 1);
        let place = |token: &usize| {
            let [t, y, x] = [
                token / (window[1] * window[2]),
                token / window[2] % window[1],
                token % window[2],
            ];
            (t * rows + y) * columns + x
        };
        let places: Vec<usize> = tokens.iter().map(place).collect();
        let centre = ((window[0] - 1) * rows + window[1] - 1) * columns + window[2] - 1;
        let mut out = Vec::with_capacity(heads * n * n);
        for head in 0..heads {
            let column: Vec<f32> = table.iter().skip(head).step_by(heads).copied().collect();
            for a in &places {
                out.extend(places.iter().map(|b| column[centre + a - b]));
            }
        }
        out
    };
    Ok(table.emit_derived(g, &format!("bias{}", group.number), &[heads, n, n], gather)?)
}
