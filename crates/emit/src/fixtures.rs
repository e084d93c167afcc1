//! Small incidents and an outbox in memory, for this room's tests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use foghorn_model::incident::{Event, Level, Priority, Status};
use foghorn_model::{Incident, IncidentId, Labels, Timestamp};

use crate::backlog::{Backlog, Pending};

/// Revision `revision` of incident `id`.
pub(crate) fn incident(id: u128, revision: u32, status: Status) -> Incident {
    Incident {
        id: IncidentId(id),
        revision,
        event: if status == Status::Resolved {
            Event::Resolved
        } else {
            Event::Opened
        },
        status,
        title: format!("incident {id}"),
        summary: String::new(),
        priority: Priority {
            level: Level::P2,
            score: 55.0,
            parts: Vec::new(),
        },
        services: Vec::new(),
        shared_labels: Labels::empty(),
        onset: Timestamp(60_000),
        opened_at: Timestamp(61_000),
        updated_at: Timestamp(61_000),
        resolved_at: None,
        no_data: false,
        alerts: Vec::new(),
        alerts_total: 0,
        alerts_firing: 0,
        suspects: Vec::new(),
        probable_cause: String::new(),
        merged_into: None,
    }
}

/// An outbox that only a test needs.
#[derive(Default)]
pub(crate) struct MemoryBacklog(Mutex<Held>);

#[derive(Default)]
struct Held {
    items: Vec<Pending>,
    cursors: BTreeMap<String, u64>,
    saved: u64,
}

impl MemoryBacklog {
    pub(crate) fn push(&self, incident: Incident) {
        let mut held = self.0.lock().unwrap();
        let seq = held.items.len() as u64 + 1;
        held.items.push(Pending {
            seq,
            incident: Arc::new(incident),
        });
    }

    /// The furthest cursor that was made durable.
    pub(crate) fn saved(&self) -> u64 {
        self.0.lock().unwrap().saved
    }
}

impl Backlog for MemoryBacklog {
    fn pending(&self, sink: &str, limit: usize) -> Vec<Pending> {
        let held = self.0.lock().unwrap();
        let at = held.cursors.get(sink).copied().unwrap_or(0) as usize;
        held.items[at..].iter().take(limit).cloned().collect()
    }

    fn len(&self, sink: &str) -> usize {
        self.pending(sink, usize::MAX).len()
    }

    fn delivered(&self, sink: &str, seq: u64) {
        self.0.lock().unwrap().cursors.insert(sink.to_owned(), seq);
    }

    fn save(&self) -> Result<(), String> {
        let mut held = self.0.lock().unwrap();
        held.saved = held.cursors.values().copied().max().unwrap_or(0);
        Ok(())
    }
}
