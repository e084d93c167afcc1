//! Which reads cover a series: one number for each distinct set of them, and what is told per set.

use std::sync::Arc;

use foghorn_model::Timestamp;
use hashbrown::HashMap;

use crate::catalog::{Catalog, GroupIndex, ReadId};
use crate::series::SetId;

/// Series that no rule reads: recorded ones, mostly.
pub(super) const UNREAD: SetId = SetId(0);

/// A set of reads and the series that it covers.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) reads: Arc<[ReadId]>,
    /// Slots of its series.
    pub(super) slots: Vec<u32>,
    /// Whether delta series were among them.
    pub(super) has_deltas: bool,
    /// What lies at or before this nobody can reach. Never ahead of the truth.
    pub(super) horizon: Timestamp,
    /// The horizon when its series were last looked at.
    pub(super) swept: Timestamp,
}

/// When a read's horizon is looked up again.
#[derive(Clone, Copy, Debug)]
struct Pace {
    horizon: Timestamp,
    /// At the first tick at or past this.
    next: Timestamp,
    every_ms: i64,
    reach_ms: i64,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct ReadSets {
    sets: Vec<Set>,
    by_reads: HashMap<Arc<[ReadId]>, SetId>,
    /// Per read.
    paces: Vec<Pace>,
}

impl ReadSets {
    /// No sets but the empty one.
    pub(super) fn new(catalog: &Catalog) -> Self {
        let pace = |spec: &crate::catalog::ReadSpec| {
            let reach_ms = spec.reach_ms.values().copied().max().unwrap_or(0);
            Pace {
                horizon: Timestamp::MIN,
                next: Timestamp::MIN,
                every_ms: (reach_ms / 16).max(1_000),
                reach_ms,
            }
        };
        let mut sets = Self {
            sets: Vec::new(),
            by_reads: HashMap::new(),
            paces: catalog.reads.iter().map(pace).collect(),
        };
        sets.number(&[]);
        sets
    }

    /// The number of a set of reads.
    pub(super) fn number(&mut self, reads: &[ReadId]) -> SetId {
        if let Some(known) = self.by_reads.get(reads) {
            return *known;
        }
        let set = SetId(self.sets.len() as u32);
        let reads: Arc<[ReadId]> = reads.into();
        self.by_reads.insert(Arc::clone(&reads), set);
        let horizon = self.horizon_of(&reads);
        self.sets.push(Set {
            reads,
            slots: Vec::new(),
            has_deltas: false,
            horizon,
            swept: horizon,
        });
        set
    }

    pub(super) fn get(&self, set: SetId) -> &Set {
        &self.sets[set.0 as usize]
    }

    pub(super) fn get_mut(&mut self, set: SetId) -> &mut Set {
        &mut self.sets[set.0 as usize]
    }

    pub(super) fn reads(&self, set: SetId) -> &Arc<[ReadId]> {
        &self.get(set).reads
    }

    /// All sets but the empty one.
    pub(super) fn numbers(&self) -> impl Iterator<Item = SetId> + use<> {
        (1..self.sets.len() as u32).map(SetId)
    }

    #[inline]
    pub(super) fn horizon(&self, set: SetId) -> Timestamp {
        self.get(set).horizon
    }

    fn horizon_of(&self, reads: &[ReadId]) -> Timestamp {
        let horizons = reads.iter().map(|read| self.paces[read.0 as usize].horizon);
        horizons.min().unwrap_or(Timestamp::MIN)
    }

    /// A group closed a tick: looks up the horizons of its reads that have waited long enough (a
    /// sixteenth of their reach). `closed` gives each group's last closed tick. Whether one moved.
    pub(super) fn advance(
        &mut self,
        catalog: &Catalog,
        group: GroupIndex,
        tick: Timestamp,
        closed: &[Timestamp],
    ) -> bool {
        // From a group's last closed tick on: what that one saw can be asked for until the next.
        let next = |g: GroupIndex| closed[g];
        let mut moved = false;
        for read in catalog.reads_of_group(group) {
            let pace = &mut self.paces[read.0 as usize];
            if tick < pace.next {
                continue;
            }
            pace.next = tick + pace.every_ms;
            let horizon = catalog.horizon(*read, next);
            moved |= horizon > pace.horizon;
            pace.horizon = horizon.max(pace.horizon);
        }
        if moved {
            for set in 1..self.sets.len() {
                let horizon = self.horizon_of(&self.sets[set].reads);
                let set = &mut self.sets[set];
                if set.swept == Timestamp::MIN {
                    set.swept = horizon;
                }
                set.horizon = horizon;
            }
        }
        moved
    }

    /// Whether the horizon of a set has moved so far (a quarter of the longest reach) that dead
    /// series should be looked for.
    pub(super) fn is_due(&self, set: SetId) -> bool {
        let set = self.get(set);
        let reaches = set
            .reads
            .iter()
            .map(|read| self.paces[read.0 as usize].reach_ms);
        let reach_ms = reaches.max().unwrap_or(0);
        set.horizon - set.swept >= reach_ms / 4 && set.horizon > set.swept
    }
}
