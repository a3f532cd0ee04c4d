//! The official models by name.

use std::fmt;
use std::str::FromStr;

use super::error::UnknownPreset;
use crate::config::{
    Architecture, Backbone, MaskConfig, ResNetConfig, SwinConfig, TemporalConfig, TextConfig,
    TransformerConfig,
};

/// An official full-size model, told by its backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Video Swin, tiny.
    VideoSwinT,
    /// Video Swin, small.
    VideoSwinS,
    /// Video Swin, base: the published checkpoints.
    VideoSwinB,
    /// ResNet-50.
    Resnet50,
}

impl Preset {
    /// All of them, from the smallest backbone to the largest, the ResNet last.
    pub const ALL: [Self; 4] = [
        Self::VideoSwinT,
        Self::VideoSwinS,
        Self::VideoSwinB,
        Self::Resnet50,
    ];

    /// The official name, as `backbone` has it in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::VideoSwinT => "video-swin-t",
            Self::VideoSwinS => "video-swin-s",
            Self::VideoSwinB => "video-swin-b",
            Self::Resnet50 => "resnet50",
        }
    }

    /// The dims of the official configuration (`configs/refer_youtube_vos.yaml`) with this backbone and `roberta-base`.
    pub fn architecture(self) -> Architecture {
        Architecture {
            backbone: self.backbone(),
            d_model: 256,
            num_queries: 20,
            num_classes: 1,
            num_proxies: 20,
            with_box_refine: true,
            transformer: TransformerConfig {
                heads: 8,
                enc_layers: 3,
                dec_layers: 3,
                enc_points: 4,
                dec_points: 4,
            },
            temporal: TemporalConfig {
                heads: 8,
                enc_layers: 3,
                dec_layers: 3,
            },
            mask: MaskConfig {
                kernels_dim: 8,
                controller_layers: 3,
                dynamic_channels: 8,
                rel_coord: true,
            },
            text: TextConfig {
                layers: 12,
                heads: 12,
                pad_token_id: 1,
                layer_norm_eps: 1e-5,
                max_tokens: 512,
            },
            eval_short_size: 360,
            eval_max_size: 640,
        }
    }

    fn backbone(self) -> Backbone {
        let swin = |embed_dim: usize, third: usize, heads: usize| {
            Backbone::VideoSwin(SwinConfig {
                embed_dim,
                depths: vec![2, 2, third, 2],
                num_heads: (0..4).map(|stage| heads << stage).collect(),
                window: [8, 7, 7],
                patch: [4, 4],
            })
        };
        match self {
            Self::VideoSwinT => swin(96, 6, 3),
            Self::VideoSwinS => swin(96, 18, 3),
            Self::VideoSwinB => swin(128, 18, 4),
            Self::Resnet50 => Backbone::ResNet(ResNetConfig {
                blocks: vec![3, 4, 6, 3],
            }),
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|preset| preset.name() == name)
            .ok_or_else(|| UnknownPreset(name.to_owned()))
    }
}
