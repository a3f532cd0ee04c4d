use std::fs::{self, File};
use std::io::{self, BufReader};

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, GrayImage, ImageDecoder, Luma, Rgb, RgbImage};

use crate::host::frames::picture;
use crate::host::{HostError, Result, output, overlay};

const GREY: Rgb<u8> = Rgb([100; 3]);

/// A mask of `width x height` with the rectangle from `(4, 3)` up to `(12, 9)` set.
fn mask(width: u32, height: u32) -> GrayImage {
    GrayImage::from_fn(width, height, |x, y| {
        let inside = (4..12).contains(&x) && (3..9).contains(&y);
        Luma([if inside { 255 } else { 0 }])
    })
}

#[test]
fn masks_are_tinted_and_outlined() {
    let frame = RgbImage::from_pixel(20, 14, GREY);
    let out = overlay::draw(&frame, &mask(20, 14), None, 0);
    let colour = *out.get_pixel(4, 3);
    for (x, y, pixel) in out.enumerate_pixels() {
        let within = |by: u32| (4 + by..12 - by).contains(&x) && (3 + by..9 - by).contains(&y);
        if within(1) {
            let mixed = colour.0.map(|c| ((u16::from(c) + 100) / 2) as u8);
            assert_eq!(pixel.0, mixed, "{x} {y}");
        } else {
            let expected = if within(0) { colour } else { GREY };
            assert_eq!(*pixel, expected, "{x} {y}");
        }
    }
    let other = overlay::draw(&frame, &mask(20, 14), None, 1);
    assert_ne!(*other.get_pixel(4, 3), colour);
    let again = overlay::draw(&frame, &mask(20, 14), None, 6);
    assert_eq!(again, out);
}

#[test]
fn boxes_are_framed_and_cut_at_the_border() {
    let frame = RgbImage::from_pixel(20, 14, GREY);
    let none = GrayImage::new(20, 14);
    let draw = |bbox| overlay::draw(&frame, &none, Some(bbox), 0);
    let marked = |image: &RgbImage| image.pixels().filter(|p| **p != GREY).count();
    let whole = draw([0.5, 0.5, 1.0, 1.0]);
    assert_eq!(marked(&whole), 2 * 20 + 2 * 12);
    assert_eq!(draw([0.5, 0.5, 9.0, 9.0]), whole);
    assert_eq!(marked(&draw([0.5, 0.5, 0.0, 0.0])), 1);
    for odd in [f32::NAN, f32::INFINITY, -1.0] {
        draw([odd; 4]);
        draw([0.5, 0.5, odd, odd]);
    }
    let large = RgbImage::from_pixel(960, 720, GREY);
    let empty = GrayImage::new(960, 720);
    let wide = overlay::draw(&large, &empty, Some([0.5, 0.5, 1.0, 1.0]), 0);
    assert_eq!(marked(&wide), 960 * 720 - 954 * 714);
}

#[test]
fn masks_of_another_size_are_no_panic() {
    let frame = RgbImage::from_pixel(20, 14, GREY);
    for (w, h) in [(0, 0), (6, 5), (40, 3), (3, 40)] {
        overlay::draw(&frame, &mask(w, h), Some([0.5; 4]), 3);
    }
    overlay::draw(&RgbImage::new(0, 0), &mask(6, 5), Some([0.5; 4]), 3);
}

fn rows(columns: &[Vec<RgbImage>]) -> impl Iterator<Item = Result<Vec<RgbImage>>> {
    let frames = columns.first().map_or(0, Vec::len);
    (0..frames).map(|i| Ok(columns.iter().map(|c| c[i].clone()).collect()))
}

#[test]
fn animations_are_endless_and_of_a_handy_size() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    let column = |w, h, n: u8| -> Vec<RgbImage> {
        let shade = |i| RgbImage::from_pixel(w, h, Rgb([i * 90, 40, 200]));
        (0..n).map(shade).collect()
    };
    for (columns, size) in [
        (vec![column(160, 96, 3)], (160, 96)),
        (vec![column(1280, 720, 3)], (640, 360)),
        (vec![column(160, 96, 3), column(160, 96, 3)], (324, 96)),
        (vec![column(1280, 720, 3); 3], (1280, 238)),
        (vec![column(4, 3000, 3); 400], (1996, 750)),
    ] {
        output::write_animation(&path, rows(&columns)).unwrap();
        let decoder = GifDecoder::new(BufReader::new(File::open(&path).unwrap())).unwrap();
        assert_eq!(decoder.dimensions(), size);
        let frames = decoder.into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[2].delay().numer_denom_ms(), (120, 1));
        let red = frames[2].buffer().get_pixel(0, 0)[0];
        assert!(red.abs_diff(180) <= 4, "{red}");
    }
    for none in [vec![], vec![column(4, 4, 0)]] {
        let error = output::write_animation(&path, rows(&none)).unwrap_err();
        assert!(matches!(error, HostError::Encode { .. }), "{error:?}");
    }
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = output::frame_path(folder.path(), "masks", 2, "00001");
    assert_eq!(path, folder.path().join("masks/2/00001.png"));
    let missing = output::write_png(&path, mask(20, 14)).unwrap_err();
    assert!(matches!(missing, HostError::Write { .. }), "{missing:?}");
    let parent = path.parent().unwrap();
    output::create_dir(parent).unwrap();
    output::write_png(&path, mask(20, 14)).unwrap();
    assert_eq!(picture(&path).unwrap().get_pixel(4, 3), &Rgb([255; 3]));
    let before = fs::read(&path).unwrap();
    let half = output::write_file(&path, |out| {
        out.write_all(b"half")?;
        Err(io::Error::other("full"))
    });
    assert!(half.unwrap_err().to_string().contains("room"));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(parent).unwrap().count(), 1);
}

/// Others may read a result as they may any new file.
#[cfg(unix)]
#[test]
fn results_have_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (plain, result) = (folder.path().join("plain"), folder.path().join("result"));
    fs::write(&plain, b"").unwrap();
    output::write_file(&result, |_| Ok(())).unwrap();
    let mode = |path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&result), mode(&plain));
}
