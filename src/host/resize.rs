//! Frames to the size that the model sees, exactly as the official inference resizes them.

use image::RgbImage;
use ndarray::Array4;

/// Size `(width, height)` of a frame for a short side and a longest long side, by the rule of DETR
/// (`datasets/transforms.py`, `get_size_with_aspect_ratio`). The official inference takes 360 and 640.
///
/// The short side becomes `short`, or less where the long one would exceed `long`; the long side is
/// rounded down, and can still exceed `long` by a little, as it can there. No side is less than 1: of a
/// picture so thin that the official rule gives 0, the long side is `long`.
pub fn detr_size(width: u32, height: u32, short: usize, long: usize) -> (u32, u32) {
    let (w, h) = (f64::from(width.max(1)), f64::from(height.max(1)));
    let (least, most) = (w.min(h), w.max(h));
    let mut size = short as f64;
    let mut limit = f64::INFINITY;
    if most / least * size > long as f64 {
        size = (long as f64 * least / most).round_ties_even();
        if size < 1.0 {
            (size, limit) = (1.0, long as f64);
        }
    }
    if (w <= h && w == size && h <= limit) || (h <= w && h == size && w <= limit) {
        return (width, height);
    }
    let longer = |ratio: f64| ((size * ratio).min(limit) as u32).max(1);
    if w < h {
        (size as u32, longer(h / w))
    } else {
        (longer(w / h), size as u32)
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

/// Resizes as `PIL.Image.resize(..., BILINEAR)` of Pillow 13 does, bit for bit: fixed-point weights,
/// one pass for each axis, rounded to 8 bits between them. Of an image without pixels, black.
///
/// Pillow before 13 always resizes the rows first. Which pass is first matters by a level in a few
/// pixels, and only for pictures more than twice as high as wide does this version choose otherwise
/// where the aspect is kept.
pub fn resize(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    let (w, h) = (i64::from(image.width()), i64::from(image.height()));
    if w == 0 || h == 0 {
        return RgbImage::new(width, height);
    }
    let (lost_w, lost_h) = (w - i64::from(width), h - i64::from(height));
    if lost_h > 0 && lost_h > 2 * lost_w {
        resize_width(&resize_height(image, height), width)
    } else {
        resize_height(&resize_width(image, width), height)
    }
}

fn resize_width(image: &RgbImage, width: u32) -> RgbImage {
    let (from, height) = image.dimensions();
    if from == width {
        return image.clone();
    }
    let taps = taps(from as usize, width as usize);
    let mut out = Vec::with_capacity(width as usize * height as usize * 3);
    for row in image.as_raw().chunks_exact(from as usize * 3) {
        for tap in &taps {
            let mut sums = [1 << (PRECISION_BITS - 1); 3];
            let pixels = row[tap.first * 3..].chunks_exact(3);
            for (pixel, weight) in pixels.zip(&tap.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            out.extend(sums.map(clip8));
        }
    }
    RgbImage::from_raw(width, height, out).unwrap_or_else(|| RgbImage::new(width, height))
}

fn resize_height(image: &RgbImage, height: u32) -> RgbImage {
    let (width, from) = image.dimensions();
    if from == height {
        return image.clone();
    }
    let stride = width as usize * 3;
    let mut out = Vec::with_capacity(stride * height as usize);
    let mut sums = vec![0; stride];
    for tap in taps(from as usize, height as usize) {
        sums.fill(1 << (PRECISION_BITS - 1));
        let rows = image.as_raw()[tap.first * stride..].chunks_exact(stride.max(1));
        for (row, weight) in rows.zip(&tap.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        out.extend(sums.iter().map(|sum| clip8(*sum)));
    }
    RgbImage::from_raw(width, height, out).unwrap_or_else(|| RgbImage::new(width, height))
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
