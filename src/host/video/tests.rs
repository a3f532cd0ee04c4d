use image::Rgb;

use super::*;

/// Frame `i` of the test video.
fn frame(i: u8) -> RgbImage {
    RgbImage::from_fn(16, 12, |x, y| Rgb([i * 20, (x * 15) as u8, (y * 20) as u8]))
}

fn ppm(frame: &RgbImage) -> Vec<u8> {
    let mut out = format!("P6\n{} {}\n255\n", frame.width(), frame.height()).into_bytes();
    out.extend(frame.as_raw());
    out
}

fn stream(frames: u8) -> Vec<u8> {
    (0..frames).flat_map(|i| ppm(&frame(i))).collect()
}

fn read(mut bytes: &[u8], selection: Selection) -> io::Result<Clip> {
    read_frames(&mut bytes, &selection)
}

const SOME: Selection = Selection {
    start: 2,
    every: 3,
    frames: Some(3),
};

#[test]
fn frames_are_picked_from_the_stream() {
    let clip = read(&stream(10), SOME).unwrap();
    assert_eq!(clip.names, ["00002", "00005", "00008"]);
    assert_eq!(clip.frames, [frame(2), frame(5), frame(8)]);
    let all = read(&stream(4), Selection::default()).unwrap();
    assert_eq!(all.frames.len(), 4);
    assert!(read(&stream(2), SOME).unwrap().frames.is_empty());
    assert!(read(b"", SOME).unwrap().frames.is_empty());
}

#[test]
fn a_stream_is_read_no_further_than_needed() {
    let mut bytes = stream(9);
    bytes.extend(b"what follows the last selected frame is of no interest");
    assert_eq!(read(&bytes, SOME).unwrap().frames.len(), 3);
    assert!(read(&bytes, Selection::default()).is_err());
}

#[test]
fn damaged_streams_are_errors() {
    let whole = stream(1);
    assert!(read(&whole[..whole.len() - 1], Selection::default()).is_err());
    for bytes in [
        &b"P5\n2 2\n255\n...."[..],
        b"P6\n2\n255\n....",
        b"P6\n0 2\n255\n",
        b"P6\n2 2\n65535\n",
        b"P6\n9999999 9999999\n255\nx",
        b"\xff\xfe\x00",
        &[b'x'; 5000],
    ] {
        assert!(read(bytes, Selection::default()).is_err());
    }
}

#[test]
fn ffmpeg_stops_after_the_last_frame() {
    let has = |s: &Selection, most: &str| output(s).windows(2).any(|w| w == ["-frames:v", most]);
    assert!(has(&SOME, "9"));
    let every = 0;
    assert!(has(&Selection { every, ..SOME }, "5"));
    assert!(!output(&Selection::default()).contains(&"-frames:v".to_owned()));
}

#[test]
fn a_missing_ffmpeg_is_said() {
    let path = Path::new("clip.mp4");
    let error = load_with(Command::new("no-such-program"), path, &SOME).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("clip.mp4") && text.contains("install it"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn what_ffmpeg_says_is_passed_on() {
    let load = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        load_with(shell, Path::new("clip.mp4"), &Selection::default())
    };
    let said = |script: &str| load(script).unwrap_err().to_string();
    let text = said("echo first >&2; echo 'Invalid data found' >&2; exit 1");
    assert!(text.contains("Invalid data found"), "{text}");
    assert!(said("exit 1").contains("no reason given"));
    assert!(said("printf 'P6\\n2 2\\n255\\nabc'").contains("cut off"));
    // Enough to fill a pipe, before the first frame.
    let noisy = "head -c 300000 /dev/zero | tr '\\0' x >&2; printf 'P6\\n1 1\\n255\\nabc'";
    let clip = load(noisy).unwrap();
    assert_eq!(clip.frames, [RgbImage::from_pixel(1, 1, Rgb(*b"abc"))]);
}

/// Against ffmpeg itself, where it is installed.
#[test]
fn ffmpeg_gives_every_frame_once() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("SKIPPED: ffmpeg is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Frames that last up to ten seconds, as they are: encoding could repeat them.
    let mut list = String::new();
    for i in 0..10 {
        let name = format!("{i}.png");
        frame(i).save(folder.path().join(&name)).unwrap();
        list += &format!(
            "file {name}\nduration {}\n",
            f32::from(i % 4).powi(2) + 0.04
        );
    }
    let pictures = folder.path().join("pictures.txt");
    std::fs::write(&pictures, list).unwrap();
    // A colon would name a protocol.
    let path = folder.path().join("a:b.mp4");
    let encoded = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "concat", "-i"])
        .arg(&pictures)
        .args(["-c", "copy"])
        .arg(input(&path))
        .status();
    assert!(encoded.unwrap().success());
    let all = load(&path, &Selection::default()).unwrap();
    let expected: Vec<RgbImage> = (0..10).map(frame).collect();
    assert_eq!(all.frames.len(), 10);
    assert!(all.frames == expected, "frames differ");
    let some = load(&path, &SOME).unwrap();
    assert_eq!(some.names, ["00002", "00005", "00008"]);
    assert!(some.frames == [frame(2), frame(5), frame(8)]);
    std::fs::write(&path, "no video").unwrap();
    let error = load(&path, &SOME).unwrap_err();
    assert!(error.to_string().contains("ffmpeg says: "), "{error}");
}
