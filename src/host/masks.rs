//! Mask logits to masks of the source's size, and the masks of annotations.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::GrayImage;
use ndarray::ArrayView2;

use super::{HostError, Result};

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
/// `interpolate(mode="bilinear", align_corners=False)` does, compared with 0. Without logits it is
/// empty.
///
/// The official inference (`infer_refytb.py`, `infer_mevis.py`) does the same in this order, with
/// `sigmoid() > 0.5` for the comparison: in float32 that differs within 1e-7 of 0 only.
pub fn from_logits(logits: ArrayView2<f32>, width: u32, height: u32) -> GrayImage {
    let (h, w) = logits.dim();
    if logits.is_empty() {
        return GrayImage::new(width, height);
    }
    let (xs, ys) = (lerps(w, width as usize), lerps(h, height as usize));
    GrayImage::from_fn(width, height, |x, y| {
        let (x0, x1, fx) = xs[x as usize];
        let (y0, y1, fy) = ys[y as usize];
        let row = |y: usize| (1.0 - fx) * logits[[y, x0]] + fx * logits[[y, x1]];
        let value = (1.0 - fy) * row(y0) + fy * row(y1);
        image::Luma([if value > 0.0 { 255 } else { 0 }])
    })
}

/// Mask (0 or 255) of `size` (width, height) pixels by way of a mask in the size that the model saw: the
/// logits `[h, w]` bilinearly to `model` (width, height), compared with 0, and by nearest neighbour to
/// `size`, as PyTorch's `interpolate(mode="nearest")`. That is how the official code evaluates
/// A2D-Sentences and JHMDB-Sentences (`A2DSentencesPostProcess`).
pub fn from_logits_by_way_of(
    logits: ArrayView2<f32>,
    model: (u32, u32),
    size: (u32, u32),
) -> GrayImage {
    let seen = from_logits(logits, model.0, model.1);
    let nearest = |from: u32, to: u32| -> Vec<u32> {
        let scale = from as f32 / to as f32;
        (0..to)
            .map(|i| ((i as f32 * scale) as u32).min(from.saturating_sub(1)))
            .collect()
    };
    let (xs, ys) = (nearest(model.0, size.0), nearest(model.1, size.1));
    if seen.is_empty() {
        return GrayImage::new(size.0, size.1);
    }
    GrayImage::from_fn(size.0, size.1, |x, y| {
        *seen.get_pixel(xs[x as usize], ys[y as usize])
    })
}

/// Values of `width x height` pixels, row by row: the logits `[h, w]` resized as by [`from_logits`],
/// before the comparison. Without logits there are none.
pub fn resized_logits(logits: ArrayView2<f32>, width: u32, height: u32) -> Vec<f32> {
    let (h, w) = logits.dim();
    if logits.is_empty() {
        return Vec::new();
    }
    let (xs, ys) = (lerps(w, width as usize), lerps(h, height as usize));
    let mut values = Vec::with_capacity(xs.len() * ys.len());
    for (y0, y1, fy) in ys {
        values.extend(xs.iter().map(|&(x0, x1, fx)| {
            let row = |y: usize| (1.0 - fx) * logits[[y, x0]] + fx * logits[[y, x1]];
            (1.0 - fy) * row(y0) + fy * row(y1)
        }));
    }
    values
}

/// Pixels set in both masks, and in any of them.
pub fn overlap(a: &GrayImage, b: &GrayImage) -> (u64, u64) {
    let (mut both, mut any) = (0u64, 0u64);
    for (a, b) in a.as_raw().iter().zip(b.as_raw()) {
        both += u64::from(*a > 0 && *b > 0);
        any += u64::from(*a > 0 || *b > 0);
    }
    (both, any)
}

/// Intersection over union of two masks; 1 where both are empty.
pub fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
    let (both, any) = overlap(a, b);
    ratio(both, any)
}

/// Intersection over union from pixel counts; 1 where both masks are empty.
pub fn ratio(both: u64, any: u64) -> f64 {
    if any == 0 {
        1.0
    } else {
        both as f64 / any as f64
    }
}

/// Object ids of an annotation: the palette's indices of a PNG, or its grey levels, as Ref-YouTube-VOS,
/// MeViS and DAVIS store them (0 is the background).
///
/// # Errors
/// The file cannot be read, is no PNG, or has colours or 16 bits in place of indices.
pub fn read_labels(path: &Path) -> Result<GrayImage> {
    let fail = |reason: String| HostError::Frame {
        path: path.to_owned(),
        reason,
    };
    let file = File::open(path).map_err(|source| HostError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mut decoder = png::Decoder::new(BufReader::new(file));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(|e| fail(e.to_string()))?;
    let too_large = || fail("it is too large".to_owned());
    let mut packed = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    let info = reader
        .next_frame(&mut packed)
        .map_err(|e| fail(e.to_string()))?;
    let (kind, bits) = (info.color_type, info.bit_depth as usize);
    let indices = matches!(kind, png::ColorType::Indexed | png::ColorType::Grayscale);
    if !indices || bits > 8 {
        return Err(fail(format!(
            "it has {kind:?} pixels of {bits} bits where an annotation has a palette or 8-bit grey levels"
        )));
    }
    let width = info.width as usize;
    let mut labels = Vec::with_capacity(width * info.height as usize);
    for line in packed.chunks_exact(info.line_size.max(1)) {
        // Below 8 bits, the first of a byte's pixels is in its high bits.
        labels.extend((0..width).map(|x| {
            let shift = 8 - bits - x * bits % 8;
            (line[x * bits / 8] >> shift) & (0xff >> (8 - bits)) as u8
        }));
    }
    GrayImage::from_raw(info.width, info.height, labels)
        .ok_or_else(|| fail("its rows are incomplete".to_owned()))
}
