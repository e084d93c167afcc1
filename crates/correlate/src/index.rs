//! Where candidates for edges come from: bounded look-ups, never all pairs.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_model::{AlertId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::Alert;
use crate::config::Config;
use crate::rarity::pair_key;

/// Alerts in (onset, id) order.
pub(crate) type Posting = BTreeSet<(Timestamp, AlertId)>;

/// Alerts that have fired and are not forgotten, by what may tie them together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    services: BTreeMap<String, Posting>,
    labels: BTreeMap<u64, Posting>,
    /// Occurrences of one alert, by (rule, labels).
    identities: BTreeMap<u64, Posting>,
}

/// What a look-up gave.
#[derive(Default)]
pub(crate) struct Found {
    /// Alerts, each once.
    pub(crate) alerts: BTreeSet<AlertId>,
    /// Look-ups that were cut.
    pub(crate) cut: u64,
}

impl Index {
    pub(crate) fn insert(&mut self, alert: &Alert, config: &Config) {
        if !alert.service.is_empty() {
            self.services
                .entry(alert.service.clone())
                .or_default()
                .insert(alert.key());
        }
        for pair in tying_pairs(alert, config) {
            self.labels.entry(pair).or_default().insert(alert.key());
        }
        self.identities
            .entry(alert.identity())
            .or_default()
            .insert(alert.key());
    }

    pub(crate) fn remove(&mut self, alert: &Alert, config: &Config) {
        take(&mut self.services, &alert.service, alert);
        for pair in tying_pairs(alert, config) {
            take(&mut self.labels, &pair, alert);
        }
        take(&mut self.identities, &alert.identity(), alert);
    }

    /// Alerts of a service with an onset near `at`.
    pub(crate) fn of_service(
        &self,
        service: &str,
        at: Timestamp,
        config: &Config,
        found: &mut Found,
    ) {
        if let Some(posting) = self.services.get(service) {
            near(posting, at, config, found);
        }
    }

    /// Alerts with this label pair and an onset near `at`.
    pub(crate) fn of_label(&self, pair: u64, at: Timestamp, config: &Config, found: &mut Found) {
        if let Some(posting) = self.labels.get(&pair) {
            near(posting, at, config, found);
        }
    }

    /// The occurrences of the same alert just before and just after this one.
    pub(crate) fn recurrences(&self, alert: &Alert) -> impl Iterator<Item = AlertId> {
        let posting = self.identities.get(&alert.identity());
        let before = posting.and_then(|all| all.range(..alert.key()).next_back());
        let after =
            posting.and_then(|all| all.range(alert.key()..).find(|key| **key != alert.key()));
        before.into_iter().chain(after).map(|(_, id)| *id)
    }

    /// The latest occurrence of this (rule, labels).
    pub(crate) fn latest(&self, identity: u64) -> Option<AlertId> {
        self.identities
            .get(&identity)
            .and_then(|all| all.last())
            .map(|(_, id)| *id)
    }

    /// All alerts of a service with an onset in `from..=to`.
    pub(crate) fn between(
        &self,
        service: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = AlertId> {
        let posting = self.services.get(service);
        let range = (from, AlertId(0))..=(to, AlertId(u128::MAX));
        posting
            .into_iter()
            .flat_map(move |all| all.range(range.clone()))
            .map(|(_, id)| *id)
    }
}

/// Keys of an alert's labels that may tie.
pub(crate) fn tying_pairs<'a>(
    alert: &'a Alert,
    config: &'a Config,
) -> impl Iterator<Item = u64> + 'a {
    alert
        .labels
        .iter()
        .filter(|(name, _)| config.ties(name))
        .map(|(name, value)| pair_key(name, value))
}

fn take<K: Ord + Clone>(map: &mut BTreeMap<K, Posting>, key: &K, alert: &Alert) {
    if let Some(posting) = map.get_mut(key) {
        posting.remove(&alert.key());
        if posting.is_empty() {
            map.remove(key);
        }
    }
}

/// The nearest on either side of `at`, within the span.
fn near(posting: &Posting, at: Timestamp, config: &Config, found: &mut Found) {
    let bound = config.bounds.candidates;
    let middle = (at, AlertId(0));
    let from = (at - config.max_span_ms, AlertId(0));
    let to = (at + config.max_span_ms, AlertId(u128::MAX));
    let mut before = posting.range(from..middle).rev();
    let mut after = posting.range(middle..=to);
    found
        .alerts
        .extend(before.by_ref().take(bound).map(|(_, id)| *id));
    found
        .alerts
        .extend(after.by_ref().take(bound).map(|(_, id)| *id));
    found.cut += u64::from(before.next().is_some()) + u64::from(after.next().is_some());
}
