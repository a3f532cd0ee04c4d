//! Arguments of `socc sensitivity`.

use std::path::PathBuf;

use clap::Args;
use socc_calibration::precision::Precision;

use super::EngineArgs;

#[derive(Args)]
pub struct SensitivityArgs {
    /// A float32 bundle that `socc export` wrote
    pub bundle: PathBuf,
    /// Folder of the data set, in the layout of Ref-YouTube-VOS
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Split whose clips are run; it needs annotations
    #[arg(long, value_name = "NAME")]
    pub split: String,
    /// J&F that may be lost, in points (hundredths)
    #[arg(long, value_name = "POINTS", allow_negative_numbers = true)]
    pub budget: f64,
    /// What groups of layers are lowered to: fp16, int8 or int8-fp16
    #[arg(long, value_name = "PRECISION", default_value = "int8")]
    pub precision: Precision,
    /// Ranges that `socc calibrate` measured; int8 needs them
    #[arg(long, value_name = "TABLE")]
    pub ranges: Option<PathBuf>,
    /// Only this stage; may be repeated [default: all]
    #[arg(long = "stage", value_name = "NAME")]
    pub stages: Vec<String>,
    /// Clips to run, spread evenly over the split [default: all]
    #[arg(long, value_name = "N")]
    pub clips: Option<usize>,
    /// Precision plan to write, for `socc export --precision-plan`
    #[arg(short, long, value_name = "PLAN.json")]
    pub output: PathBuf,
    /// Go on from what an interrupted search left in PLAN.json.partial
    #[arg(long)]
    pub resume: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Folder of the tokenizer, if the bundle has none
    #[arg(long, value_name = "DIR")]
    pub tokenizer: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
