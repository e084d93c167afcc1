//! Incidents: what a tired person reads. Each revision is a whole incident, not a patch.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::alert::AlertState;
use crate::change::Change;
use crate::ids::{AlertId, IncidentId};
use crate::labels::Labels;
use crate::reason::Reason;
use crate::time::Timestamp;

/// Where an incident is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Something fires and nobody has taken it.
    Open,
    /// Somebody has.
    Acknowledged,
    /// Nothing fires any more.
    Resolved,
    /// Resolved, and too long ago to be reopened.
    Closed,
}

/// What a revision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// First revision.
    Opened,
    /// Members, priority, suspects or wording changed.
    Updated,
    /// Somebody took it.
    Acknowledged,
    /// Nothing fires any more.
    Resolved,
    /// It fires again within the reopening window.
    Reopened,
    /// It can no longer be reopened.
    Closed,
}

/// P1 (wake everybody) to P5 (for the record).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Wake everybody.
    P1,
    /// Wake the owner.
    P2,
    /// Today.
    P3,
    /// This week.
    P4,
    /// For the record.
    P5,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One summand of a priority.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PriorityPart {
    /// `severity`, `blast_radius`, `tier`, `confidence`, `burn`.
    pub name: String,
    /// Points that it adds.
    pub points: f64,
    /// Why so many.
    pub why: String,
}

/// A priority and the sum that it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Priority {
    /// The level.
    pub level: Level,
    /// The sum of the parts.
    pub score: f64,
    /// The parts.
    pub parts: Vec<PriorityPart>,
}

/// A service that an incident touches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AffectedService {
    /// Name.
    pub name: String,
    /// Owner, from the service graph; empty where unknown.
    pub owner: String,
    /// Tier, from the service graph (1 is the most critical); `None` where unknown.
    pub tier: Option<u8>,
    /// Earliest onset among its alerts.
    pub onset: Timestamp,
    /// Alerts of it in this incident.
    pub alerts: u32,
}

/// What kind of evidence ties two alerts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// They share labels, weighed by how rare those are.
    SharedLabels,
    /// Their services are near each other in the service graph.
    Topology,
    /// They began close together.
    Onset,
    /// One change explains both.
    SharedChange,
    /// Their summaries read alike.
    Text,
}

/// One reason why two alerts belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EdgeEvidence {
    /// Kind.
    pub kind: EvidenceKind,
    /// What it adds to the edge's score.
    pub score: f64,
    /// For people.
    pub why: String,
}

/// A scored judgement that two alerts belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The other alert.
    pub with: AlertId,
    /// The other alert's name, for people.
    pub with_name: String,
    /// Sum of the evidence.
    pub score: f64,
    /// The evidence.
    pub evidence: Vec<EdgeEvidence>,
}

/// An alert in an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Which alert.
    pub alert: AlertId,
    /// Its name.
    pub name: String,
    /// Its service; empty where unknown.
    pub service: String,
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Its state.
    pub state: AlertState,
    /// Onset.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// Last value.
    #[serde(with = "crate::number")]
    pub value: f64,
    /// Why it is in this state.
    pub reason: Reason,
    /// The edges that hold it in the incident, best first; empty for the first member.
    pub edges: Vec<Edge>,
}

/// One possible cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// The service where it began.
    pub service: String,
    /// The change that may have caused it; `None` where a service is suspected without one.
    pub change: Option<Change>,
    /// 0 to 1.
    pub score: f64,
    /// For people, best first.
    pub evidence: Vec<String>,
}

/// One revision of an incident, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Identity.
    pub id: IncidentId,
    /// 1 for the first; (id, revision) is the idempotency key.
    pub revision: u32,
    /// What this revision is about.
    pub event: Event,
    /// State after it.
    pub status: Status,
    /// One line for a pager.
    pub title: String,
    /// A few lines: what, since when, where, why it is one incident.
    pub summary: String,
    /// Priority with its parts.
    pub priority: Priority,
    /// Services that it touches, earliest onset first.
    pub services: Vec<AffectedService>,
    /// Labels that all members share.
    pub shared_labels: Labels,
    /// Earliest onset among the members.
    pub onset: Timestamp,
    /// When the first revision was made (correlation's now).
    pub opened_at: Timestamp,
    /// When this revision was made.
    pub updated_at: Timestamp,
    /// When the last member ended; `None` while something fires.
    pub resolved_at: Option<Timestamp>,
    /// Whether some member ended for want of data: not an all-clear.
    pub no_data: bool,
    /// Members, in (onset, id) order, up to the cap.
    pub alerts: Vec<Member>,
    /// Members in all.
    pub alerts_total: u32,
    /// Members that fire.
    pub alerts_firing: u32,
    /// Possible causes, best first; may be empty.
    pub suspects: Vec<Suspect>,
    /// The verdict in words: the best suspect, or that no change explains this.
    pub probable_cause: String,
    /// The incident that absorbed this one.
    pub merged_into: Option<IncidentId>,
}
impl Incident {
    /// How long after its first alert began to fire it was made, in milliseconds: more than a little
    /// where Foghorn was away, or behind.
    pub fn delay_ms(&self) -> i64 {
        let fired = self.alerts.iter().filter_map(|member| member.fired_at);
        fired
            .min()
            .map_or(0, |fired| (self.opened_at - fired).max(0))
    }
}
