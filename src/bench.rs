//! The latency lab: measures a pipeline stage by stage, and says how far the figures can be trusted.
//!
//! [`measure`] runs a [`Workload`] through a pipeline and gives a [`Report`], whose JSON form `docs/bench-schema.md`
//! describes. [`export`] writes a report as JSON, CSV, Markdown, a Perfetto trace or a page of HTML; [`compare`] sets
//! two reports against each other.

mod bootstrap;
mod clock;
pub mod compare;
pub mod environment;
mod error;
pub mod export;
mod measure;
pub mod memory;
mod report;
mod sampler;
mod stats;
#[cfg(test)]
mod tests;
pub mod units;
mod warnings;
mod workload;

pub use bootstrap::{Interval, median_ratio};
pub use clock::Timer;
pub use error::{BenchError, Result};
pub use measure::{Hooks, Setup, measure};
pub use report::{
    Amortisation, BreakdownSummary, Cold, FileHash, Mode, Report, SCHEMA, SCHEMA_VERSION, Series,
    Settings, SourceHashes, StageFigures, Throughput,
};
pub use sampler::{Plan, repeat};
pub use stats::{Summary, quantile};
pub use warnings::Warning;
pub use workload::{Input, Lap, Span, Workload, synthetic_frames};
