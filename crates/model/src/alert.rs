//! Alerts: Prometheus' life cycle, and alerts that came from outside.

use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::time::Timestamp;

/// Where an alert is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlertState {
    /// The condition holds, but not yet for as long as `for` asks.
    Pending,
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

/// An alert that another program's rule fired (Alertmanager's shapes, a bridge, a monitor).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutsideAlert {
    /// Labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// When it began.
    pub starts_at: Timestamp,
    /// When it ended; `None` while it fires.
    pub ends_at: Option<Timestamp>,
    /// A link to its rule; empty where there is none.
    pub generator: String,
}
