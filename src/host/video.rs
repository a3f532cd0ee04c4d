//! Video files, decoded by ffmpeg where it is installed.

use std::io;
use std::path::Path;
use std::process::{Command, Output};

use image::RgbImage;

use super::frames::{Clip, Selection};
use super::{HostError, Result};

pub(super) fn load(path: &Path, selection: &Selection) -> Result<Clip> {
    let size = run(
        path,
        "ffprobe",
        &["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height"],
        &["-of", "csv=p=0:s=x"],
    )?;
    let text = String::from_utf8_lossy(&size.stdout);
    let mut sides = text.trim().split('x').map(|s| s.parse::<u32>().ok());
    let (Some(Some(width)), Some(Some(height))) = (sides.next(), sides.next()) else {
        return Err(fail(path, "it has no video stream".to_owned()));
    };
    let raw = run(
        path,
        "ffmpeg",
        &["-v", "error", "-nostdin", "-noautorotate", "-i"],
        &["-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
    )?;
    let frame_bytes = width as usize * height as usize * 3;
    let frames = raw.stdout.chunks_exact(frame_bytes.max(1)).enumerate();
    let (mut kept, mut names) = (Vec::new(), Vec::new());
    for (i, bytes) in selection.pick(frames) {
        kept.extend(RgbImage::from_raw(width, height, bytes.to_vec()));
        names.push(format!("{i:05}"));
    }
    Ok(Clip {
        frames: kept,
        names,
    })
}

fn fail(path: &Path, reason: String) -> HostError {
    HostError::Video {
        path: path.to_owned(),
        reason,
    }
}

fn run(path: &Path, program: &str, before: &[&str], after: &[&str]) -> Result<Output> {
    let output = Command::new(program).args(before).arg(path).args(after).output();
    let output = output.map_err(|e| {
        fail(
            path,
            if e.kind() == io::ErrorKind::NotFound {
                format!("{program} is not installed; install ffmpeg, or give a folder of pictures")
            } else {
                e.to_string()
            },
        )
    })?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().last().unwrap_or("no reason given").trim();
    Err(fail(path, format!("{program} says: {line}")))
}
