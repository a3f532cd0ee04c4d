//! The precisions that a stage's graph can be lowered to.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Arithmetic of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// As emitted.
    Fp32,
    /// Float16 with float32 islands.
    Fp16,
    /// Int8 products between Q/DQ pairs, float32 elsewhere: every engine runs it.
    Int8,
    /// Int8 products between Q/DQ pairs, float16 with float32 islands elsewhere: what TensorRT runs fastest.
    Int8Fp16,
}

impl Precision {
    /// All of them, from the most to the least precise.
    pub const ALL: [Self; 4] = [Self::Fp32, Self::Fp16, Self::Int8, Self::Int8Fp16];

    /// Whether products are quantised, which needs measured ranges.
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Int8 | Self::Int8Fp16)
    }

    /// Whether what is not quantised is float16.
    pub fn is_half(self) -> bool {
        matches!(self, Self::Fp16 | Self::Int8Fp16)
    }

    /// Name as users write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
            Self::Int8Fp16 => "int8-fp16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no precision; give one of {known}")
        })
    }
}
