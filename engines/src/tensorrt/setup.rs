//! `socc setup tensorrt-rtx` and `socc setup libclang`.

use std::path::PathBuf;
use std::process::Command;

use crate::error::EngineError;
use crate::wheel::Wheel;

use super::library::FOLDER;

const TENSORRT_RTX: Wheel = Wheel {
    title: "TensorRT-RTX",
    project: "tensorrt-rtx-cu12-libs",
    version: "1.7.1.116",
    folder: FOLDER,
    is_library: |name| name.starts_with("libtensorrt_"),
    libraries: 2,
    otherwise: "point SOCC_TENSORRT_LIBRARY at libtensorrt_rtx.so.1 of TensorRT-RTX 1.7",
};

const LIBCLANG: Wheel = Wheel {
    title: "libclang",
    project: "libclang",
    version: "18.1.1",
    folder: "libclang",
    is_library: |name| name == "libclang.so" || name == "libclang.dylib",
    libraries: 1,
    otherwise: "install your system's libclang (`apt-get install libclang-dev`)",
};

/// Fetches TensorRT-RTX and its ONNX parser with `pip`, checked, into `$XDG_CACHE_HOME/socc/tensorrt-rtx/VERSION/` in
/// one step, under NVIDIA's licence, which the wheel states.
///
/// Returns the folder; at once if they are there already and undamaged. `progress` gets one line per step.
///
/// # Errors
/// When `python3` or `pip` is missing, the download fails, the wheel lacks a library or has a damaged one, or the cache
/// is not writable. Nothing is left behind then.
pub fn setup(progress: &mut dyn FnMut(&str)) -> Result<PathBuf, EngineError> {
    TENSORRT_RTX.install(progress)
}

/// What building with feature `tensorrt-rtx` or `tensorrt` needs, on a system without libclang.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libclang {
    /// For the environment variable `LIBCLANG_PATH`: folder of the library.
    pub folder: PathBuf,
    /// For `BINDGEN_EXTRA_CLANG_ARGS` as `-I`: headers such as `stddef.h`, which the wheel lacks. The C++ compiler's.
    pub headers: PathBuf,
}

/// Fetches libclang with `pip`, as [`setup`] does the other.
///
/// # Errors
/// As [`setup`]'s, and when there is no C++ compiler.
pub fn setup_libclang(progress: &mut dyn FnMut(&str)) -> Result<Libclang, EngineError> {
    let headers = compiler_headers()?;
    let folder = LIBCLANG.install(progress)?;
    Ok(Libclang { folder, headers })
}

fn compiler_headers() -> Result<PathBuf, EngineError> {
    let fail = |detail: String| EngineError::Setup {
        title: LIBCLANG.title,
        detail,
        remedy: "install a C++ compiler (`apt-get install g++`), which the bindings need as well"
            .into(),
    };
    let output = Command::new("c++").arg("-print-file-name=include").output();
    let output = output.map_err(|e| fail(format!("`c++` cannot be started ({e})")))?;
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    // A compiler that does not know the folder prints the bare word.
    match path.is_absolute() && path.join("stddef.h").is_file() {
        true => Ok(path),
        false => Err(fail("`c++` does not tell where its headers are".into())),
    }
}
