//! The numbers that define a model.

use serde::Serialize;

/// Everything that the graphs of a model depend on, apart from the weights and the clip's size.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// What turns frames into maps.
    pub backbone: Backbone,
    /// Width C of all that comes after the backbone; a multiple of 128.
    pub d_model: usize,
    /// Queries per frame Q, and as many per video.
    pub num_queries: usize,
    /// Classes K of the score head.
    pub num_classes: usize,
    /// Proxies that collect what the levels show of the sentence.
    pub num_proxies: usize,
    /// Whether every decoder layer refines the boxes of the one before.
    pub with_box_refine: bool,
    /// The deformable transformer.
    pub transformer: TransformerConfig,
    /// The temporal module (VOC).
    pub temporal: TemporalConfig,
    /// The dynamic mask head.
    pub mask: MaskConfig,
    /// The text encoder.
    pub text: TextConfig,
    /// Short side that frames are resized to, in pixels (360 where nothing is said).
    pub eval_short_size: usize,
    /// Longest that the long side may get, in pixels (640 where nothing is said).
    pub eval_max_size: usize,
}

/// What turns frames into maps at strides 4, 8, 16, 32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Backbone {
    /// A Video Swin transformer.
    VideoSwin(SwinConfig),
    /// A ResNet of bottleneck blocks, frame by frame.
    ResNet(ResNetConfig),
}

impl Backbone {
    /// The official name, such as `video-swin-t`; `video-swin (custom)` or `resnet (custom)` for other dims.
    pub fn name(&self) -> &'static str {
        match self {
            Self::VideoSwin(swin) => swin.name(),
            Self::ResNet(resnet) if resnet.blocks == [3, 4, 6, 3] => "resnet50",
            Self::ResNet(_) => "resnet (custom)",
        }
    }
}

/// Dims of a Video Swin transformer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SwinConfig {
    /// Channels of the first stage; each next stage has twice as many.
    pub embed_dim: usize,
    /// Blocks per stage.
    pub depths: Vec<usize>,
    /// Attention heads per stage.
    pub num_heads: Vec<usize>,
    /// Attention window in tokens: time, height, width.
    pub window: [usize; 3],
    /// Patch in pixels: height, width. In time a patch is one frame.
    pub patch: [usize; 2],
}

impl SwinConfig {
    fn name(&self) -> &'static str {
        let depths: &[usize] = &self.depths;
        let heads: &[usize] = &self.num_heads;
        if self.window != [8, 7, 7] || self.patch != [4, 4] {
            return "video-swin (custom)";
        }
        match (self.embed_dim, depths, heads) {
            (96, [2, 2, 6, 2], [3, 6, 12, 24]) => "video-swin-t",
            (96, [2, 2, 18, 2], [3, 6, 12, 24]) => "video-swin-s",
            (128, [2, 2, 18, 2], [4, 8, 16, 32]) => "video-swin-b",
            _ => "video-swin (custom)",
        }
    }
}

/// Dims of a ResNet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ResNetConfig {
    /// Bottleneck blocks per stage.
    pub blocks: Vec<usize>,
}

/// Dims of the deformable transformer; it always has 4 feature levels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransformerConfig {
    /// Attention heads.
    pub heads: usize,
    /// Encoder layers (0 is possible).
    pub enc_layers: usize,
    /// Decoder layers L.
    pub dec_layers: usize,
    /// Sampling points per head and level in the encoder; 0 where that has no layers.
    pub enc_points: usize,
    /// Sampling points per head and level in the decoder.
    pub dec_points: usize,
}

/// Dims of the temporal module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TemporalConfig {
    /// Attention heads.
    pub heads: usize,
    /// Layers over the frame queries (0 is possible).
    pub enc_layers: usize,
    /// Layers over the video queries.
    pub dec_layers: usize,
}

/// Dims of the mask head, whose weights are made per query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaskConfig {
    /// Channels of the feature map that the made layers run on.
    pub kernels_dim: usize,
    /// Made layers.
    pub controller_layers: usize,
    /// Channels between made layers.
    pub dynamic_channels: usize,
    /// Whether the first made layer also sees the pixel's offset from the query's reference point.
    pub rel_coord: bool,
}

impl MaskConfig {
    /// Weights and biases made per query; `None` if the number overflows.
    pub fn parameters(&self) -> Option<usize> {
        let (mid, coordinates) = (self.dynamic_channels, if self.rel_coord { 2 } else { 0 });
        let first = self
            .kernels_dim
            .checked_add(coordinates + 1)?
            .checked_mul(mid)?;
        if self.controller_layers < 2 {
            return (self.controller_layers == 1).then_some(first);
        }
        let middle = mid
            .checked_add(1)?
            .checked_mul(mid)?
            .checked_mul(self.controller_layers - 2)?;
        first.checked_add(middle)?.checked_add(mid.checked_add(1)?)
    }
}

/// Dims of the text encoder, a RoBERTa.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TextConfig {
    /// Layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Id of the padding token; positions count from the next number on.
    pub pad_token_id: i64,
    /// Epsilon of the layer normalisations.
    pub layer_norm_eps: f32,
    /// Longest sentence in tokens, with its first and last mark.
    pub max_tokens: usize,
}
