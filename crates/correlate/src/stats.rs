//! What correlation counts: how full its tables are, and what it refused.

use serde::{Deserialize, Serialize};

/// Counters since the first start, and gauges of the tables. Bounds are in
/// [`Bounds`](crate::Bounds).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Signals folded.
    pub signals: u64,
    /// Transitions that said what was known.
    pub duplicates: u64,
    /// Ends of alerts that are not known (refused, or of before the first start).
    pub unknown_alerts: u64,
    /// Revisions given out.
    pub revisions: u64,
    /// Incidents merged into another.
    pub merges: u64,
    /// Alerts refused: table full.
    pub alerts_refused: u64,
    /// Times that a group of alerts had to wait for an incident: table full.
    pub incidents_refused: u64,
    /// Changes refused: table full.
    pub changes_refused: u64,
    /// Evidence signals refused: table full.
    pub evidence_refused: u64,
    /// Service edges refused: graph full.
    pub edges_refused: u64,
    /// Label pairs not counted for rarity: table full.
    pub label_terms_refused: u64,
    /// Index look-ups that were cut at `bounds.candidates`.
    pub candidates_cut: u64,
    /// Commands for incidents that are not known or over.
    pub commands_refused: u64,
    /// Gauge: alerts remembered.
    pub alerts: u64,
    /// Gauge: incidents that are not closed.
    pub incidents: u64,
    /// Gauge: alerts that wait for an incident.
    pub waiting: u64,
    /// Gauge: changes remembered.
    pub changes: u64,
    /// Gauge: services of the graph.
    pub services: u64,
}
