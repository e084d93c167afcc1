//! Bytes to model and back: one file a format.
//!
//! Owns what bytes mean: OTLP, remote write, JSON metrics and logs, the edges between services
//! that traces show, change events and alerts on the way in ([`Decoder`]); CloudEvents and
//! webhooks on the way out ([`out`]). Knows no topic, no
//! socket, no clock, no rule.
//!
//! A decoder walks a record once, borrowed, and writes into a [`foghorn_model::SampleSink`]. A
//! series' key is a hash of its parts as they stand in the bytes, so labels are built only for a
//! series that the sink does not know; for a known one nothing is allocated. No bytes make a
//! decoder panic, recurse without bound, or take memory without bound.

mod alerts;
mod bounds;
mod changes;
mod compression;
mod decoder;
mod event_id;
mod format;
mod json;
mod mimir;
mod naming;
mod options;
mod otlp;
mod pairs;
mod presets;
mod proto;
mod remote_write;
mod remote_write_2;
mod severity;
mod time;

pub mod encode;
pub mod out;
pub mod recording;

pub use compression::decompress;
pub use decoder::Decoder;
pub use event_id::EventId;
pub use format::{Compression, Format, UnknownFormat};
pub use mimir::mimir_version;
pub use options::{
    ChangeMapping, DecodeOptions, JsonLogMapping, JsonMetricMapping, LineSource, Names,
    StreamLabel, TraceOptions, Translation,
};
pub use presets::Preset;
