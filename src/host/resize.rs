//! Frames to the size that the model sees, exactly as the official inference resizes them.

use image::RgbImage;
use ndarray::Array4;

/// Size `(width, height)` of a frame for a short side and a longest long side, by the rule of DETR
/// (`datasets/transforms.py`, `get_size_with_aspect_ratio`).
pub fn detr_size(width: u32, height: u32, short: usize, long: usize) -> (u32, u32) {
    let (w, h) = (f64::from(width), f64::from(height));
    let (least, most) = (w.min(h), w.max(h));
    let mut size = short as f64;
    if most / least * size > long as f64 {
        size = (long as f64 * least / most).round_ties_even();
    }
    if (w <= h && w == size) || (h <= w && h == size) {
        return (width, height);
    }
    let size_px = (size as u32).max(1);
    if w < h {
        (size_px, ((size * h / w) as u32).max(1))
    } else {
        (((size * w / h) as u32).max(1), size_px)
    }
}

/// Bits after the point of Pillow's filter weights.
const PRECISION_BITS: u32 = 22;

/// Weights of one output position: first input position, then one weight per input.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// Pillow's antialiased triangle filter along one axis.
fn taps(from: usize, to: usize) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let filter_scale = scale.max(1.0);
    let support = filter_scale;
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weight = |x: usize| {
                let distance = ((x as f64 - centre + 0.5) / filter_scale).abs();
                (1.0 - distance).max(0.0)
            };
            let weights: Vec<f64> = (first..last).map(weight).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |w: &f64| (0.5 + w / total * f64::from(1 << PRECISION_BITS)) as i32;
            Taps {
                first,
                weights: weights.iter().map(fixed).collect(),
            }
        })
        .collect()
}

fn clip8(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Resizes as `PIL.Image.resize(..., BILINEAR)` does, bit for bit: fixed-point weights, rows first,
/// rounded to 8 bits between the passes.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (image.width() as usize, image.height() as usize);
    let (to_w, to_h) = (width as usize, height as usize);
    let mut rows = image.as_raw().clone();
    if to_w != w {
        let taps = taps(w, to_w);
        let mut out = Vec::with_capacity(to_w * h * 3);
        for row in rows.chunks_exact(w * 3) {
            for tap in &taps {
                for channel in 0..3 {
                    let mut sum = 1 << (PRECISION_BITS - 1);
                    for (i, weight) in tap.weights.iter().enumerate() {
                        sum += i32::from(row[(tap.first + i) * 3 + channel]) * weight;
                    }
                    out.push(clip8(sum));
                }
            }
        }
        rows = out;
    }
    if to_h != h {
        let stride = to_w * 3;
        let mut out = Vec::with_capacity(stride * to_h);
        for tap in taps(h, to_h) {
            for column in 0..stride {
                let mut sum = 1 << (PRECISION_BITS - 1);
                for (i, weight) in tap.weights.iter().enumerate() {
                    sum += i32::from(rows[(tap.first + i) * stride + column]) * weight;
                }
                out.push(clip8(sum));
            }
        }
        rows = out;
    }
    RgbImage::from_raw(width, height, rows).unwrap_or_else(|| RgbImage::new(width, height))
}

/// Frames of one size as `[T, 3, H, W]`.
pub fn frames_tensor(frames: &[RgbImage]) -> Array4<u8> {
    let (w, h) = frames
        .first()
        .map_or((0, 0), |f| (f.width() as usize, f.height() as usize));
    let mut out = Vec::with_capacity(frames.len() * 3 * w * h);
    for frame in frames {
        for channel in 0..3 {
            out.extend(frame.as_raw().iter().skip(channel).step_by(3));
        }
    }
    Array4::from_shape_vec((frames.len(), 3, h, w), out)
        .unwrap_or_else(|_| Array4::zeros((frames.len(), 3, h, w)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes by the official function.
    #[test]
    fn sizes_follow_the_official_rule() {
        let cases = [
            ((1280, 720), (640, 360)),
            ((720, 1280), (360, 640)),
            ((640, 360), (640, 360)),
            ((1920, 1080), (640, 360)),
            ((2000, 500), (640, 160)),
            ((163, 97), (604, 360)),
            ((500, 500), (360, 360)),
            ((1000, 301), (641, 193)),
        ];
        for ((w, h), expected) in cases {
            assert_eq!(detr_size(w, h, 360, 640), expected, "{w}x{h}");
        }
    }
}
