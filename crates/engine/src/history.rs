//! What a signal log says when it is read again: how far each group had closed, which alerts were
//! open, where the partitions stood, and every decision that a replay must obey.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foghorn_eval::alerts::ActiveAlert;
use foghorn_eval::intake::TurnedAway;
use foghorn_model::{
    AlertState, IncidentId, Labels, MatchKind, Offset, Partition, Reason, RuleId, Signal,
    Timestamp, Transition, TransitionKind,
};
use foghorn_rules::{LoadOptions, Source, load};
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, GroupKey, Pin, RuleFile, ScopeNews};
use crate::matches::MEMORY_MS;

/// What the log says of one group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// Scopes that it knew, and those that the next tick to close ends, with that tick.
    known: BTreeSet<Labels>,
    ending: Vec<(Timestamp, Labels)>,
    /// The last tick that ended what is outside of all scopes.
    plain_ended: Option<Timestamp>,
    /// Match buckets that have said their first, and whether they have said their total.
    pub matched: BTreeMap<MatchKey, bool>,
}

/// A bucket of a match rule: (rule, the alert's labels, partition, the bucket's start).
pub type MatchKey = (RuleId, Labels, Partition, Timestamp);

/// See the module's text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    /// The highest revision of each incident that each sink has acknowledged, where that is logged.
    #[serde(default)]
    pub delivered: BTreeMap<String, BTreeMap<IncidentId, u32>>,
}

impl History {
    /// Reads entries in their order.
    pub fn read(entries: &[Entry]) -> Self {
        let mut history = Self::default();
        entries.iter().for_each(|entry| history.take(entry));
        history
    }

    /// Forgets what no restart asks for that reads again what lies after `begin`.
    pub fn forget(&mut self, begin: Timestamp, lateness_ms: impl Fn(Partition) -> i64) {
        for (partition, trail) in &mut self.trail {
            let lateness_ms = lateness_ms(*partition);
            let past = |(watermark, _): &&(Timestamp, Offset)| *watermark + lateness_ms <= begin;
            let Some(past) = trail.iter().take_while(past).count().checked_sub(1) else {
                continue;
            };
            trail.drain(..past);
            let Some((watermark, from)) = trail.first().copied() else {
                continue;
            };
            // Nobody reads it from before this any more.
            self.joins.insert(*partition, from);
            // Of the pins up to here the highest holds.
            let own = |pin: &Pin| pin.partition == *partition && pin.offset <= from;
            let highest = self.pins.iter().filter(|pin| own(pin));
            let highest = highest.max_by_key(|pin| pin.tick).copied();
            self.pins.retain(|pin| !own(pin) || Some(*pin) == highest);
            let before = |of: &Partition, offset: Offset| of == partition && offset < from;
            self.lowered.retain(|(of, offset), _| !before(of, *offset));
            if let Some(decisions) = self.turned_away.get_mut(partition) {
                let high = watermark + lateness_ms;
                decisions.retain(|it| it.offset >= from || it.until >= high);
            }
        }
        for spans in self.blind.values_mut() {
            spans.retain(|(_, until)| *until >= begin);
        }
        for group in self.groups.values_mut() {
            group.forget(begin);
        }
    }

    /// Takes in one more entry.
    pub fn take(&mut self, entry: &Entry) {
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
                state.learn(*tick, news);
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
                state.end_scopes(*tick);
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
            Entry::Delivered { told } => {
                for (sink, incidents) in told {
                    let known = self.delivered.entry(sink.clone()).or_default();
                    for (incident, revision) in incidents {
                        let known = known.entry(*incident).or_default();
                        *known = revision.max(known).to_owned();
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
    fn forget(&mut self, begin: Timestamp) {
        self.matched
            .retain(|(.., bucket), _| *bucket + 2 * MEMORY_MS >= begin);
        // What is known of scopes at `begin` is what was said of each last.
        let later = self.scopes.split_off(&(begin + 1));
        let mut known: BTreeMap<Labels, (Timestamp, ScopeNews)> = BTreeMap::new();
        for (tick, news) in std::mem::replace(&mut self.scopes, later) {
            for news in news {
                known.insert(news.scope.clone(), (tick, news));
            }
        }
        for (tick, news) in known.into_values() {
            if news.replica.is_some() {
                self.scopes.entry(tick).or_default().push(news);
            }
        }
    }

    fn learn(&mut self, tick: Timestamp, news: &[ScopeNews]) {
        self.ending.clear();
        for ScopeNews { scope, replica } in news {
            self.known.insert(scope.clone());
            if replica.is_none() {
                self.ending.push((tick, scope.clone()));
            }
        }
    }

    /// Whether a doubt was of what was outside of all scopes, and has ended since.
    pub(crate) fn is_past(&self, labels: &Labels, since: Timestamp) -> bool {
        let scope = scope_of(self.known.iter(), labels);
        scope.is_none_or(Labels::is_empty) && self.plain_ended >= Some(since)
    }

    /// A scope that is no more leaves no doubts: what it held has ended for good.
    fn end_scopes(&mut self, tick: Timestamp) {
        for (at, scope) in std::mem::take(&mut self.ending) {
            if at == tick && scope.is_empty() {
                self.plain_ended = Some(tick);
            } else if at == tick {
                let known = &self.known;
                let of_it = |labels: &Labels| scope_of(known.iter(), labels) == Some(&scope);
                self.doubted.retain(|(_, labels), _| !of_it(labels));
                self.known.remove(&scope);
            }
        }
    }

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

/// The scope whose alert this is: of those whose labels it has, the one with the most.
pub(crate) fn scope_of<'a>(
    scopes: impl Iterator<Item = &'a Labels>,
    labels: &Labels,
) -> Option<&'a Labels> {
    let has = |scope: &&Labels| {
        let mut pairs = scope.iter();
        pairs.all(|(name, value)| labels.value(name) == value)
    };
    scopes.filter(has).max_by_key(|scope| scope.len())
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
