//! The checkpoint reader against PyTorch: what it reads from every form that a trained model comes in, and what it says
//! about files that are none.

#![allow(clippy::unwrap_used)]

#[path = "checkpoint/bad.rs"]
mod bad;
#[path = "checkpoint/good.rs"]
mod good;
#[path = "checkpoint/random.rs"]
mod random;
#[path = "checkpoint/support.rs"]
mod support;
