//! Why a checkpoint's architecture could not be established.

use std::path::PathBuf;

use thiserror::Error;

/// Why a checkpoint's architecture could not be established. Every message is one sentence with the place and a remedy.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A configuration file could not be opened or read.
    #[error("{}: cannot be read ({source}); give the path of a readable file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration file is not YAML or JSON, or not a mapping.
    #[error("{}: not a usable configuration: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A setting has another type than the official code expects.
    #[error("{}: `{key}` is {got}, expected {expected}; correct the file", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting, with its section.
        key: String,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// A key that every SOC++ checkpoint has is missing.
    #[error(
        "{file}: no `{key}`, which every SOC++ checkpoint has{}; give a complete checkpoint, with the official names",
        nearest.as_ref().map(|n| format!(" (nearest: `{n}`)")).unwrap_or_default()
    )]
    Missing {
        /// The checkpoint.
        file: String,
        /// The missing key.
        key: String,
        /// The most similar key of the checkpoint.
        nearest: Option<String>,
    },
    /// A tensor's shape cannot be that of the official model's tensor of that name.
    #[error(
        "{file}: `{key}` has shape {got:?}, expected {expected}; this is not an SOC++ checkpoint that can be read"
    )]
    Shape {
        /// The checkpoint.
        file: String,
        /// The key.
        key: String,
        /// The expected shape, in words or symbols.
        expected: String,
        /// The shape found.
        got: Vec<usize>,
    },
    /// Two sources say different things about one fact.
    #[error(
        "{fact}: {first}, but {second}; use the configuration that this checkpoint was trained with"
    )]
    Disagreement {
        /// Name of the fact.
        fact: String,
        /// One source and what it says.
        first: String,
        /// The other source and what it says.
        second: String,
    },
    /// The shapes do not tell a fact and no configuration does.
    #[error("{file}: {fact} cannot be told from the checkpoint: {reason}; give {remedy}")]
    Unknown {
        /// The checkpoint.
        file: String,
        /// Name of the fact.
        fact: &'static str,
        /// Why the shapes do not tell.
        reason: String,
        /// What to give.
        remedy: &'static str,
    },
    /// The official code itself cannot run such a model.
    #[error("{file}: refused: {refusal}")]
    Refused {
        /// The checkpoint.
        file: String,
        /// The reason.
        refusal: Refusal,
    },
}

/// Why a well-formed checkpoint is refused: the official inference code cannot run it either, or it is another model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Neither SOC nor SOC++.
    #[error(
        "no SOC++ key (`{0}` and the like) is in it; give the checkpoint that the official trainer wrote, not one of a single part or of another model"
    )]
    NotSoc(&'static str),
    /// The first SOC, without SOC++'s scores.
    #[error(
        "it is a checkpoint of SOC, not SOC++: it has `voc.*` but no `voc.score_embd.*`, so its temporal module is another one; give an SOC++ checkpoint"
    )]
    PlainSoc,
    /// No proxy queries.
    #[error(
        "it has no proxies ({0}): the official forward pass averages the proxies to start its queries and fails without them; train with `use_proxymmf`"
    )]
    NoProxies(String),
    /// Not four feature levels.
    #[error(
        "it has {levels} feature levels ({origin}): the official forward pass works with 4 (three backbone maps and one convolution) and no other number"
    )]
    FeatureLevels {
        /// How many it has.
        levels: u64,
        /// Where that is said.
        origin: String,
    },
    /// Windowed temporal attention.
    #[error(
        "VOC.window_size is {0}: the official temporal encoder's windowed branch does not accept SOC++'s frame scores; only 0 runs"
    )]
    TemporalWindow(u64),
    /// Two-stage proposals.
    #[error(
        "two_stage is on ({0}): the official decoder has no proposal heads, so its forward pass fails; only one-stage models run"
    )]
    TwoStage(String),
    /// Without the vision-language loss the text feature does not exist.
    #[error(
        "vl_loss is false: the official forward pass makes the text feature only with it and fails without; set it to true if the checkpoint was trained so"
    )]
    NoTextFeature,
    /// Group normalisation cannot split the channels.
    #[error(
        "d_model is {0}: the official mask decoder normalises d_model/16 channels in 8 groups, so d_model has to be a multiple of 128"
    )]
    ModelWidth(usize),
    /// Frame and video query counts differ.
    #[error(
        "it has {frame} frame queries (`query_embed.weight`) and {video} video queries (`{key}`): the official frame scores need the same number of both"
    )]
    QueryCounts {
        /// Rows of `query_embed.weight`.
        frame: usize,
        /// Rows of the other.
        video: usize,
        /// The other's key.
        key: String,
    },
    /// As many decoder layers as queries.
    #[error(
        "it has {0} decoder layers and as many queries: the official random walk solves for one `[Q, Q]` matrix per layer, and PyTorch then takes the unit matrix for a batch of vectors, so its forward pass fails"
    )]
    LayersEqualQueries(usize),
    /// Too few sampling points in the decoder.
    #[error(
        "its decoder samples {heads} heads * 4 levels * {points} points = {} places per query: the official decoder picks the best 30 of them and fails with fewer",
        heads * 4 * points
    )]
    DecoderSamples {
        /// Attention heads.
        heads: usize,
        /// Points per head and level.
        points: usize,
    },
    /// A backbone that the official constructor does not know.
    #[error(
        "its backbone is unknown ({0}): the official constructor knows video-swin-t, video-swin-s, video-swin-b and resnet50"
    )]
    Backbone(String),
    /// A mask head that cannot run.
    #[error(
        "controller_layers is {0}: the official mask head takes its last layer for one of a single channel, which its only layer is just with dynamic_mask_channels 1"
    )]
    ControllerLayers(usize),
    /// A text encoder with another computation.
    #[error(
        "the text encoder's `{key}` is `{got}`: the official text encoder is RoBERTa with `{expected}`"
    )]
    TextEncoder {
        /// Key in `config.json`.
        key: &'static str,
        /// What it says.
        got: String,
        /// What is supported.
        expected: &'static str,
    },
}
