//! What survives a crash: the signal log, the outbox, snapshots, and the journal of what came by HTTP; where
//! others may take over, log and snapshots in topics. The only room that writes state to disk.
//!
//! Owns file formats and their versions, locks, fsync order and recovery of torn files. Refuses to
//! guess: a file that ends in the middle of a record is cut there, loudly; anything else that it
//! cannot read is an error that says what to do. Knows nothing about how effects arose.

pub mod error;
mod frame;
pub mod journal;
mod lock;
mod numbers;
pub mod outbox;
mod segment;
pub mod shared_log;
pub mod signal_log;
mod snapshot_topic;
mod snapshots;

#[cfg(test)]
mod fixtures;

pub use error::StoreError;
pub use journal::{Journal, Kept, Replay};
pub use outbox::{Acknowledged, Outbox, OutboxItem, Unsaved};
pub use segment::probe;
pub use shared_log::{GivenUp, LogClients, SharedLog};
pub use signal_log::SignalLog;
pub use snapshot_topic::SnapshotTopic;
pub use snapshots::{PartKind, SnapshotWriter, Snapshots};
