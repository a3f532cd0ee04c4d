//! Finds TensorRT's shared libraries and opens them, once per process.
//!
//! They are looked for in this order: the path that was given, the environment variable `SOCC_TENSORRT_LIBRARY`, the
//! user's cache that `socc setup tensorrt-rtx` fills, the system's loader. The ONNX parser is taken from beside the
//! library itself.

use std::env;
use std::path::{Path, PathBuf};

use crate::cache;
use crate::error::EngineError;

use super::variant::Variant;

/// Folder within the cache that `socc setup tensorrt-rtx` fills.
pub(super) const FOLDER: &str = "tensorrt-rtx";
/// Environment variable with the path of the library.
pub const LIBRARY_VARIABLE: &str = "SOCC_TENSORRT_LIBRARY";

/// Where a library is: the file, and the ONNX parser's. Bare names are left to the system's loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) library: PathBuf,
    pub(super) parser: PathBuf,
}

/// Where the library is to be opened, without opening it.
///
/// # Errors
/// A path that was named is no file.
pub(super) fn find(variant: Variant, explicit: Option<&Path>) -> Result<Place, EngineError> {
    let from_environment = || {
        env::var_os(LIBRARY_VARIABLE)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let named = explicit.map(Path::to_owned).or_else(from_environment);
    if let Some(path) = named {
        let path = std::path::absolute(&path).unwrap_or(path);
        return match path.is_file() {
            true => Ok(beside(variant, path)),
            false => Err(unavailable(
                variant,
                format!("{} is not a file", path.display()),
            )),
        };
    }
    let cached = match variant {
        Variant::Rtx => cache::root(FOLDER).and_then(|root| {
            cache::newest(&root, |name| {
                name.starts_with("libtensorrt_rtx.so") || name.starts_with("tensorrt_rtx_")
            })
        }),
        Variant::Enterprise => None,
    };
    let [library, parser] = variant.libraries().map(PathBuf::from);
    Ok(match cached {
        Some(path) => beside(variant, path),
        None => Place { library, parser },
    })
}

/// The ONNX parser that belongs to a library: the same suffix in the same folder.
fn beside(variant: Variant, library: PathBuf) -> Place {
    let [known, parser] = variant.libraries();
    let stem = |name: &'static str| name.split(".so").next().unwrap_or(name);
    let file = library.file_name().and_then(|n| n.to_str());
    let suffix = file.and_then(|f| f.strip_prefix(stem(known)));
    let parser = match suffix {
        Some(suffix) if cfg!(not(windows)) => format!("{}{suffix}", stem(parser)),
        _ => parser.to_owned(),
    };
    let mut path = library.with_file_name(&parser);
    if !path.is_file() {
        path = library.with_file_name(variant.libraries()[1]);
    }
    Place {
        library,
        parser: path,
    }
}

pub(super) fn unavailable(variant: Variant, detail: String) -> EngineError {
    EngineError::Unavailable {
        engine: variant.name(),
        detail,
        remedy: variant.remedy().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(not(windows))]
    fn the_parser_beside_the_library_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        for name in ["libnvinfer.so.11.4.0", "libnvonnxparser.so.11.4.0"] {
            std::fs::write(file(name), "").unwrap();
        }
        let place = find(Variant::Enterprise, Some(&file("libnvinfer.so.11.4.0"))).unwrap();
        assert_eq!(place.parser, file("libnvonnxparser.so.11.4.0"));
        std::fs::write(file("mine.so"), "").unwrap();
        let place = find(Variant::Enterprise, Some(&file("mine.so"))).unwrap();
        assert_eq!(place.parser, file("libnvonnxparser.so.11"));
    }

    #[test]
    fn a_named_library_that_is_not_there_is_refused() {
        let error = find(
            Variant::Rtx,
            Some(Path::new("/nowhere/libtensorrt_rtx.so.1")),
        );
        let message = error.unwrap_err().to_string();
        assert!(message.contains("is not a file"), "{message}");
        assert!(message.contains("socc setup tensorrt-rtx"), "{message}");
    }
}
