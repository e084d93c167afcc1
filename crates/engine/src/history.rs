//! What a signal log says when it is read again: how far each group had closed, which alerts were
//! open, where the partitions stood, and every decision that a replay must obey.

use std::collections::BTreeMap;

use foghorn_eval::alerts::ActiveAlert;
use foghorn_model::{AlertState, Labels, Offset, Partition, RuleId, Signal, Timestamp, Transition, TransitionKind};

use crate::entry::{Entry, GroupKey, Pin, RuleFile};

/// What the log says of one group.
#[derive(Clone, Debug, Default)]
pub struct GroupHistory {
    /// Its last closed tick.
    pub closed: Option<Timestamp>,
    /// Alerts that are open after it, by (rule, labels).
    pub open: BTreeMap<(RuleId, Labels), ActiveAlert>,
}

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
    /// Stamps that were lowered, and mattered.
    pub lowered: BTreeMap<(Partition, Offset), Timestamp>,
    /// The highest position that the log holds for each partition.
    pub positions: BTreeMap<Partition, Offset>,
    /// Per partition: (watermark, position) as time went on.
    trail: BTreeMap<Partition, Vec<(Timestamp, Offset)>>,
    joins: BTreeMap<Partition, Offset>,
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
            Entry::Start { origin, silent_until } => self.start = Some((*origin, *silent_until)),
            Entry::Rules { files } => self.files = Some(files.clone()),
            Entry::Read { positions } => {
                for (partition, offset, watermark) in positions {
                    self.reach(*partition, *offset);
                    self.trail.entry(*partition).or_default().push((*watermark, *offset));
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
            Entry::Lowered { partition, offset, stamp } => {
                self.lowered.insert((*partition, *offset), *stamp);
            }
            Entry::Tick { group, tick, signals } => {
                let state = self.groups.entry(group.clone()).or_default();
                state.closed = state.closed.max(Some(*tick));
                for signal in signals {
                    if let Signal::Transition(transition) = signal {
                        state.apply(transition);
                    }
                }
            }
            Entry::Arrival { partition, offset, .. } => self.reach(*partition, offset + 1),
            Entry::Timer { now } => self.now = self.now.max(Some(*now)),
            Entry::Command(_) => {}
        }
    }

    fn reach(&mut self, partition: Partition, offset: Offset) {
        let known = self.positions.entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }

    /// From where a partition must be read again so that no sample after `begin` is missed: its
    /// last logged position at which its highest event time (watermark and allowed lateness) was
    /// not past `begin`; `None` where it joined after that.
    pub fn rewind(&self, partition: Partition, begin: Timestamp, allowed_lateness_ms: i64) -> Option<Offset> {
        let trail = self.trail.get(&partition)?;
        trail.iter().take_while(|(watermark, _)| *watermark + allowed_lateness_ms <= begin).last().map(|(_, offset)| *offset)
    }

    /// Where a partition joined.
    pub fn joined(&self, partition: Partition) -> Option<Offset> {
        self.joins.get(&partition).copied()
    }

    /// The earliest closed tick of any group; `None` where nothing was closed.
    pub fn frontier(&self) -> Option<Timestamp> {
        self.groups.values().filter_map(|group| group.closed).min()
    }
}

impl GroupHistory {
    fn apply(&mut self, transition: &Transition) {
        let key = (transition.rule.id, transition.labels.clone());
        let state = match transition.kind {
            TransitionKind::Pending => AlertState::Pending,
            TransitionKind::Firing => AlertState::Firing,
            TransitionKind::Dropped | TransitionKind::Resolved => {
                self.open.remove(&key);
                return;
            }
        };
        self.open.insert(
            key,
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
            },
        );
    }
}
