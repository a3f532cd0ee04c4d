//! The stages that weights serve.

use std::fmt;

use serde::{Serialize, Serializer};

/// The stage that a weight serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// RoBERTa and the projection of its words.
    TextEncoder,
    /// The backbone and the projections of its maps.
    VisualBackbone,
    /// Text into levels, levels into proxies, proxies into text.
    Fusion,
    /// The deformable transformer with its queries and, where boxes are refined, the box heads.
    Transformer,
    /// The temporal module, query fusion, score and box heads.
    Temporal,
    /// The spatial decoder and the controller.
    MaskHead,
}

impl Stage {
    /// All stages in the order of the data.
    pub const ALL: [Self; 6] = [
        Self::TextEncoder,
        Self::VisualBackbone,
        Self::Fusion,
        Self::Transformer,
        Self::Temporal,
        Self::MaskHead,
    ];

    /// The stage's name in bundles.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextEncoder => "text_encoder",
            Self::VisualBackbone => "visual_backbone",
            Self::Fusion => "fusion",
            Self::Transformer => "transformer",
            Self::Temporal => "temporal",
            Self::MaskHead => "mask_head",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
