//! Multi-scale deformable attention (Deformable DETR; `models/ops/modules/ms_deform_attn.py`).

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::Linear;
use crate::tensor::DType;
use crate::weights::Weights;

/// How the bilinear sampling is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deformable {
    /// One `GridSample` per level.
    #[default]
    GridSample,
    /// `Gather` of the four neighbours of every point, for engines whose `GridSample` is slow or
    /// wrong.
    Gather,
}

/// Height and width of one feature level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl Level {
    /// Number of positions.
    pub fn len(self) -> usize {
        self.height * self.width
    }

    /// Whether the level has no position.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl Deformable {
    /// Order of queries `m` and points `p` in samples and weights: `GridSample` leaves the long axis
    /// innermost, where engines sum and multiply fastest; rows to gather need the points there.
    fn order(self, m: usize, p: usize) -> [usize; 2] {
        match self {
            Self::GridSample => [p, m],
            Self::Gather => [m, p],
        }
    }
}

/// What the sampling offsets are relative to.
#[derive(Debug, Clone, Copy)]
pub enum References {
    /// Points `[1 or T, M, 2]` (x, y) in -1..1, the outer edges: offsets count in pixels of each
    /// level.
    Grid(Value),
    /// Boxes `[T, M, 4]` (centre x, centre y, width, height) in 0..1: offsets count in half box
    /// sizes over the number of points.
    Boxes(Value),
}

/// `MSDeformAttn`.
pub struct DeformableAttention {
    path: String,
    offsets: Linear,
    weights: Linear,
    value: Linear,
    out: Linear,
    channels: usize,
    heads: usize,
    points: usize,
}

impl DeformableAttention {
    /// Loads an attention over `levels` levels with `points` points per head and level.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn load(
        w: &Weights,
        channels: usize,
        heads: usize,
        levels: usize,
        points: usize,
    ) -> Result<Self> {
        let n = heads * levels * points;
        Ok(Self {
            path: w.path().to_owned(),
            offsets: Linear::load(&w.pp("sampling_offsets"), channels, 2 * n)?,
            weights: Linear::load(&w.pp("attention_weights"), channels, n)?,
            value: Linear::load(&w.pp("value_proj"), channels, channels)?,
            out: Linear::load(&w.pp("output_proj"), channels, channels)?,
            channels,
            heads,
            points,
        })
    }

    /// Attention of `query [T, M, C]` over `memory [T, N, C]`, the concatenated `levels`.
    ///
    /// # Errors
    /// The operands do not fit.
    pub fn emit(
        &self,
        g: &mut Graph,
        query: Value,
        references: References,
        memory: Value,
        levels: &[Level],
        lowering: Deformable,
    ) -> Result<Value> {
        let shape = g.fixed_shape(query).unwrap_or_default();
        let (t, m) = (shape[0], shape[1]);
        let grids = self.grids(g, query, references, levels, [t, m], lowering)?;
        let weights = self.attention_weights(g, query, levels.len(), [t, m], lowering)?;
        let values = self.values(g, memory, levels, lowering)?;
        let mixed = g.scoped(&self.path, |g| -> Result<Value> {
            let mut sum = None;
            for (i, level) in levels.iter().enumerate() {
                let part = match lowering {
                    Deformable::GridSample => {
                        self.grid_level(g, values[i], grids[i], weights[i])?
                    }
                    Deformable::Gather => {
                        self.gather_level(g, values[i], grids[i], weights[i], *level)?
                    }
                };
                sum = Some(match sum {
                    None => part,
                    Some(sum) => g.add(sum, part)?,
                });
            }
            let d = self.channels / self.heads;
            let sum = sum.unwrap_or(query);
            let perm: [usize; 4] = match lowering {
                Deformable::GridSample => [0, 3, 1, 2],
                Deformable::Gather => [0, 2, 1, 3],
            };
            let split = match lowering {
                Deformable::GridSample => [t, self.heads, d, m],
                Deformable::Gather => [t, self.heads, m, d],
            };
            let sum = g.view(sum, &split)?;
            let sum = g.transpose(sum, &perm)?;
            Ok(g.view(sum, &[t, m, self.channels])?)
        })?;
        self.out.emit(g, mixed)
    }

    /// Sampling points of each level as `GridSample` counts them, in -1..1: `[T * heads, P, M, 2]`
    /// for `GridSample`, else `[T * heads, M, P, 2]`.
    ///
    /// The checkpoint orders the offsets (head, level, point, axis). They are reordered by level
    /// and scaled to the grid's units once, in the weights.
    fn grids(
        &self,
        g: &mut Graph,
        query: Value,
        references: References,
        levels: &[Level],
        [t, m]: [usize; 2],
        lowering: Deformable,
    ) -> Result<Vec<Value>> {
        let (heads, points, n_levels) = (self.heads, self.points, levels.len());
        let row = |h: usize, l: usize, p: usize, axis: usize| {
            ((h * n_levels + l) * points + p) * 2 + axis
        };
        let mut order = Vec::with_capacity(heads * n_levels * points * 2);
        let mut factors = vec![0.0; heads * n_levels * points * 2];
        for (l, level) in levels.iter().enumerate() {
            for h in 0..heads {
                for p in 0..points {
                    for (axis, size) in [level.width, level.height].into_iter().enumerate() {
                        order.push(row(h, l, p, axis));
                        factors[row(h, l, p, axis)] = match references {
                            References::Grid(_) => 2.0 / size as f32,
                            References::Boxes(_) => 1.0 / points as f32,
                        };
                    }
                }
            }
        }
        let offsets = self
            .offsets
            .emit_rescaled(g, query, "by_level", &order, &factors)?;
        g.scoped(&self.path, |g| {
            let (by_level, place) = match lowering {
                Deformable::GridSample => {
                    let by_level = g.view(offsets, &[t, m, n_levels, heads * points, 2])?;
                    let by_level = g.transpose(by_level, &[2, 0, 3, 1, 4])?;
                    (by_level, [n_levels, t, heads, points, m, 2])
                }
                Deformable::Gather => {
                    let by_level = g.view(offsets, &[t, m, n_levels, heads, points * 2])?;
                    let by_level = g.transpose(by_level, &[2, 0, 3, 1, 4])?;
                    (by_level, [n_levels, t, heads, m, points, 2])
                }
            };
            let by_level = g.view(by_level, &place)?;
            let beside = |batch: usize| match lowering {
                Deformable::GridSample => [1, batch, 1, 1, m, 2],
                Deformable::Gather => [1, batch, 1, m, 1, 2],
            };
            let (offsets, centre) = match references {
                References::Grid(centre) => (by_level, centre),
                References::Boxes(boxes) => {
                    let size = g.slice(boxes, 2, 2, 4)?;
                    let size = g.view(size, &beside(t))?;
                    let centre = g.slice(boxes, 2, 0, 2)?;
                    let centre = g.scale(centre, 2.0)?;
                    (g.mul(by_level, size)?, g.shift(centre, -1.0)?)
                }
            };
            let batch = g.fixed_shape(centre).unwrap_or_default()[0];
            let centre = g.view(centre, &beside(batch))?;
            let grid = g.add(offsets, centre)?;
            let parts = g.split(grid, 0, &vec![1; n_levels])?;
            let [first, second] = lowering.order(m, points);
            parts
                .into_iter()
                .map(|part| Ok(g.view(part, &[t * heads, first, second, 2])?))
                .collect()
        })
    }

    /// Softmax over levels and points; per level `[T * heads, 1, P, M]` for `GridSample`, else
    /// `[T * heads, 1, M, P]`.
    fn attention_weights(
        &self,
        g: &mut Graph,
        query: Value,
        n_levels: usize,
        [t, m]: [usize; 2],
        lowering: Deformable,
    ) -> Result<Vec<Value>> {
        let (heads, points) = (self.heads, self.points);
        let [first, second] = lowering.order(m, points);
        let logits = self.weights.emit(g, query)?;
        g.scoped(&self.path, |g| {
            let logits = g.view(logits, &[t, m, heads, n_levels * points])?;
            let weights = g.softmax(logits, -1)?;
            let weights = g.view(weights, &[t, m, heads, n_levels, points])?;
            let perm = match lowering {
                Deformable::GridSample => [3, 0, 2, 4, 1],
                Deformable::Gather => [3, 0, 2, 1, 4],
            };
            let weights = g.transpose(weights, &perm)?;
            let parts = g.split(weights, 0, &vec![1; n_levels])?;
            parts
                .into_iter()
                .map(|part| Ok(g.view(part, &[t * heads, 1, first, second])?))
                .collect()
        })
    }

    /// Values per level: maps `[T * heads, d, h, w]` to sample from, or rows `[T * heads * h * w, d]`
    /// to gather.
    fn values(
        &self,
        g: &mut Graph,
        memory: Value,
        levels: &[Level],
        lowering: Deformable,
    ) -> Result<Vec<Value>> {
        let value = self.value.emit(g, memory)?;
        let (heads, d) = (self.heads, self.channels / self.heads);
        g.scoped(&self.path, |g| {
            let shape = g.fixed_shape(value).unwrap_or_default();
            let (t, n) = (shape[0], shape[1]);
            let value = g.view(value, &[t, n, heads, d])?;
            let lengths: Vec<usize> = levels.iter().map(|l| l.len()).collect();
            let (value, axis) = match lowering {
                Deformable::GridSample => (g.transpose(value, &[0, 2, 3, 1])?, 3),
                Deformable::Gather => (g.transpose(value, &[0, 2, 1, 3])?, 2),
            };
            let parts = g.split(value, axis, &lengths)?;
            parts
                .into_iter()
                .zip(levels)
                .map(|(part, level)| {
                    Ok(match lowering {
                        Deformable::GridSample => {
                            g.view(part, &[t * heads, d, level.height, level.width])?
                        }
                        Deformable::Gather => g.view(part, &[t * heads * level.len(), d])?,
                    })
                })
                .collect()
        })
    }

    /// Weighted sum over the points of one level, `[T * heads, d, M]`.
    fn grid_level(&self, g: &mut Graph, value: Value, grid: Value, weight: Value) -> Result<Value> {
        let samples = g.grid_sample(value, grid)?;
        let weighted = g.mul(samples, weight)?;
        let shape = g.fixed_shape(weighted).unwrap_or_default();
        let (n, d, points, m) = (shape[0], shape[1], shape[2], shape[3]);
        let weighted = g.view(weighted, &[n * d, points, m])?;
        let ones = g.constant(&[1, points], &vec![1.0; points])?;
        let sum = g.matmul(ones, weighted)?;
        Ok(g.view(sum, &[n, d, m])?)
    }

    /// Like [`Self::grid_level`], from gathered neighbours; `[T * heads, M, d]`.
    fn gather_level(
        &self,
        g: &mut Graph,
        rows: Value,
        grid: Value,
        weight: Value,
        level: Level,
    ) -> Result<Value> {
        let shape = g.fixed_shape(grid).unwrap_or_default();
        let (n, m, points) = (shape[0], shape[1], shape[2]);
        let weight = g.view(weight, &[n, m, points])?;
        let axis = |g: &mut Graph, i: usize, size: usize| -> Result<[(Value, Value); 2]> {
            let x = g.slice(grid, 3, i, i + 1)?;
            let x = g.view(x, &[n, m, points])?;
            neighbours(g, x, size)
        };
        let xs = axis(g, 0, level.width)?;
        let ys = axis(g, 1, level.height)?;
        // Whole numbers: with many frames the row numbers outgrow what f32 can count.
        let starts: Vec<i64> = (0..n).map(|i| (i * level.len()) as i64).collect();
        let starts = g.constant_i64(&[n, 1, 1], &starts)?;
        let (mut indices, mut weights) = (Vec::new(), Vec::new());
        for (y, wy) in ys {
            let row = g.scale(y, level.width as f32)?;
            let wy = g.mul(wy, weight)?;
            for (x, wx) in &xs {
                let index = g.add(row, *x)?;
                indices.push(g.view(index, &[n, m, points, 1])?);
                let w = g.mul(wy, *wx)?;
                weights.push(g.view(w, &[n, m, points, 1])?);
            }
        }
        let index = g.concat(&indices, 3)?;
        let index = g.cast(index, DType::I64)?;
        let index = g.view(index, &[n, m, points * 4])?;
        let index = g.add(index, starts)?;
        let weights = g.concat(&weights, 3)?;
        let weights = g.view(weights, &[n, m, 1, points * 4])?;
        let samples = g.gather(rows, index, 0)?;
        let mixed = g.matmul(weights, samples)?;
        let d = self.channels / self.heads;
        Ok(g.view(mixed, &[n, m, d])?)
    }
}

/// The two pixels beside coordinate `x` (-1..1 over an axis of `size`): clamped index and linear
/// weight, which is 0 for a pixel outside.
fn neighbours(g: &mut Graph, x: Value, size: usize) -> Result<[(Value, Value); 2]> {
    let half = size as f32 / 2.0;
    let pixel = g.scale(x, half)?;
    let pixel = g.shift(pixel, half - 0.5)?;
    // Far outside, an index would leave the range in which f32 counts whole numbers.
    let low = g.constant(&[], &[-2.0])?;
    let high = g.constant(&[], &[size as f32 + 1.0])?;
    let pixel = g.max(pixel, low)?;
    let pixel = g.min(pixel, high)?;
    let first = g.floor(pixel)?;
    let second = g.shift(first, 1.0)?;
    let fraction = g.sub(pixel, first)?;
    let one = g.constant(&[], &[1.0])?;
    let rest = g.sub(one, fraction)?;
    let (zero, last) = (
        g.constant(&[], &[0.0])?,
        g.constant(&[], &[size as f32 - 1.0])?,
    );
    let mut out = Vec::with_capacity(2);
    for (index, weight) in [(first, rest), (second, fraction)] {
        let clamped = g.max(index, zero)?;
        let clamped = g.min(clamped, last)?;
        let inside = g.equal(clamped, index)?;
        let inside = g.cast(inside, DType::F32)?;
        out.push((clamped, g.mul(weight, inside)?));
    }
    Ok([out[0], out[1]])
}
