//! Arguments of `socc calibrate`.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, ValueEnum};
use socc_calibration::method::Method;

use super::EngineArgs;

#[derive(Args)]
pub struct CalibrateArgs {
    /// A bundle that `socc export` wrote in fp32
    pub bundle: PathBuf,
    /// Folder of a data set in the layout of Ref-YouTube-VOS
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Split of the data set
    #[arg(long, value_name = "NAME")]
    pub split: String,
    /// Clips to run, spread evenly over the split [default: all]
    #[arg(long, value_name = "N")]
    pub clips: Option<usize>,
    /// How the int8 range of a tensor is chosen from what was seen
    #[arg(long, value_enum, default_value = "mse")]
    pub method: MethodName,
    /// Percentage of values that `--method percentile` does not clip [default: 99.99]
    #[arg(long, value_name = "P")]
    pub percentile: Option<f64>,
    /// The table to write
    #[arg(short, long, value_name = "TABLE.json")]
    pub output: PathBuf,
    /// Go on from TABLE.json.partial, which an interrupted run has left
    #[arg(long)]
    pub resume: bool,
    /// Folder of the tokenizer, where the bundle has none
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Memory for the values of one piece of a graph, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub memory: usize,
    /// Print a summary of the table as JSON
    #[arg(long)]
    pub json: bool,
}

impl CalibrateArgs {
    /// The method with its parameter.
    pub fn method(&self) -> anyhow::Result<Method> {
        let percentile = self.percentile.unwrap_or(Method::DEFAULT_PERCENTILE);
        Ok(match self.method {
            MethodName::Percentile if percentile > 0.0 && percentile <= 100.0 => {
                Method::Percentile(percentile)
            }
            MethodName::Percentile => {
                bail!("--percentile is {percentile}; give more than 0 and at most 100")
            }
            _ if self.percentile.is_some() => {
                bail!("--percentile needs --method percentile")
            }
            MethodName::Max => Method::Max,
            MethodName::Entropy => Method::Entropy,
            MethodName::Mse => Method::Mse,
        })
    }
}

/// [`Method`] on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub enum MethodName {
    /// The largest magnitude
    Max,
    /// Least Kullback-Leibler divergence of the quantised distribution
    Entropy,
    /// A percentage of all values, see --percentile
    Percentile,
    /// Least squared error
    Mse,
}
