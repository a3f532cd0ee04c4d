//! The command line, end to end, on the small model and the golden cases in `tests/fixtures`.
#![allow(clippy::unwrap_used)]

mod bad_bundle;
mod bad_input;
mod bench;
mod calibrate;
mod demo;
mod export;
mod golden;
mod gpu;
mod inspect;
mod onnx_check;
mod run;
mod support;
