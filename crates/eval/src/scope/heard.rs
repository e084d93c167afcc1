//! When something was heard.

use std::collections::BTreeMap;

use foghorn_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Of each second in which something was heard, the first instant. What lies after a tick changes
/// nothing of what it sees: the answer does not depend on how far ahead others have read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Heard {
    /// Per source: seconds, and the first instant in each.
    sources: BTreeMap<u16, BTreeMap<i64, i64>>,
    /// What was noted last: most samples come many to an instant.
    #[serde(skip)]
    last: Option<(u16, i64)>,
}

impl Heard {
    /// A sample of a source.
    #[inline]
    pub fn note(&mut self, source: u16, at_ms: i64) {
        if self.last != Some((source, at_ms)) {
            self.last = Some((source, at_ms));
            let seconds = self.sources.entry(source).or_default();
            let first = seconds.entry(at_ms.div_euclid(1_000)).or_insert(at_ms);
            *first = at_ms.min(*first);
        }
    }

    /// Takes in what another heard.
    pub fn merge(&mut self, other: &Self) {
        for (source, seconds) in &other.sources {
            seconds.values().for_each(|at| self.note(*source, *at));
        }
    }

    /// When something of some sources was heard last at or before `tick`, to the second.
    pub fn last(&self, tick: Timestamp, reads: impl Fn(u16) -> bool) -> Option<Timestamp> {
        let last_of = |seconds: &BTreeMap<i64, i64>| {
            let until = seconds.range(..=tick.ms().div_euclid(1_000)).rev();
            until.map(|(_, at)| *at).find(|at| *at <= tick.ms())
        };
        let sources = self.sources.iter().filter(|(source, _)| reads(**source));
        sources
            .filter_map(|(_, seconds)| last_of(seconds))
            .max()
            .map(Timestamp)
    }

    /// Nobody asks for what was before a source's horizon any more, but for the last of it.
    pub fn forget(&mut self, horizon: impl Fn(u16) -> Timestamp) {
        for (source, seconds) in &mut self.sources {
            let second = horizon(*source).ms().div_euclid(1_000);
            if let Some((last, _)) = seconds.range(..second).next_back() {
                let kept = seconds.split_off(&last.clone());
                *seconds = kept;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was heard, in milliseconds; the tick; when something was heard last.
    fn check(heard: &[i64], tick: i64, expect: Option<i64>) {
        let mut all = Heard::default();
        heard.iter().for_each(|at| all.note(1, *at));
        let last = all.last(Timestamp(tick), |source| source == 1);
        assert_eq!(last.map(Timestamp::ms), expect);
        assert_eq!(all.last(Timestamp(tick), |source| source == 2), None);
        all.forget(|_| Timestamp(tick));
        assert_eq!(
            all.last(Timestamp(tick), |_| true).map(Timestamp::ms),
            expect
        );
    }

    #[test]
    fn the_last_second_before_the_tick_counts() {
        check(&[1_000, 5_000, 9_000], 6_000, Some(5_000));
        check(&[1_000], 900, None);
    }

    #[test]
    fn what_comes_after_the_tick_changes_nothing() {
        check(&[1_000, 5_100], 5_500, Some(5_100));
        check(&[1_000, 5_700, 5_100], 5_500, Some(5_100));
        check(&[1_000, 5_700], 5_500, Some(1_000));
    }
}
