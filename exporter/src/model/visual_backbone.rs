//! All that depends on the frames alone: backbone and projected levels (`models/soc.py`, `forward`).

use super::sections::Sections;
use super::{Shapes, resnet, swin};
use crate::config::Backbone;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::nn::{Conv2d, GroupNorm};
use crate::tensor::DType;
use crate::weights::Weights;

/// ImageNet's channel means and standard deviations, for values in 0..1.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Groups of the projections' normalisation.
const GROUPS: usize = 32;

/// Frames `[T, 3, H, W]` (u8 RGB) to the FPN input `[T, C2, h, w]` and the projected levels
/// `[T, N, C]`, where N counts the positions of strides 8, 16, 32 and 64 in this order.
pub(super) fn emit(g: &mut Graph, w: &Weights, s: &Shapes) -> Result<()> {
    let r = &s.request;
    let shape = [r.frames, 3, r.height, r.width].map(Into::into);
    let frames = g.input("frames", DType::U8, &shape)?;
    let frames = g.scoped("normalize", |g| normalize(g, frames, s))?;
    let body = w.pp("backbone").pp(0).pp("body");
    let maps = match &s.arch.backbone {
        Backbone::VideoSwin(config) => swin::emit(g, &body, s, config, &frames)?,
        Backbone::ResNet(config) => resnet::emit(g, &body, config, &frames)?,
    };
    let levels = levels(g, &w.pp("input_proj"), s, &maps)?;
    let fpn_input = g.scoped(body.path(), |g| maps[0].joined(g))?;
    if s.request.probe {
        for (i, map) in maps.iter().enumerate().skip(1) {
            let map = g.scoped(body.path(), |g| map.joined(g))?;
            g.output(&format!("backbone.c{}", i + 2), map)?;
        }
        let copy = g.identity(fpn_input)?;
        g.output("backbone.c2", copy)?;
    }
    g.output("fpn_input", fpn_input)?;
    Ok(g.output("levels", levels)?)
}

fn normalize(g: &mut Graph, frames: Value, s: &Shapes) -> Result<Sections> {
    let x = g.cast(frames, DType::F32)?;
    let scale: Vec<f32> = STD.iter().map(|s| 1.0 / (255.0 * s)).collect();
    let shift: Vec<f32> = MEAN.iter().zip(STD).map(|(m, s)| -m / s).collect();
    let scale = g.constant(&[1, 3, 1, 1], &scale)?;
    let shift = g.constant(&[1, 3, 1, 1], &shift)?;
    let sections = Sections::whole(s.request.frames, 1, x).regrouped(g, &s.sections())?;
    sections.map(g, 1, |g, _, x| {
        let x = g.mul(x, scale)?;
        Ok(g.add(x, shift)?)
    })
}

/// `input_proj`: strides 8, 16, 32 by 1x1 convolutions; stride 64 by a strided 3x3 convolution of
/// the last backbone map, not of its projection.
fn levels(g: &mut Graph, w: &Weights, s: &Shapes, maps: &[Sections]) -> Result<Value> {
    let sections = s.sections();
    let mut joined = Vec::with_capacity(sections.len());
    for (k, range) in sections.iter().enumerate() {
        let mut sources = [1, 2, 3].map(|i| maps[i].values()[k]);
        if let Some(last) = joined.last() {
            for source in &mut sources {
                *source = g.scoped(w.path(), |g| g.after(*source, *last))?;
            }
        }
        let [c3, c4, c5] = sources;
        joined.push(section_levels(g, w, s, range.len(), [c3, c4, c5, c5])?);
    }
    Ok(g.scoped(w.path(), |g| g.concat(&joined, 0))?)
}

/// The levels of `t` frames from the maps that they are projections of.
fn section_levels(
    g: &mut Graph,
    w: &Weights,
    s: &Shapes,
    t: usize,
    sources: [Value; 4],
) -> Result<Value> {
    let c = s.arch.d_model;
    let mut parts = Vec::with_capacity(sources.len());
    for (i, source) in sources.into_iter().enumerate() {
        let w = w.pp(i);
        let inputs = g.shape(source)[1].fixed().unwrap_or(0);
        let (kernel, stride, padding) = if i == 3 { (3, 2, 1) } else { (1, 1, 0) };
        let shape = [c, inputs, kernel, kernel];
        let map = Conv2d::load(&w.pp(0), shape, stride, padding, true)?.emit(g, source)?;
        let map = GroupNorm::load(&w.pp(1), c, GROUPS)?.emit(g, map)?;
        parts.push(g.scoped(w.path(), |g| -> Result<Value> {
            let tokens = g.view(map, &[t, c, s.levels[i].len()])?;
            Ok(g.transpose(tokens, &[0, 2, 1])?)
        })?);
    }
    Ok(g.concat(&parts, 1)?)
}
