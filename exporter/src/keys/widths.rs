//! Widths inside layers, read off the weights.

use crate::config::source::Shapes;
use crate::config::{Architecture, BODY, Backbone, Source};
use crate::tensor::DType;

/// Widths inside layers, which the [`Architecture`] leaves to the weights themselves. Read off one tensor each; the
/// audit then holds all others to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Widths {
    /// Hidden width of the deformable transformer's feed-forward layers.
    pub feedforward: usize,
    /// Hidden width of the temporal module's feed-forward layers.
    pub temporal_feedforward: usize,
    /// Hidden width of the text encoder.
    pub text_hidden: usize,
    /// Hidden width of the text encoder's feed-forward layers.
    pub text_intermediate: usize,
    /// Tokens that the text encoder knows.
    pub text_vocabulary: usize,
    /// Token types that the text encoder knows.
    pub text_types: usize,
    /// Hidden width of the Swin blocks' feed-forward layers, per stage.
    pub swin_hidden: Vec<usize>,
    /// ResNet: channels of the stem, then per stage the inner and the outer channels.
    pub resnet: (usize, Vec<(usize, usize)>),
}

/// A checkpoint without tensors.
struct Nothing;

impl Source for Nothing {
    fn label(&self) -> String {
        String::new()
    }
    fn entries(&self) -> Vec<(&str, DType, &[usize])> {
        Vec::new()
    }
    fn integers(&self, _: &str) -> Option<Vec<i64>> {
        None
    }
    fn reals(&self, _: &str) -> Option<Vec<f32>> {
        None
    }
}

impl Widths {
    /// The official models' widths for `arch`, where there is no checkpoint to read them off.
    pub fn official(arch: &Architecture) -> Self {
        Self::read(&Shapes::new(&Nothing), arch)
    }

    /// Reads the widths; where a tensor is missing, the official model's width stands in.
    pub(crate) fn read(shapes: &Shapes<'_>, arch: &Architecture) -> Self {
        let rows = |key: &str, default: usize| {
            shapes
                .find(key)
                .and_then(|s| s.first().copied())
                .unwrap_or(default)
        };
        let columns = |key: &str, default: usize| {
            shapes
                .find(key)
                .and_then(|s| s.get(1).copied())
                .unwrap_or(default)
        };
        let embed = match &arch.backbone {
            Backbone::VideoSwin(swin) => swin.embed_dim,
            Backbone::ResNet(_) => 0,
        };
        let words = "text_encoder.embeddings.word_embeddings.weight";
        let text_hidden = columns(words, 768);
        let resnet = (0..4).map(|i| {
            let block = format!("{BODY}.layer{}.0", i + 1);
            (
                rows(&format!("{block}.conv1.weight"), 64 << i),
                rows(&format!("{block}.conv3.weight"), 256 << i),
            )
        });
        Self {
            feedforward: rows("transformer.decoder.layers.0.linear1.weight", 2048),
            temporal_feedforward: rows("voc.transformer_ffn_layers.0.linear1.weight", 2048),
            text_hidden,
            text_intermediate: rows(
                "text_encoder.encoder.layer.0.intermediate.dense.weight",
                text_hidden.saturating_mul(4),
            ),
            text_vocabulary: rows(words, 50265),
            text_types: rows("text_encoder.embeddings.token_type_embeddings.weight", 1),
            swin_hidden: (0..4)
                .map(|i| {
                    let key = format!("{BODY}.layers.{i}.blocks.0.mlp.fc1.weight");
                    rows(&key, embed.saturating_mul(4 << i))
                })
                .collect(),
            resnet: (rows(&format!("{BODY}.conv1.weight"), 64), resnet.collect()),
        }
    }

    /// Channels of the backbone's maps at strides 4, 8, 16, 32.
    pub(super) fn maps(&self, backbone: &Backbone) -> [usize; 4] {
        std::array::from_fn(|i| match backbone {
            Backbone::VideoSwin(swin) => swin.embed_dim.saturating_mul(1 << i),
            Backbone::ResNet(_) => self.resnet.1.get(i).map_or(0, |(_, outer)| *outer),
        })
    }
}
