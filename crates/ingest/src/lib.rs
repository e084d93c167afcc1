//! Sources: Kafka partitions, HTTP bodies and recorded files, as records for a sink.
//!
//! Knows formats, compressions and timestamps; knows nothing of rules, nor of what becomes of a
//! sample.

pub mod config;
pub mod dedup;
pub mod feeder;
pub mod files;
pub mod specimen;
pub mod suggest;

pub use config::{KafkaConfig, SourceConfig, Span};
pub use dedup::{DedupConfig, DedupState, DedupStats};
pub use feeder::{Feeder, Raw};
pub use files::{FileError, FileSpec, Recording, Records};
pub use specimen::Specimen;
