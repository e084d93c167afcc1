//! The engine: N [`foghorn_eval`] shards (per series) and one core (across series), each a pure
//! step over its inputs; the sequencer of ticks; the entries of the signal log; the read model.
//!
//! Knows no tokio, no Kafka and no disk.

pub mod brain;
pub mod core;
pub mod entry;
pub mod history;
mod matches;
pub mod query;
mod resolved;
pub mod sequencer;
pub mod view;

pub use brain::{Advance, Brain, INCIDENT_RETENTION_MS, LogState, Sources};
pub use core::Recorded;
pub use entry::{Command, Entry, GroupKey, Pin, RuleFile, ScopeNews};
pub use history::History;
pub use query::{Answer, Query, QueryError};
pub use resolved::RESOLVED_RETENTION_MS;
pub use view::{AlertKey, AlertView, GroupView, Health, ResolvedView, RuleView, View};
