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

/// The frame with the mask tinted and outlined in the expression's colour, and the box
/// (`[cx, cy, w, h]` in 0..1), if any, as a thin frame.
pub fn draw(frame: &RgbImage, mask: &GrayImage, bbox: Option<[f32; 4]>, expression: usize) -> RgbImage {
    let colour = COLOURS[expression % COLOURS.len()];
    let mut out = frame.clone();
    let (w, h) = out.dimensions();
    let set = |x: u32, y: u32| mask.get_pixel(x, y)[0] > 0;
    for y in 0..h {
        for x in 0..w {
            if !set(x, y) {
                continue;
            }
            let inner = x > 0 && y > 0 && x + 1 < w && y + 1 < h;
            let edge = !inner || !(set(x - 1, y) && set(x + 1, y) && set(x, y - 1) && set(x, y + 1));
            let pixel = out.get_pixel_mut(x, y);
            for (channel, tint) in pixel.0.iter_mut().zip(colour) {
                let mixed = (u16::from(*channel) + u16::from(tint)) / 2;
                *channel = if edge { tint } else { mixed as u8 };
            }
        }
    }
    if let Some(bbox) = bbox {
        outline(&mut out, bbox, Rgb(colour));
    }
    out
}

fn outline(image: &mut RgbImage, [cx, cy, bw, bh]: [f32; 4], colour: Rgb<u8>) {
    let (w, h) = image.dimensions();
    let pixel = |v: f32, n: u32| (v.clamp(0.0, 1.0) * (n - 1) as f32).round() as u32;
    let (x0, x1) = (pixel(cx - bw / 2.0, w), pixel(cx + bw / 2.0, w));
    let (y0, y1) = (pixel(cy - bh / 2.0, h), pixel(cy + bh / 2.0, h));
    for x in x0..=x1 {
        image.put_pixel(x, y0, colour);
        image.put_pixel(x, y1, colour);
    }
    for y in y0..=y1 {
        image.put_pixel(x0, y, colour);
        image.put_pixel(x1, y, colour);
    }
}
