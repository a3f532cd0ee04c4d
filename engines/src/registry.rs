//! Engines by name.

use crate::embedded;
use crate::engine::{Engine, Options};
use crate::error::EngineError;
use crate::onnxruntime::{self, OnnxRuntime, Provider};
use crate::tensorrt::{self, Variant};
#[cfg(feature = "tract")]
use crate::tract;

/// Whether an engine can be used here, for `socc doctor`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// Name for `--engine`.
    pub name: &'static str,
    /// Whether [`engine`] would return it.
    pub present: bool,
    /// Version of the back end, where present.
    pub version: Option<String>,
    /// What it is and where it was found, or why it is not there.
    pub detail: String,
    /// How to get it, where absent.
    pub install: Option<String>,
}

/// Every name that some build accepts, and the engine that it means.
const NAMES: [(&str, Kind); 11] = [
    (embedded::NAME, Kind::Embedded),
    ("rten", Kind::Embedded),
    (Provider::Cpu.engine(), Kind::OnnxRuntime(Provider::Cpu)),
    ("ort", Kind::OnnxRuntime(Provider::Cpu)),
    (Provider::Cuda.engine(), Kind::OnnxRuntime(Provider::Cuda)),
    ("ort:cuda", Kind::OnnxRuntime(Provider::Cuda)),
    (
        Provider::TensorRt.engine(),
        Kind::OnnxRuntime(Provider::TensorRt),
    ),
    ("ort:tensorrt", Kind::OnnxRuntime(Provider::TensorRt)),
    (Variant::Rtx.name(), Kind::TensorRt(Variant::Rtx)),
    (
        Variant::Enterprise.name(),
        Kind::TensorRt(Variant::Enterprise),
    ),
    ("tract", Kind::Tract),
];

/// What a name means.
#[derive(Clone, Copy)]
enum Kind {
    Embedded,
    OnnxRuntime(Provider),
    TensorRt(Variant),
    Tract,
}

/// Finds an engine: `embedded` (or `rten`), `onnxruntime` (or `ort`) with or without `:cuda` or `:tensorrt`,
/// `tensorrt-rtx`, `tensorrt`, `tract`.
///
/// # Errors
/// When no engine has the name, or the engine cannot be used on this machine.
pub fn engine(name: &str, options: &Options) -> Result<Box<dyn Engine>, EngineError> {
    let known = NAMES.iter().find(|(alias, _)| *alias == name);
    match known.map(|(_, kind)| *kind) {
        Some(Kind::Embedded) => Ok(Box::new(embedded::Embedded::new(options))),
        Some(Kind::OnnxRuntime(provider)) => Ok(Box::new(OnnxRuntime::on(provider, options)?)),
        Some(Kind::TensorRt(variant)) => tensorrt::run::open(variant, options),
        Some(Kind::Tract) => tract_engine(options),
        None => Err(EngineError::Unknown {
            name: name.to_string(),
            nearest: nearest(name),
            known: "embedded (rten), onnxruntime (ort), onnxruntime:cuda, onnxruntime:tensorrt, tensorrt-rtx, tensorrt, tract".into(),
        }),
    }
}

#[cfg(feature = "tract")]
fn tract_engine(options: &Options) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(tract::Tract::new(options)))
}

#[cfg(not(feature = "tract"))]
fn tract_engine(_options: &Options) -> Result<Box<dyn Engine>, EngineError> {
    Err(EngineError::Unavailable {
        engine: "tract",
        detail: "this build does not contain it".into(),
        remedy: TRACT_INSTALL.into(),
    })
}

#[cfg(not(feature = "tract"))]
const TRACT_INSTALL: &str = "build socc with `--features tract`";

/// Every engine and whether it can be used here. Opens the libraries to learn their versions.
pub fn available() -> Vec<EngineStatus> {
    vec![
        embedded::status(),
        onnxruntime::status(Provider::Cpu),
        onnxruntime::status(Provider::Cuda),
        onnxruntime::status(Provider::TensorRt),
        tract_status(),
        tensorrt::status(Variant::Rtx),
        tensorrt::status(Variant::Enterprise),
    ]
}

#[cfg(feature = "tract")]
fn tract_status() -> EngineStatus {
    tract::status()
}

#[cfg(not(feature = "tract"))]
fn tract_status() -> EngineStatus {
    EngineStatus {
        name: "tract",
        present: false,
        version: None,
        detail: "not in this build".into(),
        install: Some(TRACT_INSTALL.into()),
    }
}

/// The known name that differs from `name` in the fewest letters, if those are fewer than half.
fn nearest(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let (distance, known) = NAMES
        .iter()
        .map(|(known, _)| (edits(&name, known), *known))
        .min()?;
    (distance * 2 < known.len()).then(|| known.to_string())
}

/// Levenshtein distance in characters.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_get_the_nearest_one() {
        let message = |name| match engine(name, &Options::default()) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        };
        assert!(message("onnxrutime").contains("did you mean `onnxruntime`?"));
        assert!(message("Embeded").contains("did you mean `embedded`?"));
        assert!(message("tensor-rt").contains("did you mean `tensorrt`?"));
        assert!(message("tensorrt_rtx").contains("did you mean `tensorrt-rtx`?"));
        assert!(message("onnxruntime:cude").contains("did you mean `onnxruntime:cuda`?"));
        assert!(message("ort:tensort").contains("did you mean `ort:tensorrt`?"));
        let far = message("openvino");
        assert!(
            far.contains("unknown engine `openvino`;") && far.contains("embedded"),
            "{far}"
        );
    }

    #[test]
    fn edit_distances() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "ort"), 3);
        assert_eq!(edits("ort", "ort"), 0);
    }

    #[test]
    fn the_embedded_engine_is_always_there() {
        let status = available();
        assert_eq!(status[0].name, "embedded");
        assert!(status[0].present);
        assert_eq!(status.len(), 7);
    }
}
