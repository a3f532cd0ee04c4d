//! The command line, end to end, on the small model and the golden cases in `tests/fixtures`.
#![allow(clippy::unwrap_used)]

mod annotated_frame;
mod bad_bundle;
mod bad_input;
mod bench;
mod build;
mod calibrate;
mod compare;
mod demo;
mod engines;
mod eval;
mod eval_run;
mod export;
mod golden;
mod gpu;
mod inspect;
mod onnx_check;
mod precision;
mod profile;
mod run;
mod stream;
mod support;
mod trtexec;
