//! Series that the bound on series turned away.
//!
//! Which series is one too many depends on what came before it, from all partitions, and that is
//! chance. So it is a decision, which holds in one partition from one record on, is written down, and
//! is obeyed when the records are read again. It ends when the partition's event time has moved on by
//! ten minutes: the next sight of the series decides anew. All of that goes by the partition's own
//! records alone, so that a replay comes to the same.

use std::collections::{BTreeMap, VecDeque};

use foghorn_model::{Offset, Partition, SeriesKey, Timestamp};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// For how long a series is turned away, in milliseconds of its partition's event time.
pub const TURNED_AWAY_MS: i64 = 600_000;

/// The decision that a series is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnedAway {
    /// In which partition.
    pub partition: Partition,
    /// From which record on.
    pub offset: Offset,
    /// Which series: its decoder's key, with its source's share. For log hits their label set's
    /// fingerprint, with the pipeline's share.
    pub key: SeriesKey,
    /// Until the partition's highest event time, before a record, is past this.
    pub until: Timestamp,
}

/// What a look at a series in a record finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// It is not turned away.
    Free,
    /// It is, and the record has not shown it before.
    First,
    /// It is.
    Again,
}

#[derive(Clone, Copy, Debug)]
struct InForce {
    until: Timestamp,
    /// The record that showed it last.
    shown: Offset,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct TurnedTable {
    in_force: HashMap<(Partition, SeriesKey), InForce>,
    /// Decisions of the log whose records are not reached yet, by partition, in offset order.
    ahead: BTreeMap<Partition, VecDeque<TurnedAway>>,
    /// Below these offsets the log has decided.
    settled: BTreeMap<Partition, Offset>,
    made: Vec<TurnedAway>,
    /// Of `made`, those before the record that is being read.
    ended: usize,
    /// At so many in force those that are over are looked for.
    sweep_at: usize,
}

impl TurnedTable {
    /// Whether any series may be turned away now.
    #[inline]
    pub(super) fn any(&self) -> bool {
        !self.in_force.is_empty()
    }

    /// See [`super::Intake::turn_away`].
    pub(super) fn obey(
        &mut self,
        partition: Partition,
        settled: Offset,
        decisions: impl IntoIterator<Item = TurnedAway>,
    ) {
        let own = decisions
            .into_iter()
            .filter(|decision| decision.partition == partition);
        let mut ahead: Vec<_> = own.collect();
        ahead.sort_by_key(|decision| (decision.offset, decision.key));
        self.ahead.insert(partition, ahead.into());
        self.settled.insert(partition, settled);
    }

    /// A partition is not read here any more.
    pub(super) fn leave(&mut self, partition: Partition) {
        self.in_force.retain(|(known, _), _| *known != partition);
        self.ahead.remove(&partition);
        self.settled.remove(&partition);
    }

    /// Whether the log has decided about the new series of a record.
    pub(super) fn is_settled(&self, partition: Partition, offset: Offset) -> bool {
        let settled = self.settled.get(&partition);
        settled.is_some_and(|settled| offset < *settled)
    }

    /// A record begins.
    #[inline]
    pub(super) fn begin(&mut self, partition: Partition, offset: Offset) {
        if !self.ahead.is_empty() {
            self.reach(partition, offset);
        }
    }

    #[cold]
    fn reach(&mut self, partition: Partition, offset: Offset) {
        let Some(ahead) = self.ahead.get_mut(&partition) else {
            return;
        };
        while let Some(decision) = ahead.pop_front_if(|decision| decision.offset <= offset) {
            let in_force = InForce {
                until: decision.until,
                shown: Offset::MIN,
            };
            self.in_force.insert((partition, decision.key), in_force);
        }
        if ahead.is_empty() {
            self.ahead.remove(&partition);
        }
    }

    /// Looks at a series of a record, before which its partition's highest event time was `high`.
    pub(super) fn see(
        &mut self,
        partition: Partition,
        key: SeriesKey,
        offset: Offset,
        high: Timestamp,
    ) -> Sight {
        let Some(known) = self.in_force.get_mut(&(partition, key)) else {
            return Sight::Free;
        };
        if high > known.until {
            self.in_force.remove(&(partition, key));
            return Sight::Free;
        }
        if std::mem::replace(&mut known.shown, offset) == offset {
            Sight::Again
        } else {
            Sight::First
        }
    }

    /// Turns a series away from this record on.
    pub(super) fn decide(&mut self, partition: Partition, offset: Offset, key: SeriesKey) {
        // For how long, the record's end says.
        let until = Timestamp::MAX;
        let in_force = InForce {
            until,
            shown: offset,
        };
        self.in_force.insert((partition, key), in_force);
        self.made.push(TurnedAway {
            partition,
            offset,
            key,
            until,
        });
    }

    /// A record ends, with its partition's highest event time.
    #[inline]
    pub(super) fn end(&mut self, partition: Partition, high: Timestamp) {
        if self.ended < self.made.len() || self.in_force.len() > self.sweep_at {
            self.end_slowly(partition, high);
        }
    }

    #[cold]
    fn end_slowly(&mut self, partition: Partition, high: Timestamp) {
        let until = high + TURNED_AWAY_MS;
        for decision in &mut self.made[self.ended..] {
            decision.until = until;
            if let Some(known) = self.in_force.get_mut(&(partition, decision.key)) {
                known.until = until;
            }
        }
        self.ended = self.made.len();
        if self.in_force.len() > self.sweep_at {
            self.in_force
                .retain(|(of, _), known| *of != partition || known.until >= high);
            self.sweep_at = (2 * self.in_force.len()).max(1_024);
        }
    }

    /// Decisions made since the last call.
    pub(super) fn take_made(&mut self) -> Vec<TurnedAway> {
        self.ended = 0;
        std::mem::take(&mut self.made)
    }
}
