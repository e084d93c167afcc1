//! Which alerts have ended not long ago: whoever is told of alerts one by one must hear of their
//! ends too.
//!
//! The span is counted in correlation's now, which is logged: a restart finds the same ones, and an
//! engine that is late still keeps an end as long as one that is not.

use std::collections::VecDeque;
use std::sync::Arc;

use foghorn_model::{AlertId, Timestamp};

use crate::view::{AlertKey, AlertView, ResolvedView, View};

/// An alert that has ended is kept for so long, in milliseconds: Prometheus' `resolvedRetention`.
pub const RESOLVED_RETENTION_MS: i64 = 900_000;
/// At most so many are kept; beyond, those go first that are known longest.
const MOST: usize = 65_536;

/// Keeps [`View::resolved`].
#[derive(Debug)]
pub(crate) struct Resolved {
    /// Correlation's now, as of the entry that is being published.
    now: Timestamp,
    /// Ends in the order in which they became known. Some of them hold no longer.
    order: VecDeque<(Timestamp, AlertKey, AlertId)>,
    most: usize,
    forgotten: u64,
}

impl Default for Resolved {
    fn default() -> Self {
        Self {
            now: Timestamp::MIN,
            order: VecDeque::new(),
            most: MOST,
            forgotten: 0,
        }
    }
}

impl Resolved {
    /// What is kept, in the order in which it became known, and correlation's now.
    pub(crate) fn state(&self, view: &View) -> (Timestamp, Vec<ResolvedView>) {
        let kept = self.order.iter().filter_map(|(_, key, id)| {
            let known = view.resolved.get(key)?;
            (known.id == *id).then(|| ResolvedView::clone(&known))
        });
        (self.now, kept.collect())
    }

    /// Goes on from a state.
    pub(crate) fn resume(&mut self, view: &View, (now, kept): (Timestamp, Vec<ResolvedView>)) {
        self.now = now;
        for ended in kept {
            let key = ended.alert.key();
            self.order
                .push_back((ended.known_at, key.clone(), ended.id));
            view.resolved.insert(key, Arc::new(ended));
        }
    }

    /// Ends that went before their time, for want of room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Correlation's now is at least this.
    pub(crate) fn at(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// A firing alert has ended at `ended_at`. A second end of it changes nothing, nor does the end of
    /// an earlier occurrence.
    pub(crate) fn ended(&mut self, view: &View, alert: AlertView, ended_at: Timestamp) {
        let known_at = self.now;
        self.keep(view, alert, ended_at, known_at);
    }

    /// An alert that correlation holds as ended since `ended_at`, though nobody saw it end here (the
    /// log was read again): kept unless that is too long ago.
    pub(crate) fn found_ended(&mut self, view: &View, alert: AlertView, ended_at: Timestamp) {
        if self.now - ended_at <= RESOLVED_RETENTION_MS {
            self.keep(view, alert, ended_at, ended_at.min(self.now));
        }
    }

    fn keep(&mut self, view: &View, alert: AlertView, ended_at: Timestamp, known_at: Timestamp) {
        let (key, id) = (alert.key(), alert.id);
        let known = view.resolved.get(&key).map(|known| known.alert.active_at);
        if known.is_some_and(|known| known >= alert.active_at) {
            return;
        }
        self.order.push_back((known_at, key.clone(), id));
        let ended = ResolvedView {
            id,
            alert: Arc::new(alert),
            ended_at,
            known_at,
        };
        view.resolved.insert(key, Arc::new(ended));
    }

    /// Lets go what has been known for long enough, and what is too much.
    pub(crate) fn forget(&mut self, view: &View) {
        while let Some((known_at, ..)) = self.order.front() {
            let is_over = self.now - *known_at > RESOLVED_RETENTION_MS;
            if !is_over && self.order.len() <= self.most {
                return;
            }
            if let Some((_, key, id)) = self.order.pop_front() {
                let gone = view.resolved.remove_if(&key, |_, known| known.id == id);
                self.forgotten += u64::from(gone.is_some() && !is_over);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use foghorn_model::{AlertState, Labels, Reason, RuleId};

    use super::*;

    fn alert(name: &str, since: i64) -> AlertView {
        let (rule, labels) = (RuleId(1), Labels::from_pairs([("alertname", name)]));
        AlertView {
            id: AlertId::derive(rule, &labels, Timestamp(since)),
            rule,
            group: "g".into(),
            name: name.into(),
            labels,
            annotations: Labels::empty(),
            state: AlertState::Firing,
            active_at: Timestamp(since),
            fired_at: Some(Timestamp(since)),
            value: 1.0,
            reason: Reason::NoData,
        }
    }

    /// What is kept, as `name ended known`, in order.
    fn check(resolved: &mut Resolved, view: &View, now: i64, expect: &[&str]) {
        resolved.at(Timestamp(now));
        resolved.forget(view);
        let mut kept: Vec<_> = view
            .resolved
            .iter()
            .map(|known| {
                let (ended, known_at) = (known.ended_at.ms(), known.known_at.ms());
                format!("{} {ended} {known_at}", known.alert.name)
            })
            .collect();
        kept.sort();
        assert_eq!(kept, expect);
    }

    #[test]
    fn an_end_is_kept_for_its_time_however_late_it_is_known() {
        let (mut resolved, view) = (Resolved::default(), View::default());
        let retention = RESOLVED_RETENTION_MS;
        resolved.at(Timestamp(10_000_000));
        resolved.ended(&view, alert("late", 0), Timestamp(5));
        resolved.ended(&view, alert("late", 0), Timestamp(77));
        resolved.at(Timestamp(10_001_000));
        resolved.ended(&view, alert("b", 0), Timestamp(10_000_000));
        let both = ["b 10000000 10001000", "late 5 10000000"];
        check(&mut resolved, &view, 10_000_000 + retention, &both);
        check(&mut resolved, &view, 10_000_001 + retention, &both[..1]);
        check(&mut resolved, &view, 10_001_001 + retention, &[]);
        assert_eq!(resolved.forgotten(), 0);
    }

    #[test]
    fn what_was_found_ended_is_kept_from_its_end_on() {
        let (mut resolved, view) = (Resolved::default(), View::default());
        resolved.at(Timestamp(2_000_000));
        resolved.found_ended(&view, alert("old", 0), Timestamp(1_000_000));
        resolved.found_ended(&view, alert("young", 0), Timestamp(1_500_000));
        check(&mut resolved, &view, 2_000_000, &["young 1500000 1500000"]);
        check(&mut resolved, &view, 2_400_001, &[]);
    }

    #[test]
    fn a_later_occurrence_replaces_and_outlives_the_one_before() {
        let (mut resolved, view) = (Resolved::default(), View::default());
        resolved.at(Timestamp(0));
        resolved.ended(&view, alert("a", 0), Timestamp(0));
        resolved.at(Timestamp(600_000));
        resolved.ended(&view, alert("a", 300_000), Timestamp(600_000));
        check(&mut resolved, &view, 900_001, &["a 600000 600000"]);
        resolved.found_ended(&view, alert("a", 0), Timestamp(500_000));
        check(&mut resolved, &view, 900_001, &["a 600000 600000"]);
    }

    #[test]
    fn too_many_are_counted() {
        let (mut resolved, view) = (Resolved::default(), View::default());
        resolved.most = 2;
        resolved.at(Timestamp(0));
        for name in ["a", "b", "c"] {
            resolved.ended(&view, alert(name, 0), Timestamp(0));
        }
        check(&mut resolved, &view, 0, &["b 0 0", "c 0 0"]);
        assert_eq!(resolved.forgotten(), 1);
    }
}
