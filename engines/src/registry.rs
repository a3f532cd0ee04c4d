//! Engines by name.

use crate::embedded;
use crate::engine::{Engine, Options};
use crate::error::EngineError;
use crate::onnxruntime;
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
const NAMES: [(&str, &str); 5] = [
    (embedded::NAME, embedded::NAME),
    ("rten", embedded::NAME),
    (onnxruntime::NAME, onnxruntime::NAME),
    ("ort", onnxruntime::NAME),
    ("tract", "tract"),
];

/// Finds an engine: `embedded` (or `rten`), `onnxruntime` (or `ort`), `tract`.
///
/// # Errors
/// When no engine has the name, or the engine cannot be used on this machine.
pub fn engine(name: &str, options: &Options) -> Result<Box<dyn Engine>, EngineError> {
    let known = NAMES.iter().find(|(alias, _)| *alias == name);
    match known.map(|(_, engine)| *engine) {
        Some(embedded::NAME) => Ok(Box::new(embedded::Embedded::new(options))),
        Some(onnxruntime::NAME) => Ok(Box::new(onnxruntime::OnnxRuntime::new(options)?)),
        #[cfg(feature = "tract")]
        Some("tract") => Ok(Box::new(tract::Tract::new(options))),
        #[cfg(not(feature = "tract"))]
        Some("tract") => Err(EngineError::Unavailable {
            engine: "tract",
            detail: "this build does not contain it".into(),
            remedy: TRACT_INSTALL.into(),
        }),
        _ => Err(EngineError::Unknown {
            name: name.to_string(),
            nearest: nearest(name),
            known: "embedded (rten), onnxruntime (ort), tract".into(),
        }),
    }
}

#[cfg(not(feature = "tract"))]
const TRACT_INSTALL: &str = "build socc with `--features tract`";

/// Every engine and whether it can be used here. Opens the libraries to learn their versions.
pub fn available() -> Vec<EngineStatus> {
    vec![
        embedded::status(),
        onnxruntime::status(),
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
    (distance * 2 <= known.len()).then(|| known.to_string())
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
        let far = message("tensorflow");
        assert!(
            far.contains("unknown engine `tensorflow`;") && far.contains("embedded"),
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
        assert_eq!(status.len(), 5);
    }
}
