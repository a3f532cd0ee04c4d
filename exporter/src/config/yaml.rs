//! The official configuration file: `key: {desc: ..., value: ...}`, two sections nested under their own `value`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::ConfigError;
use super::facts::Origin;

/// Longest configuration file that is read; the official ones have some 5 kB.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

/// A configuration file's settings. `value` wrappers are looked through at every level, so that
/// `num_classes: {value: 1}` and `num_classes: 1` say the same.
#[derive(Debug, Clone)]
pub struct Yaml {
    path: PathBuf,
    root: Value,
}

impl Yaml {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, is longer than a mebibyte, not YAML, or not a mapping.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(path, &read_text(path)?)
    }

    /// Takes `text` for the content of the file at `path`.
    ///
    /// # Errors
    /// It is not YAML, or not a mapping.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let syntax = |reason: String| ConfigError::Syntax {
            path: path.to_owned(),
            reason,
        };
        let root: Value = serde_saphyr::from_str(text)
            .map_err(|e| syntax(e.to_string().lines().next().unwrap_or_default().to_owned()))?;
        if !root.is_object() {
            return Err(syntax(
                "it holds no settings, expected lines of `key: {value: ...}` as the official configuration has them"
                    .to_owned(),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            root,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The origin of what the file says under `key`.
    pub fn origin(&self, key: &str) -> Origin {
        Origin::Yaml {
            file: self.path.clone(),
            key: key.to_owned(),
        }
    }

    /// What the file says under a dotted key such as `VOC.nheads`; `null` counts as nothing said.
    fn get(&self, key: &str) -> Option<&Value> {
        let mut at = &self.root;
        for part in key.split('.') {
            at = unwrapped(unwrapped(at).get(part)?);
        }
        (!at.is_null()).then_some(at)
    }

    /// A whole number that is not negative.
    ///
    /// # Errors
    /// It is something else.
    pub fn number(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(self.mistyped(key, "a whole number")),
        }
    }

    /// A truth value.
    ///
    /// # Errors
    /// It is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(*b)),
            Some(_) => Err(self.mistyped(key, "true or false")),
        }
    }

    /// A text.
    ///
    /// # Errors
    /// It is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(_) => Err(self.mistyped(key, "a text")),
        }
    }

    /// The error "`key` is not `expected`".
    pub(crate) fn mistyped(&self, key: &str, expected: &'static str) -> ConfigError {
        let got = self.get(key).unwrap_or(&Value::Null).to_string();
        ConfigError::Setting {
            path: self.path.clone(),
            key: key.to_owned(),
            expected,
            got: got.chars().take(60).collect(),
        }
    }
}

/// Looks through the official `{desc: ..., value: ...}`.
fn unwrapped(value: &Value) -> &Value {
    value.get("value").unwrap_or(value)
}

/// Reads a small text file.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ConfigError::Syntax {
            path: path.to_owned(),
            reason: format!(
                "it is longer than {MAX_BYTES} bytes; give the model's configuration file"
            ),
        });
    }
    Ok(text)
}
