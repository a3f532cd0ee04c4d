//! Video Swin Transformer, per-frame features (`models/video_swin_transformer.py`).

use std::ops::Range;

use super::Shapes;
use super::sections::Sections;
use super::swin_block::{self, Attention};
use super::windows::Windows;
use crate::config::SwinConfig;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Conv2d, LayerNorm, Level, Linear};
use crate::weights::Weights;

/// Normalised frames `[T, 3, H, W]` to the maps `[T, C_l, h, w]` at strides 4, 8, 16, 32, all of them in
/// sections.
pub(super) fn emit(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    config: &SwinConfig,
    frames: &Sections,
) -> Result<Vec<Sections>> {
    let (t, at_once) = (s.request.frames, s.request.frames_at_once.get());
    let embed = w.pp("patch_embed");
    let mut x = frames.map(g, s.maps[0].len(), |g, (_, range), frames| {
        patch_embed(g, &embed, s, config, frames, range.len())
    })?;
    let mut maps = Vec::with_capacity(config.depths.len());
    for (i, depth) in config.depths.iter().enumerate() {
        let level = s.maps[i];
        let size = [t, level.height, level.width];
        let attention = Attention {
            window: config.window,
            heads: config.num_heads[i],
        };
        let [plain, shifted] =
            [false, true].map(|shifted| Windows::parts(size, config.window, shifted, at_once));
        for block in 0..*depth {
            let windows = if block % 2 == 0 { &plain } else { &shifted };
            let ranges: Vec<Range<usize>> = windows.iter().map(|w| w.frames.clone()).collect();
            let w = w.pp("layers").pp(i).pp("blocks").pp(block);
            x = g.scoped(w.path(), |g| x.regrouped(g, &ranges))?;
            x = x.map(g, level.len(), |g, (part, _), x| {
                swin_block::emit(g, &w, x, &windows[part], attention)
            })?;
        }
        let layer = w.pp("layers").pp(i);
        x = g.scoped(layer.path(), |g| x.regrouped(g, &s.sections()))?;
        maps.push(x.map(g, 1, |g, (_, range), x| to_map(g, x, range.len(), level))?);
        if i + 1 < config.depths.len() {
            let w = w.pp("downsamples").pp(i);
            let rows = s.maps[i + 1].len();
            x = x.map(g, rows, |g, (_, range), x| {
                merge(g, &w, x, range.len(), level)
            })?;
        }
    }
    Ok(maps)
}

/// `PatchEmbed3D` with patches one frame deep: a 2-D convolution of `t` frames, tokens `[t * h * w, E]`.
fn patch_embed(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    config: &SwinConfig,
    frames: Value,
    t: usize,
) -> Result<Value> {
    let (e, [ph, pw]) = (config.embed_dim, config.patch);
    let proj = w.pp("proj");
    let weight = proj
        .get(&[e, 3, 1, ph, pw], "weight")?
        .viewed(&[e, 3, ph, pw]);
    let bias = proj.get(&[e], "bias")?;
    let missing = |n: usize, p: usize| n.next_multiple_of(p) - n;
    let padding = [
        0,
        0,
        missing(s.request.height, ph),
        missing(s.request.width, pw),
    ];
    let map = Conv2d::from_params(proj.path(), weight, bias, ph, padding).emit(g, frames)?;
    let tokens = g.scoped(w.path(), |g| -> Result<Value> {
        let x = g.transpose(map, &[0, 2, 3, 1])?;
        Ok(g.view(x, &[t * s.maps[0].len(), e])?)
    })?;
    LayerNorm::load(&w.pp("norm"), e, 1e-5)?.emit(g, tokens)
}

fn to_map(g: &mut Graph, x: Value, t: usize, level: Level) -> Result<Value> {
    let c = g.shape(x)[1].fixed().unwrap_or(0);
    let x = g.view(x, &[t, level.height, level.width, c])?;
    Ok(g.transpose(x, &[0, 3, 1, 2])?)
}

/// `PatchMerging`: four neighbours become one token; odd sides are padded with zeros.
fn merge(g: &mut Graph, w: &Weights, x: Value, t: usize, level: Level) -> Result<Value> {
    let c = g.shape(x)[1].fixed().unwrap_or(0);
    let (h, width) = (level.height, level.width);
    let outside = t * level.len();
    let mut indices = Vec::with_capacity(t * h.div_ceil(2) * width.div_ceil(2) * 4);
    for frame in 0..t {
        for y in (0..h).step_by(2) {
            for x in (0..width).step_by(2) {
                for (dy, dx) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let inside = y + dy < h && x + dx < width;
                    let index = (frame * h + y + dy) * width + x + dx;
                    indices.push(if inside { index } else { outside } as i64);
                }
            }
        }
    }
    let merged = g.scoped(w.path(), |g| -> Result<Value> {
        let x = if h % 2 == 1 || width % 2 == 1 {
            let zeros = g.constant(&[1, c], &vec![0.0; c])?;
            g.concat(&[x, zeros], 0)?
        } else {
            x
        };
        let rows = indices.len() / 4;
        let indices = g.constant_i64(&[indices.len()], &indices)?;
        let x = g.gather(x, indices, 0)?;
        Ok(g.view(x, &[rows, 4 * c])?)
    })?;
    let normal = LayerNorm::load(&w.pp("norm"), 4 * c, 1e-5)?.emit(g, merged)?;
    Linear::load_without_bias(&w.pp("reduction"), 4 * c, 2 * c)?.emit(g, normal)
}
