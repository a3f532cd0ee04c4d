//! Video files, decoded by ffmpeg where it is installed.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use image::RgbImage;

use super::frames::{Clip, Selection};
use super::{HostError, Result};

/// Loads the selected frames of a video, named by their place in it; the picture is turned as the
/// file asks for. Only these frames are ever held, and ffmpeg stops after the last one.
pub(super) fn load(path: &Path, selection: &Selection) -> Result<Clip> {
    load_with(Command::new("ffmpeg"), path, selection)
}

fn load_with(mut program: Command, path: &Path, selection: &Selection) -> Result<Clip> {
    let spawned = program
        .args(["-v", "error", "-nostdin", "-i"])
        .arg(input(path))
        .args(output(selection))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.map_err(|e| {
        fail(
            path,
            if e.kind() == io::ErrorKind::NotFound {
                "ffmpeg is not installed; install it, or give a folder of pictures".to_owned()
            } else {
                format!("ffmpeg does not start: {e}")
            },
        )
    })?;
    // Read beside the frames: a full pipe of complaints would stop ffmpeg.
    let complaints = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut said = Vec::new();
            // What could be read of it is as good as any.
            let _ = pipe.read_to_end(&mut said);
            String::from_utf8_lossy(&said).into_owned()
        })
    });
    // The pipe closes with the reader, at which ffmpeg ends if it has not.
    let clip = match child.stdout.take() {
        Some(pipe) => read_frames(&mut BufReader::new(pipe), selection),
        None => Err(io::Error::other("ffmpeg has no output")),
    };
    let status = child.wait().map_err(|e| fail(path, e.to_string()))?;
    let said = complaints.and_then(|c| c.join().ok()).unwrap_or_default();
    let line = said.lines().last().unwrap_or("no reason given").trim();
    let clip = clip.map_err(|e| fail(path, format!("ffmpeg's frames are cut off: {e}; {line}")))?;
    // Damage after some frames leaves those; ffmpeg's own players go on as well.
    if clip.frames.is_empty() && !(status.success() && said.is_empty()) {
        return Err(fail(path, format!("ffmpeg says: {line}")));
    }
    Ok(clip)
}

fn fail(path: &Path, reason: String) -> HostError {
    HostError::Video {
        path: path.to_owned(),
        reason,
    }
}

/// The path as a URL, without which `a:b.mp4` would be of a protocol `a`.
fn input(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Every frame of the first video stream that is no cover, once, as a series of PPM pictures. The
/// clock of one frame a tick is there because ffmpeg would else repeat and drop frames of a video
/// of varying rate; the options that forbid it have changed their names between versions. A tick is an
/// hour: frames keep how long they last, and ffmpeg 9 repeats one that lasts longer than a tick.
fn output(selection: &Selection) -> Vec<String> {
    let line = "-map 0:V:0 -vf settb=3600,setpts=N -r 1/3600 -f image2pipe -c:v ppm -pix_fmt rgb24";
    let mut args: Vec<String> = line.split(' ').map(str::to_owned).collect();
    if let Some(frames) = selection.frames {
        let steps = frames
            .saturating_sub(1)
            .saturating_mul(selection.every.max(1));
        let most = selection.start.saturating_add(steps).saturating_add(1);
        args.extend(["-frames:v".to_owned(), most.to_string()]);
    }
    args.push("-".to_owned());
    args
}

/// The selected ones of a series of binary PPM pictures.
fn read_frames(input: &mut impl BufRead, selection: &Selection) -> io::Result<Clip> {
    let mut clip = Clip {
        frames: Vec::new(),
        names: Vec::new(),
    };
    let mut picked = selection.pick(0..).peekable();
    for index in 0usize.. {
        let Some(&wanted) = picked.peek() else { break };
        let Some((width, height)) = read_header(input)? else {
            break;
        };
        let bytes = u64::from(width) * u64::from(height) * 3;
        let mut picture = input.take(bytes);
        if index < wanted {
            io::copy(&mut picture, &mut io::sink())?;
            continue;
        }
        picked.next();
        let mut pixels = Vec::new();
        picture.read_to_end(&mut pixels)?;
        let frame = RgbImage::from_raw(width, height, pixels);
        clip.frames.push(frame.ok_or(io::ErrorKind::UnexpectedEof)?);
        clip.names.push(format!("{index:05}"));
    }
    Ok(clip)
}

/// Width and height of the next picture, or nothing at the end.
fn read_header(input: &mut impl BufRead) -> io::Result<Option<(u32, u32)>> {
    let mut lines = [const { String::new() }; 3];
    for (i, line) in lines.iter_mut().enumerate() {
        // A header is short: a long line is no header, and not to be read to its end.
        input.by_ref().take(64).read_line(line)?;
        if i == 0 && line.is_empty() {
            return Ok(None);
        }
    }
    let [kind, size, depth] = lines.each_ref().map(|l| l.trim());
    let sides = size.split_once(' ');
    let sides = sides.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    match sides {
        Some((w, h)) if kind == "P6" && depth == "255" && w > 0 && h > 0 => Ok(Some((w, h))),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{kind:?} {size:?} {depth:?} begins no picture"),
        )),
    }
}

#[cfg(test)]
mod tests;
