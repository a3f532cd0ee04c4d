//! What the machine draws while something runs, from whatever sensors it has.
//!
//! [`Sampler`] reads every sensor beside the runs; [`Figures`] says what it saw. Each sensor covers something else, and
//! says what: figures of different sensors are not added up.

mod hwmon;
mod nvidia;
mod rapl;
mod sampler;
mod tegrastats;

use serde::{Deserialize, Serialize};

pub use sampler::{Sampler, Trace};

/// Power in watts.
pub type Watts = f64;
/// Energy in joules.
pub type Joules = f64;

/// Why there are no figures, for people.
pub const NO_SENSOR: &str = "no power sensor was found: there is no INA3221 or tegrastats (Jetson), no nvidia-smi, and no \
                             readable RAPL counter (/sys/class/powercap, which only root may read on most systems)";

/// Rails that hold the whole module, where a board has one.
const WHOLE: [&str; 3] = ["VDD_IN", "POM_5V_IN", "VIN"];
/// Rails that are fed from another one in the list, or are none.
const WITHIN: [&str; 2] = ["VDDQ_VDD2_1V8AO", "NC"];

/// What one look at a sensor tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Power of each rail or part.
    pub rails: Vec<(String, Watts)>,
    /// Temperatures in degrees Celsius.
    pub temperatures_c: Vec<(String, f64)>,
    /// Clocks in MHz.
    pub clocks_mhz: Vec<(String, f64)>,
}

impl Reading {
    /// Power of everything that the sensor covers: the rail that holds the others, or their sum.
    pub fn total_w(&self) -> Option<Watts> {
        let whole = WHOLE.iter().find_map(|name| {
            let rail = self.rails.iter().find(|(rail, _)| rail == name)?;
            Some(rail.1)
        });
        let parts = self
            .rails
            .iter()
            .filter(|(rail, _)| !WITHIN.contains(&rail.as_str()));
        let sum = (!self.rails.is_empty()).then(|| parts.map(|(_, w)| w).sum());
        whole.or(sum)
    }
}

/// A source of readings.
trait Sensor: Send {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it covers.
    fn covers(&self) -> &'static str;

    /// What it tells now; `None` if nothing new.
    fn read(&mut self) -> Option<Reading>;
}

/// Every sensor of this machine. Of the two ways to a Jetson's rails the direct one is taken where it is open.
fn sensors() -> Vec<Box<dyn Sensor>> {
    let root = std::path::Path::new("/");
    let mut found: Vec<Box<dyn Sensor>> = Vec::new();
    match hwmon::Ina3221::find(root) {
        Some(sensor) => found.push(Box::new(sensor)),
        None => {
            found.extend(tegrastats::Tegrastats::start().map(|s| Box::new(s) as Box<dyn Sensor>))
        }
    }
    found.extend(nvidia::Smi::start().map(|s| Box::new(s) as Box<dyn Sensor>));
    found.extend(rapl::Rapl::find(root).map(|s| Box::new(s) as Box<dyn Sensor>));
    found
}

/// A part of what a sensor saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rail {
    /// Its name.
    pub name: String,
    /// On average.
    pub mean_w: Watts,
    /// At most.
    pub peak_w: Watts,
}

/// A temperature or a clock over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// Of what.
    pub name: String,
    /// On average.
    pub mean: f64,
    /// At least.
    pub min: f64,
    /// At most.
    pub max: f64,
}

/// What one sensor saw during the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorFigures {
    /// The sensor.
    pub sensor: String,
    /// What it covers.
    pub covers: String,
    /// Readings.
    pub samples: usize,
    /// On average.
    pub mean_w: Watts,
    /// At most.
    pub peak_w: Watts,
    /// Mean power times the time of the runs, over their number.
    pub joules_per_clip: Joules,
    /// Its parts.
    pub rails: Vec<Rail>,
    /// Temperatures in degrees Celsius.
    pub temperatures_c: Vec<Course>,
    /// Clocks in MHz.
    pub clocks_mhz: Vec<Course>,
}

/// What the machine drew during the runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// What each sensor saw.
    pub sensors: Vec<SensorFigures>,
    /// Why there is nothing, if so.
    pub note: Option<String>,
}
