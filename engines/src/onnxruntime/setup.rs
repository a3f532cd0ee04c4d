//! `socc setup onnxruntime`: fetches the library of PyPI's `onnxruntime` wheel into the user's cache.

use std::path::PathBuf;

use crate::cache;
use crate::error::EngineError;
use crate::wheel::Wheel;

use super::library::{FOLDER, is_library};

const WHEEL: Wheel = Wheel {
    title: "ONNX Runtime",
    project: "onnxruntime",
    version: "1.32.0",
    folder: FOLDER,
    is_library,
    libraries: 1,
    otherwise: "point ORT_DYLIB_PATH at a library of ONNX Runtime",
};

/// Fetches ONNX Runtime with `pip`, checked, into `$XDG_CACHE_HOME/socc/onnxruntime/VERSION/` in one step.
///
/// Returns the library's path; at once if it is there already and undamaged. `progress` gets one line per step.
///
/// # Errors
/// When `python3` or `pip` is missing, the download fails, the wheel holds no library or a damaged one, or the cache is
/// not writable. Nothing is left behind then.
pub fn setup(progress: &mut dyn FnMut(&str)) -> Result<PathBuf, EngineError> {
    let folder = WHEEL.install(progress)?;
    cache::library_in(&folder, is_library).ok_or_else(|| EngineError::Setup {
        title: WHEEL.title,
        detail: format!("the library in {} has gone", folder.display()),
        remedy: "run it again".into(),
    })
}
