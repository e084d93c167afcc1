//! All that correlation remembers, as plain data: what a snapshot holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foghorn_model::{AlertId, Incident, IncidentId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::case::{Case, Departed};
use crate::changes::{Changes, Observations};
use crate::index::Index;
use crate::rarity::Rarity;
use crate::stats::Stats;

/// Correlation's state. Opaque: written to and read from snapshots, and given back to
/// [`Correlator::restore`](crate::Correlator::restore).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Latest deadline or timer that has passed.
    pub(crate) now: Timestamp,
    /// The last timer; ahead of `now` only at the end of a replay.
    pub(crate) horizon: Timestamp,
    /// Pending, firing, and resolved alerts of incidents that are not closed.
    pub(crate) alerts: BTreeMap<AlertId, Alert>,
    /// Alerts that fire and that no transition ends, by (rule, labels).
    pub(crate) open_by_identity: BTreeMap<u64, AlertId>,
    /// For each alert the later alerts that have an edge to it.
    pub(crate) later_of: BTreeMap<AlertId, BTreeSet<AlertId>>,
    pub(crate) index: Index,
    pub(crate) rarity: Rarity,
    pub(crate) changes: Changes,
    pub(crate) observations: Observations,
    /// Service edges learnt from traces.
    pub(crate) learnt: BTreeSet<(String, String)>,
    /// Incidents that are not closed.
    pub(crate) cases: BTreeMap<IncidentId, Case>,
    /// Last revisions of closed and merged incidents, oldest first.
    pub(crate) recent: VecDeque<Arc<Incident>>,
    /// Incidents absorbed since the last flush.
    pub(crate) departed: Vec<Departed>,
    /// Alerts whose edges are to be judged at the next flush.
    pub(crate) touched: BTreeSet<AlertId>,
    /// Alerts that wait for an incident because incidents are at their bound.
    pub(crate) waiting: BTreeSet<AlertId>,
    /// Incidents to be looked at in the next flush.
    pub(crate) dirty: BTreeSet<IncidentId>,
    /// Deadlines. One that no longer holds is found out when it passes.
    pub(crate) due: BTreeSet<(Timestamp, Due)>,
    pub(crate) stats: Stats,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Due {
    /// An alert may have ended by itself.
    Alert(AlertId),
    /// An incident may have something to say.
    Case(IncidentId),
}

impl Default for State {
    fn default() -> Self {
        Self {
            now: Timestamp::MIN,
            horizon: Timestamp::MIN,
            alerts: BTreeMap::new(),
            open_by_identity: BTreeMap::new(),
            later_of: BTreeMap::new(),
            index: Index::default(),
            rarity: Rarity::default(),
            changes: Changes::default(),
            observations: Observations::default(),
            learnt: BTreeSet::new(),
            cases: BTreeMap::new(),
            recent: VecDeque::new(),
            departed: Vec::new(),
            touched: BTreeSet::new(),
            waiting: BTreeSet::new(),
            dirty: BTreeSet::new(),
            due: BTreeSet::new(),
            stats: Stats::default(),
        }
    }
}
