//! What waits for one Alertmanager.

use std::collections::{BTreeMap, HashMap};

use super::feed::{AlertKey, RuleAlert};

/// Alerts that may wait, as in Prometheus.
pub(super) const CAPACITY: usize = 10_000;

/// Alerts in the order in which they came, at most [`CAPACITY`]. What is said anew of one that waits
/// takes its place: an Alertmanager needs to know where it stands, not how it came there.
#[derive(Debug, Default)]
pub(super) struct Queue {
    next: u64,
    waiting: BTreeMap<u64, RuleAlert>,
    places: HashMap<AlertKey, u64>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts an alert in; whether the oldest had to go for it.
    #[must_use]
    pub(super) fn push(&mut self, alert: RuleAlert) -> bool {
        let key = alert.key();
        if let Some(place) = self.places.get(&key) {
            self.waiting.insert(*place, alert);
            return false;
        }
        let is_full = self.len() >= CAPACITY;
        if is_full {
            self.pop(1);
        }
        self.places.insert(key, self.next);
        self.waiting.insert(self.next, alert);
        self.next += 1;
        is_full
    }

    /// Lets go of those that `stays` does not want; how many those are.
    pub(super) fn retain(&mut self, stays: impl Fn(&AlertKey) -> bool) -> usize {
        let before = self.len();
        let waiting = &mut self.waiting;
        self.places.retain(|key, place| {
            let stays = stays(key);
            if !stays {
                waiting.remove(place);
            }
            stays
        });
        before - self.len()
    }

    /// The oldest, at most so many.
    pub(super) fn front(&self, limit: usize) -> impl Iterator<Item = &RuleAlert> {
        self.waiting.values().take(limit)
    }

    /// Lets go of the oldest.
    pub(super) fn pop(&mut self, count: usize) {
        for _ in 0..count {
            if let Some((_, alert)) = self.waiting.pop_first() {
                self.places.remove(&alert.key());
            }
        }
    }
}
