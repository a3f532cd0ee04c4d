//! A deployment compiler for SOC++ referring video segmentation.
//!
//! [`source::Source`] opens a bundle or a checkpoint and compiles its stages into a
//! [`pipeline::Pipeline`]; [`segment`] runs a whole clip with its sentences through one.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bench;
pub mod bundle;
pub mod calibrate;
pub mod dataset;
pub mod engines;
pub mod evaluate;
pub mod host;
pub mod lowering;
pub mod metrics;
pub mod pipeline;
pub mod power;
pub mod profile;
pub mod results;
pub mod roofline;
pub mod scratch;
pub mod segment;
pub mod sensitivity;
pub mod source;
pub mod verify;
