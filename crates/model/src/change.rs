//! Changes: what people and robots did to the system, the usual suspects of an incident.

use serde::{Deserialize, Serialize};

use crate::ids::ChangeId;
use crate::labels::Labels;
use crate::time::Timestamp;

/// What sort of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A new version of a service went out.
    Deploy,
    /// A service went back to an earlier version.
    Rollback,
    /// A service or a resource was taken away.
    Remove,
    /// Configuration changed.
    Config,
    /// A feature flag changed.
    Flag,
    /// Replicas, nodes or limits changed.
    Scale,
    /// A schema or data migration.
    Migration,
    /// Anything else.
    Other,
}

/// One change event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Identity, from the event's own id and source where it has them.
    pub id: ChangeId,
    /// Sort.
    pub kind: ChangeKind,
    /// When it took effect.
    pub at: Timestamp,
    /// The service that it touched; empty where unknown.
    pub service: String,
    /// Environment, cluster or namespace; empty where unknown.
    pub environment: String,
    /// The version that went out, the flag's new value, …; empty where unknown.
    pub version: String,
    /// Who or what did it; empty where unknown.
    pub author: String,
    /// One line for people.
    pub summary: String,
    /// A link to it; empty where there is none.
    pub link: String,
    /// Everything else that the event said, flat.
    pub labels: Labels,
}
