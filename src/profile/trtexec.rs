//! Files that TensorRT's `trtexec` writes: `--exportProfile`, `--exportTimes`, `--exportLayerInfo`.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use socc_engines::OperatorTime;

use super::{ProfileError, Result};
use crate::bench::Summary;

/// A layer profile.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerProfile {
    /// Runs that it covers.
    pub runs: usize,
    /// Every layer.
    pub layers: Vec<OperatorTime>,
}

/// Times of whole runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// Handing the work to the device; files of TensorRT 8.4 and before do not have it.
    pub enqueue: Option<Summary>,
    /// Copies to the device.
    pub host_to_device: Summary,
    /// The computation.
    pub compute: Summary,
    /// Copies from the device.
    pub device_to_host: Summary,
    /// The three together.
    pub latency: Summary,
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path, option: &'static str) -> Result<T> {
    let text = fs::read_to_string(path).map_err(|source| ProfileError::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|e| foreign(path, option, e.to_string()))
}

fn foreign(path: &Path, option: &'static str, reason: impl Into<String>) -> ProfileError {
    ProfileError::Foreign {
        path: path.to_owned(),
        option,
        reason: reason.into(),
    }
}

const PROFILE: &str = "--exportProfile";
const TIMES: &str = "--exportTimes";
const LAYER_INFO: &str = "--exportLayerInfo";

/// Reads a layer profile.
///
/// # Errors
/// The file cannot be read or is something else.
pub fn read_profile(path: &Path) -> Result<LayerProfile> {
    #[derive(Deserialize)]
    struct Entry {
        count: Option<usize>,
        name: Option<String>,
        #[serde(rename = "timeMs")]
        time_ms: Option<f64>,
        #[serde(rename = "averageMs")]
        average_ms: Option<f64>,
    }
    let entries: Vec<Entry> = read(path, PROFILE)?;
    let count = entries.iter().find_map(|e| e.count);
    let mut layers = Vec::new();
    let mut runs = count;
    for entry in entries {
        let (Some(name), Some(total_ms)) = (entry.name, entry.time_ms) else {
            continue;
        };
        // Files without a count tell it by total over mean.
        let mean = entry.average_ms.filter(|m| *m > 0.0);
        let counted = mean.map(|m| (total_ms / m).round() as usize);
        runs = runs.or(counted);
        layers.push(OperatorTime {
            op: kind(&name).to_owned(),
            name,
            calls: runs.unwrap_or(1),
            total_ms,
        });
    }
    match (layers.is_empty(), runs) {
        (false, Some(runs)) if runs > 0 => Ok(LayerProfile { runs, layers }),
        _ => Err(foreign(path, PROFILE, "it has no layers with times")),
    }
}

/// What kind of layer a name tells of: the profile itself does not say.
fn kind(name: &str) -> &'static str {
    match name {
        n if n.starts_with("Reformatting CopyNode") || n.ends_with(" copy") => "copy",
        n if n.contains("ForeignNode") || n.starts_with("__my") => "compiled stretch",
        n if n.contains(" + ") || n.contains("PWN(") || n.contains("||") => "fused layer",
        _ => "layer",
    }
}

/// Reads times of runs.
///
/// # Errors
/// The file cannot be read or is something else.
pub fn read_times(path: &Path) -> Result<Times> {
    /// The keys are those of TensorRT 10; those of 8.4 and before are the aliases.
    #[derive(Deserialize)]
    struct Run {
        #[serde(rename = "startEnqMs")]
        start_enqueue: Option<f64>,
        #[serde(rename = "endEnqMs")]
        end_enqueue: Option<f64>,
        #[serde(rename = "h2dMs", alias = "inMs")]
        host_to_device: f64,
        #[serde(rename = "computeMs")]
        compute: f64,
        #[serde(rename = "d2hMs", alias = "outMs")]
        device_to_host: f64,
        #[serde(rename = "latencyMs")]
        latency: f64,
    }
    let runs: Vec<Run> = read(path, TIMES)?;
    let summary = |of: fn(&Run) -> Option<f64>| {
        let samples: Option<Vec<f64>> = runs.iter().map(of).collect();
        samples.and_then(|s| Summary::of(&s))
    };
    let times = || {
        Some(Times {
            enqueue: summary(|r| Some(r.end_enqueue? - r.start_enqueue?)),
            host_to_device: summary(|r| Some(r.host_to_device))?,
            compute: summary(|r| Some(r.compute))?,
            device_to_host: summary(|r| Some(r.device_to_host))?,
            latency: summary(|r| Some(r.latency))?,
        })
    };
    times().ok_or_else(|| foreign(path, TIMES, "it has no runs"))
}

/// Reads what the engine's inspector says of each layer, by its name: with `--profilingVerbosity=detailed` that names
/// the nodes which a layer was made from.
///
/// # Errors
/// The file cannot be read or is something else.
pub fn read_layer_info(path: &Path) -> Result<HashMap<String, String>> {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "Layers")]
        layers: Vec<Value>,
    }
    let info: Info = read(path, LAYER_INFO)?;
    let described = info.layers.iter().filter_map(|layer| {
        // Without detail a layer is its name alone.
        let name = layer.get("Name")?.as_str()?;
        let metadata = layer.get("Metadata").and_then(Value::as_str).unwrap_or("");
        (!metadata.is_empty()).then(|| (name.to_owned(), metadata.to_owned()))
    });
    Ok(described.collect())
}
