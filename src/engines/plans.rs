//! The plans of a bundle's stages, for an engine that runs plans.

use std::path::PathBuf;

use socc_engines::PlanTarget;

use super::{Engines, EnginesError, Machine, Result, key};
use crate::bundle::Bundle;

/// Folder of the engines within the bundle, where no other is named.
const FOLDER: &str = "engines";

/// Files of the plans of the bundle's stages, in the order of the stages: built from those graphs, and for `target`.
///
/// # Errors
/// There are no engines, they are for another machine or of other graphs, or a file has changed.
pub fn plans(bundle: &Bundle, target: &PlanTarget) -> Result<Vec<PathBuf>> {
    let folder = target.folder.clone();
    let folder = folder.unwrap_or_else(|| bundle.dir.join(FOLDER));
    if !folder.is_dir() {
        return Err(EnginesError::Absent {
            path: folder,
            bundle: bundle.dir.clone(),
            backend: target.backend,
        });
    }
    let machine = Machine::here(target.backend, &target.tensorrt_version, Some(target.sm));
    let engines = Engines::open(&folder, &machine)?;
    let stages = bundle.manifest.stages.iter();
    let plans = stages.map(|stage| {
        let (entry, path) = engines.plan(&stage.name)?;
        match entry.graph_sha256 == key::graph_sha256(&stage.files) {
            true => Ok(path),
            false => Err(EnginesError::OtherGraph {
                path: folder.clone(),
                bundle: bundle.dir.clone(),
                stage: stage.name.clone(),
            }),
        }
    });
    plans.collect()
}
