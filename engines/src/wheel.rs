//! Libraries out of PyPI's wheels: downloaded with `pip`, checked, and put into the user's cache in one step.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};
use socc_exporter::digest::{hex, sha256_of};
use zip::ZipArchive;

use crate::cache;
use crate::error::EngineError;

/// File beside the libraries with their digests, as `sha256sum` writes it, so that a damaged copy is noticed.
const DIGESTS: &str = "SHA256SUMS";
/// No library is near this; a wheel that claims more is not believed.
const MAX_LIBRARY_BYTES: u64 = 1 << 30;

/// What to fetch.
pub(crate) struct Wheel {
    /// What people call it.
    pub(crate) title: &'static str,
    /// The project on PyPI.
    pub(crate) project: &'static str,
    /// The version that the tests run against.
    pub(crate) version: &'static str,
    /// Folder within the cache.
    pub(crate) folder: &'static str,
    /// Whether a file of that name is one of the libraries that are kept.
    pub(crate) is_library: fn(&str) -> bool,
    /// How many libraries those are.
    pub(crate) libraries: usize,
    /// What to do where it cannot be fetched.
    pub(crate) otherwise: &'static str,
}

impl Wheel {
    /// Downloads the wheel (`pip` verifies it against the index's hash), checks the libraries against the wheel's own
    /// record, and moves them to `$XDG_CACHE_HOME/socc/FOLDER/VERSION/`. Returns that folder; at once if they are there
    /// already and undamaged. `progress` gets one line per step.
    ///
    /// # Errors
    /// `python3` or `pip` is missing, the download fails, the wheel lacks a library or has a damaged one, or the cache
    /// cannot be written. Nothing is left behind then.
    pub(crate) fn install(&self, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, EngineError> {
        let (title, version) = (self.title, self.version);
        let root = cache::root(self.folder).ok_or_else(|| EngineError::Setup {
            title,
            detail: "neither XDG_CACHE_HOME nor HOME is set".into(),
            remedy: "set one of them".into(),
        })?;
        let folder = root.join(version);
        if self.installed(&folder) {
            progress(&format!(
                "{title} {version} is already in {}",
                folder.display()
            ));
            return Ok(folder);
        }
        fs::create_dir_all(&root).map_err(|e| io_error("create", &root, e))?;
        // Inside the cache, so that the rename below stays on one file system; removed on every way out.
        let work = tempfile::Builder::new()
            .prefix(".setup-")
            .tempdir_in(&root)
            .map_err(|e| io_error("create a folder in", &root, e))?;
        progress(&format!("downloading {} {version} with pip", self.project));
        let wheel = self.download(work.path())?;
        progress("checking and unpacking");
        let staged = work.path().join("unpacked");
        fs::create_dir(&staged).map_err(|e| io_error("create", &staged, e))?;
        self.unpack(&wheel, &staged)?;
        replace(&staged, &folder)?;
        if !self.installed(&folder) {
            return Err(self.broken(&wheel, "its libraries did not arrive whole"));
        }
        progress(&format!("installed in {}", folder.display()));
        Ok(folder)
    }

    /// Whether the libraries in `folder` are those whose digests were written beside them.
    fn installed(&self, folder: &Path) -> bool {
        let Ok(digests) = fs::read_to_string(folder.join(DIGESTS)) else {
            return false;
        };
        let whole = |line: &str| {
            let (expected, name) = line.split_once("  ")?;
            let actual = sha256_of(&folder.join(name)).ok()?;
            (actual == expected).then_some(())
        };
        digests.lines().count() == self.libraries && digests.lines().all(|l| whole(l).is_some())
    }

    /// Runs pip; returns the wheel.
    fn download(&self, into: &Path) -> Result<PathBuf, EngineError> {
        let title = self.title;
        let requirement = format!("{}=={}", self.project, self.version);
        let output = Command::new("python3")
            .args(["-m", "pip", "download", "--no-deps"])
            .args(["--only-binary=:all:", "--quiet", &requirement, "-d"])
            .arg(into)
            .output()
            .map_err(|e| EngineError::Setup {
                title,
                detail: format!("`python3` cannot be started ({e})"),
                remedy: format!("install Python 3 with pip, or {}", self.otherwise),
            })?;
        if !output.status.success() {
            return Err(self.pip_failed(&String::from_utf8_lossy(&output.stderr)));
        }
        let wheels = fs::read_dir(into)
            .map_err(|e| io_error("read", into, e))?
            .flatten();
        wheels
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|e| e == "whl"))
            .ok_or_else(|| EngineError::Setup {
                title,
                detail: "pip reported success but left no wheel".into(),
                remedy: format!("try `python3 -m pip download {requirement}` by hand"),
            })
    }

    fn pip_failed(&self, stderr: &str) -> EngineError {
        let last = stderr
            .lines()
            .rev()
            .find(|l| l.contains("ERROR") || l.contains("No module"));
        let reason = last
            .or_else(|| stderr.lines().last())
            .unwrap_or("no message")
            .trim();
        let remedy = if stderr.contains("No module named pip") {
            "install pip (`python3 -m ensurepip`, or your system's python3-pip)".to_owned()
        } else {
            format!(
                "check the network, the room on the disk, and that {} has a wheel for this Python and system, or {}",
                self.project, self.otherwise
            )
        };
        EngineError::Setup {
            title: self.title,
            detail: format!("pip failed: {reason}"),
            remedy,
        }
    }

    /// Copies the libraries out of a wheel into `folder`, with their digests, after comparing them with the wheel's
    /// record.
    fn unpack(&self, wheel: &Path, folder: &Path) -> Result<(), EngineError> {
        let file = File::open(wheel).map_err(|e| io_error("read", wheel, e))?;
        let mut archive = ZipArchive::new(file).map_err(|e| self.broken(wheel, e))?;
        let names = archive
            .file_names()
            .map(|name| name.map(|n| n.into_owned()))
            .collect::<Result<Vec<String>, _>>()
            .map_err(|e| self.broken(wheel, e))?;
        let record = names.iter().find(|n| n.ends_with(".dist-info/RECORD"));
        let record = record.ok_or_else(|| self.broken(wheel, "it holds no RECORD"))?;
        let record = String::from_utf8(self.member(&mut archive, record, wheel)?)
            .map_err(|e| self.broken(wheel, e))?;
        let is_library = |n: &&String| (self.is_library)(base_name(n));
        let libraries: Vec<&String> = names.iter().filter(is_library).collect();
        if libraries.len() != self.libraries {
            let (got, expected) = (libraries.len(), self.libraries);
            let reason = format!("it holds {got} libraries of {}, not {expected}", self.title);
            return Err(self.broken(wheel, reason));
        }
        let mut digests = String::new();
        for name in libraries {
            let bytes = self.member(&mut archive, name, wheel)?;
            let digest = Sha256::digest(&bytes);
            self.compare(wheel, &record, name, &base64url(&digest))?;
            let target = folder.join(base_name(name));
            fs::write(&target, &bytes).map_err(|e| io_error("write", &target, e))?;
            // Writing to a string cannot fail.
            let _ = writeln!(digests, "{}  {}", hex(&digest), base_name(name));
        }
        let target = folder.join(DIGESTS);
        fs::write(&target, digests).map_err(|e| io_error("write", &target, e))
    }

    /// Refuses a library whose digest is not the one in the wheel's record.
    fn compare(
        &self,
        wheel: &Path,
        record: &str,
        name: &str,
        actual: &str,
    ) -> Result<(), EngineError> {
        match recorded(record, name) {
            Some(expected) if expected == actual => Ok(()),
            Some(expected) => {
                let reason = format!("{name} has sha256 {actual}, its RECORD says {expected}");
                Err(self.broken(wheel, reason))
            }
            None => Err(self.broken(wheel, format!("its RECORD has no sha256 of {name}"))),
        }
    }

    fn member(
        &self,
        archive: &mut ZipArchive<File>,
        name: &str,
        wheel: &Path,
    ) -> Result<Vec<u8>, EngineError> {
        let entry = archive.by_name(name).map_err(|e| self.broken(wheel, e))?;
        let mut bytes = Vec::new();
        entry
            .take(MAX_LIBRARY_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| self.broken(wheel, e))?;
        if bytes.len() as u64 > MAX_LIBRARY_BYTES {
            let reason = format!("{name} is larger than {MAX_LIBRARY_BYTES} bytes");
            return Err(self.broken(wheel, reason));
        }
        Ok(bytes)
    }

    fn broken(&self, wheel: &Path, reason: impl std::fmt::Display) -> EngineError {
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        EngineError::Setup {
            title: self.title,
            detail: format!("the downloaded {name} is not usable: {reason}"),
            remedy: format!("run it again; if it happens again, {}", self.otherwise),
        }
    }
}

fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
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
        fs::remove_dir_all(folder).map_err(|e| io_error("remove", folder, e))?;
    }
    fs::rename(staged, folder).map_err(|e| io_error("write", folder, e))
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

fn io_error(action: &'static str, path: &Path, source: io::Error) -> EngineError {
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

    const WHEEL: Wheel = Wheel {
        title: "X",
        project: "x-libs",
        version: "1.2",
        folder: "x",
        is_library: |name| name.starts_with("libx"),
        libraries: 2,
        otherwise: "name a library",
    };
    const LIBRARY: &str = "x/libx.so.1";
    const PARSER: &str = "x/libx_parser.so.1";

    fn wheel(folder: &Path, record: &str) -> PathBuf {
        let path = folder.join("x_libs-1.2-py3-none-any.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, data) in [
            (LIBRARY, "abc"),
            (PARSER, "abc"),
            ("x_libs-1.2.dist-info/RECORD", record),
        ] {
            zip.start_file(name, SimpleFileOptions::default()).unwrap();
            zip.write_all(data.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        path
    }

    // Digest of "abc" from FIPS 180-2, as Python's base64.urlsafe_b64encode writes it.
    const BASE64: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    fn record(library: &str) -> String {
        format!("x,,\n{LIBRARY},sha256={library},3\n{PARSER},sha256={BASE64},3\n")
    }

    #[test]
    fn digests_match_the_standard() {
        assert_eq!(base64url(&Sha256::digest(b"abc")), BASE64);
        assert_eq!(base64url(b"ab"), "YWI");
    }

    #[test]
    fn a_good_wheel_is_unpacked_and_recognised() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel(dir.path(), &record(BASE64));
        let staged = dir.path().join("staged");
        fs::create_dir(&staged).unwrap();
        WHEEL.unpack(&wheel, &staged).unwrap();
        let target = dir.path().join("1.2");
        fs::create_dir(&target).unwrap();
        replace(&staged, &target).unwrap();
        assert!(WHEEL.installed(&target));
        assert_eq!(fs::read(target.join("libx_parser.so.1")).unwrap(), b"abc");
        fs::write(target.join("libx.so.1"), "damaged").unwrap();
        assert!(!WHEEL.installed(&target));
    }

    #[test]
    fn a_wheel_with_another_digest_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let wheel = wheel(dir.path(), &record("AAAA"));
        let message = WHEEL.unpack(&wheel, dir.path()).unwrap_err().to_string();
        assert!(message.contains("RECORD says AAAA"), "{message}");
        assert!(!dir.path().join("libx.so.1").exists());
    }

    #[test]
    fn a_missing_pip_is_named() {
        let message = WHEEL
            .pip_failed("/usr/bin/python3: No module named pip\n")
            .to_string();
        assert!(message.contains("install pip"), "{message}");
    }
}
