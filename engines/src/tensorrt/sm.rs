//! Compute capabilities of GPUs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A compute capability, ten times the major number plus the minor one: 89 is 8.9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sm(pub u32);

impl fmt::Display for Sm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Sm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.split_once('.').map(|(major, minor)| {
            // Of 8.9 and 12.0; a minor number has one digit.
            (minor.len() == 1).then(|| format!("{major}{minor}"))
        });
        let digits = match plain {
            None => Some(text.to_owned()),
            Some(digits) => digits,
        };
        let parsed = digits.and_then(|d| d.parse().ok());
        match parsed {
            Some(sm @ 50..=999) => Ok(Self(sm)),
            _ => Err(format!(
                "`{text}` is no compute capability; write 89 or 8.9"
            )),
        }
    }
}

/// Several of them, for a sentence.
pub(crate) fn list(sms: &[Sm]) -> String {
    let names: Vec<String> = sms.iter().map(Sm::to_string).collect();
    names.join(", ")
}

/// What has a compute capability that TensorRT-RTX lacks, so that people know whether they meant it.
pub(crate) fn hint(sm: Sm) -> &'static str {
    match sm.0 {
        53 | 62 | 72 | 87 | 101 | 110 => " (a Jetson)",
        70 => " (a V100)",
        90 => " (an H100 or H200)",
        100 | 103 => " (a B200 or B300)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        assert_eq!("89".parse(), Ok(Sm(89)));
        assert_eq!("8.9".parse(), Ok(Sm(89)));
        assert_eq!("12.0".parse(), Ok(Sm(120)));
        for bad in ["", "8", "x", "8.", "8.90", "-86", "99999999999", "8.9.1"] {
            let message = bad.parse::<Sm>().unwrap_err();
            assert!(message.contains("is no compute capability"), "{message}");
        }
    }
}
