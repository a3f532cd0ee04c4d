//! Masks and boxes drawn over frames.

use image::{GrayImage, Rgb, RgbImage};

/// A colour per expression, repeated after the last.
const COLOURS: [[u8; 3]; 6] = [
    [255, 64, 64],
    [64, 144, 255],
    [64, 208, 96],
    [255, 192, 0],
    [192, 96, 255],
    [0, 208, 208],
];

/// Short side of a picture for each pixel of line width.
const SIDE_PER_LINE: u32 = 240;

/// The frame with the mask tinted and outlined in the expression's colour, and the box
/// (`[cx, cy, w, h]` in 0..1), if any, as a frame. Lines are wider in larger pictures. Where the mask
/// is smaller than the frame, it ends early.
pub fn draw(
    frame: &RgbImage,
    mask: &GrayImage,
    bbox: Option<[f32; 4]>,
    expression: usize,
) -> RgbImage {
    let colour = COLOURS[expression % COLOURS.len()];
    let mut out = frame.clone();
    let line = (out.width().min(out.height()) / SIDE_PER_LINE).max(1);
    // Left of or above the picture, `u32` wraps round to where there is no pixel either.
    let set = |x: u32, y: u32| mask.get_pixel_checked(x, y).is_some_and(|p| p[0] > 0);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        if !set(x, y) {
            continue;
        }
        let near = |d: u32| {
            set(x.wrapping_sub(d), y) && set(x + d, y) && set(x, y.wrapping_sub(d)) && set(x, y + d)
        };
        let inner = (1..=line).all(near);
        for (channel, tint) in pixel.0.iter_mut().zip(colour) {
            let mixed = (u16::from(*channel) + u16::from(tint)) / 2;
            *channel = if inner { mixed as u8 } else { tint };
        }
    }
    if let Some(bbox) = bbox {
        outline(&mut out, bbox, line, Rgb(colour));
    }
    out
}

fn outline(image: &mut RgbImage, [cx, cy, bw, bh]: [f32; 4], line: u32, colour: Rgb<u8>) {
    let (w, h) = image.dimensions();
    let pixel = |v: f32, n: u32| (v.clamp(0.0, 1.0) * n.saturating_sub(1) as f32).round() as u32;
    let (x0, x1) = (pixel(cx - bw / 2.0, w), pixel(cx + bw / 2.0, w));
    let (y0, y1) = (pixel(cy - bh / 2.0, h), pixel(cy + bh / 2.0, h));
    // The line lies within the box.
    for y in y0..=y1.min(h.saturating_sub(1)) {
        for x in x0..=x1.min(w.saturating_sub(1)) {
            let depth = (x - x0).min(x1 - x).min(y - y0).min(y1 - y);
            if depth < line
                && let Some(pixel) = image.get_pixel_mut_checked(x, y)
            {
                *pixel = colour;
            }
        }
    }
}
