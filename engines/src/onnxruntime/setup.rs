//! `socc setup onnxruntime`: fetches the library of PyPI's `onnxruntime` wheel into the user's cache.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use crate::error::EngineError;

use super::library::{cache_root, is_library, library_in};

/// Version that the tests run against.
const VERSION: &str = "1.32.0";
/// File beside the library with its digest, so that a damaged copy is noticed and fetched again.
const DIGEST: &str = "SHA256";
/// No library of ONNX Runtime for a CPU is near this; a wheel that claims more is not believed.
const MAX_LIBRARY_BYTES: u64 = 1 << 30;

/// Downloads ONNX Runtime with `pip` (which verifies the wheel against the index's hash), checks the library against
/// the wheel's own record, and puts it into `$XDG_CACHE_HOME/socc/onnxruntime/VERSION/` in one step.
///
/// Returns the library's path; at once if it is there already and undamaged. `progress` gets one line per step.
///
/// # Errors
/// When `python3` or `pip` is missing, the download fails, the wheel holds no library or a damaged one, or the cache is
/// not writable. Nothing is left behind then.
pub fn setup(progress: &mut dyn FnMut(&str)) -> Result<PathBuf, EngineError> {
    let root = cache_root().ok_or_else(|| EngineError::Setup {
        detail: "neither XDG_CACHE_HOME nor HOME is set".into(),
        remedy: "set one of them".into(),
    })?;
    let folder = root.join(VERSION);
    if let Some(path) = installed(&folder) {
        progress(&format!(
            "ONNX Runtime {VERSION} is already at {}",
            path.display()
        ));
        return Ok(path);
    }
    fs::create_dir_all(&root).map_err(|e| io("create", &root, e))?;
    // Inside the cache, so that the rename below stays on one file system; removed on every way out.
    let work = tempfile::Builder::new()
        .prefix(".setup-")
        .tempdir_in(&root)
        .map_err(|e| io("create a folder in", &root, e))?;
    progress(&format!("downloading onnxruntime {VERSION} with pip"));
    let wheel = download(work.path())?;
    progress("checking and unpacking the library");
    let staged = work.path().join("unpacked");
    fs::create_dir(&staged).map_err(|e| io("create", &staged, e))?;
    unpack(&wheel, &staged)?;
    replace(&staged, &folder)?;
    let path =
        installed(&folder).ok_or_else(|| broken(&wheel, "its library did not arrive whole"))?;
    progress(&format!("installed {}", path.display()));
    Ok(path)
}

/// The library in `folder`, if its digest is the one written beside it.
fn installed(folder: &Path) -> Option<PathBuf> {
    let path = library_in(folder)?;
    let expected = fs::read_to_string(folder.join(DIGEST)).ok()?;
    let bytes = fs::read(&path).ok()?;
    (digest(&bytes) == expected.trim()).then_some(path)
}

/// Runs pip; returns the wheel.
fn download(into: &Path) -> Result<PathBuf, EngineError> {
    let requirement = format!("onnxruntime=={VERSION}");
    let output = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--quiet",
            &requirement,
            "-d",
        ])
        .arg(into)
        .output()
        .map_err(|e| EngineError::Setup {
            detail: format!("`python3` cannot be started ({e})"),
            remedy:
                "install Python 3 with pip, or point ORT_DYLIB_PATH at a library of ONNX Runtime"
                    .into(),
        })?;
    if !output.status.success() {
        return Err(pip_failed(&String::from_utf8_lossy(&output.stderr)));
    }
    let wheels = fs::read_dir(into)
        .map_err(|e| io("read", into, e))?
        .flatten();
    wheels
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "whl"))
        .ok_or_else(|| EngineError::Setup {
            detail: "pip reported success but left no wheel".into(),
            remedy: format!("try `python3 -m pip download {requirement}` by hand"),
        })
}

fn pip_failed(stderr: &str) -> EngineError {
    let last = stderr
        .lines()
        .rev()
        .find(|l| l.contains("ERROR") || l.contains("No module"));
    let reason = last
        .or_else(|| stderr.lines().last())
        .unwrap_or("no message")
        .trim();
    let remedy = if stderr.contains("No module named pip") {
        "install pip (`python3 -m ensurepip`, or your system's python3-pip)"
    } else {
        "check the network and that this Python is one that onnxruntime has a wheel for, or point ORT_DYLIB_PATH at a library"
    };
    EngineError::Setup {
        detail: format!("pip failed: {reason}"),
        remedy: remedy.into(),
    }
}

/// Copies the library out of a wheel into `folder`, with its digest, after comparing it with the wheel's record.
fn unpack(wheel: &Path, folder: &Path) -> Result<(), EngineError> {
    let file = File::open(wheel).map_err(|e| io("read", wheel, e))?;
    let mut archive = ZipArchive::new(file).map_err(|e| broken(wheel, e))?;
    let names = archive
        .file_names()
        .map(|name| name.map(|n| n.into_owned()).map_err(|e| broken(wheel, e)))
        .collect::<Result<Vec<String>, _>>()?;
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_string();
    let library = names.iter().find(|n| is_library(&base(n)));
    let library = library.ok_or_else(|| broken(wheel, "it holds no ONNX Runtime library"))?;
    let record = names.iter().find(|n| n.ends_with(".dist-info/RECORD"));
    let record = record.ok_or_else(|| broken(wheel, "it holds no RECORD"))?;
    let record =
        String::from_utf8(member(&mut archive, record, wheel)?).map_err(|e| broken(wheel, e))?;
    let bytes = member(&mut archive, library, wheel)?;
    let actual = base64url(&Sha256::digest(&bytes));
    match recorded(&record, library) {
        Some(expected) if expected == actual => {}
        Some(expected) => {
            let reason = format!("{library} has sha256 {actual}, its RECORD says {expected}");
            return Err(broken(wheel, reason));
        }
        None => {
            return Err(broken(
                wheel,
                format!("its RECORD has no sha256 of {library}"),
            ));
        }
    }
    let target = folder.join(base(library));
    fs::write(&target, &bytes).map_err(|e| io("write", &target, e))?;
    let target = folder.join(DIGEST);
    fs::write(&target, digest(&bytes) + "\n").map_err(|e| io("write", &target, e))
}

fn member(
    archive: &mut ZipArchive<File>,
    name: &str,
    wheel: &Path,
) -> Result<Vec<u8>, EngineError> {
    let entry = archive.by_name(name).map_err(|e| broken(wheel, e))?;
    let mut bytes = Vec::new();
    let mut bounded = entry.take(MAX_LIBRARY_BYTES + 1);
    bounded
        .read_to_end(&mut bytes)
        .map_err(|e| broken(wheel, e))?;
    if bytes.len() as u64 > MAX_LIBRARY_BYTES {
        return Err(broken(
            wheel,
            format!("{name} is larger than {MAX_LIBRARY_BYTES} bytes"),
        ));
    }
    Ok(bytes)
}

/// The digest that a wheel's RECORD (`path,sha256=digest,size` lines) states for a file.
fn recorded<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    record.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(",sha256=")?;
        rest.split(',').next()
    })
}

/// Puts a finished folder in place; an older, damaged one gives way.
fn replace(staged: &Path, folder: &Path) -> Result<(), EngineError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(|e| io("remove", folder, e))?;
    }
    fs::rename(staged, folder).map_err(|e| io("write", folder, e))
}

/// Lower-case hexadecimal sha256.
fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// URL-safe base64 without padding, as wheels record digests.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for i in 0..=chunk.len() {
            let index = word >> (18 - 6 * i) & 63;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

fn broken(wheel: &Path, reason: impl std::fmt::Display) -> EngineError {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy();
    EngineError::Setup {
        detail: format!("the downloaded {name} is not usable: {reason}"),
        remedy: "run it again; if it happens again, point ORT_DYLIB_PATH at a library".into(),
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> EngineError {
    EngineError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    const LIBRARY: &str = "onnxruntime/capi/libonnxruntime.so.1.32.0";

    fn wheel(folder: &Path, record: &str) -> PathBuf {
        let path = folder.join("onnxruntime-1.32.0-py3-none-any.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, data) in [
            (LIBRARY, "abc"),
            ("onnxruntime-1.32.0.dist-info/RECORD", record),
        ] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(data.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    // Digest of "abc" from FIPS 180-2, in hexadecimal and as Python's base64.urlsafe_b64encode writes it.
    const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const BASE64: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    #[test]
    fn digests_match_the_standard() {
        assert_eq!(digest(b"abc"), HEX);
        assert_eq!(base64url(&Sha256::digest(b"abc")), BASE64);
        assert_eq!(base64url(b"ab"), "YWI");
    }

    #[test]
    fn a_good_wheel_is_unpacked_and_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel(dir.path(), &format!("x,,\n{LIBRARY},sha256={BASE64},3\n"));
        let staged = dir.path().join("staged");
        fs::create_dir(&staged).unwrap();
        unpack(&wheel, &staged).unwrap();
        let target = dir.path().join("1.32.0");
        fs::create_dir(&target).unwrap();
        replace(&staged, &target).unwrap();
        let path = installed(&target).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"abc");
        fs::write(&path, "damaged").unwrap();
        assert_eq!(installed(&target), None);
    }

    #[test]
    fn a_wheel_with_another_digest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel(dir.path(), &format!("{LIBRARY},sha256=AAAA,3\n"));
        let message = unpack(&wheel, dir.path()).unwrap_err().to_string();
        assert!(message.contains("RECORD says AAAA"), "{message}");
        assert_eq!(library_in(dir.path()), None);
    }

    #[test]
    fn a_missing_pip_is_named() {
        let message = pip_failed("/usr/bin/python3: No module named pip\n").to_string();
        assert!(message.contains("install pip"), "{message}");
    }
}
