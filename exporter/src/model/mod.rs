//! The stages of SOC++, one file each, in the order in which data flows through them.

mod fusion;
mod mask_head;
#[cfg(test)]
mod parts;
mod resnet;
mod sections;
mod swin;
mod swin_block;
mod temporal;
mod text_encoder;
mod transformer;
mod visual_backbone;
mod windows;

use std::fmt;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::checkpoint::Checkpoint;
use crate::config::{Architecture, Backbone};
use crate::error::{ExportError, Result};
use crate::graph::Graph;
pub use crate::nn::Deformable;
use crate::nn::Level;
use crate::weights::Weights;

/// How often a stage runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rate {
    /// Once per expression.
    Expression,
    /// Once per clip, however many expressions.
    Clip,
    /// Once per clip and expression.
    ClipExpression,
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expression => "expression",
            Self::Clip => "clip",
            Self::ClipExpression => "clip x expression",
        })
    }
}

/// What to compile for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Frames per clip, T.
    pub frames: usize,
    /// Height of a frame, H, in pixels.
    pub height: usize,
    /// Width of a frame, W, in pixels.
    pub width: usize,
    /// Lowering of deformable attention.
    pub deformable: Deformable,
    /// Frames for which tensors wider than a stage's outputs are made at once. Stages that look at one frame at a
    /// time take no more than these, and run once for each such chunk of the clip.
    pub frames_at_once: NonZeroUsize,
    /// Adds the golden intermediates as outputs, and masks of all queries.
    pub probe: bool,
    /// What is once per clip and expression takes one frame of the clip, [`Request::kept_frame`], and gives
    /// the masks of all queries: how single annotated frames are evaluated.
    pub annotated_frame: bool,
}

impl Request {
    /// The only frame of which anything goes on behind the stages that are once per clip, if there is one.
    pub fn kept_frame(&self) -> Option<usize> {
        self.annotated_frame.then_some(self.frames / 2)
    }

    /// Whether there are masks of all queries, or else of the selected one.
    pub(crate) fn all_queries(&self) -> bool {
        self.probe || self.annotated_frame
    }

    /// Frames of the clip that stages of some rate look at.
    pub fn frames_of(&self, rate: Rate) -> usize {
        match self.annotated_frame && rate == Rate::ClipExpression {
            true => 1,
            false => self.frames,
        }
    }

    /// What a stage is built for.
    fn of(&self, stage: &str, rate: Rate) -> Self {
        let mut own = *self;
        own.frames = self.frames_of(rate);
        if PER_FRAME.contains(&stage) {
            own.frames = own.frames.min(self.frames_at_once.get());
        }
        own
    }
}

/// One stage, ready to be written or run.
#[derive(Debug)]
pub struct StageGraph {
    /// Name of the stage.
    pub name: &'static str,
    /// How often it runs.
    pub rate: Rate,
    /// Its graph.
    pub graph: Graph,
}

/// What [`Request::frames_at_once`] is where nothing speaks for another number.
pub const FRAMES_AT_ONCE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(15);

/// Stages whose frames do not know of each other: deformable attention stays within a frame, and so does
/// the mask of a query that is chosen.
pub const PER_FRAME: [&str; 2] = ["transformer", "mask_head"];

/// Every stage and how often it runs, in the order of the data.
pub const STAGES: [(&str, Rate); 6] = [
    ("text_encoder", Rate::Expression),
    ("visual_backbone", Rate::Clip),
    ("fusion", Rate::ClipExpression),
    ("transformer", Rate::ClipExpression),
    ("temporal", Rate::ClipExpression),
    ("mask_head", Rate::ClipExpression),
];

/// Emits all stages.
///
/// # Errors
/// The clip's shape is impossible, or a weight is missing or has the wrong shape.
pub fn build(
    checkpoint: &Arc<Checkpoint>,
    arch: &Architecture,
    request: &Request,
) -> Result<Vec<StageGraph>> {
    let stages = STAGES.iter();
    let stages = stages.map(|(name, _)| build_stage(checkpoint, arch, request, name));
    stages.collect()
}

/// Emits one stage of [`STAGES`].
///
/// # Errors
/// As [`build`]; or there is no such stage.
pub fn build_stage(
    checkpoint: &Arc<Checkpoint>,
    arch: &Architecture,
    request: &Request,
    stage: &str,
) -> Result<StageGraph> {
    type Emit = fn(&mut Graph, &Weights, &Shapes) -> Result<()>;
    let emitters: [Emit; STAGES.len()] = [
        text_encoder::emit,
        visual_backbone::emit,
        fusion::emit,
        transformer::emit,
        temporal::emit,
        mask_head::emit,
    ];
    let mut stages = STAGES.into_iter().zip(emitters);
    let Some(((name, rate), emit)) = stages.find(|((name, _), _)| *name == stage) else {
        let reason = format!("there is no stage `{stage}`");
        return Err(ExportError::Request(reason));
    };
    let shapes = Shapes::new(arch, &request.of(name, rate))?;
    let mut graph = Graph::new(name);
    emit(&mut graph, &Weights::new(Arc::clone(checkpoint)), &shapes)?;
    Ok(StageGraph { name, rate, graph })
}

/// Smallest side of a frame, in pixels, that the pyramid of strides 4 to 64 leaves meaningful.
pub const MIN_SIDE: usize = 32;

/// Elements that a tensor may have: engines count them in 32 bits.
const MAX_ELEMENTS: usize = i32::MAX as usize;

/// Everything that follows from architecture and clip shape alone.
pub(crate) struct Shapes {
    arch: Architecture,
    request: Request,
    /// The backbone's maps at strides 4, 8, 16, 32.
    maps: [Level; 4],
    /// The fused levels at strides 8, 16, 32, 64.
    levels: [Level; 4],
}

impl Shapes {
    fn new(arch: &Architecture, request: &Request) -> Result<Self> {
        let (t, h, w) = (request.frames, request.height, request.width);
        if t == 0 {
            let reason = "a clip needs at least one frame; got T = 0";
            return Err(ExportError::Request(reason.to_owned()));
        }
        if h < MIN_SIDE || w < MIN_SIDE {
            return Err(ExportError::Request(format!(
                "frames must be at least {MIN_SIDE}x{MIN_SIDE} pixels when the model sees them; got {h}x{w}; take a \
                 larger size"
            )));
        }
        refuse_huge(arch, request)?;
        // Patch embedding pads to whole patches, merging to even sides, convolutions round up:
        // every step halves upwards.
        let half = |l: Level| Level {
            height: l.height.div_ceil(2),
            width: l.width.div_ceil(2),
        };
        let c2 = Level {
            height: h.div_ceil(4),
            width: w.div_ceil(4),
        };
        let (c3, c4) = (half(c2), half(half(c2)));
        let c5 = half(c4);
        Ok(Self {
            arch: arch.clone(),
            request: *request,
            maps: [c2, c3, c4, c5],
            levels: [c3, c4, c5, half(c5)],
        })
    }

    /// Ranges of the frames that are computed at once.
    fn sections(&self) -> Vec<Range<usize>> {
        sections::ranges(self.request.frames, self.request.frames_at_once.get())
    }

    /// Positions of all levels of one frame.
    fn positions(&self) -> usize {
        self.levels.iter().map(|l| l.len()).sum()
    }

    fn level_lengths(&self) -> [usize; 4] {
        self.levels.map(Level::len)
    }
}

/// Refuses a clip whose widest tensors no engine could count, before anything is made for its positions.
fn refuse_huge(arch: &Architecture, request: &Request) -> Result<()> {
    let (t, q) = (request.frames, arch.num_queries);
    let at_once = t.min(request.frames_at_once.get());
    let positions = request
        .height
        .div_ceil(4)
        .saturating_mul(request.width.div_ceil(4));
    // Channels at stride 4: of the map, and of a block's hidden layer.
    let (map, hidden) = match &arch.backbone {
        Backbone::VideoSwin(swin) => (swin.embed_dim, swin.embed_dim.saturating_mul(4)),
        Backbone::ResNet(_) => (256, 256),
    };
    // Of the whole clip: the map, and the scores of the proxies against stride 8.
    let scores = arch.num_proxies.saturating_mul(2);
    let whole = t.saturating_mul(positions).saturating_mul(map.max(scores));
    // Of what is computed at once: the hidden layer; sampled values of the levels from stride 8 on, which have a third
    // as many positions; attention to all frames' queries.
    let sampled = arch.d_model.saturating_mul(arch.transformer.enc_points) / 3;
    let section = at_once
        .saturating_mul(positions)
        .saturating_mul(hidden.max(sampled));
    let attention = at_once
        .saturating_mul(q)
        .saturating_mul(t.saturating_mul(q))
        .saturating_mul(arch.temporal.heads);
    let widest = whole.max(section).max(attention);
    if widest <= MAX_ELEMENTS {
        return Ok(());
    }
    Err(ExportError::Request(format!(
        "a clip of {t} frames of {}x{} pixels is too large: one tensor of it would have {widest} elements, and engines \
         count up to {MAX_ELEMENTS}; take fewer frames (a bundle runs a longer video in windows) or a smaller size",
        request.height, request.width
    )))
}
