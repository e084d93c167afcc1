//! Evaluation: samples and logs in, [`foghorn_model::Signal`]s out.
//!
//! Owns the series table, windows, watermarks, staleness, PromQL, log matching and detectors.
//! Knows nothing of incidents, and reads no clock: ticks come from outside.

pub mod alerts;
pub mod batch;
pub mod catalog;
mod chunk;
pub mod clock;
pub mod columns;
pub mod detect;
pub mod intake;
pub mod logs;
pub mod promql;
mod read_index;
pub mod scope;
mod series;
pub mod shard;
mod unordered;
pub mod vector;
mod window;
