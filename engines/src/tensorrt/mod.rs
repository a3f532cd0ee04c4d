//! TensorRT: engines for NVIDIA's GPUs, built ahead of time.
//!
//! Two libraries go by that name ([`Variant`]): TensorRT-RTX 1.7, whose builder needs no GPU and which
//! `socc setup tensorrt-rtx` fetches, and TensorRT 11. The bindings are made for one of them at a time, by cargo features
//! `tensorrt-rtx` and `tensorrt` ([`BUILT_FOR`]). The library is opened at run time: the one that
//! [`LIBRARY_VARIABLE`] names, that in the user's cache, or the system's.

#[cfg(not(any(feature = "tensorrt-rtx", feature = "tensorrt")))]
mod absent;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod builder;
mod error;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod failure;
mod library;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod logger;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod monitor;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
mod open;
mod profile;
pub(crate) mod run;
mod setup;
mod sm;
mod support;
mod variant;

use std::path::Path;

use serde::{Deserialize, Serialize};
use socc_exporter::tensor::TensorSpec;

use crate::error::EngineError;
use crate::registry::EngineStatus;

#[cfg(not(any(feature = "tensorrt-rtx", feature = "tensorrt")))]
pub use absent::Builder;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
pub use builder::Builder;
pub use error::{BuildError, Failure, Place};
pub use library::LIBRARY_VARIABLE;
#[cfg(any(feature = "tensorrt-rtx", feature = "tensorrt"))]
pub use open::{Library, open};
pub use profile::Profile;
pub use setup::{Libclang, setup, setup_libclang};
pub use sm::Sm;
pub use support::{OperatorSupport, Support, Verdict};
pub use variant::{BUILT_FOR, Variant};

/// A stage's graph as the builder takes it.
#[derive(Debug, Clone, Copy)]
pub struct Network<'a> {
    /// Stage name; every error names it.
    pub stage: &'a str,
    /// The `.onnx` file with its external data beside it.
    pub model: &'a Path,
    /// What the graph takes.
    pub inputs: &'a [TensorSpec],
    /// Lengths of symbolic axes.
    pub profile: Profile,
}

/// How to build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BuildOptions {
    /// Compute capabilities to build for, ascending; none where it is for the GPU that is present.
    pub sms: Vec<Sm>,
    /// Most memory that a kernel may use beside its tensors, in MiB; TensorRT's choice where absent.
    pub workspace_mib: Option<u64>,
    /// Effort from 0 to 5; TensorRT's choice where absent.
    pub opt_level: Option<u8>,
}

impl BuildOptions {
    /// Refuses GPUs that the library does not build for.
    ///
    /// # Errors
    /// Names the first such, and those that it builds for.
    pub fn check(&self, variant: Variant) -> Result<(), BuildError> {
        let targets = variant.targets();
        if targets.is_empty() && !self.sms.is_empty() {
            let sms = self.sms.clone();
            return Err(BuildError::PresentOnly { variant, sms });
        }
        match self.sms.iter().find(|sm| !targets.contains(sm)) {
            Some(&sm) => Err(BuildError::Target { variant, sm }),
            None => Ok(()),
        }
    }
}

/// Hears how far a build is.
pub trait Progress: Send + Sync {
    /// The innermost phase under way, and how much of the whole is done, from 0 to 1. Must not panic.
    fn at(&self, phase: &str, done: f64);

    /// Whether the build is to stop. Must not panic.
    fn stopped(&self) -> bool {
        false
    }
}

/// Refuses a variant that this build cannot use.
fn built_for(variant: Variant) -> Result<(), EngineError> {
    if BUILT_FOR == Some(variant) {
        return Ok(());
    }
    let detail = match BUILT_FOR {
        Some(other) => format!("this build of socc is for {}", other.title()),
        None => "this build of socc does not contain it".to_owned(),
    };
    let other = match variant {
        Variant::Rtx => " and without `tensorrt`",
        Variant::Enterprise => "",
    };
    Err(EngineError::Unavailable {
        engine: variant.name(),
        detail,
        remedy: format!(
            "build socc with `--features {}`{other}, which needs libclang (`socc setup libclang`)",
            variant.name()
        ),
    })
}

/// Whether the library and a GPU are there, for `socc doctor`. Opens the library to tell its version.
pub(crate) fn status(variant: Variant) -> EngineStatus {
    let absent = |version: Option<String>, detail: String, install: Option<String>| EngineStatus {
        name: variant.name(),
        present: false,
        version,
        detail,
        install,
    };
    let builder = match Builder::open(variant, None) {
        Ok(builder) => builder,
        Err(BuildError::Engine(EngineError::Unavailable { detail, remedy, .. })) => {
            return absent(None, detail, Some(remedy));
        }
        Err(other) => return absent(None, other.to_string(), None),
    };
    let version = Some(builder.version().to_owned());
    let library = format!(
        "{}, builds engines (`socc build`)",
        builder.path().display()
    );
    match run::devices(variant) {
        Ok(devices) => EngineStatus {
            name: variant.name(),
            present: true,
            version,
            detail: format!("{library} and runs them on {devices}"),
            install: None,
        },
        Err(EngineError::Unavailable { detail, remedy, .. }) => {
            absent(version, format!("{library}; {detail}"), Some(remedy))
        }
        Err(other) => absent(version, format!("{library}; {other}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(sms: &[u32]) -> BuildOptions {
        BuildOptions {
            sms: sms.iter().map(|sm| Sm(*sm)).collect(),
            ..BuildOptions::default()
        }
    }

    #[test]
    fn a_gpu_that_the_library_cannot_target_is_refused_by_name() {
        assert!(options(&[86, 89, 120]).check(Variant::Rtx).is_ok());
        for (sm, what) in [(87, "SM 87 (a Jetson)"), (90, "SM 90 (an H100 or H200)")] {
            let error = options(&[86, sm]).check(Variant::Rtx).unwrap_err();
            let message = error.to_string();
            for part in [what, "builds for 75, 80, 86, 89, 120, 121", "trtexec"] {
                assert!(message.contains(part), "`{part}` is not in: {message}");
            }
        }
    }

    #[test]
    fn a_library_that_takes_no_list_says_so() {
        let error = options(&[89]).check(Variant::Enterprise).unwrap_err();
        assert!(
            error.to_string().contains("--sm 89 cannot be asked for"),
            "{error}"
        );
        assert!(options(&[]).check(Variant::Enterprise).is_ok());
    }
}
