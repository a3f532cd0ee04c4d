//! What was measured so far, kept so that an interrupted search can go on.

use std::path::Path;

use serde::{Deserialize, Serialize};
use socc_calibration::document::{self, Kind};
use socc_calibration::precision::Precision;
use socc_calibration::table::TableError;

use super::{Loss, Scored};

/// Version of the state's layout. A reader refuses a newer one.
const FORMAT_VERSION: u32 = 1;

const KIND: Kind = Kind {
    what: "state of a sensitivity search",
    command: "socc sensitivity",
    version: FORMAT_VERSION,
};

/// What measurements depend on: those of other settings are of no use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Settings {
    pub checkpoint: String,
    /// Structure hashes of the stages' graphs.
    pub graphs: Vec<String>,
    pub precision: Precision,
    /// SHA-256 of the range table, where there is one.
    pub ranges: Option<String>,
    pub stages: Vec<String>,
    pub data: String,
    pub split: String,
    pub clips: usize,
    pub engine: String,
}

/// Measurements so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    format_version: u32,
    /// What they depend on.
    pub settings: Settings,
    /// Groups alone.
    pub scored: Vec<Scored>,
    /// Sets of groups together, as sorted numbers of groups.
    pub sets: Vec<(Vec<usize>, Loss)>,
}

impl State {
    /// Nothing measured yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            settings,
            scored: Vec::new(),
            sets: Vec::new(),
        }
    }

    /// Reads what an earlier search left.
    ///
    /// # Errors
    /// The file cannot be read or is something else.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        document::read(path, &KIND)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TableError> {
        document::write(path, self)
    }

    /// The loss of a set, if it was measured.
    pub fn set(&self, numbers: &[usize]) -> Option<Loss> {
        let found = self.sets.iter().find(|(set, _)| set == numbers);
        found.map(|(_, loss)| *loss)
    }
}
