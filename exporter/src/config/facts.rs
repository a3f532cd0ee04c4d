//! What is known about a model, and where each fact came from.

use std::fmt;
use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::error::ConfigError;
use super::yaml::Yaml;

/// Where a fact came from. Displays (and serialises) as one phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Read off the shape of a tensor, or the shapes and names of several (`a.*`).
    Shape(String),
    /// Read off a tensor's values.
    Values(String),
    /// Said by the configuration file.
    Yaml {
        /// The file.
        file: PathBuf,
        /// The setting, with its section.
        key: String,
    },
    /// Said by the text encoder's `config.json`.
    TextConfig(PathBuf),
    /// Said nowhere: the value of the paper's models.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(key) => write!(f, "shape of {key}"),
            Self::Values(key) => write!(f, "values of {key}"),
            Self::Yaml { file, key } => write!(f, "YAML {}: {key}", file.display()),
            Self::TextConfig(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("paper default"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One thing known about the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Name, in the words of the official YAML where it has one (`DeformTransformer.nheads`).
    pub name: String,
    /// Value, for a person.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Collects facts while the configuration is consulted and checked against the shapes.
pub(crate) struct Ledger {
    pub(crate) facts: Vec<Fact>,
    pub(crate) yaml: Option<Yaml>,
}

impl Ledger {
    /// Starts with what the configuration file says, if there is one.
    pub(crate) fn new(yaml: Option<Yaml>) -> Self {
        Self {
            facts: Vec::new(),
            yaml,
        }
    }

    /// Records a fact.
    pub(crate) fn note(&mut self, name: &str, value: impl fmt::Display, origin: Origin) {
        self.facts.push(Fact {
            name: name.to_owned(),
            value: value.to_string(),
            origin,
        });
    }

    /// A number of the configuration, if it says one.
    pub(crate) fn number(&self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.yaml.as_ref().map_or(Ok(None), |y| y.number(key))
    }

    /// A truth value of the configuration, if it says one.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.yaml.as_ref().map_or(Ok(None), |y| y.flag(key))
    }

    /// The origin "configuration file, `key`"; the default's origin where there is no file.
    pub(crate) fn said_by(&self, key: &str) -> Origin {
        self.yaml
            .as_ref()
            .map_or(Origin::Default, |y| y.origin(key))
    }

    /// Records `value`, which `tensor`'s shape shows.
    ///
    /// # Errors
    /// The configuration says another number under one of `settings`.
    pub(crate) fn shown(
        &mut self,
        name: &str,
        value: usize,
        tensor: &str,
        settings: &[&str],
    ) -> Result<usize, ConfigError> {
        let origin = Origin::Shape(tensor.to_owned());
        for key in settings {
            if let Some(said) = self.number(key)?
                && said != value
            {
                return Err(disagree(name, (&self.said_by(key), said), (&origin, value)));
            }
        }
        self.note(name, value, origin);
        Ok(value)
    }

    /// Records what the configuration says under `key`, else the paper's `default`; refuses 0.
    ///
    /// # Errors
    /// The configuration says something that is not a positive number.
    pub(crate) fn setting(&mut self, key: &str, default: usize) -> Result<usize, ConfigError> {
        let said = self.number(key)?;
        let origin = match (said, &self.yaml) {
            (Some(0), Some(yaml)) => return Err(yaml.mistyped(key, "a positive whole number")),
            (Some(_), _) => self.said_by(key),
            (None, _) => Origin::Default,
        };
        let value = said.unwrap_or(default);
        self.note(key, value, origin);
        Ok(value)
    }
}

/// The error "A says x, but B says y".
pub(crate) fn disagree<T: fmt::Display>(
    fact: &str,
    first: (&Origin, T),
    second: (&Origin, T),
) -> ConfigError {
    ConfigError::Disagreement {
        fact: fact.to_owned(),
        first: format!("{} says {}", first.0, first.1),
        second: format!("{} says {}", second.0, second.1),
    }
}
