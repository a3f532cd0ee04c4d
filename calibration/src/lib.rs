//! What values a stage's tensors take, and what precision they bear.
//!
//! Observers see every activation once and keep a bounded summary; a [`table::RangeTable`] keeps what
//! follows from it. Nothing here runs a graph: whoever does feeds the activations in.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod document;
pub mod hazards;
pub mod method;
pub mod observations;
pub mod observe;
pub mod passes;
pub mod place;
pub mod plan;
pub mod precision;
pub mod rules;
pub mod scale;
pub mod state;
pub mod table;
