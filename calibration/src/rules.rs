//! Where Q/DQ pairs go: one table, each line with its reason and the fusion that it serves.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use socc_exporter::graph::Node;

use crate::place::Place;

/// What a rule does with the nodes that it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leaves them alone.
    Keep,
    /// Pairs on the first operand (one scale) and on the constant second one (a scale per output channel); the bias
    /// stays a float.
    Product,
    /// A pair on the operand that a convolution made; the other one, the residual, stays as it is.
    Residual,
    /// Pairs on every computed float operand, and one scale for a constant one.
    Everything,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Name, under which the manifest lists what it quantised.
    pub name: &'static str,
    /// Operators that it means.
    pub operators: &'static [&'static str],
    /// Where.
    pub place: Place,
    /// What it does.
    pub action: Action,
    /// Why.
    pub reason: &'static str,
    /// The TensorRT fusion that it serves or spares.
    pub fusion: &'static str,
}

/// Which table of rules holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleSet {
    /// [`DEFAULT`].
    #[default]
    Default,
    /// [`NAIVE`].
    Naive,
}

impl RuleSet {
    /// Its rules; the first that means a node counts.
    pub fn rules(self) -> &'static [Rule] {
        match self {
            Self::Default => &DEFAULT,
            Self::Naive => &NAIVE,
        }
    }

    /// The rule for a node, if one means it.
    pub fn rule(self, node: &Node) -> Option<&'static Rule> {
        let means = |r: &&Rule| r.operators.contains(&node.op) && r.place.has(node);
        self.rules().iter().find(means)
    }
}

impl FromStr for RuleSet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self::Default),
            "naive" => Ok(Self::Naive),
            _ => Err(format!(
                "`{text}` is no set of rules; give default or naive"
            )),
        }
    }
}

const PRODUCTS: &[&str] = &["Gemm", "Conv"];

/// The rules worth having. What none of them means stays as it is: LayerNorm, softmax, bias tables, the products of
/// attention.
pub const DEFAULT: [Rule; 11] = [
    Rule {
        name: "sampling offsets",
        operators: PRODUCTS,
        place: Place::Module("sampling_offsets"),
        action: Action::Keep,
        reason: "offsets are coordinates: one step of int8 is a noticeable part of a pixel",
        fusion: "none: the float product feeds coordinate arithmetic",
    },
    Rule {
        name: "boxes",
        operators: PRODUCTS,
        place: Place::Module("bbox_embed"),
        action: Action::Keep,
        reason: "boxes become the next layer's reference points",
        fusion: "none: three small products",
    },
    Rule {
        name: "scores",
        operators: PRODUCTS,
        place: Place::Module("class_embed"),
        action: Action::Keep,
        reason: "the order of the scores decides which query is the answer",
        fusion: "none: one column",
    },
    Rule {
        name: "frame scores",
        operators: PRODUCTS,
        place: Place::Module("score_embd"),
        action: Action::Keep,
        reason: "the scores weigh whole frames",
        fusion: "none: one row per frame",
    },
    Rule {
        name: "frame changes",
        operators: PRODUCTS,
        place: Place::Module("diff_embd"),
        action: Action::Keep,
        reason: "the scores weigh whole frames",
        fusion: "none: one row per frame",
    },
    Rule {
        name: "mask controller",
        operators: PRODUCTS,
        place: Place::Module("controller"),
        action: Action::Keep,
        reason: "its results are the weights of the mask head, which multiply coordinates of hundreds of pixels",
        fusion: "none: one row per query",
    },
    Rule {
        name: "stem",
        operators: PRODUCTS,
        place: Place::Module("patch_embed"),
        action: Action::Keep,
        reason: "three input channels fill no int8 tile, and every later error starts here",
        fusion: "none: TensorRT fuses normalisation and stem in float",
    },
    Rule {
        name: "stem of ResNet",
        operators: PRODUCTS,
        place: Place::Scope("backbone.0.body.conv1"),
        action: Action::Keep,
        reason: "three input channels fill no int8 tile, and every later error starts here",
        fusion: "none: TensorRT fuses normalisation and stem in float",
    },
    Rule {
        name: "linear",
        operators: &["Gemm"],
        place: Place::Anywhere,
        action: Action::Product,
        reason: "most of the arithmetic; weights differ most between output channels",
        fusion: "Q/DQ + MatMul + bias into one int8 GEMM with a dequantising epilogue",
    },
    Rule {
        name: "convolution",
        operators: &["Conv"],
        place: Place::Anywhere,
        action: Action::Product,
        reason: "most of the arithmetic of ResNet and of the spatial decoder",
        fusion: "Q/DQ + Conv + bias into one int8 convolution",
    },
    Rule {
        name: "residual add",
        operators: &["Add"],
        place: Place::Anywhere,
        action: Action::Residual,
        reason: "the branch's result is fresh from a product; the residual keeps its digits",
        fusion: "Conv + Add + ReLU: the convolution's epilogue writes int8 and adds the residual",
    },
];

/// Everything, with one scale for each tensor: what a tool does that knows nothing of the model. Here to be compared with.
pub const NAIVE: [Rule; 1] = [Rule {
    name: "everything",
    operators: &[
        "Add",
        "Conv",
        "Gemm",
        "GridSample",
        "LayerNormalization",
        "MatMul",
        "Mul",
        "Softmax",
    ],
    place: Place::Anywhere,
    action: Action::Everything,
    reason: "none",
    fusion: "whatever comes of it",
}];
