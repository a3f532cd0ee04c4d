use std::io::{Cursor, Write};

use image::{Rgb, RgbImage};

use super::*;
use crate::host::frames::{Clip, Frames};

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

fn read(mut bytes: &[u8], selection: Selection) -> io::Result<Vec<Frame>> {
    let mut pictures = Pictures::new(&mut bytes, &selection);
    std::iter::from_fn(|| pictures.read().transpose()).collect()
}

fn images(frames: &[Frame]) -> Vec<RgbImage> {
    frames.iter().map(|f| f.image.clone()).collect()
}

fn names(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|f| f.name.as_str()).collect()
}

/// Frames by a program that stands in for ffmpeg.
fn decode(program: Command, selection: &Selection) -> Result<Vec<Frame>> {
    let path = Path::new("clip.mp4");
    let mut decoder = Decoder::start(program, path, &url(path), selection, FOLDER_HINT)?;
    std::iter::from_fn(|| decoder.read().transpose()).collect()
}

const SOME: Selection = Selection {
    start: 2,
    every: 3,
    frames: Some(3),
};

#[test]
fn frames_are_picked_from_the_stream() {
    let clip = read(&stream(10), SOME).unwrap();
    assert_eq!(names(&clip), ["00002", "00005", "00008"]);
    assert_eq!(images(&clip), [frame(2), frame(5), frame(8)]);
    assert_eq!(read(&stream(4), Selection::default()).unwrap().len(), 4);
    assert!(read(&stream(2), SOME).unwrap().is_empty());
    assert!(read(b"", SOME).unwrap().is_empty());
}

#[test]
fn a_stream_is_read_no_further_than_needed() {
    let mut bytes = stream(9);
    bytes.extend(b"what follows the last selected frame is of no interest");
    assert_eq!(read(&bytes, SOME).unwrap().len(), 3);
    assert!(read(&bytes, Selection::default()).is_err());
}

#[test]
fn damaged_streams_are_errors() {
    let whole = stream(1);
    assert!(read(&whole[..whole.len() - 1], Selection::default()).is_err());
    // The last one is not taken, and not whole.
    assert!(read(&stream(5)[..stream(4).len() + 30], SOME).is_err());
    for bytes in [
        &b"P5\n2 2\n255\n...."[..],
        b"P6\n2\n255\n....",
        b"P6\n0 2\n255\n",
        b"P6\n2 2\n65535\n",
        b"P6\n9999999 9999999\n255\nx",
        b"P6\n9000 9000\n255\nx",
        b"P6\n2 2",
        b"P",
        b"\xff\xfe\x00",
        &[b'x'; 5000],
    ] {
        assert!(read(bytes, Selection::default()).is_err());
    }
}

/// As the format's definition allows.
#[test]
fn headers_have_comments_and_any_white_space() {
    let bytes = b"P6 # made by hand\n#\n1\t1\r\n255 abcP6\n1 1 255\n\n\n\n";
    let pictures = read(bytes, Selection::default()).unwrap();
    let pixel = |rgb: &[u8; 3]| RgbImage::from_pixel(1, 1, Rgb(*rgb));
    assert_eq!(images(&pictures), [pixel(b"abc"), pixel(b"\n\n\n")]);
}

#[test]
fn a_pipe_of_pictures_needs_no_ffmpeg() {
    let open = |bytes: Vec<u8>| Frames::pipe(Cursor::new(bytes), &SOME);
    let frames = open(stream(10)).unwrap();
    assert!(frames.is_live() && frames.left().is_none());
    let frames: Vec<Frame> = frames.map(Result::unwrap).collect();
    assert_eq!(images(&frames), [frame(2), frame(5), frame(8)]);
    // Frames before the damage, then one error, then nothing.
    let mut damaged = stream(6);
    damaged.extend(b"rubbish");
    let mut frames = open(damaged).unwrap();
    assert!(frames.next().unwrap().is_ok() && frames.next().unwrap().is_ok());
    let error = frames.next().unwrap().unwrap_err().to_string();
    assert!(
        error.contains("standard input") && error.contains("\"ru\""),
        "{error}"
    );
    assert!(frames.next().is_none());
    let error = open(Vec::new()).err().unwrap().to_string();
    assert!(error.contains("no frames"), "{error}");
    let late = open(stream(2)).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(late, HostError::NoFrames { .. }), "{late:?}");
    let mut sizes = stream(3);
    sizes.extend(b"P6 1 1 255 abc".repeat(3));
    let last = open(sizes).unwrap().last().unwrap().unwrap_err();
    assert!(matches!(last, HostError::FrameSize { .. }), "{last:?}");
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
    let error = decode(Command::new("no-such-program"), &SOME).unwrap_err();
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
        decode(shell, &Selection::default())
    };
    let said = |script: &str| load(script).unwrap_err().to_string();
    let text = said("echo first >&2; echo 'Invalid data found' >&2; exit 1");
    assert!(text.contains("Invalid data found"), "{text}");
    assert!(said("exit 1").contains("no reason given"));
    assert!(said("printf 'P6\\n2 2\\n255\\nabc'").contains("cut off"));
    // Enough to fill a pipe, before the first frame.
    let noisy = "head -c 300000 /dev/zero | tr '\\0' x >&2; printf 'P6\\n1 1\\n255\\nabc'";
    let clip = load(noisy).unwrap();
    assert_eq!(images(&clip), [RgbImage::from_pixel(1, 1, Rgb(*b"abc"))]);
}

/// Against ffmpeg itself, where it is installed.
#[test]
fn ffmpeg_gives_every_frame_once() {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        println!("SKIPPED: ffmpeg is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // A colon would name a protocol.
    let path = folder.path().join("a:b.mkv");
    // One frame in 20 s, by a webcam in the dark, and 1 in 3 at uneven times.
    for rate in ["1/20", "12", "30", "240"] {
        let line = format!(
            "-v error -f image2pipe -c:v ppm -framerate {rate} -i - -vf setpts=N*3-mod(N\\,3) \
             -c:v ffv1 -pix_fmt bgr0 -y"
        );
        let mut child = Command::new("ffmpeg")
            .args(line.split_whitespace())
            .arg(url(&path))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&stream(10)).unwrap();
        assert!(child.wait().unwrap().success());
        check_ten_frames(&path);
    }
    std::fs::write(&path, "no video").unwrap();
    let error = Clip::load(&path, &SOME).unwrap_err();
    assert!(error.to_string().contains("ffmpeg says: "), "{error}");
}

fn check_ten_frames(path: &Path) {
    let all = Clip::load(path, &Selection::default()).unwrap();
    let expected: Vec<RgbImage> = (0..10).map(frame).collect();
    assert_eq!(all.frames.len(), 10);
    assert!(all.frames == expected, "frames differ");
    let some = Clip::load(path, &SOME).unwrap();
    assert_eq!(some.names, ["00002", "00005", "00008"]);
    assert!(some.frames == [frame(2), frame(5), frame(8)]);
    let file = std::fs::File::open(path).unwrap();
    let piped: Vec<Frame> = Frames::pipe(file, &SOME)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(names(&piped), some.names);
    assert!(images(&piped) == some.frames);
}
