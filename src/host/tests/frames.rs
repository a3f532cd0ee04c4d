use std::fs;
use std::path::Path;

use image::RgbImage;

use super::fixture;
use crate::host::HostError;
use crate::host::frames::{Clip, Selection, picture};

/// Largest and mean difference to what Pillow's `convert("RGB")` gives.
fn difference(name: &str) -> (u8, f64) {
    let got = picture(&fixture(&format!("frames/{name}"))).unwrap();
    let expected = picture(&fixture(&format!("frames-expected/{name}.png"))).unwrap();
    assert_eq!(got.dimensions(), expected.dimensions(), "{name}");
    let pairs = got.as_raw().iter().zip(expected.as_raw());
    let differences: Vec<u8> = pairs.map(|(a, b)| a.abs_diff(*b)).collect();
    let sum: f64 = differences.iter().map(|d| f64::from(*d)).sum();
    let most = differences.iter().max().copied().unwrap_or(0);
    (most, sum / differences.len() as f64)
}

#[test]
fn pictures_are_those_of_pillow() {
    for name in [
        "rgb.png",
        "grey.png",
        "grey-alpha.png",
        "rgba.png",
        "palette.png",
        "palette-transparent.png",
        "bits.png",
        "rgb.bmp",
        "rgb.webp",
    ] {
        assert_eq!(difference(name), (0, 0.0), "{name}");
    }
}

/// Two decoders of JPEG round differently. The orientation in a file is ignored by both.
#[test]
fn jpegs_are_near_those_of_pillow() {
    for (name, most, mean) in [
        ("rgb444.jpg", 2, 0.02),
        ("rgb420.jpg", 3, 0.4),
        ("progressive.jpg", 3, 0.4),
        ("rotated-exif.jpg", 3, 0.4),
        ("grey.jpg", 1, 0.01),
        ("cmyk.jpg", 1, 0.01),
    ] {
        let got = difference(name);
        assert!(got.0 <= most && got.1 <= mean, "{name}: {got:?}");
    }
}

/// Pillow takes a colour's high byte, and cuts grey levels off at 255; both are scaled here.
#[test]
fn sixteen_bits_are_scaled_to_eight() {
    assert!(difference("rgb16.png").0 <= 1);
    let grey = picture(&fixture("frames/grey16.png")).unwrap();
    let (first, last) = (grey.get_pixel(0, 0), grey.get_pixel(36, 22));
    assert_eq!((first.0, last.0), ([0; 3], [255; 3]));
    let mid = grey.get_pixel(18, 11)[0];
    assert!((126..=129).contains(&mid), "{mid}");
}

#[test]
fn broken_pictures_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    for path in [
        fixture("frames/truncated.png"),
        fixture("frames/no-width.png"),
        write("empty.png", b""),
        write("text.jpg", b"no picture at all"),
    ] {
        let error = picture(&path).unwrap_err();
        assert!(matches!(error, HostError::Frame { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
    let error = picture(&folder.path().join("missing.png")).unwrap_err();
    assert!(matches!(error, HostError::Read { .. }), "{error:?}");
}

fn save(folder: &Path, name: &str, width: u32) {
    RgbImage::new(width, 5).save(folder.join(name)).unwrap();
}

#[test]
fn folders_are_loaded_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    for name in ["f10.png", "f2.PNG", "f1.bmp", "f010a.webp", "e99.png"] {
        save(at, &name.to_ascii_lowercase(), 7);
    }
    for name in ["notes.txt", "._f1.png", ".hidden.jpg"] {
        fs::write(at.join(name), "no picture").unwrap();
    }
    let load = |selection: Selection| Clip::load(at, &selection).map(|c| c.names);
    let all = load(Selection::default()).unwrap();
    assert_eq!(all, ["e99", "f1", "f2", "f10", "f010a"]);
    let (start, every, frames) = (1, 2, Some(2));
    let some = load(Selection {
        start,
        every,
        frames,
    })
    .unwrap();
    assert_eq!(some, ["f1", "f10"]);
    let late = load(Selection {
        start: 5,
        every: 1,
        frames: None,
    })
    .unwrap_err();
    assert!(matches!(late, HostError::NoFrames { .. }), "{late:?}");
    assert_eq!(
        Clip::load(at, &Selection::default()).unwrap().size(),
        (7, 5)
    );
}

#[test]
fn unusable_folders_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let load = || Clip::load(at, &Selection::default()).unwrap_err();
    assert!(matches!(load(), HostError::NoFrames { .. }));
    save(at, "1.png", 7);
    save(at, "2.png", 8);
    let error = load().to_string();
    assert!(
        error.contains("2.png is 8x5") && error.contains("7x5"),
        "{error}"
    );
    fs::remove_file(at.join("2.png")).unwrap();
    save(at, "1.bmp", 7);
    assert!(load().to_string().contains("another picture"), "{}", load());
    fs::create_dir(at.join("0.png")).unwrap();
    assert!(matches!(
        load(),
        HostError::Read { .. } | HostError::Frame { .. }
    ));
    let missing = Clip::load(&at.join("missing"), &Selection::default()).unwrap_err();
    assert!(matches!(missing, HostError::Read { .. }));
}
