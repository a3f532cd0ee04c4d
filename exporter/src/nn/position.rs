//! Sine position encodings (`models/position_encoding.py`).

use std::f64::consts::{PI, TAU};

/// Radians per unit of position, and phase, of each of `channels` channels: even channels are sines,
/// odd ones cosines of the same rate, and a cosine is a sine a quarter turn ahead.
pub fn sine_rates(channels: usize) -> (Vec<f32>, Vec<f32>) {
    let rate = |i: usize| (1.0 / 10000f64.powf((2 * (i / 2)) as f64 / channels as f64)) as f32;
    let phase = |i: usize| {
        if i.is_multiple_of(2) {
            0.0
        } else {
            (PI / 2.0) as f32
        }
    };
    (
        (0..channels).map(rate).collect(),
        (0..channels).map(phase).collect(),
    )
}

/// `PositionEmbeddingSine2D(channels / 2, normalize=True)` of an all-valid map, row-major
/// `[height * width, channels]`: half of the channels encode y, the other half x.
pub fn sine_2d(height: usize, width: usize, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let axis = |n: usize| -> Vec<Vec<f32>> {
        (0..n)
            .map(|i| {
                let position = (i as f64 + 0.5) / (n as f64 + 1e-6) * TAU;
                (0..half)
                    .map(|c| {
                        let rate = 10000f64.powf((2 * (c / 2)) as f64 / half as f64);
                        let angle = position / rate;
                        let value = if c % 2 == 0 { angle.sin() } else { angle.cos() };
                        value as f32
                    })
                    .collect()
            })
            .collect()
    };
    let (ys, xs) = (axis(height), axis(width));
    let mut out = Vec::with_capacity(height * width * channels);
    for y in &ys {
        for x in &xs {
            out.extend_from_slice(y);
            out.extend_from_slice(x);
        }
    }
    out
}
