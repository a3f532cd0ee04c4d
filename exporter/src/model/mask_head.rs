//! Spatial decoder and dynamic mask head (`models/segmentation.py`; `models/soc.py`,
//! `dynamic_mask_with_coords`).

use super::Shapes;
use crate::error::{ExportError, Result};
use crate::graph::{Graph, Value};
use crate::nn::{Activation, Conv2d, GroupNorm, Mlp};
use crate::tensor::DType;
use crate::weights::Weights;

/// Groups of the spatial decoder's normalisations.
const GROUPS: usize = 8;
/// Pixels of the resized frame per mask position.
const STRIDE: usize = 4;

/// Memory maps, the FPN input, and M queries per frame (`[T, M, C]`, reference points `[T, M, 2]`)
/// to mask logits `[T, M, h, w]` at stride 4.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let (t, c) = (s.request.frames, s.arch.d_model);
    let m = if s.request.all_queries() {
        s.arch.num_queries
    } else {
        1
    };
    let mut memory = Vec::with_capacity(3);
    for (name, level) in ["memory8", "memory16", "memory32"]
        .into_iter()
        .zip(s.levels)
    {
        let shape = [t, c, level.height, level.width].map(Into::into);
        memory.push(g.input(name, DType::F32, &shape)?);
    }
    let decoder = w.pp("spatial_decoder");
    let fpn_channels = decoder.pp("adapter3").shape("weight")?[1];
    let [map, ..] = s.maps;
    let shape = [t, fpn_channels, map.height, map.width].map(Into::into);
    let fpn = g.input("fpn_input", DType::F32, &shape)?;
    let queries = g.input("mask_queries", DType::F32, &[t, m, c].map(Into::into))?;
    let points = g.input("mask_references", DType::F32, &[t, m, 2].map(Into::into))?;

    let sources = [memory[2], memory[1], memory[0], fpn];
    let features = spatial_decoder(g, &decoder, s, sources)?;
    if s.request.probe {
        let features = g.identity(features)?;
        g.output("mask.features", features)?;
    }
    let logits = dynamic_head(g, &w.pp("controller"), s, features, queries, points)?;
    Ok(g.output("mask_logits", logits)?)
}

/// `FPNSpatialDecoder`: from stride 32 to `[T, mask_kernels_dim, h, w]` at stride 4.
fn spatial_decoder(g: &mut Graph, w: &Weights, s: &Shapes, sources: [Value; 4]) -> Result<Value> {
    let c = s.arch.d_model;
    let widths = [c, c / 2, c / 4, c / 8, c / 16];
    let conv = |g: &mut Graph, name: &str, x: Value, outputs: usize, k: usize| -> Result<Value> {
        let inputs = g.shape(x)[1].fixed().unwrap_or(0);
        let shape = [outputs, inputs, k, k];
        Conv2d::load(&w.pp(name), shape, 1, k / 2, true)?.emit(g, x)
    };
    let block = |g: &mut Graph, i: usize, x: Value| -> Result<Value> {
        let x = conv(g, &format!("lay{i}"), x, widths[i - 1], 3)?;
        let norm = w.pp(format!("gn{i}"));
        let x = GroupNorm::load(&norm, widths[i - 1], GROUPS)?.emit(g, x)?;
        Ok(g.scoped(norm.path(), |g| g.relu(x))?)
    };
    let mut x = block(g, 1, sources[0])?;
    x = block(g, 2, x)?;
    for (i, source) in sources.into_iter().enumerate().skip(1) {
        let name = format!("adapter{i}");
        let lateral = conv(g, &name, source, widths[i], 1)?;
        let shape = g.fixed_shape(lateral).unwrap_or_default();
        x = g.scoped(&format!("{}.{name}", w.path()), |g| -> Result<Value> {
            let up = g.resize_nearest(x, shape[2], shape[3])?;
            Ok(g.add(lateral, up)?)
        })?;
        x = block(g, i + 2, x)?;
    }
    conv(g, "out_lay", x, s.arch.mask.kernels_dim, 3)
}

/// Mask logits from per-query weights, as matrix products.
fn dynamic_head(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    features: Value,
    queries: Value,
    points: Value,
) -> Result<Value> {
    let c = s.arch.d_model;
    let head = HeadParameters::new(s);
    let names: Vec<String> = (0..3).map(|i| format!("layers.{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let generated = w.pp("layers").pp(2).shape("weight")?[0];
    if generated != head.lengths.iter().sum::<usize>() {
        return Err(ExportError::Request(format!(
            "`{}.layers.2.weight` generates {generated} mask-head parameters where controller_layers, \
             dynamic_mask_channels, mask_kernels_dim and rel_coord give {}; pass the checkpoint's own \
             configuration file",
            w.path(),
            head.lengths.iter().sum::<usize>()
        )));
    }
    let controller = Mlp::load(w, &names, &[c, c, c, generated], Activation::Relu)?;
    let params = controller.emit(g, queries)?;
    g.scoped("dynamic_mask_head", |g| {
        let params = g.split(params, 2, &head.lengths)?;
        head.emit(g, s, &params, features, points)
    })
}

/// Layout of the generated parameters: all weights, then all biases.
struct HeadParameters {
    lengths: Vec<usize>,
    layers: usize,
    inputs: usize,
    channels: usize,
    rel_coord: bool,
}

impl HeadParameters {
    fn new(s: &Shapes) -> Self {
        let mask = &s.arch.mask;
        let (layers, channels) = (mask.controller_layers, mask.dynamic_channels);
        let inputs = mask.kernels_dim + if mask.rel_coord { 2 } else { 0 };
        let weights = (0..layers).map(|l| match l {
            0 => inputs * channels,
            l if l + 1 == layers => channels,
            _ => channels * channels,
        });
        let biases = (0..layers).map(|l| if l + 1 == layers { 1 } else { channels });
        Self {
            lengths: weights.chain(biases).collect(),
            layers,
            inputs,
            channels,
            rel_coord: mask.rel_coord,
        }
    }

    fn emit(
        &self,
        g: &mut Graph,
        s: &Shapes,
        params: &[Value],
        features: Value,
        points: Value,
    ) -> Result<Value> {
        let shape = g.fixed_shape(features).unwrap_or_default();
        let (t, k, h, w) = (shape[0], shape[1], shape[2], shape[3]);
        let m = g.shape(points)[1].fixed().unwrap_or(1);
        let features = g.view(features, &[t, k, h * w])?;
        let (weights, biases) = params.split_at(self.layers);
        let mut x = self.first_layer(g, s, [weights[0], biases[0]], features, points, [h, w])?;
        for i in 1..self.layers {
            x = g.relu(x)?;
            let outputs = if i + 1 == self.layers {
                1
            } else {
                self.channels
            };
            let weight = g.view(weights[i], &[t, m, outputs, self.channels])?;
            let bias = g.view(biases[i], &[t, m, outputs, 1])?;
            x = g.matmul(weight, x)?;
            x = g.add(x, bias)?;
        }
        Ok(g.view(x, &[t, m, h, w])?)
    }

    /// `[T, M, channels, h * w]`.
    ///
    /// The relative coordinates are linear in position and reference, both in pixels of the resized
    /// frame: position enters as a product with a constant map, reference as a bias.
    fn first_layer(
        &self,
        g: &mut Graph,
        s: &Shapes,
        [weight, bias]: [Value; 2],
        features: Value,
        points: Value,
        [h, w]: [usize; 2],
    ) -> Result<Value> {
        let shape = g.fixed_shape(points).unwrap_or_default();
        let (t, m) = (shape[0], shape[1]);
        let k = s.arch.mask.kernels_dim;
        let weight = g.view(weight, &[t, m * self.channels, self.inputs])?;
        let on_features = g.slice(weight, 2, 0, k)?;
        let mut x = g.matmul(on_features, features)?;
        let mut bias = g.view(bias, &[t, m, self.channels, 1])?;
        if self.rel_coord {
            let on_coords = g.slice(weight, 2, k, k + 2)?;
            let centre = |i: usize| -((STRIDE * i + STRIDE / 2) as f32);
            let xs = (0..h * w).map(|i| centre(i % w));
            let ys = (0..h * w).map(|i| centre(i / w));
            let map = g.constant(&[1, 2, h * w], &xs.chain(ys).collect::<Vec<_>>())?;
            let position = g.matmul(on_coords, map)?;
            x = g.add(x, position)?;
            let size = [s.request.width as f32, s.request.height as f32];
            let size = g.constant(&[2], &size)?;
            let pixels = g.mul(points, size)?;
            let pixels = g.view(pixels, &[t, m, 2, 1])?;
            let on_coords = g.view(on_coords, &[t, m, self.channels, 2])?;
            let reference = g.matmul(on_coords, pixels)?;
            bias = g.add(bias, reference)?;
        }
        let x = g.view(x, &[t, m, self.channels, h * w])?;
        Ok(g.add(x, bias)?)
    }
}
