//! Finds and opens ONNX Runtime's shared library, once per process.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;

use crate::cache;
use crate::check;
use crate::error::EngineError;

use super::{NAME, Provider};

/// Folder within the cache that `socc setup onnxruntime` fills.
pub(super) const FOLDER: &str = "onnxruntime";

/// The opened library.
#[derive(Clone)]
pub(super) struct Library {
    pub(super) path: PathBuf,
    pub(super) version: String,
    /// ONNX Runtime's own state; it may exist once per process and lives as long as the process.
    pub(super) environment: Environment,
}

static OPENED: Mutex<Option<Library>> = Mutex::new(None);

/// Opens the library at `explicit`, or the first that the search finds. Later calls return the opened one.
pub(super) fn open(explicit: Option<&Path>) -> Result<Library, EngineError> {
    let explicit = explicit.map(|path| absolute(path.to_path_buf()));
    // The slot is only written whole, so a panic elsewhere cannot leave half a library in it.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = opened.as_ref() {
        return match explicit {
            Some(path) if path != library.path => Err(unavailable(format!(
                "this process already uses {}, not {}",
                library.path.display(),
                path.display()
            ))),
            _ => Ok(library.clone()),
        };
    }
    let library = match explicit.or_else(from_environment) {
        Some(path) if !path.is_file() => {
            return Err(unavailable(format!("{} is not a file", path.display())));
        }
        Some(path) => load(absolute(path))?,
        None => match cache::root(FOLDER).and_then(|root| cache::newest(&root, is_library)) {
            Some(path) => load(path)?,
            None => load_from_system()?,
        },
    };
    Ok(opened.insert(library).clone())
}

fn from_environment() -> Option<PathBuf> {
    env::var_os("ORT_DYLIB_PATH")
        .filter(|v| !v.is_empty())
        .map(PathBuf::from)
}

fn absolute(path: PathBuf) -> PathBuf {
    // The `ort` crate would take a relative path from the program's folder, not the user's.
    std::path::absolute(&path).unwrap_or(path)
}

/// Whether a file name is that of ONNX Runtime's library itself, on Linux, macOS or Windows.
pub(super) fn is_library(name: &str) -> bool {
    name.starts_with("libonnxruntime.so")
        || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
        || name == "onnxruntime.dll"
}

/// Lets the system's loader search its folders (`LD_LIBRARY_PATH`, `ld.so.conf` ...).
fn load_from_system() -> Result<Library, EngineError> {
    let name = format!(
        "{}onnxruntime{}",
        env::consts::DLL_PREFIX,
        env::consts::DLL_SUFFIX
    );
    // Distributions ship the plain name only in their development packages.
    let candidates = [name.clone(), format!("{name}.1")];
    let mut reasons = Vec::new();
    for candidate in &candidates {
        match load(PathBuf::from(candidate)) {
            Ok(library) => return Ok(library),
            Err(EngineError::Unavailable { detail, .. }) => reasons.push(detail),
            Err(other) => return Err(other),
        }
    }
    let cache = cache::root(FOLDER).map_or_else(|| "the cache".into(), |c| c.display().to_string());
    Err(unavailable(format!(
        "there is no library in {cache}, and the system's loader found no usable one ({})",
        reasons.join("; ")
    )))
}

fn load(path: PathBuf) -> Result<Library, EngineError> {
    let detail = |e: &dyn std::fmt::Display| unavailable(e.to_string());
    check::guard(NAME, "(library)", "loading", || {
        let builder = ort::init_from(&path).map_err(|e| detail(&e))?;
        // Microsoft's builds report usage to Microsoft unless told not to (see the module's documentation).
        let environment = builder
            .with_name("socc")
            .with_telemetry(false)
            .build()
            .map_err(|e| detail(&e))?;
        Ok(Library {
            version: version(&path),
            path,
            environment,
        })
    })
}

/// ONNX Runtime's version: its build's git branch says it (`rel-1.32.0`), else the file name.
fn version(path: &Path) -> String {
    let info = ort::info();
    let branch = info
        .split("git-branch=rel-")
        .nth(1)
        .and_then(|rest| rest.split([',', ' ']).next());
    let file = path
        .file_name()
        .and_then(|n| n.to_str())
        .and_then(|n| n.split(".so.").nth(1));
    branch.or(file).unwrap_or("unknown").to_string()
}

fn unavailable(detail: String) -> EngineError {
    EngineError::Unavailable {
        engine: NAME,
        detail,
        remedy: Provider::Cpu.remedy().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_names() {
        for name in [
            "libonnxruntime.so",
            "libonnxruntime.so.1.32.0",
            "libonnxruntime.1.32.0.dylib",
            "onnxruntime.dll",
        ] {
            assert!(is_library(name), "{name}");
        }
        for name in [
            "libonnxruntime_providers_shared.so",
            "onnxruntime_pybind11_state.so",
        ] {
            assert!(!is_library(name), "{name}");
        }
    }
}
