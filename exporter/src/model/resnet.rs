//! ResNet with frozen batch normalisation (`models/backbone.py`; torchvision's bottleneck layout).

use super::sections::Sections;
use crate::config::ResNetConfig;
use crate::error::Result;
use crate::graph::{Data, Graph, Value};
use crate::tensor::DType;
use crate::weights::Weights;

/// Normalised frames `[T, 3, H, W]` to the maps `[T, C_l, h, w]` at strides 4, 8, 16, 32, all of them in
/// sections.
pub(super) fn emit(
    g: &mut Graph,
    w: &Weights,
    config: &ResNetConfig,
    frames: &Sections,
) -> Result<Vec<Sections>> {
    let mut x = frames.map(g, 1, |g, _, x| stem(g, w, x))?;
    let mut maps = Vec::with_capacity(config.blocks.len());
    for (i, blocks) in config.blocks.iter().enumerate() {
        for block in 0..*blocks {
            let stride = if i > 0 && block == 0 { 2 } else { 1 };
            let w = w.pp(format!("layer{}", i + 1)).pp(block);
            x = x.map(g, 1, |g, _, x| bottleneck(g, &w, x, stride))?;
        }
        maps.push(x.clone());
    }
    Ok(maps)
}

fn stem(g: &mut Graph, w: &Weights, frames: Value) -> Result<Value> {
    let x = conv_norm(g, &w.pp("conv1"), &w.pp("bn1"), frames, 2, 3)?;
    Ok(g.scoped(w.path(), |g| {
        let x = g.relu(x)?;
        g.max_pool(x, 3, 2, 1)
    })?)
}

fn bottleneck(g: &mut Graph, w: &Weights, x: Value, stride: usize) -> Result<Value> {
    let y = conv_norm(g, &w.pp("conv1"), &w.pp("bn1"), x, 1, 0)?;
    let y = g.scoped(w.path(), |g| g.relu(y))?;
    let y = conv_norm(g, &w.pp("conv2"), &w.pp("bn2"), y, stride, 1)?;
    let y = g.scoped(w.path(), |g| g.relu(y))?;
    let y = conv_norm(g, &w.pp("conv3"), &w.pp("bn3"), y, 1, 0)?;
    let down = w.pp("downsample");
    let shortcut = if down.pp(0).has("weight") {
        conv_norm(g, &down.pp(0), &down.pp(1), x, stride, 0)?
    } else {
        x
    };
    Ok(g.scoped(w.path(), |g| {
        let sum = g.add(y, shortcut)?;
        g.relu(sum)
    })?)
}

/// A convolution without bias, with the `FrozenBatchNorm2d` after it folded into weight and bias.
fn conv_norm(
    g: &mut Graph,
    conv: &Weights,
    norm: &Weights,
    x: Value,
    stride: usize,
    padding: usize,
) -> Result<Value> {
    let shape = conv.shape("weight")?.to_vec();
    let out = shape[0];
    let weight = conv.get(&shape, "weight")?;
    let gamma = norm.get(&[out], "weight")?;
    let beta = norm.get(&[out], "bias")?;
    let mean = norm.get(&[out], "running_mean")?;
    let var = norm.get(&[out], "running_var")?;
    let scale = {
        let (gamma, var) = (gamma, var);
        move || -> std::result::Result<Vec<f32>, crate::checkpoint::CheckpointError> {
            let (gamma, var) = (gamma.read()?, var.read()?);
            let scale = |(g, v): (&f32, &f32)| g / (v + 1e-5).sqrt();
            Ok(gamma.iter().zip(&var).map(scale).collect())
        }
    };
    let weight_scale = scale.clone();
    let per_output: usize = shape[1..].iter().product();
    let weight_data = Data::compute(move || {
        let (mut values, scale) = (weight.read()?, weight_scale()?);
        for (row, s) in values.chunks_mut(per_output).zip(&scale) {
            row.iter_mut().for_each(|v| *v *= s);
        }
        Ok(values)
    });
    let bias_data = Data::compute(move || {
        let (beta, mean, scale) = (beta.read()?, mean.read()?, scale()?);
        let shifted = beta.iter().zip(&mean).zip(&scale);
        Ok(shifted.map(|((b, m), s)| b - m * s).collect())
    });
    g.scoped(conv.path(), |g| {
        let name = conv.path().to_owned();
        let weight = g.initializer(
            &format!("{name}.weight.folded"),
            DType::F32,
            &shape,
            weight_data,
        )?;
        let bias = g.initializer(
            &format!("{name}.bias.folded"),
            DType::F32,
            &[out],
            bias_data,
        )?;
        Ok(g.conv(x, weight, Some(bias), stride, [padding; 4])?)
    })
}
