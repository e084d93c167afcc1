//! The store's outbox as the sinks see it.

use std::sync::{Arc, Mutex};

use foghorn_emit::{Backlog, Pending};
use foghorn_engine::View;
use foghorn_model::Incident;
use foghorn_store::{Outbox, StoreError};

use crate::hub::lock;
use crate::lease::Hold;

/// See the module's text.
pub struct OutboxBacklog {
    outbox: Arc<Mutex<Outbox>>,
    /// Held by who writes it down: what is older never replaces what is newer.
    saving: Mutex<()>,
    /// Where others may take over: nothing is handed out unless certainly nobody has.
    hold: Option<Hold>,
}

impl OutboxBacklog {
    /// Over this outbox.
    pub fn new(outbox: Arc<Mutex<Outbox>>) -> Self {
        Self {
            outbox,
            saving: Mutex::default(),
            hold: None,
        }
    }

    /// Of an instance that hands nothing out unless its lease is certain.
    #[must_use]
    pub fn under(mut self, hold: Option<Hold>) -> Self {
        self.hold = hold;
        self
    }
}

/// Puts into an outbox what was decided, as a read model shows it, and the outbox never got: a crash came
/// in between, or somebody else's outbox had it.
///
/// # Errors
/// [`StoreError`]
pub fn catch_up(outbox: &mut Outbox, view: &View) -> Result<(), StoreError> {
    let all = view.incidents.iter();
    let wanted = all.filter(|incident| outbox.is_wanted(incident.value()));
    let mut latest: Vec<_> = wanted.map(|entry| Incident::clone(entry.value())).collect();
    latest.sort_by_key(|incident| (incident.updated_at, incident.id));
    outbox.append(&latest).map(drop)
}

impl Backlog for OutboxBacklog {
    fn pending(&self, sink: &str, limit: usize) -> Vec<Pending> {
        if self.hold.as_ref().is_some_and(|hold| !hold.is_sure()) {
            return Vec::new();
        }
        let outbox = lock(&self.outbox);
        let items = outbox.pending(sink).take(limit);
        items
            .map(|item| Pending {
                seq: item.seq,
                incident: item.incident,
            })
            .collect()
    }

    fn len(&self, sink: &str) -> usize {
        lock(&self.outbox).pending(sink).count()
    }

    fn delivered(&self, sink: &str, seq: u64) {
        lock(&self.outbox).delivered(sink, seq);
    }

    fn save(&self) -> Result<(), String> {
        let _saving = lock(&self.saving);
        let unsaved = lock(&self.outbox)
            .take_unsaved()
            .map_err(|error| error.to_string())?;
        unsaved.write().map_err(|error| {
            lock(&self.outbox).not_saved(&unsaved);
            error.to_string()
        })
    }
}
