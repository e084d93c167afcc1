//! How people are told after a backlog: not of what is long over, one by one, and not of what may be
//! over before they have read it.
//!
//! All of it is for sinks that thin out their backlog: those behind which people sit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::incident::{Event, Status};
use foghorn_model::{Incident, IncidentId, Timestamp};

use crate::backlog::Pending;

/// Foghorn is behind where it reads what is older than this, in milliseconds.
pub const BEHIND_MS: i64 = 120_000;
/// While it is behind a page about the past waits for so long at most.
pub(crate) const WAIT: Duration = Duration::from_mins(5);
/// Incidents that a summary lists.
const LISTED: usize = 50;

/// What a sink must know of time to tell people the right thing.
#[derive(Clone)]
pub struct Pace {
    /// Wall time.
    pub wall: fn() -> Timestamp,
    /// How old is what is being read at present, in milliseconds.
    pub behind_ms: Arc<dyn Fn() -> i64 + Send + Sync>,
    /// Incidents that were over for longer before anybody was told become one summary, in milliseconds.
    pub max_age_ms: i64,
}

impl Pace {
    /// Tells everything at once, whatever its age.
    pub fn at_once(wall: fn() -> Timestamp) -> Self {
        Self {
            wall,
            behind_ms: Arc::new(|| 0),
            max_age_ms: i64::MAX,
        }
    }

    /// Whether the truth about this page may still be on its way: it is the first one, and of a past
    /// that is being read at the moment.
    pub(crate) fn may_be_over_soon(&self, page: &Incident) -> bool {
        let age_ms = (self.wall)() - page.onset;
        page.event == Event::Opened && age_ms > BEHIND_MS && (self.behind_ms)() > BEHIND_MS
    }

    /// Leaves out incidents that began and ended while nobody could be told, where that is long ago:
    /// one summary stands for all of them, in the place of the last. `all` is what was pending before
    /// it was thinned out to `pending`.
    pub(crate) fn sum_up(&self, all: &[Pending], pending: Vec<Pending>) -> Vec<Pending> {
        let horizon = Timestamp((self.wall)().ms().saturating_sub(self.max_age_ms));
        let begun = all.iter().filter(|item| item.incident.revision == 1);
        let begun: BTreeSet<_> = begun.map(|item| item.incident.id).collect();
        let mut missed: BTreeMap<IncidentId, Arc<Incident>> = BTreeMap::new();
        let mut last = 0;
        for item in &pending {
            let incident = &item.incident;
            let over = matches!(incident.status, Status::Resolved | Status::Closed);
            let long_ago = incident.resolved_at.is_some_and(|at| at < horizon);
            if over && long_ago && begun.contains(&incident.id) {
                missed.insert(incident.id, Arc::clone(incident));
                last = item.seq;
            }
        }
        let Some(summary) = summary(missed.values()) else {
            return pending;
        };
        let told = |item: Pending| {
            if item.seq == last {
                let incident = Arc::new(summary.clone());
                return Some(Pending { incident, ..item });
            }
            (!missed.contains_key(&item.incident.id)).then_some(item)
        };
        pending.into_iter().filter_map(told).collect()
    }
}

/// One incident that stands for several that are over; `None` for fewer than two.
fn summary<'a>(of: impl Iterator<Item = &'a Arc<Incident>>) -> Option<Incident> {
    let mut of: Vec<_> = of.collect();
    of.sort_by_key(|incident| (incident.priority.level, incident.onset, incident.id));
    let (first, rest) = of.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let lines = of.iter().take(LISTED).map(|incident| {
        let ended = incident.resolved_at.unwrap_or(incident.updated_at);
        format!(
            "{} {}, {} to {ended}",
            incident.priority.level, incident.title, incident.onset
        )
    });
    let mut lines: Vec<_> = lines.collect();
    if let Some(more) = of.len().checked_sub(LISTED).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    let ids = of.iter().map(|incident| incident.id);
    Some(Incident {
        id: IncidentId::summary(ids),
        revision: 1,
        event: Event::Resolved,
        status: Status::Resolved,
        title: format!(
            "{} incidents began and ended while nobody could be told",
            of.len()
        ),
        summary: lines.join("\n"),
        onset: rest.iter().map(|it| it.onset).fold(first.onset, Ord::min),
        updated_at: rest
            .iter()
            .map(|it| it.updated_at)
            .fold(first.updated_at, Ord::max),
        resolved_at: of.iter().filter_map(|it| it.resolved_at).max(),
        no_data: of.iter().any(|it| it.no_data),
        alerts: Vec::new(),
        alerts_total: of.iter().map(|it| it.alerts_total).sum(),
        alerts_firing: 0,
        services: Vec::new(),
        shared_labels: foghorn_model::Labels::empty(),
        suspects: Vec::new(),
        probable_cause: String::new(),
        merged_into: None,
        ..Incident::clone(first)
    })
}

#[cfg(test)]
mod tests {
    use foghorn_model::incident::Status::{Open, Resolved};

    use super::*;
    use crate::backlog::coalesce;
    use crate::fixtures::incident;

    const NOW: Timestamp = Timestamp(100_000_000);

    fn pace(behind_ms: i64) -> Pace {
        Pace {
            wall: || NOW,
            behind_ms: Arc::new(move || behind_ms),
            max_age_ms: 3_600_000,
        }
    }

    /// Incidents by number, revision, status and how long ago they ended, in order; and what is told:
    /// numbers, 0 for a summary.
    fn check(pending: &[(u128, u32, Status, i64)], expect: &[u128]) {
        let all: Vec<_> = pending
            .iter()
            .zip(1..)
            .map(|(&(id, revision, status, ago_ms), seq)| {
                let resolved_at = (status == Resolved).then(|| NOW - ago_ms);
                let of = Incident {
                    resolved_at,
                    ..incident(id, revision, status)
                };
                Pending {
                    seq,
                    incident: Arc::new(of),
                }
            })
            .collect();
        let told = pace(0).sum_up(&all, coalesce(all.clone()));
        let told: Vec<_> = told
            .iter()
            .map(|item| {
                let is_summary = item.incident.title.contains("nobody could be told");
                if is_summary { 0 } else { item.incident.id.0 }
            })
            .collect();
        assert_eq!(told, expect);
    }

    #[test]
    fn what_began_and_ended_long_ago_becomes_one_summary() {
        let long = 4_000_000;
        check(
            &[
                (1, 1, Open, 0),
                (2, 1, Open, 0),
                (1, 2, Resolved, long),
                (3, 1, Open, 0),
                (2, 2, Resolved, long),
            ],
            &[3, 0],
        );
        // Not of what is news, of what somebody was told of already, or of one alone.
        check(
            &[
                (1, 1, Open, 0),
                (1, 2, Resolved, 1_000),
                (2, 2, Resolved, long),
                (3, 1, Open, 0),
                (3, 2, Resolved, long),
            ],
            &[1, 1, 2, 3, 3],
        );
    }

    #[test]
    fn a_summary_says_what_it_stands_for_and_is_the_same_each_time() {
        let of = |id| {
            Arc::new(Incident {
                resolved_at: Some(Timestamp(120_000)),
                ..incident(id, 2, Resolved)
            })
        };
        let many: Vec<_> = (1..=60).map(of).collect();
        let told = summary(many.iter()).unwrap();
        assert_eq!(
            told.title,
            "60 incidents began and ended while nobody could be told"
        );
        let lines: Vec<_> = told.summary.lines().collect();
        assert_eq!(lines.len(), 51);
        assert_eq!(
            lines[0],
            "P2 incident 1, 1970-01-01T00:01:00.000Z to 1970-01-01T00:02:00.000Z"
        );
        assert_eq!(lines[50], "and 10 more");
        assert_eq!(summary(many.iter().rev()).unwrap(), told);
        assert_ne!(summary(many[1..].iter()).unwrap().id, told.id);
    }

    #[test]
    fn a_first_page_about_the_past_waits_while_the_past_is_read() {
        let page = |revision, onset_ago_ms: i64| Incident {
            onset: NOW - onset_ago_ms,
            event: if revision == 1 {
                Event::Opened
            } else {
                Event::Updated
            },
            ..incident(1, revision, Open)
        };
        assert!(pace(130_000).may_be_over_soon(&page(1, 130_000)));
        assert!(!pace(110_000).may_be_over_soon(&page(1, 130_000)));
        assert!(!pace(130_000).may_be_over_soon(&page(1, 110_000)));
        assert!(!pace(130_000).may_be_over_soon(&page(2, 130_000)));
    }
}
