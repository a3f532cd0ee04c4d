//! Opens the libraries, once per process.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::library::{Place, find, unavailable};
use super::variant::Variant;
use crate::error::EngineError;

/// The opened library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Which it is.
    pub variant: Variant,
    /// Where it is.
    pub path: PathBuf,
    /// Its version, as in `1.7.1.116`.
    pub version: String,
}

static OPENED: Mutex<Option<Library>> = Mutex::new(None);

/// Opens the library at `explicit`, or the first that the search finds. Later calls return the opened one.
///
/// # Errors
/// This build is for the other TensorRT, no library is found, or the one found is broken or does not fit the bindings.
pub fn open(variant: Variant, explicit: Option<&Path>) -> Result<Library, EngineError> {
    super::built_for(variant)?;
    let place = find(variant, explicit)?;
    // The slot is only written whole, so a panic elsewhere cannot leave half a library in it.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = opened.as_ref() {
        return match library.path == place.library {
            true => Ok(library.clone()),
            false => Err(unavailable(
                variant,
                format!(
                    "this process already uses {}, not {}",
                    library.path.display(),
                    place.library.display()
                ),
            )),
        };
    }
    let version = version(variant, &place)?;
    load(variant, &place)?;
    Ok(opened
        .insert(Library {
            variant,
            path: place.library,
            version,
        })
        .clone())
}

fn load(variant: Variant, place: &Place) -> Result<(), EngineError> {
    let fail = |e: trtx::Error| unavailable(variant, e.to_string());
    trtx::dynamically_load_tensorrt(Some(&place.library)).map_err(fail)?;
    trtx::dynamically_load_tensorrt_onnxparser(Some(&place.parser)).map_err(fail)
}

/// The library's version, which must fit the interface that the bindings were made for.
fn version(variant: Variant, place: &Place) -> Result<String, EngineError> {
    let parts = version_parts(&place.library).map_err(|e| unavailable(variant, e.to_string()))?;
    let words = parts.map(|p| p.to_string());
    let version = words.join(".");
    let [major, minor] = interface(variant);
    let fits = parts[0] == major && parts[1] >= minor;
    match fits {
        true => Ok(version),
        false => Err(unavailable(
            variant,
            format!(
                "{} is version {version}, and this build of socc needs {major}.{minor} or a later {major}.x",
                place.library.display()
            ),
        )),
    }
}

/// Major version, and the least minor version, that the bindings fit.
fn interface(variant: Variant) -> [i32; 2] {
    match variant {
        Variant::Rtx => [1, 7],
        Variant::Enterprise => [11, 4],
    }
}

fn version_parts(library: &Path) -> Result<[i32; 4], libloading::Error> {
    type Number = unsafe extern "C" fn() -> i32;
    // SAFETY: this runs the library's initialisers, as the bindings will when they open it; it is the library that the
    // user named or that the search found by TensorRT's own file name.
    let library = unsafe { libloading::Library::new(library)? };
    let number = |name: &[u8]| {
        // SAFETY: NvInferRuntime.h declares each of these as `int32_t f() noexcept` with C linkage, without arguments
        // or state; the symbol does not outlive the library.
        unsafe { library.get::<Number>(name).map(|f| f()) }
    };
    Ok([
        number(b"getInferLibMajorVersion")?,
        number(b"getInferLibMinorVersion")?,
        number(b"getInferLibPatchVersion")?,
        number(b"getInferLibBuildVersion")?,
    ])
}
