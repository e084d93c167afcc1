//! What runs the engine for people: replay of recordings, unit tests of rules, evaluations, the
//! demo. Makes no decision of the domain and knows no Kafka.

pub mod anomalies;
pub mod demo;
pub mod replay;
pub mod sample;
mod span_of;
pub mod unit;

pub use demo::{Demo, DemoError, DemoOptions, DemoSummary, Told};
pub use replay::{Books, RuleRow, Summary, replay};
pub use span_of::span_of;
