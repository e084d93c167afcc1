//! What a signal log says when it is read again: how far each group had closed, which alerts were
//! open, where the partitions stood, and every decision that a replay must obey.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_eval::alerts::ActiveAlert;
use foghorn_eval::intake::TurnedAway;
use foghorn_model::{
    AlertState, Labels, MatchKind, Offset, Partition, Reason, RuleId, Signal, Timestamp,
    Transition, TransitionKind,
};
use foghorn_rules::{LoadOptions, Source, load};

use crate::entry::{Entry, GroupKey, Pin, RuleFile, ScopeNews};

/// What the log says of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupHistory {
    /// Its ticks begin after this instant, where the log says so.
    pub since: Option<Timestamp>,
    /// Its last closed tick.
    pub closed: Option<Timestamp>,
    /// Alerts that are open after it, by (rule, labels).
    pub open: BTreeMap<(RuleId, Labels), ActiveAlert>,
    /// Alerts that ended for want of data, with when, and of which nothing was said since.
    pub doubted: BTreeMap<(RuleId, Labels), (Timestamp, ActiveAlert)>,
    /// Per tick: what it began to see of scopes.
    pub scopes: BTreeMap<Timestamp, Vec<ScopeNews>>,
    /// Match buckets that have said their first, and whether they have said their total.
    pub matched: BTreeMap<MatchKey, bool>,
}

/// A bucket of a match rule: (rule, the alert's labels, partition, the bucket's start).
pub type MatchKey = (RuleId, Labels, Partition, Timestamp);

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Where event time began: (origin, silent until).
    pub start: Option<(Timestamp, Timestamp)>,
    /// The rule files in force at its end.
    pub files: Option<Vec<RuleFile>>,
    /// Per group.
    pub groups: BTreeMap<GroupKey, GroupHistory>,
    /// Pins, those of joins among them.
    pub pins: Vec<Pin>,
    /// Topics of the partitions that joined.
    pub topics: BTreeMap<Partition, String>,
    /// Ticks that partitions were left behind at: (after, until].
    pub blind: BTreeMap<Partition, Vec<(Timestamp, Timestamp)>>,
    /// Stamps that were lowered, and mattered.
    pub lowered: BTreeMap<(Partition, Offset), Timestamp>,
    /// Series that were turned away, per partition.
    pub turned_away: BTreeMap<Partition, Vec<TurnedAway>>,
    /// The highest position that the log holds for each partition.
    pub positions: BTreeMap<Partition, Offset>,
    /// Per partition: (watermark, position) as time went on.
    trail: BTreeMap<Partition, Vec<(Timestamp, Offset)>>,
    joins: BTreeMap<Partition, Offset>,
    /// Alerts about Foghorn itself that fire, with since when.
    pub own: BTreeMap<Labels, Timestamp>,
    /// Correlation's now.
    pub now: Option<Timestamp>,
}

impl History {
    /// Reads entries in their order.
    pub fn read(entries: &[Entry]) -> Self {
        let mut history = Self::default();
        entries.iter().for_each(|entry| history.take(entry));
        history
    }

    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Start {
                origin,
                silent_until,
            } => {
                self.start = Some((*origin, *silent_until));
                self.groups
                    .values_mut()
                    .for_each(|group| group.since = group.since.or(Some(*origin)));
            }
            Entry::Rules { files } => self.rules(files),
            Entry::Read { positions } => {
                for (partition, offset, watermark) in positions {
                    self.reach(*partition, *offset);
                    self.trail
                        .entry(*partition)
                        .or_default()
                        .push((*watermark, *offset));
                }
            }
            Entry::Join { pin, topic } => {
                self.pins.push(*pin);
                self.joins.entry(pin.partition).or_insert(pin.offset);
                self.topics.insert(pin.partition, topic.clone());
            }
            Entry::Pin(pin) => {
                self.pins.push(*pin);
                self.reach(pin.partition, pin.offset);
            }
            Entry::Blind {
                partition,
                after,
                until,
            } => {
                self.blind
                    .entry(*partition)
                    .or_default()
                    .push((*after, *until));
            }
            Entry::Lowered {
                partition,
                offset,
                stamp,
            } => {
                self.lowered.insert((*partition, *offset), *stamp);
            }
            Entry::TurnedAway { decisions } => {
                for decision in decisions {
                    self.reach(decision.partition, decision.offset + 1);
                    let known = self.turned_away.entry(decision.partition).or_default();
                    known.push(*decision);
                }
            }
            Entry::Scopes { group, tick, news } => {
                let state = self.groups.entry(group.clone()).or_default();
                state.scopes.insert(*tick, news.clone());
            }
            // The ends of removed rules' alerts close nobody's tick.
            Entry::Tick { group, signals, .. } if *group == GroupKey::nobody() => {
                self.groups
                    .values_mut()
                    .for_each(|state| state.apply_all(signals));
            }
            Entry::Tick {
                group,
                tick,
                signals,
            } => {
                let state = self.groups.entry(group.clone()).or_default();
                state.closed = state.closed.max(Some(*tick));
                state.apply_all(signals);
                signals.iter().for_each(|signal| self.matched(signal));
            }
            Entry::Arrival {
                partition,
                offset,
                signals,
                ..
            } => {
                self.reach(*partition, offset + 1);
                signals.iter().for_each(|signal| self.matched(signal));
            }
            Entry::Timer { now } => self.now = self.now.max(Some(*now)),
            Entry::Own { alerts } => {
                for alert in alerts {
                    match alert.ends_at {
                        None => drop(self.own.insert(alert.labels.clone(), alert.starts_at)),
                        Some(_) => drop(self.own.remove(&alert.labels)),
                    }
                }
            }
            Entry::Command(_) => {}
        }
    }

    /// Groups that stay keep what is known of them; new ones begin after the latest closed tick.
    fn rules(&mut self, files: &[RuleFile]) {
        let sources: Vec<_> = files
            .iter()
            .map(|file| Source::new(&file.path, &file.text))
            .collect();
        let (rules, _) = load(&sources, &LoadOptions::default());
        let latest = self.groups.values().filter_map(|group| group.closed).max();
        let since = latest.or(self.start.map(|(origin, _)| origin));
        let mut before = std::mem::take(&mut self.groups);
        for group in &rules.groups {
            let key = GroupKey {
                file: Arc::clone(&group.file),
                name: Arc::clone(&group.name),
            };
            let kept = before.remove(&key).unwrap_or(GroupHistory {
                since,
                ..GroupHistory::default()
            });
            self.groups.insert(key, kept);
        }
        self.files = Some(files.to_vec());
    }

    fn matched(&mut self, signal: &Signal) {
        let Signal::Match(signal) = signal else {
            return;
        };
        // A rule's id tells its group's name; two files may have groups of one name.
        for (_, group) in self
            .groups
            .iter_mut()
            .filter(|(key, _)| key.name == signal.rule.group)
        {
            let key = (
                signal.rule.id,
                signal.labels.clone(),
                signal.partition,
                signal.bucket,
            );
            *group.matched.entry(key).or_default() |= signal.kind == MatchKind::Total;
        }
    }

    fn reach(&mut self, partition: Partition, offset: Offset) {
        let known = self.positions.entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }

    /// From where a partition must be read again so that no sample after `begin` is missed: its
    /// last logged position at which its highest event time (watermark and allowed lateness, samples
    /// ahead of their stamps among them) was not past `begin`; `None` where it joined after that.
    pub fn rewind(
        &self,
        partition: Partition,
        begin: Timestamp,
        allowed_lateness_ms: i64,
    ) -> Option<Offset> {
        let trail = self.trail.get(&partition)?;
        trail
            .iter()
            .take_while(|(watermark, _)| *watermark + allowed_lateness_ms <= begin)
            .last()
            .map(|(_, offset)| *offset)
    }

    /// Where a partition joined.
    pub fn joined(&self, partition: Partition) -> Option<Offset> {
        self.joins.get(&partition).copied()
    }

    /// The earliest instant after which some group has not closed its ticks; `None` where nothing
    /// was closed.
    pub fn frontier(&self) -> Option<Timestamp> {
        self.latest()?;
        self.groups
            .values()
            .filter_map(|group| group.closed.or(group.since))
            .min()
    }

    /// The latest closed tick of any group.
    pub fn latest(&self) -> Option<Timestamp> {
        self.groups.values().filter_map(|group| group.closed).max()
    }
}

impl GroupHistory {
    fn apply_all(&mut self, signals: &[Signal]) {
        for signal in signals {
            if let Signal::Transition(transition) = signal {
                self.apply(transition);
            }
        }
    }

    fn apply(&mut self, transition: &Transition) {
        let key = (transition.rule.id, transition.labels.clone());
        self.open.remove(&key);
        self.doubted.remove(&key);
        match transition.kind {
            TransitionKind::Pending => drop(
                self.open
                    .insert(key, active_of(transition, AlertState::Pending)),
            ),
            TransitionKind::Firing => drop(
                self.open
                    .insert(key, active_of(transition, AlertState::Firing)),
            ),
            TransitionKind::Resolved if transition.reason == Reason::NoData => {
                self.doubted.insert(
                    key,
                    (transition.at, active_of(transition, AlertState::Firing)),
                );
            }
            TransitionKind::Resolved | TransitionKind::Dropped => {}
        }
    }
}

/// The alert that a transition speaks of. Its element is not told: the alert's labels stand for it.
pub(crate) fn active_of(transition: &Transition, state: AlertState) -> ActiveAlert {
    ActiveAlert {
        id: transition.alert,
        element: transition.labels.clone(),
        labels: transition.labels.clone(),
        annotations: transition.annotations.clone(),
        state,
        active_at: transition.active_at,
        fired_at: transition.fired_at,
        value: transition.value,
        reason: transition.reason.clone(),
        keep_firing_since: None,
    }
}
