//! An incident as correlation works on it: members by reference, and what was last said.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_model::incident::Status;
use foghorn_model::{AlertId, Incident, IncidentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::index::Posting;

/// An incident that is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) id: IncidentId,
    /// The alert that it was opened for: wherever that goes, the incident goes.
    pub(crate) anchor: AlertId,
    /// Members in (onset, id) order.
    pub(crate) members: Posting,
    /// Status after the last revision.
    pub(crate) status: Status,
    /// Last revision given out; 0 before the first.
    pub(crate) revision: u32,
    /// When it was made (correlation's now).
    pub(crate) opened_at: Timestamp,
    /// When its last revision was given out (correlation's now).
    pub(crate) said_at: Timestamp,
    /// When it closes unless it is reopened before; set while it is resolved.
    pub(crate) closes_at: Option<Timestamp>,
    /// Who took it; empty while nobody has.
    pub(crate) taken_by: String,
    /// Incidents that it absorbed.
    pub(crate) absorbed: BTreeSet<IncidentId>,
    /// Its last revision.
    pub(crate) latest: Option<Arc<Incident>>,
}

impl Case {
    pub(crate) fn new(id: IncidentId, anchor: AlertId, now: Timestamp) -> Self {
        Self {
            id,
            anchor,
            members: Posting::new(),
            status: Status::Open,
            revision: 0,
            opened_at: now,
            said_at: now,
            closes_at: None,
            taken_by: String::new(),
            absorbed: BTreeSet::new(),
            latest: None,
        }
    }
}

/// An incident that another one absorbed; its last revision is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Departed {
    pub(crate) case: Case,
    pub(crate) into: IncidentId,
}
