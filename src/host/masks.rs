//! Mask logits to masks of the source's size.

use image::GrayImage;
use ndarray::ArrayView2;

/// Two neighbours and the weight of the second, for every output position of an axis.
fn lerps(from: usize, to: usize) -> Vec<(usize, usize, f32)> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|i| {
            let at = ((i as f32 + 0.5) * scale - 0.5).max(0.0);
            let first = (at as usize).min(from - 1);
            let second = (first + 1).min(from - 1);
            (first, second, at - first as f32)
        })
        .collect()
}

/// Mask (0 or 255) of `width x height` pixels: the logits `[h, w]`, resized as PyTorch's
/// `interpolate(mode="bilinear", align_corners=False)` does, compared with 0.
pub fn from_logits(logits: ArrayView2<f32>, width: u32, height: u32) -> GrayImage {
    let (h, w) = logits.dim();
    let (xs, ys) = (lerps(w, width as usize), lerps(h, height as usize));
    GrayImage::from_fn(width, height, |x, y| {
        let (x0, x1, fx) = xs[x as usize];
        let (y0, y1, fy) = ys[y as usize];
        let row = |y: usize| (1.0 - fx) * logits[[y, x0]] + fx * logits[[y, x1]];
        let value = (1.0 - fy) * row(y0) + fy * row(y1);
        image::Luma([if value > 0.0 { 255 } else { 0 }])
    })
}

/// Intersection over union of two masks; 1 where both are empty.
pub fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
    let (mut both, mut any) = (0u64, 0u64);
    for (a, b) in a.as_raw().iter().zip(b.as_raw()) {
        both += u64::from(*a > 0 && *b > 0);
        any += u64::from(*a > 0 || *b > 0);
    }
    if any == 0 { 1.0 } else { both as f64 / any as f64 }
}
