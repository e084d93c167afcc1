//! What waits for a sink, and what of it may be left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use foghorn_model::Incident;
use foghorn_model::incident::Status;

/// One revision in its place in the queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// Position; rises from item to item.
    pub seq: u64,
    /// The revision.
    pub incident: Arc<Incident>,
}

/// The queue in front of the sinks, as this room needs it. Everything in it follows from what is
/// durable already; whatever it forgets after a crash is delivered again.
pub trait Backlog: Send + Sync {
    /// The oldest revisions that `sink` has not delivered, `limit` at most.
    fn pending(&self, sink: &str, limit: usize) -> Vec<Pending>;

    /// How many it has not delivered.
    fn len(&self, sink: &str) -> usize;

    /// Whether it has delivered all.
    fn is_empty(&self, sink: &str) -> bool {
        self.len(sink) == 0
    }

    /// `sink` has delivered everything up to and including `seq`.
    fn delivered(&self, sink: &str, seq: u64);

    /// Makes durable what [`Self::delivered`] said.
    ///
    /// # Errors
    /// In words: it could not be written down.
    fn save(&self) -> Result<(), String>;
}

/// Leaves out what a later revision in `pending` says anyhow: of each incident the latest stays
/// (it carries everything), and where that one is an end, the latest before it that was not, so
/// that nobody hears of an end without its beginning. Order stays.
///
/// A left-out revision always has a later one behind it, so a cursor that stands on any kept item
/// loses nothing.
pub(crate) fn coalesce(pending: Vec<Pending>) -> Vec<Pending> {
    let (mut seen, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut kept: Vec<Pending> = pending
        .into_iter()
        .rev()
        .filter(|item| {
            let id = item.incident.id;
            let over = matches!(item.incident.status, Status::Resolved | Status::Closed);
            let latest = seen.insert(id);
            latest && over || !over && begun.insert(id)
        })
        .collect();
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use foghorn_model::incident::Status::{Acknowledged, Closed, Open, Resolved};

    use super::*;
    use crate::fixtures::incident;

    /// Incidents by number and status, in order; and the positions (from 1) that stay.
    fn check(pending: &[(u128, Status)], expect: &[u64]) {
        let pending = pending.iter().zip(1..).map(|(&(id, status), seq)| Pending {
            seq,
            incident: Arc::new(incident(id, seq as u32, status)),
        });
        let kept: Vec<_> = coalesce(pending.collect())
            .iter()
            .map(|item| item.seq)
            .collect();
        assert_eq!(kept, expect);
    }

    #[test]
    fn the_latest_of_each_incident_stays() {
        check(
            &[(1, Open), (2, Open), (1, Open), (1, Acknowledged)],
            &[2, 4],
        );
        check(&[(1, Open)], &[1]);
        check(&[], &[]);
    }

    #[test]
    fn an_end_keeps_its_beginning() {
        check(&[(1, Open), (1, Acknowledged), (1, Resolved)], &[2, 3]);
        check(&[(1, Open), (1, Resolved), (1, Closed)], &[1, 3]);
        check(&[(1, Resolved), (1, Closed)], &[2]);
        check(&[(1, Open), (1, Resolved), (1, Open)], &[3]);
    }
}
