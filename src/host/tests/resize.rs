use image::{Rgb, RgbImage};
use serde::Deserialize;

use super::{digest, fixture, json};
use crate::host::frames::picture;
use crate::host::resize::{detr_size, resize};

#[derive(Deserialize)]
struct Case {
    input: String,
    width: u32,
    height: u32,
    sha256: String,
}

/// The integer pattern of `make_host.py`.
fn pattern(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let ramp = (x * 255 / (width - 1).max(1)) ^ ((y * 31) & 64);
        Rgb([x * 7 + y * 13, (x * y) >> 3, ramp].map(|c| (c & 255) as u8))
    })
}

fn input(name: &str) -> RgbImage {
    match name.strip_prefix("pattern-") {
        Some(size) => {
            let (w, h) = size.split_once('x').unwrap();
            pattern(w.parse().unwrap(), h.parse().unwrap())
        }
        None => picture(&fixture(&format!("resize/{name}.png"))).unwrap(),
    }
}

#[test]
fn resizes_as_pillow_does_bit_for_bit() {
    let cases: Vec<Case> = json("resize/expected.json");
    let mut wrong = Vec::new();
    for case in cases {
        let out = resize(&input(&case.input), case.width, case.height);
        assert_eq!(out.dimensions(), (case.width, case.height));
        if digest(out.as_raw()) != case.sha256 {
            wrong.push(format!("{} to {}x{}", case.input, case.width, case.height));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn sizes_follow_the_official_rule() {
    let cases: Vec<[u32; 6]> = json("sizes.json");
    for [w, h, short, long, to_w, to_h] in cases {
        let size = detr_size(w, h, short as usize, long as usize);
        assert_eq!(size, (to_w, to_h), "{w}x{h} for {short}, {long}");
    }
}

/// The official rule gives a side of 0 there, and Pillow an error.
#[test]
fn a_line_of_pixels_keeps_a_usable_size() {
    assert_eq!(detr_size(4000, 1, 360, 640), (640, 1));
    assert_eq!(detr_size(1, 4000, 360, 640), (1, 640));
}
