//! The deformable transformer, frame by frame (`models/deformable_transformer.py`).

use super::Shapes;
use crate::checkpoint::CheckpointError;
use crate::error::Result;
use crate::graph::{Data, Graph, Value};
use crate::nn::{
    Activation, DeformableAttention, LayerNorm, Mlp, MultiheadAttention, References, sine_2d,
};
use crate::tensor::DType;
use crate::weights::{Param, Weights};

/// What inverse sigmoids keep away from 0 and 1.
const EPSILON: f32 = 1e-5;

/// Fused levels `[T, N, C]` and the query seed `[C]` to the queries of all decoder levels
/// `[L, T, Q, C]`, the memory at strides 8, 16, 32 as maps `[T, C, h, w]`, and the references that
/// the heads need: the level before the last `[T, Q, 2 or 4]`, and the last one's points `[T, Q, 2]`.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let (t, n, c) = (s.request.frames, s.positions(), s.arch.d_model);
    let fused = g.input("fused_levels", DType::F32, &[t.into(), n.into(), c.into()])?;
    let seed = g.input("query_init", DType::F32, &[c.into()])?;
    let root = w;
    let w = w.pp("transformer");
    let memory = encoder(g, &w, s, fused)?;
    let decoded = decoder(g, root, s, memory, seed)?;

    g.output("frame_queries", decoded.queries)?;
    for (i, map) in memory_maps(g, s, memory)?.into_iter().enumerate() {
        g.output(["memory8", "memory16", "memory32"][i], map)?;
    }
    let last = decoded.references.len() - 1;
    let previous = if last == 0 {
        decoded.initial
    } else {
        decoded.references[last - 1]
    };
    let points = g.slice(decoded.references[last], 2, 0, 2)?;
    if s.request.probe {
        let initial = g.identity(decoded.initial)?;
        g.output("transformer.init_reference", initial)?;
        let stacked = decoded
            .references
            .iter()
            .map(|r| {
                let mut shape = vec![1];
                shape.extend(g.fixed_shape(*r).unwrap_or_default());
                g.view(*r, &shape)
            })
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let stacked = g.concat(&stacked, 0)?;
        g.output("transformer.inter_references", stacked)?;
    }
    let previous = g.identity(previous)?;
    g.output("reference_previous", previous)?;
    let points = g.identity(points)?;
    Ok(g.output("reference_points", points)?)
}

/// Memory `[T, N, C]`.
fn encoder(g: &mut Graph, w: &Weights, s: &Shapes, fused: Value) -> Result<Value> {
    let c = s.arch.d_model;
    let config = &s.arch.transformer;
    if config.enc_layers == 0 {
        return Ok(fused);
    }
    let positions = g.scoped("transformer", |g| level_positions(g, w, s))?;
    let grid = g.scoped("transformer", |g| encoder_grid(g, s))?;
    let mut x = fused;
    for i in 0..config.enc_layers {
        let w = w.pp("encoder").pp("layers").pp(i);
        let attention =
            DeformableAttention::load(&w.pp("self_attn"), c, config.heads, 4, config.enc_points)?;
        let query = g.scoped(w.path(), |g| g.add(x, positions))?;
        let references = References::Grid(grid);
        let mixed = attention.emit(g, query, references, x, &s.levels, s.request.deformable)?;
        x = residual(g, &w, "norm1", x, mixed, c)?;
        let y = feed_forward(g, &w, x, c)?;
        x = residual(g, &w, "norm2", x, y, c)?;
    }
    Ok(x)
}

/// `norm(x + y)`.
fn residual(g: &mut Graph, w: &Weights, norm: &str, x: Value, y: Value, c: usize) -> Result<Value> {
    let sum = g.scoped(w.path(), |g| g.add(x, y))?;
    LayerNorm::load(&w.pp(norm), c, 1e-5)?.emit(g, sum)
}

fn feed_forward(g: &mut Graph, w: &Weights, x: Value, c: usize) -> Result<Value> {
    let hidden = w.pp("linear1").shape("weight")?[0];
    Mlp::load(
        w,
        &["linear1", "linear2"],
        &[c, hidden, c],
        Activation::Relu,
    )?
    .emit(g, x)
}

/// Position encoding of every level plus the level's embedding, a constant `[1, N, C]`.
fn level_positions(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<Value> {
    let c = s.arch.d_model;
    let embed = w.get(&[4, c], "level_embed")?;
    let levels = s.levels;
    let data = move |embed: Vec<f32>| -> Vec<f32> {
        let mut out = Vec::new();
        for (level, row) in levels.iter().zip(embed.chunks(c)) {
            let sine = sine_2d(level.height, level.width, c);
            out.extend(sine.iter().zip(row.iter().cycle()).map(|(p, e)| p + e));
        }
        out
    };
    Ok(embed.emit_derived(g, "positions", &[1, s.positions(), c], data)?)
}

/// Centres of all positions in -1..1, a constant `[1, N, 2]`.
fn encoder_grid(g: &mut Graph, s: &Shapes) -> Result<Value> {
    let centre = |i: usize, n: usize| ((2.0 * (i as f64 + 0.5)) / n as f64 - 1.0) as f32;
    let mut grid = Vec::with_capacity(2 * s.positions());
    for level in s.levels {
        for y in 0..level.height {
            for x in 0..level.width {
                grid.extend([centre(x, level.width), centre(y, level.height)]);
            }
        }
    }
    Ok(g.constant(&[1, s.positions(), 2], &grid)?)
}

struct Decoded {
    /// `[L, T, Q, C]`
    queries: Value,
    /// `[T, Q, 2]`
    initial: Value,
    /// Per level, `[T, Q, 2]` or, refined, `[T, Q, 4]`.
    references: Vec<Value>,
}

fn decoder(g: &mut Graph, w: &Weights, s: &Shapes, memory: Value, seed: Value) -> Result<Decoded> {
    let (t, q, c) = (s.request.frames, s.arch.num_queries, s.arch.d_model);
    let config = &s.arch.transformer;
    let embed = w.pp("query_embed").get(&[q, c], "weight")?;
    let initial = InitialReference::load(&w.pp("transformer"), embed.clone(), c)?;
    let place = embed.viewed(&[1, q, c]).emit(g)?;
    let start = initial.emit(g, "points", 2, |x, y| vec![x, y])?;
    let start = g.expand(start, &[t, q, 2])?;
    let grid = initial.emit(g, "grid", 2, |x, y| vec![2.0 * x - 1.0, 2.0 * y - 1.0])?;

    // Every frame and query starts from the same seed; frames part at the first cross-attention.
    let zeros = g.constant(&[1, q, 1], &vec![0.0; q])?;
    let seed = g.view(seed, &[1, 1, c])?;
    let mut x = g.add(seed, zeros)?;
    let mut boxes: Option<Value> = None;
    let (mut levels, mut references) = (Vec::new(), Vec::new());
    for i in 0..config.dec_layers {
        let lw = w.pp("transformer").pp("decoder").pp("layers").pp(i);
        let attention = MultiheadAttention::load(&lw.pp("self_attn"), c, config.heads)?;
        let query = g.scoped(lw.path(), |g| g.add(x, place))?;
        let mixed = attention.emit(g, query, query, x)?;
        x = residual(g, &lw, "norm2", x, mixed, c)?;
        x = g.scoped(lw.path(), |g| g.expand(x, &[t, q, c]))?;

        let cross =
            DeformableAttention::load(&lw.pp("cross_attn"), c, config.heads, 4, config.dec_points)?;
        let query = g.scoped(lw.path(), |g| g.add(x, place))?;
        let anchors = boxes.map_or(References::Grid(grid), References::Boxes);
        let mixed = cross.emit(g, query, anchors, memory, &s.levels, s.request.deformable)?;
        x = residual(g, &lw, "norm1", x, mixed, c)?;
        let y = feed_forward(g, &lw, x, c)?;
        x = residual(g, &lw, "norm3", x, y, c)?;

        if s.arch.with_box_refine {
            let head = BoxHead::load(&w.pp("bbox_embed").pp(i), c)?;
            let delta = head.emit(g, x)?;
            boxes = Some(g.scoped("transformer.decoder", |g| -> Result<Value> {
                let anchor = match boxes {
                    Some(boxes) => inverse_sigmoid(g, boxes)?,
                    None => {
                        initial.emit(g, "logits", 4, |x, y| vec![logit(x), logit(y), 0.0, 0.0])?
                    }
                };
                let sum = g.add(delta, anchor)?;
                Ok(g.sigmoid(sum)?)
            })?);
        }
        levels.push(g.view(x, &[1, t, q, c])?);
        references.push(boxes.unwrap_or(start));
    }
    Ok(Decoded {
        queries: g.concat(&levels, 0)?,
        initial: start,
        references,
    })
}

/// The box head, an MLP of three layers.
pub(super) struct BoxHead(Mlp);

impl BoxHead {
    pub(super) fn load(w: &Weights, c: usize) -> Result<Self> {
        let layers = ["layers.0", "layers.1", "layers.2"];
        let mlp = Mlp::load(w, &layers, &[c, c, c, 4], Activation::Relu)?;
        Ok(Self(mlp))
    }

    pub(super) fn emit(&self, g: &mut Graph, x: Value) -> Result<Value> {
        self.0.emit(g, x)
    }
}

/// `log(x / (1 - x))`, both kept from 0, for `x` in 0..1 (`misc.py`).
pub(super) fn inverse_sigmoid(g: &mut Graph, x: Value) -> Result<Value> {
    let epsilon = g.constant(&[], &[EPSILON])?;
    let one = g.constant(&[], &[1.0])?;
    let rest = g.sub(one, x)?;
    let above = g.max(x, epsilon)?;
    let below = g.max(rest, epsilon)?;
    let odds = g.div(above, below)?;
    Ok(g.log(odds)?)
}

fn logit(x: f32) -> f32 {
    (x.max(EPSILON) / (1.0 - x).max(EPSILON)).ln()
}

/// `sigmoid(reference_points(query_embed))`: known at export, since it depends on weights alone.
#[derive(Clone)]
struct InitialReference {
    embed: Param,
    weight: Param,
    bias: Param,
    path: String,
}

impl InitialReference {
    fn load(w: &Weights, embed: Param, c: usize) -> Result<Self> {
        let w = w.pp("reference_points");
        Ok(Self {
            embed,
            weight: w.get(&[2, c], "weight")?,
            bias: w.get(&[2], "bias")?,
            path: w.path().to_owned(),
        })
    }

    /// `(x, y)` of every query in 0..1.
    fn points(&self) -> std::result::Result<Vec<(f32, f32)>, CheckpointError> {
        let (embed, weight, bias) = (self.embed.read()?, self.weight.read()?, self.bias.read()?);
        let c = weight.len() / 2;
        let coordinate = |query: &[f32], axis: usize| {
            let row = &weight[axis * c..(axis + 1) * c];
            let products = query.iter().zip(row).map(|(a, b)| f64::from(a * b));
            let z = products.sum::<f64>() + f64::from(bias[axis]);
            (1.0 / (1.0 + (-z).exp())) as f32
        };
        let points = embed.chunks(c);
        Ok(points
            .map(|q| (coordinate(q, 0), coordinate(q, 1)))
            .collect())
    }

    /// A constant `[1, Q, width]` made from each query's point.
    fn emit(
        &self,
        g: &mut Graph,
        suffix: &str,
        width: usize,
        f: impl Fn(f32, f32) -> Vec<f32> + Send + Sync + 'static,
    ) -> Result<Value> {
        let (source, name) = (self.clone(), format!("{}.{suffix}", self.path));
        let shape = [1, self.embed.shape()[0], width];
        let data = Data::compute(move || {
            Ok(source
                .points()?
                .into_iter()
                .flat_map(|(x, y)| f(x, y))
                .collect())
        });
        Ok(g.initializer(&name, DType::F32, &shape, data)?)
    }
}

fn memory_maps(g: &mut Graph, s: &Shapes, memory: Value) -> Result<Vec<Value>> {
    let (t, c) = (s.request.frames, s.arch.d_model);
    let parts = g.split(memory, 1, &s.level_lengths())?;
    parts
        .into_iter()
        .zip(s.levels)
        .take(3)
        .map(|(part, level)| {
            let map = g.transpose(part, &[0, 2, 1])?;
            Ok(g.view(map, &[t, c, level.height, level.width])?)
        })
        .collect()
}
