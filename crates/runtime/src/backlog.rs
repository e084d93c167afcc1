//! The store's outbox as the sinks see it.

use std::sync::{Arc, Mutex};

use foghorn_emit::{Backlog, Pending};
use foghorn_store::Outbox;

use crate::hub::lock;

/// See the module's text.
pub struct OutboxBacklog(pub Arc<Mutex<Outbox>>);

impl Backlog for OutboxBacklog {
    fn pending(&self, sink: &str, limit: usize) -> Vec<Pending> {
        let outbox = lock(&self.0);
        let items = outbox.pending(sink).take(limit);
        items
            .map(|item| Pending {
                seq: item.seq,
                incident: item.incident,
            })
            .collect()
    }

    fn len(&self, sink: &str) -> usize {
        lock(&self.0).pending(sink).count()
    }

    fn delivered(&self, sink: &str, seq: u64) -> Result<(), String> {
        lock(&self.0)
            .delivered(sink, seq)
            .map_err(|error| error.to_string())
    }

    fn save(&self) -> Result<(), String> {
        lock(&self.0)
            .save_cursors()
            .map_err(|error| error.to_string())
    }
}
