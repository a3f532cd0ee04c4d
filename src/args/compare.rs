//! Arguments of `socc compare`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// A share, written `5%` or `0.05`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, scale) = match text.trim().strip_suffix('%') {
            Some(number) => (number, 100.0),
            None => (text, 1.0),
        };
        let value = number.trim().parse::<f64>().map(|v| v / scale);
        let value = value.ok().filter(|v| v.is_finite() && *v >= 0.0);
        value
            .map(Self)
            .ok_or("expected a share such as 5% or 0.05".to_owned())
    }
}

#[derive(Args)]
pub struct CompareArgs {
    /// Report that the other is compared with, as `socc bench --export BASE.json` wrote it
    pub base: PathBuf,
    /// Report that is compared
    pub new: PathBuf,
    /// Exit with code 1 if a stage or the whole is slower by more than this, with 95 % confidence
    #[arg(long, value_name = "SHARE", default_value = "5%")]
    pub fail_over: Share,
    /// Compare reports of different machines or settings
    #[arg(long)]
    pub force: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
