//! Videos, decoded by ffmpeg where it is installed.

use std::ffi::{OsStr, OsString};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use super::ppm::Pictures;
use super::{Frame, HostError, Result, Selection};

/// What does without ffmpeg instead of a video file.
const FOLDER_HINT: &str = "a folder of pictures";
/// What does without ffmpeg through a pipe.
const PPM_HINT: &str = "binary PPM pictures, one after the other";

/// The selected frames of a video, named by their place in it; the picture is turned as the file asks for. Only the
/// one that is asked for is held, and ffmpeg stops after the last one.
pub(super) struct Decoder {
    path: PathBuf,
    ffmpeg: Child,
    /// Nothing after the end.
    pictures: Option<Pictures<BufReader<ChildStdout>>>,
    complaints: Option<JoinHandle<String>>,
    /// Whether there was a frame.
    some: bool,
}

impl Decoder {
    /// Decodes a file.
    pub(super) fn file(path: &Path, selection: &Selection) -> Result<Self> {
        let mut program = Command::new("ffmpeg");
        program.stdin(Stdio::null());
        Self::start(program, path, &url(path), selection, FOLDER_HINT)
    }

    /// Decodes what comes through a pipe; `path` is what messages call it.
    pub(super) fn pipe(
        path: &Path,
        mut input: impl Read + Send + 'static,
        selection: &Selection,
    ) -> Result<Self> {
        let mut program = Command::new("ffmpeg");
        // Nobody asks for the frame rate, which it would else look for in the first seconds before it decodes any.
        program.args(["-fpsprobesize", "0"]);
        program.stdin(Stdio::piped());
        let pipe = OsStr::new("pipe:0");
        let mut decoder = Self::start(program, path, pipe, selection, PPM_HINT)?;
        if let Some(mut pipe) = decoder.ffmpeg.stdin.take() {
            // Ends with the input, or when ffmpeg wants no more; nobody waits for it, as it may itself wait for input
            // that nobody wants.
            thread::spawn(move || io::copy(&mut input, &mut pipe));
        }
        Ok(decoder)
    }

    fn start(
        mut program: Command,
        path: &Path,
        input: &OsStr,
        selection: &Selection,
        hint: &str,
    ) -> Result<Self> {
        let spawned = program
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(input)
            .args(output(selection))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut ffmpeg = spawned.map_err(|e| {
            fail(
                path,
                if e.kind() == io::ErrorKind::NotFound {
                    format!("ffmpeg is not installed; install it, or give {hint}")
                } else {
                    format!("ffmpeg does not start: {e}")
                },
            )
        })?;
        // Read beside the frames: a full pipe of complaints would stop ffmpeg.
        let complaints = ffmpeg.stderr.take().map(|mut pipe| {
            thread::spawn(move || {
                let mut said = Vec::new();
                // What could be read of it is as good as any.
                let _ = pipe.read_to_end(&mut said);
                String::from_utf8_lossy(&said).into_owned()
            })
        });
        let pictures = ffmpeg.stdout.take();
        Ok(Self {
            path: path.to_owned(),
            ffmpeg,
            pictures: pictures.map(|pipe| Pictures::new(BufReader::new(pipe), selection)),
            complaints,
            some: false,
        })
    }

    /// The next frame.
    pub(super) fn read(&mut self) -> Result<Option<Frame>> {
        let Some(pictures) = &mut self.pictures else {
            return Ok(None);
        };
        match pictures.read() {
            Ok(Some(frame)) => {
                self.some = true;
                return Ok(Some(frame));
            }
            Ok(None) => self.end(None)?,
            Err(e) => self.end(Some(e))?,
        }
        Ok(None)
    }

    /// Waits for ffmpeg and judges what it says.
    fn end(&mut self, cut: Option<io::Error>) -> Result<()> {
        // The pipe closes with the reader, at which ffmpeg ends if it has not.
        self.pictures = None;
        let status = self.ffmpeg.wait();
        let status = status.map_err(|e| fail(&self.path, e.to_string()))?;
        let said = self.complaints.take().and_then(|c| c.join().ok());
        let said = said.unwrap_or_default();
        let line = said.lines().last().unwrap_or("no reason given").trim();
        if let Some(e) = cut {
            let reason = format!("ffmpeg's frames are cut off: {e}; {line}");
            return Err(fail(&self.path, reason));
        }
        // Damage after some frames leaves those; ffmpeg's own players go on as well.
        let content = status.success() && said.is_empty();
        if !self.some && !content {
            return Err(fail(&self.path, format!("ffmpeg says: {line}")));
        }
        Ok(())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        if self.pictures.take().is_some() {
            // Nobody wants the rest. It may have ended by itself.
            let _ = self.ffmpeg.kill();
            let _ = self.ffmpeg.wait();
        }
    }
}

fn fail(path: &Path, reason: String) -> HostError {
    HostError::Video {
        path: path.to_owned(),
        reason,
    }
}

/// The path as a URL, without which `a:b.mp4` would be of a protocol `a`.
fn url(path: &Path) -> OsString {
    let mut url = OsString::from("file:");
    url.push(path);
    url
}

/// Every frame of the first video stream that is no cover, once, as a series of PPM pictures, each
/// handed on at once. The clock of one frame a tick is there because ffmpeg would else repeat and drop
/// frames of a video of varying rate; the options that forbid it have changed their names between
/// versions. A tick is an hour: frames keep how long they last, and ffmpeg 9 repeats one that lasts longer
/// than a tick.
fn output(selection: &Selection) -> Vec<String> {
    let line = "-map 0:V:0 -vf settb=3600,setpts=N -r 1/3600 -f image2pipe -c:v ppm -pix_fmt rgb24 \
                -flush_packets 1";
    let mut args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
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

#[cfg(test)]
mod tests;
