//! Versioned JSON files: read with a bound, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::table::{Result, TableError};

/// Longest file that is read; those of the full-size model have some megabytes.
const MAX_BYTES: u64 = 1 << 30;

/// What a file is.
pub struct Kind {
    /// In words.
    pub what: &'static str,
    /// The command that makes one.
    pub command: &'static str,
    /// The newest version that is known here.
    pub version: u32,
}

impl Kind {
    pub(crate) fn foreign(&self, path: &Path, reason: impl Into<String>) -> TableError {
        TableError::Foreign {
            path: path.to_owned(),
            what: self.what,
            reason: reason.into(),
            command: self.command,
        }
    }

    pub(crate) fn check_checkpoint(&self, got: &str, expected: &str) -> Result<()> {
        match got == expected {
            true => Ok(()),
            false => Err(TableError::OtherCheckpoint {
                what: self.what,
                got: got.to_owned(),
                expected: expected.to_owned(),
                command: self.command,
            }),
        }
    }
}

/// Reads a file that names its `format_version`.
///
/// # Errors
/// The file cannot be read, is truncated or something else, or comes from a later socc.
pub fn read<T: DeserializeOwned>(path: &Path, kind: &Kind) -> Result<T> {
    #[derive(Deserialize)]
    struct Version {
        format_version: u64,
    }
    let fail = |e: serde_json::Error| kind.foreign(path, e.to_string());
    let text = read_text(path, kind)?;
    let version: Version = serde_json::from_str(&text).map_err(fail)?;
    let got = version.format_version;
    if got > u64::from(kind.version) {
        return Err(TableError::Newer {
            path: path.to_owned(),
            got,
            known: kind.version,
        });
    }
    serde_json::from_str(&text).map_err(fail)
}

/// Writes a value as JSON, whole or not at all.
///
/// # Errors
/// The folder cannot be written.
pub fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    write_whole(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        out.write_all(b"\n")
    })
}

fn read_text(path: &Path, kind: &Kind) -> Result<String> {
    let fail = |source| TableError::Read {
        path: path.to_owned(),
        source,
    };
    let meta = fs::metadata(path).map_err(fail)?;
    // Before anything is read: of a pipe or a device there would be no end.
    if !meta.is_file() {
        let kind = io::ErrorKind::InvalidInput;
        return Err(fail(io::Error::new(kind, "it is not a file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    String::from_utf8(bytes).map_err(|_| kind.foreign(path, "it is not text"))
}

/// Writes a file under a temporary name beside `path` and renames it.
pub(crate) fn write_whole(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    let fail = |source| TableError::Write {
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".socc-");
    // Temporary files are their owner's alone by default; a result is a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(fail)?;
    let mut out = io::BufWriter::new(file);
    fill(&mut out).map_err(fail)?;
    let file = out.into_inner().map_err(|e| fail(e.into_error()))?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}
