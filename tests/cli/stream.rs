//! `socc run` on what comes through a pipe and on folders that fill.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args;
use crate::support::{asset, export_args, files, json, model, refused, stderr};

const TEXTS: [&str; 2] = ["a blue circle moving up", "the white object"];
/// Frames of the clip.
const FRAMES: usize = 8;

fn frame(i: usize) -> PathBuf {
    asset(&format!("clip/frames/{i:05}.png"))
}

/// A frame as ffmpeg pipes it.
fn ppm(i: usize) -> Vec<u8> {
    let image = image::open(frame(i)).unwrap().into_rgb8();
    let mut out = format!("P6\n{} {}\n255\n", image.width(), image.height()).into_bytes();
    out.extend(image.as_raw());
    out
}

fn stream(frames: usize) -> Vec<u8> {
    (0..frames).flat_map(ppm).collect()
}

fn run(source: &[OsString], video: &Path, out: &Path, more: &[&str]) -> Vec<OsString> {
    let mut all = args!["run"];
    all.extend(source.iter().cloned());
    all.extend(args!["--video", video, "-o", out, "--json"]);
    for text in TEXTS {
        all.extend(args!["-e", text]);
    }
    all.extend(more.iter().map(Into::into));
    all
}

fn spawn(args: Vec<OsString>) -> Child {
    Command::new(env!("CARGO_BIN_EXE_socc"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs to the end of `input`.
fn piped(args: Vec<OsString>, input: &[u8]) -> Output {
    let mut child = spawn(args);
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{path:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn lines(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every file but those that tell of the run, with its bytes.
fn pictures(out: &Path) -> Vec<(String, Vec<u8>)> {
    let all = files(out).into_iter().filter(|f| !f.contains(".json"));
    all.map(|f| (f.clone(), fs::read(out.join(f)).unwrap()))
        .collect()
}

/// What the folder of frames gives, whose masks other tests compare with the official ones.
fn expected(source: &[OsString], out: &Path, more: &[&str]) -> Value {
    json(run(source, &asset("clip/frames"), out, more))
}

/// A stream's lines against the result of the same frames as a clip.
fn agrees(told: &[Value], clip: &Value) {
    let frames = clip["frames"].as_array().unwrap().len();
    assert_eq!(told[0]["expressions"], serde_json::json!(TEXTS));
    assert!(told[0]["socc"].is_string());
    assert_eq!(
        (&told[0]["height"], &told[0]["width"]),
        (&clip["height"], &clip["width"])
    );
    assert_eq!(told.len(), 1 + frames * TEXTS.len());
    for line in &told[1..] {
        let number = |key: &str| line[key].as_u64().unwrap() as usize;
        let (k, i) = (number("expression"), number("frame"));
        let expression = &clip["expressions"][k];
        assert_eq!(line["name"], clip["frames"][i]);
        assert_eq!(line["box"], expression["boxes"][i]);
        assert_eq!(line["mask"], format!("masks/{k}/{i:05}.png"));
        let answers = |w: &&Value| {
            let (start, frames) = (w["start"].as_u64().unwrap(), w["frames"].as_u64().unwrap());
            (start..start + frames).contains(&(i as u64))
        };
        let mut windows = expression["windows"].as_array().into_iter().flatten();
        let window = windows.find(answers).unwrap_or(expression);
        assert_eq!(line["query"], window["selected_query"]);
        assert_eq!(line["score"], window["scores"][number("query")]);
    }
}

#[test]
fn a_pipe_gives_what_the_folder_gives() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    let bundle = path("bundle");
    let export = export_args(&bundle, "3", "96x160");
    assert!(crate::support::socc(export).status.success());
    let (bundle, checkpoint) = (args![&bundle], args![model()]);
    // In windows, whole, in a window that the stream does not fill, and by a bundle, which repeats the last frame.
    let cases: [(&[OsString], &[&str], usize); 6] = [
        (&checkpoint, &["--window", "3", "--overlap", "1"], 8),
        (&checkpoint, &[], 4),
        (&checkpoint, &["--window", "5"], 2),
        (&bundle, &["--overlap", "2"], 8),
        (&bundle, &[], 2),
        (
            &bundle,
            &["--start", "1", "--every", "2", "--frames", "3"],
            8,
        ),
    ];
    for (case, (source, more, frames)) in cases.into_iter().enumerate() {
        let (out, folder) = (path(&format!("out{case}")), path(&format!("folder{case}")));
        let most = frames.to_string();
        let mut limited = more.to_vec();
        if !more.contains(&"--frames") {
            limited.extend(["--frames", &most]);
        }
        let clip = expected(source, &folder, &limited);
        let output = piped(run(source, Path::new("-"), &out, more), &stream(frames));
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(fs::read(out.join("frames.jsonl")).unwrap(), output.stdout);
        if more.contains(&"--start") {
            let names: Vec<_> = clip["frames"].as_array().unwrap().iter().collect();
            assert_eq!(names, ["00001", "00003", "00005"]);
        } else {
            agrees(&lines(&output.stdout), &clip);
        }
        assert!(pictures(&out) == pictures(&folder), "{case}");
        let result: Value =
            serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
        assert_eq!(result["frame_count"], clip["frame_count"]);
        for k in 0..2 {
            let (got, clip) = (&result["expressions"][k], &clip["expressions"][k]);
            assert_eq!(got["selected_query"], clip["selected_query"]);
            assert!(got["boxes"].is_null() && got["windows"].is_null());
        }
    }
}

/// A robot needs its masks while it drives.
#[test]
fn masks_come_out_before_the_input_ends() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let source = args![model()];
    let windows = ["--window", "3", "--overlap", "1"];
    let mut child = spawn(run(&source, Path::new("-"), &out, &windows));
    let mut input = child.stdin.take().unwrap();
    for (new, answered) in [(0..3, 3), (3..5, 5), (5..7, 7)] {
        for i in new {
            input.write_all(&ppm(i)).unwrap();
        }
        input.flush().unwrap();
        // The window's last mask is told when it is there.
        wait_for(&out.join(format!("masks/1/{:05}.png", answered - 1)));
        assert!(!out.join(format!("masks/0/{answered:05}.png")).exists());
        assert!(!out.join("result.json").exists());
        assert!(child.try_wait().unwrap().is_none());
    }
    input.write_all(&ppm(7)).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = temp.path().join("folder");
    let clip = expected(&source, &folder, &windows);
    agrees(&lines(&output.stdout), &clip);
    assert!(pictures(&out) == pictures(&folder));
}

#[test]
fn a_folder_is_followed_while_it_fills() {
    let temp = tempfile::tempdir().unwrap();
    let (camera, out) = (temp.path().join("camera"), temp.path().join("out"));
    fs::create_dir(&camera).unwrap();
    let source = args![model()];
    let windows = ["--window", "3", "--overlap", "1"];
    let put = |i: usize| fs::copy(frame(i), camera.join(format!("{i:05}.png"))).unwrap();
    put(0);
    let mut more = windows.to_vec();
    more.extend(["--follow", "--idle", "3"]);
    // The second one is on its way.
    let whole = fs::read(frame(1)).unwrap();
    let second = camera.join("00001.png");
    let mut half = fs::File::create(&second).unwrap();
    half.write_all(&whole[..whole.len() / 2]).unwrap();
    let child = spawn(run(&source, &camera, &out, &more));
    put(2);
    thread::sleep(Duration::from_millis(500));
    assert!(!out.exists());
    half.write_all(&whole[whole.len() / 2..]).unwrap();
    drop(half);
    wait_for(&out.join("masks/1/00002.png"));
    assert!(!out.join("result.json").exists());
    for i in 3..FRAMES {
        put(i);
        thread::sleep(Duration::from_millis(30));
    }
    wait_for(&out.join("masks/1/00006.png"));
    fs::copy(frame(0), camera.join("00000-late.png")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let folder = temp.path().join("folder");
    let clip = expected(&source, &folder, &windows);
    agrees(&lines(&output.stdout), &clip);
    assert!(pictures(&out) == pictures(&folder));
    let result: Value =
        serde_json::from_slice(&fs::read(out.join("result.json")).unwrap()).unwrap();
    assert_eq!(result["late"], 1);
}

/// What came before the damage is answered; then it is told.
#[test]
fn a_damaged_stream_keeps_its_good_frames() {
    let temp = tempfile::tempdir().unwrap();
    let (out, folder) = (temp.path().join("out"), temp.path().join("folder"));
    let source = args![model()];
    let windows = ["--window", "3", "--overlap", "1"];
    let mut more = windows.to_vec();
    more.extend(["--frames", "5"]);
    expected(&source, &folder, &more);
    let masks = |out: &Path| {
        let mut all = pictures(out);
        all.retain(|(name, _)| name != "animation.gif");
        all
    };
    let small = b"P6 1 1 255 abc";
    let tails: [(&[u8], &str); 3] = [
        (b"rubbish", "begins no binary PPM picture"),
        (&ppm(5)[..1000], "not complete"),
        (small, "00005 is 1x1"),
    ];
    for (tail, said) in tails {
        let mut input = stream(5);
        input.extend(tail);
        let output = piped(run(&source, Path::new("-"), &out, &windows), &input);
        assert_eq!(output.status.code(), Some(2));
        let error = stderr(&output);
        assert!(
            error.contains("standard input") && error.contains(said),
            "{error}"
        );
        assert_eq!(lines(&output.stdout).len(), 1 + 2 * 5);
        assert!(masks(&out) == masks(&folder));
        // Not whole, and ours all the same: the next run replaces it.
        assert!(!out.join("result.json").exists());
    }
    expected(&source, &out, &more);
    assert_eq!(files(&out), files(&folder));
    // And a stream replaces a clip.
    let output = piped(run(&source, Path::new("-"), &out, &windows), &stream(1));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(files(&out.join("masks")), ["0/00000.png", "1/00000.png"]);
    assert!(out.join("result.json").exists() && out.join("animation.gif").exists());
    assert!(files(&out).iter().all(|f| !f.contains(".socc")));
}

/// A clip is all or nothing, even one that is read window by window.
#[test]
fn a_clip_with_a_bad_frame_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (video, out) = (temp.path().join("video"), temp.path().join("out"));
    fs::create_dir(&video).unwrap();
    for i in 0..5 {
        fs::copy(frame(i), video.join(format!("{i}.png"))).unwrap();
    }
    let small = image::RgbImage::new(64, 48);
    small.save(video.join("5.png")).unwrap();
    let run = run(&args![model()], &video, &out, &["--window", "2"]);
    refused(run, &["5.png is 64x48", "160x96"]);
    assert_eq!(files(temp.path()).len(), 6);
    assert!(!out.exists());
}

#[cfg(unix)]
#[test]
fn an_interrupted_stream_leaves_whole_files() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let source = args![model()];
    let mut child = spawn(run(&source, Path::new("-"), &out, &["--window", "2"]));
    let mut input = child.stdin.take().unwrap();
    input.write_all(&stream(FRAMES)).unwrap();
    wait_for(&out.join("masks/0/00002.png"));
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    for (name, _) in pictures(&out) {
        image::open(out.join(&name)).unwrap();
    }
    lines(&fs::read(out.join("frames.jsonl")).unwrap());
    assert!(!out.join("result.json").exists());
    assert!(files(temp.path()).iter().all(|f| !f.contains(".socc")));
}

#[test]
fn unusable_streams_are_refused() {
    let temp = tempfile::tempdir().unwrap();
    let out = temp.path().join("out");
    let source = args![model()];
    let (pipe, file) = (Path::new("-"), frame(0));
    let follow = ["--follow"];
    refused(
        run(&source, &file, &out, &follow),
        &["00000.png", "--follow"],
    );
    refused(
        run(&source, pipe, &out, &follow),
        &["--follow", "standard input"],
    );
    let folder = asset("clip/frames");
    refused(
        run(&source, &folder, &out, &["--idle", "1"]),
        &["--idle", "--follow"],
    );
    for idle in ["--idle=-1", "--idle=nan"] {
        refused(
            run(&source, &folder, &out, &["--follow", idle]),
            &["--idle is"],
        );
    }
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let waiting = ["--follow", "--idle", "0.2"];
    refused(
        run(&source, &empty, &out, &waiting),
        &["empty", "no frames"],
    );
    let refused = |input: &[u8], parts: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_socc"));
        // Where no ffmpeg is.
        let child = child
            .args(run(&source, pipe, &out, &[]))
            .env("PATH", &empty);
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            output.stdout.is_empty() && said.lines().count() == 1,
            "{said}"
        );
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    refused(b"", &["standard input", "no frames"]);
    refused(b"P6 2 2 65535 ", &["standard input", "65535"]);
    refused(&ppm(0)[..100], &["standard input", "not complete"]);
    let video = b"\x1aE\xdf\xa3 a video";
    refused(video, &["ffmpeg is not installed", "binary PPM pictures"]);
    // A foreign folder stays as it is.
    fs::create_dir_all(out.join("masks")).unwrap();
    fs::write(out.join("masks/mine.png"), "mine").unwrap();
    refused(&stream(1), &["masks", "another folder"]);
    assert_eq!(files(temp.path()), ["out/masks/mine.png"]);
}
