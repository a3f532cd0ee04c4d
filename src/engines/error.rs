//! Why engines cannot be built or used.

use std::io;
use std::path::{Path, PathBuf};

use socc_engines::tensorrt::BuildError;

use super::FORMAT_VERSION;
use crate::bundle::BundleError;
use crate::host::HostError;

/// Why engines cannot be built or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnginesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; run `socc build` again")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The folder is none of engines.
    #[error("{path} does not describe engines: {reason}; run `socc build`")]
    Manifest {
        /// `engines.json`.
        path: PathBuf,
        /// What was seen.
        reason: String,
    },
    /// The description comes from a later socc.
    #[error(
        "{path} has format version {got} and this socc reads up to {FORMAT_VERSION}; update socc"
    )]
    Newer {
        /// `engines.json`.
        path: PathBuf,
        /// Its version.
        got: u64,
    },
    /// The destination holds something else.
    #[error("{path} holds something else than engines; name another folder")]
    Foreign {
        /// The destination.
        path: PathBuf,
    },
    /// The description names a file outside the folder.
    #[error(
        "{path} names the file `{file}`, which is not inside the folder; run `socc build` again"
    )]
    Outside {
        /// `engines.json`.
        path: PathBuf,
        /// The name.
        file: String,
    },
    /// A plan is not the one that was built.
    #[error("{path} has changed since it was built; run `socc build` again")]
    Changed {
        /// The plan.
        path: PathBuf,
    },
    /// Plans of another version of TensorRT.
    #[error(
        "the engines in {path} were built by {built_by} and this machine has {present}, which cannot load them; run `socc build` with the version that is present"
    )]
    Version {
        /// The folder.
        path: PathBuf,
        /// Backend and version that built.
        built_by: String,
        /// Backend and version that are present.
        present: String,
    },
    /// Plans for other GPUs.
    #[error(
        "the engines in {path} are for SM {built_for} and this machine's GPU is SM {present}; run `socc build` with --sm {present}"
    )]
    Gpu {
        /// The folder.
        path: PathBuf,
        /// What they were built for.
        built_for: String,
        /// What is present.
        present: String,
    },
    /// Plans for another operating system or processor.
    #[error(
        "the engines in {path} are for {built_for} and this machine is {present}; run `socc build` on {present}"
    )]
    System {
        /// The folder.
        path: PathBuf,
        /// What they were built for.
        built_for: String,
        /// What is present.
        present: String,
    },
    /// No folder of engines.
    #[error(
        "there are no engines in {path}; run `socc build {bundle} -o {path} --backend {backend}`, or give their folder with --engines"
    )]
    Absent {
        /// Where they were looked for.
        path: PathBuf,
        /// Whose they would be.
        bundle: PathBuf,
        /// What is to build them.
        backend: &'static str,
    },
    /// A plan of another graph.
    #[error(
        "the engine of stage `{stage}` in {path} was built from another graph than that of {bundle}; run `socc build` again"
    )]
    OtherGraph {
        /// The folder.
        path: PathBuf,
        /// The bundle.
        bundle: PathBuf,
        /// Stage name.
        stage: String,
    },
    /// A stage that was not built.
    #[error("{path} has no engine of stage `{stage}`; run `socc build` without --stage")]
    NoPlan {
        /// The folder.
        path: PathBuf,
        /// Stage name.
        stage: String,
    },
    /// A stage that the bundle lacks.
    #[error("the bundle has no stage `{stage}`; it has {known}")]
    UnknownStage {
        /// What was asked for.
        stage: String,
        /// What there is.
        known: String,
    },
    /// `trtexec` failed.
    #[error("trtexec failed: {reason}; {remedy}")]
    Trtexec {
        /// Its last words.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// TensorRT cannot build a stage.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file or folder could not be written.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// Result of work on engines.
pub type Result<T> = std::result::Result<T, EnginesError>;

pub(super) fn read_error(path: &Path) -> impl FnOnce(io::Error) -> EnginesError {
    let path = path.to_owned();
    move |source| EnginesError::Read { path, source }
}

pub(super) fn write_error(path: &Path) -> impl FnOnce(io::Error) -> EnginesError {
    let path = path.to_owned();
    move |source| EnginesError::Host(HostError::Write { path, source })
}
