//! A deployment compiler for SOC++ referring video segmentation.
pub mod host;
