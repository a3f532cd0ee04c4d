//! Where float16 is known to go wrong in SOC++: what stays in float32 whatever was measured.

use socc_exporter::graph::Node;

use crate::place::Place;

/// A place that stays in float32, and why.
#[derive(Debug, Clone, Copy)]
pub struct Hazard {
    /// Which nodes.
    pub place: Place,
    /// Why.
    pub reason: &'static str,
    /// Whether elementwise steps on the result alone stay in float32 too, rather than being cast back at once.
    pub sticky: bool,
}

/// The hazards; the first that fits a node counts.
pub const HAZARDS: [Hazard; 10] = [
    Hazard {
        place: Place::Within("bmrw"),
        reason: "the random walk sums a series of matrix powers: rounding errors would add up",
        sticky: false,
    },
    Hazard {
        place: Place::Within("dynamic_mask_head"),
        reason: "relative coordinates are differences of large products, in pixels of the frame",
        sticky: false,
    },
    Hazard {
        place: Place::Within("boxes"),
        reason: "inverse sigmoids of references near 0 and 1 need more digits than float16 has",
        sticky: true,
    },
    Hazard {
        place: Place::Scope("transformer.decoder"),
        reason: "inverse sigmoids of references near 0 and 1 need more digits than float16 has",
        sticky: true,
    },
    Hazard {
        place: Place::Within("text_pos"),
        reason: "positions are angles of up to 2 pi times a rate, whose sine needs their digits",
        sticky: true,
    },
    Hazard {
        place: Place::Within("voc.match"),
        reason: "frame scores are means of cosines that differ little",
        sticky: false,
    },
    Hazard {
        place: Place::Within("voc.change"),
        reason: "frame scores see small differences from a running mean",
        sticky: false,
    },
    Hazard {
        place: Place::Within("select"),
        reason: "the order of the scores decides which query is the answer",
        sticky: false,
    },
    Hazard {
        place: Place::Within("class_embed"),
        reason: "the order of the scores decides which query is the answer",
        sticky: false,
    },
    Hazard {
        place: Place::Operators(&[
            "CumSum",
            "InstanceNormalization",
            "LayerNormalization",
            "Log",
            "ReduceL2",
            "ReduceMean",
            "ReduceSum",
            "Sin",
            "Sqrt",
        ]),
        reason: "sums over many elements, and functions steep near 0, lose digits or overflow in float16",
        sticky: false,
    },
];

/// The hazard that a node is, if it is one.
pub fn hazard(node: &Node) -> Option<&'static Hazard> {
    HAZARDS.iter().find(|h| h.place.has(node))
}
