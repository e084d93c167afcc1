//! The whole path in one thread, without a clock: replay, demo and tests drive it; the live
//! runtime is the same parts on several threads.
//!
//! Records go through feeders and intakes into shards; [`Pipeline::step`] lets the brain close
//! what may be closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::Correlator;
use foghorn_engine::core::{Core, CoreSnapshot};
use foghorn_engine::sequencer::{PartitionState, Patience};
use foghorn_engine::{
    Advance, Answer, Brain, Entry, History, LogState, Pin, Query, QueryError, RuleFile, Sources,
    View,
};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::{ClockState, PartitionClock, TimeRules};
use foghorn_eval::intake::{Intake, IntakeStats, Said};
use foghorn_eval::shard::{Progress, Shard, ShardStats};
use foghorn_ingest::{Feeder, Raw, SourceConfig};
use foghorn_model::{Incident, Offset, Partition, Refusal, Timestamp};
use serde_bytes::ByteBuf;

use crate::scoping::ScopeTimes;
use crate::snapshot::{Head, Restore, SnapshotError, names_of, pack_block};

/// What came of one [`Pipeline::step`].
#[derive(Debug, Default)]
pub struct Step {
    /// What was written down, in order.
    pub entries: Vec<Entry>,
    /// Incident revisions, in order.
    pub incidents: Vec<Incident>,
    /// Partitions that hold a tick back.
    pub waiting: BTreeMap<Partition, Timestamp>,
}

/// How a pipeline is laid out.
#[derive(Clone, Debug)]
pub struct Layout {
    /// Shards that own series.
    pub shards: usize,
    /// Intakes that read partitions (a partition is read by the one of its number, modulo).
    pub intakes: usize,
    /// Waiting times of the sequencer.
    pub patience: Patience,
    /// How long a silence matters to scopes.
    pub scope_times: ScopeTimes,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            shards: 1,
            intakes: 1,
            patience: Patience::default(),
            scope_times: ScopeTimes::default(),
        }
    }
}

/// See the module's text.
pub struct Pipeline {
    catalog: Arc<Catalog>,
    sources: Sources,
    /// Sources as a snapshot knows them.
    names: Vec<String>,
    rules: Vec<TimeRules>,
    feeders: Vec<Feeder>,
    intakes: Vec<Intake>,
    shards: Vec<Shard>,
    brain: Brain,
    said: Vec<Said>,
    /// Stamps that a log says were lowered.
    lowered: BTreeMap<(Partition, Offset), Timestamp>,
}

impl Pipeline {
    /// A pipeline over sources, under rules, that says what it finds to a correlator.
    pub fn new(
        catalog: Arc<Catalog>,
        sources: &[SourceConfig],
        correlator: Correlator,
        external: Vec<(String, String)>,
        layout: &Layout,
    ) -> Self {
        catalog.name_sources(sources.iter().map(|source| source.name.clone()));
        catalog.scope_sources(&layout.scope_times.scoping(sources));
        let core = Core::new(Arc::clone(&catalog), external);
        let brain = Brain::new(core, correlator, layout.patience, Arc::new(View::default()));
        Self {
            sources: Sources {
                partitions: BTreeMap::new(),
                names: sources.iter().map(|source| source.name.clone()).collect(),
            },
            names: names_of(sources),
            rules: sources.iter().map(time_rules).collect(),
            feeders: sources.iter().map(Feeder::new).collect(),
            intakes: (0..layout.intakes)
                .map(|i| Intake::new(i as u16, layout.shards, Arc::clone(&catalog)))
                .collect(),
            shards: (0..layout.shards)
                .map(|_| Shard::new(Arc::clone(&catalog)))
                .collect(),
            brain,
            said: Vec::new(),
            lowered: BTreeMap::new(),
            catalog,
        }
    }

    /// The brain, to start or to recover it, or to look at it.
    pub fn brain(&mut self) -> &mut Brain {
        &mut self.brain
    }

    /// A cut through everything that it remembers, to be made right after a [`Pipeline::step`]; the
    /// series are then given by [`Pipeline::capture`]; what the rules remember is still to be packed
    /// ([`Head::with_core`]). `None` where something is still to be decided.
    pub fn cut(&mut self, files: &[RuleFile]) -> Option<(Head, CoreSnapshot)> {
        self.settle();
        if !self.said.is_empty() {
            return None;
        }
        let core = self.brain.snapshot()?;
        let intakes = self.intakes.iter();
        let head = Head {
            files: files.to_vec(),
            sources: self.names.clone(),
            clocks: intakes.flat_map(Intake::clocks).collect(),
            dedup: self.feeders.iter().flat_map(Feeder::dedup_state).collect(),
            shards: self.shards.iter_mut().map(Shard::cut).collect(),
            core: ByteBuf::new(),
        };
        Some((head, core))
    }

    /// Some more series of the cut, about `most` bytes of them; `None` when that were all.
    pub fn capture(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut shards = self.shards.iter_mut().enumerate();
        shards.find_map(|(i, shard)| Some(pack_block(i, &shard.capture(most)?)))
    }

    /// Goes on from a snapshot, before it [recovers](Pipeline::recover) from the log.
    ///
    /// # Errors
    /// The snapshot is not good for these rules; the pipeline is not to be used any more.
    pub fn restore(
        &mut self,
        head: &Head,
        blocks: impl IntoIterator<Item = Vec<u8>>,
        external: Vec<(String, String)>,
    ) -> Result<(), SnapshotError> {
        let core = Core::new(Arc::clone(&self.catalog), external);
        let mut restore = Restore::begin(head, core, self.shards.len())?;
        for block in blocks {
            restore.take(block)?;
        }
        let (core, shards, _) = restore.finish()?;
        self.brain.take_core(core);
        self.shards = shards;
        for state in &head.dedup {
            self.feeders[state.partition.source as usize].resume_dedup(state);
        }
        Ok(())
    }

    /// Goes on from what a log came to: see [`Brain::after`].
    #[must_use]
    pub fn after(mut self, state: LogState) -> Self {
        self.brain = self.brain.after(state);
        self
    }

    /// Sources as a snapshot knows them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Comes back from a log: see [`Brain::recover`]. Partitions are joined afterwards.
    pub fn recover(&mut self, entries: &[Entry], begin: Timestamp) -> History {
        let history = self.brain.recover(entries, begin);
        self.lowered.clone_from(&history.lowered);
        history
    }

    /// The rules in force, indexed.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The read model.
    pub fn view(&self) -> &Arc<View> {
        self.brain.view()
    }

    fn reader(&mut self, partition: Partition) -> &mut Intake {
        let at = partition.index as usize % self.intakes.len();
        &mut self.intakes[at]
    }

    /// Begins to read a partition at an offset, with the pins that a log holds for it. `logged` is
    /// the highest position that the log holds for it.
    pub fn join(
        &mut self,
        partition: Partition,
        offset: Offset,
        pins: &[Pin],
        logged: Offset,
        wall: Timestamp,
    ) {
        let rules = self.rules[partition.source as usize];
        let clock = PartitionClock::new(rules, offset, pins_of(pins, partition));
        self.begin(partition, clock, logged, wall);
    }

    /// Goes on reading a partition where a snapshot had got to.
    pub fn rejoin(
        &mut self,
        partition: Partition,
        state: ClockState,
        pins: &[Pin],
        logged: Offset,
        wall: Timestamp,
    ) {
        let rules = self.rules[partition.source as usize];
        let clock = PartitionClock::resume(rules, state, pins_of(pins, partition));
        self.begin(partition, clock, logged, wall);
    }

    fn begin(
        &mut self,
        partition: Partition,
        clock: PartitionClock,
        logged: Offset,
        wall: Timestamp,
    ) {
        let rules = self.rules[partition.source as usize];
        let progress = Progress {
            next_offset: clock.next_offset,
            watermark: Timestamp::MIN,
        };
        self.reader(partition).join(partition, clock);
        let state = PartitionState {
            progress,
            at_end: false,
            reachable: true,
            own: None,
            quiet_since: wall,
            allowed_lateness_ms: rules.allowed_lateness_ms,
            logged_offset: logged,
        };
        self.sources.partitions.insert(partition, state);
    }

    /// Feeds one record; `now` is wall time, where that counts.
    ///
    /// # Errors
    /// The record could not be decoded; the flow goes on.
    pub fn feed(&mut self, raw: &Raw<'_>, now: Option<Timestamp>) -> Result<(), Refusal> {
        let at = raw.partition.index as usize % self.intakes.len();
        let known = self.sources.partitions.get(&raw.partition);
        let again = known.is_some_and(|state| raw.offset < state.logged_offset);
        // What was read before has the stamp that it had then.
        let first_read = self
            .lowered
            .get(&(raw.partition, raw.offset))
            .copied()
            .or(now.filter(|_| !again || raw.timestamp.is_none()));
        let result = self.feeders[raw.partition.source as usize].feed(
            raw,
            first_read,
            &mut self.intakes[at],
        );
        let clock = self.intakes[at].clock(raw.partition);
        let own = clock.and_then(PartitionClock::own);
        if let Some(state) = self.sources.partitions.get_mut(&raw.partition) {
            state.own = own;
            if let Some(now) = now {
                state.at_end = false;
                // One that says much, and nothing with a time that is believed, is waited for no longer.
                state.quiet_since = if own.is_some() {
                    now
                } else {
                    state.quiet_since
                };
            }
        }
        result
    }

    /// Says where a partition stands: at its log's end, reachable.
    pub fn observe(&mut self, partition: Partition, at_end: bool, reachable: bool) {
        if let Some(state) = self.sources.partitions.get_mut(&partition) {
            (state.at_end, state.reachable) = (at_end, reachable);
        }
    }

    /// A partition is read to its end and there will be no more.
    pub fn finish(&mut self, partition: Partition) {
        self.reader(partition).finish(partition);
    }

    /// The watermark of a partition.
    pub fn watermark(&self, partition: Partition) -> Option<Timestamp> {
        let at = partition.index as usize % self.intakes.len();
        self.intakes[at]
            .clock(partition)
            .map(PartitionClock::watermark)
    }

    /// Moves what was fed into the shards.
    pub fn settle(&mut self) {
        for intake in &mut self.intakes {
            self.said.extend(intake.take_said());
            for (shard, batch) in self.shards.iter_mut().zip(intake.batches()) {
                if !batch.is_empty() {
                    shard.apply(batch);
                    batch.clear();
                }
            }
        }
        for shard in &mut self.shards {
            for (intake, number) in shard.take_deaths() {
                self.intakes[intake as usize].forget(number);
            }
        }
        for (partition, state) in &mut self.sources.partitions {
            let seen = self.shards.iter().filter_map(|shard| {
                shard
                    .progress()
                    .find(|(known, _)| known == partition)
                    .map(|(_, progress)| progress)
            });
            if let Some(least) = seen.reduce(least) {
                state.progress = least;
            }
        }
    }

    /// Lets the brain close what may be closed at wall time `wall`, and folds what it says.
    pub fn step(&mut self, wall: Timestamp) -> Step {
        let mut step = Step::default();
        for (partition, offset, stamp) in self.feeders.iter_mut().flat_map(Feeder::take_lowered) {
            if !self.lowered.contains_key(&(partition, offset)) {
                step.entries.push(Entry::Lowered {
                    partition,
                    offset,
                    stamp,
                });
            }
        }
        step.incidents = self.brain.fold(&step.entries);
        loop {
            self.settle();
            let said = std::mem::take(&mut self.said);
            let mut shards: Vec<_> = self.shards.iter_mut().collect();
            let Advance {
                entries,
                wanted,
                waiting,
                ..
            } = self.brain.advance(said, &self.sources, &mut shards, wall);
            step.incidents.extend(self.brain.fold(&entries));
            let idle = entries.is_empty() && wanted.is_empty();
            step.entries.extend(entries);
            step.waiting = waiting;
            for (partition, (tick, skip)) in wanted {
                if let Some(offset) = self.reader(partition).pin(partition, tick) {
                    self.brain.pinned(
                        Pin {
                            partition,
                            offset,
                            tick,
                        },
                        skip,
                    );
                }
            }
            if idle {
                return step;
            }
        }
    }

    /// Answers a question over everything that was read: see [`Brain::query`].
    ///
    /// # Errors
    /// It has no answer.
    pub fn query(&mut self, query: &Query, at: Timestamp) -> Result<Answer, QueryError> {
        self.settle();
        let mut shards: Vec<_> = self.shards.iter_mut().collect();
        self.brain.query(query, at, &mut shards)
    }

    /// Parts of records that were refused since the last call.
    pub fn take_refused(&mut self) -> Vec<(Partition, Offset, Refusal)> {
        self.intakes
            .iter_mut()
            .flat_map(Intake::take_refused)
            .collect()
    }

    /// Counts of all intakes.
    pub fn intake_stats(&self) -> IntakeStats {
        self.intakes
            .iter()
            .map(Intake::stats)
            .fold(IntakeStats::default(), sum)
    }

    /// Counts of all shards.
    pub fn shard_stats(&self) -> ShardStats {
        self.shards
            .iter()
            .map(Shard::stats)
            .fold(ShardStats::default(), |a, b| ShardStats {
                series: a.series + b.series,
                bytes: a.bytes + b.bytes,
                samples: a.samples + b.samples,
                late: a.late + b.late,
            })
    }
}

fn pins_of(pins: &[Pin], partition: Partition) -> Vec<(Offset, Timestamp)> {
    let own = pins.iter().filter(|pin| pin.partition == partition);
    own.map(|pin| (pin.offset, pin.tick)).collect()
}

/// How a source treats time.
pub fn time_rules(source: &SourceConfig) -> TimeRules {
    TimeRules {
        allowed_lateness_ms: source.allowed_lateness_ms(),
        max_ahead_ms: source.max_ahead.0,
        by_stamp: source.format == foghorn_wire::Format::Alerts,
    }
}

/// What every shard has seen of a partition.
pub(crate) fn least(a: Progress, b: Progress) -> Progress {
    Progress {
        next_offset: a.next_offset.min(b.next_offset),
        watermark: a.watermark.min(b.watermark),
    }
}

/// Adds up two intakes' counts.
pub(crate) fn sum(a: IntakeStats, b: IntakeStats) -> IntakeStats {
    IntakeStats {
        records: a.records + b.records,
        samples: a.samples + b.samples,
        unnamed: a.unnamed + b.unnamed,
        late: a.late + b.late,
        ahead: a.ahead + b.ahead,
        refused_ahead: a.refused_ahead + b.refused_ahead,
        refused_series: a.refused_series + b.refused_series,
        refused_samples: a.refused_samples + b.refused_samples,
        log_records: a.log_records + b.log_records,
        log_hits: a.log_hits + b.log_hits,
        changes: a.changes + b.changes,
        alerts: a.alerts + b.alerts,
    }
}
