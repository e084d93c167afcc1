//! How rare a label's value is among alerts: what everybody carries ties nothing together.
//!
//! Counts are frozen per day of event time, so that a score does not depend on what else arrived
//! the same day. Until enough alerts were counted the share assumed for the label's name holds
//! (a prior worth [`PRIOR_ALERTS`] alerts).

use std::collections::BTreeMap;

use foghorn_model::Timestamp;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

const DAY_MS: i64 = 86_400_000;
/// Alerts' worth of belief in the assumed share.
const PRIOR_ALERTS: f64 = 20.0;
/// A value carried by one alert in this many is as rare as can be.
const FULLY_RARE: f64 = 100.0;

/// Counts of label pairs among alerts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rarity {
    /// The day that is being counted; `None` before the first alert.
    day: Option<i64>,
    /// Counts that scores use: the days before, each day's weight half of the day's after it.
    frozen: BTreeMap<u64, u32>,
    frozen_alerts: u32,
    today: BTreeMap<u64, u32>,
    today_alerts: u32,
}

/// Key of a label pair.
pub(crate) fn pair_key(name: &str, value: &str) -> u64 {
    let mut bytes = Vec::with_capacity(name.len() + value.len() + 1);
    bytes.extend_from_slice(name.as_bytes());
    bytes.push(0xff);
    bytes.extend_from_slice(value.as_bytes());
    xxh3_64(&bytes)
}

impl Rarity {
    /// Counts one alert's pairs. Gives how many were refused because `max_terms` are counted.
    pub(crate) fn count(
        &mut self,
        at: Timestamp,
        pairs: impl Iterator<Item = u64>,
        max_terms: usize,
    ) -> u64 {
        self.turn_page(at.ms().div_euclid(DAY_MS));
        self.today_alerts += 1;
        let mut refused = 0;
        for pair in pairs {
            if self.today.len() < max_terms || self.today.contains_key(&pair) {
                *self.today.entry(pair).or_default() += 1;
            } else {
                refused += 1;
            }
        }
        refused
    }

    /// At the first alert of a later day, yesterday joins the frozen counts.
    fn turn_page(&mut self, day: i64) {
        let Some(before) = self.day.filter(|before| day > *before) else {
            self.day = self.day.or(Some(day));
            return;
        };
        let age = (day - before - 1).clamp(0, 31) as u32;
        for (pair, count) in std::mem::take(&mut self.today) {
            *self.frozen.entry(pair).or_default() += 2 * count;
        }
        self.frozen.retain(|_, count| {
            *count = (*count >> 1) >> age;
            *count > 0
        });
        self.frozen_alerts =
            ((self.frozen_alerts >> 1) + std::mem::take(&mut self.today_alerts)) >> age;
        self.day = Some(day);
    }

    /// 0 (everybody carries it) to 1 (as rare as can be): the logarithm of one over the share of
    /// alerts that carry the pair, to base [`FULLY_RARE`]; inverse document frequency with a
    /// prior `assumed_share`.
    pub(crate) fn of(&self, pair: u64, assumed_share: f64) -> f64 {
        let carried = f64::from(self.frozen.get(&pair).copied().unwrap_or(0));
        let all = f64::from(self.frozen_alerts);
        let share = (carried + PRIOR_ALERTS * assumed_share) / (all + PRIOR_ALERTS);
        ((1.0 / share).ln() / FULLY_RARE.ln()).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RACK: u64 = 1;
    const CLUSTER: u64 = 2;

    fn counted(days: i64) -> Rarity {
        let mut rarity = Rarity::default();
        for alert in 0..1_000 {
            let pairs = [Some(CLUSTER), (alert % 200 == 0).then_some(RACK)];
            rarity.count(Timestamp(alert), pairs.into_iter().flatten(), 10);
        }
        if days > 0 {
            rarity.count(Timestamp(days * DAY_MS), std::iter::empty(), 10);
        }
        rarity
    }

    #[test]
    fn until_the_day_is_over_the_assumed_share_holds() {
        assert_eq!(counted(0).of(RACK, 0.1), 0.5);
        assert_eq!(counted(0).of(CLUSTER, 1.0), 0.0);
    }

    #[test]
    fn what_everybody_carries_ties_nothing() {
        assert!(counted(1).of(CLUSTER, 0.1) < 0.01);
        assert!(counted(1).of(RACK, 0.1) > 0.9);
    }

    #[test]
    fn old_days_fade() {
        assert!(counted(20).of(RACK, 0.1) < 0.6);
    }

    #[test]
    fn terms_are_bounded() {
        assert_eq!(Rarity::default().count(Timestamp(0), 0..5, 3), 2);
    }
}
