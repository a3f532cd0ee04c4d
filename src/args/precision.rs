//! Arguments that say what precision stages get.

use std::path::PathBuf;

use clap::Args;
use regex::Regex;
use socc::lowering::{Precisions, Request};
use socc_calibration::plan::PrecisionPlan;
use socc_calibration::rules::RuleSet;
use socc_calibration::table::RangeTable;

#[derive(Args)]
pub struct PrecisionArgs {
    /// fp32, fp16, int8 or int8-fp16 for all stages, or STAGE=PRECISION,... [default: fp32]
    #[arg(long, value_name = "PRECISION", conflicts_with = "precision_plan")]
    pub precision: Option<Precisions>,
    /// Ranges that `socc calibrate` measured: int8 needs them, fp16 finds what would overflow
    #[arg(long, value_name = "TABLE")]
    pub ranges: Option<PathBuf>,
    /// Nodes (SCOPE/OPERATOR_N) that match stay in float32
    #[arg(long, value_name = "REGEX")]
    pub keep_fp32: Option<String>,
    /// Which products int8 quantises: default, or naive (everything, to compare with)
    #[arg(long, value_name = "SET", default_value = "default")]
    pub rules: RuleSet,
    /// Precision plan that `socc sensitivity` wrote
    #[arg(long, value_name = "FILE")]
    pub precision_plan: Option<PathBuf>,
}

impl PrecisionArgs {
    /// Reads the files that are named.
    pub fn request(&self) -> anyhow::Result<Request> {
        let keep = self.keep_fp32.as_deref();
        let plan = self.precision_plan.as_deref();
        Ok(Request {
            precisions: self.precision.clone().unwrap_or_default(),
            ranges: self.ranges.as_deref().map(RangeTable::read).transpose()?,
            keep_fp32: keep.map(expression).transpose()?,
            rules: self.rules,
            plan: plan
                .map(|path| PrecisionPlan::read(path).map(|plan| (path.to_owned(), plan)))
                .transpose()?,
        })
    }
}

fn expression(text: &str) -> anyhow::Result<Regex> {
    // The error of `Regex` draws a picture over several lines.
    Regex::new(text).map_err(|_| {
        anyhow::anyhow!(
            "--keep-fp32 `{text}` is no regular expression; escape what is not one with \\"
        )
    })
}
