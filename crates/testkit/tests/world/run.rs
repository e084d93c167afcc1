//! Runs through a world: the live one, which decides and crashes, and the replay, which obeys.

use std::collections::BTreeMap;

use foghorn_engine::sequencer::Patience;
use foghorn_engine::{Brain, Entry, History, LogState, Pin};
use foghorn_eval::intake::IntakeStats;
use foghorn_model::{Partition, Timestamp};
use foghorn_runtime::snapshot::Head;
use foghorn_runtime::{Layout, Pipeline, ScopeTimes};
use foghorn_testkit::scenario::BEGIN;

use super::recovery::{Snapshot, come_back, pipeline, raw};
use super::source::World;
use super::told::Told;
use foghorn_testkit::rng::Rng;

/// Short, so that runs are.
pub(crate) const PATIENCE: Patience = Patience {
    idle_timeout_ms: 6_000,
    max_stall_ms: 25_000,
};
/// Decides nothing by itself.
const OBEDIENT: Patience = Patience {
    idle_timeout_ms: i64::MAX / 8,
    max_stall_ms: i64::MAX / 8,
};

/// What may happen to a live run.
#[derive(Clone, Copy, Default)]
pub(crate) struct Trouble {
    /// Chance of a crash at each step, in percent.
    pub(crate) crashes: u64,
    /// Whether partitions go out of reach for a while.
    pub(crate) unreachable: bool,
    /// Whether snapshots are made, a few series at a time; no crash comes before the first.
    pub(crate) snapshots: bool,
    /// Whether only what they say of the log is used.
    pub(crate) only_log: bool,
}

pub(crate) struct Run<'w> {
    world: &'w World,
    layout: Layout,
    pipeline: Pipeline,
    /// In milliseconds after the beginning.
    pub(crate) wall_ms: i64,
    next: BTreeMap<Partition, usize>,
    unreachable: BTreeMap<Partition, bool>,
    /// The durable log.
    pub(crate) log: Vec<Entry>,
    /// How long the log was before the last step: a crash may tear off what came after.
    durable: usize,
    /// Snapshots, the newest last; the last one may still be under way.
    snapshots: Vec<Snapshot>,
    pub(crate) crashes: usize,
    /// Crashes that a snapshot was there for.
    pub(crate) restored: usize,
    /// Of snapshots only what they say of the log is used.
    pub(crate) only_log: bool,
}

/// 1–3 shards, 1–2 intakes.
pub(crate) fn layout(rng: &mut Rng, patience: Patience) -> Layout {
    Layout {
        shards: 1 + rng.below(3),
        intakes: 1 + rng.below(2),
        patience,
        scope_times: ScopeTimes::default(),
    }
}

impl<'w> Run<'w> {
    /// A first start.
    pub(crate) fn start(world: &'w World, layout: Layout) -> Self {
        let mut run = Self {
            world,
            pipeline: pipeline(world, &layout),
            layout,
            wall_ms: 0,
            next: BTreeMap::new(),
            unreachable: BTreeMap::new(),
            log: Vec::new(),
            durable: 0,
            snapshots: Vec::new(),
            crashes: 0,
            restored: 0,
            only_log: false,
        };
        run.join_new();
        run.write(Entry::Rules {
            files: world.files.clone(),
        });
        let start = run.pipeline.brain().start(BEGIN - 1, Timestamp::MIN);
        run.write(start);
        run.durable = run.log.len();
        run
    }

    /// Writes an entry down that no step gave.
    fn write(&mut self, entry: Entry) {
        self.pipeline.brain().fold(std::slice::from_ref(&entry));
        self.log.push(entry);
    }

    pub(crate) fn wall(&self) -> Timestamp {
        BEGIN + self.wall_ms
    }

    fn is_born(&self, partition: Partition) -> bool {
        self.world
            .born_ms
            .get(&partition)
            .is_none_or(|born| *born <= self.wall_ms)
    }

    /// Partitions that are new join by a pin at the highest closed tick of any group.
    fn join_new(&mut self) {
        for partition in self.world.logs.keys() {
            if self.next.contains_key(partition) || !self.is_born(*partition) {
                continue;
            }
            let history = History::read(&self.log);
            let tick = history
                .groups
                .values()
                .filter_map(|group| group.closed)
                .max()
                .unwrap_or(Timestamp::MIN);
            let pin = Pin {
                partition: *partition,
                offset: 0,
                tick,
            };
            self.write(Entry::Join {
                pin,
                topic: String::new(),
            });
            self.pipeline.join(*partition, 0, &[pin], 0, self.wall());
            self.next.insert(*partition, 0);
        }
    }

    fn at_end(&self, partition: Partition) -> bool {
        let records = &self.world.logs[&partition];
        records
            .get(self.next[&partition])
            .is_none_or(|record| record.available_ms > self.wall_ms)
    }

    /// Reads at most so many records of a partition; how many there were.
    pub(crate) fn read(&mut self, partition: Partition, at_most: usize) -> usize {
        if self.unreachable.get(&partition) == Some(&true) {
            return 0;
        }
        for n in 0..at_most {
            if self.at_end(partition) {
                return n;
            }
            let offset = self.next[&partition];
            let record = &self.world.logs[&partition][offset];
            let wall = self.wall();
            self.pipeline
                .feed(&raw(partition, offset, record), Some(wall))
                .expect("every record can be read");
            self.next.insert(partition, offset + 1);
        }
        at_most
    }

    /// Everything that may close closes.
    pub(crate) fn step(&mut self) {
        for partition in self.next.keys() {
            let reachable = self.unreachable.get(partition) != Some(&true);
            self.pipeline
                .observe(*partition, reachable && self.at_end(*partition), reachable);
        }
        self.durable = self.log.len();
        let wall = self.wall();
        self.log.extend(self.pipeline.step(wall).entries);
    }

    /// The process ends; what the last step wrote may be torn. It comes back from the log, as the
    /// live runtime does.
    pub(crate) fn crash(&mut self, keep: usize) {
        self.crashes += 1;
        self.log
            .truncate(self.log.len().min(self.durable.saturating_add(keep)));
        // One that is under way is lost; one is published when the log before it is durable.
        let entries = self.log.len() as u64;
        self.snapshots
            .retain(|known| known.is_whole && known.state.position <= entries);
        let snapshot = self.snapshots.last();
        let later = snapshot.map_or(0, |known| known.state.position);
        self.restored += usize::from(snapshot.is_some());
        // On other shards than it was made on, now and then.
        self.layout.shards = 1 + (self.layout.shards + self.crashes) % 3;
        let back = come_back(
            self.world,
            &self.layout,
            snapshot.map(|known| (known, !self.only_log)),
            &self.log[later as usize..],
            self.wall(),
        );
        (self.pipeline, self.next) = (back.pipeline, back.next);
        self.durable = self.log.len();
        self.join_new();
    }

    /// The snapshots that are whole.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&LogState, &Head, &[Vec<u8>])> {
        let whole = self.snapshots.iter().filter(|known| known.is_whole);
        whole.map(|known| (&known.state, &known.head, &known.blocks[..]))
    }

    /// Goes on with a snapshot, or begins one.
    fn snapshot(&mut self) {
        if let Some(under_way) = self.snapshots.last_mut().filter(|last| !last.is_whole) {
            return under_way.go_on(&mut self.pipeline);
        }
        self.step();
        let position = self.log.len() as u64;
        let snapshot = Snapshot::begin(self.world, &mut self.pipeline, position);
        self.snapshots.extend(snapshot);
    }

    /// These partitions, and no others, cannot be reached from now on.
    pub(crate) fn cut_off(&mut self, partitions: &[Partition]) {
        self.unreachable = partitions
            .iter()
            .map(|partition| (*partition, true))
            .collect();
    }

    /// One thing happens, by chance.
    fn happen(&mut self, rng: &mut Rng, trouble: Trouble) {
        self.join_new();
        let partitions: Vec<_> = self.next.keys().copied().collect();
        let partition = rng.pick(&partitions);
        match rng.below(100) {
            0..20 => self.wall_ms += rng.within(200, 2_500),
            20..22 if trouble.unreachable => {
                let now = self.unreachable.get(&partition) != Some(&true)
                    && self.wall_ms < self.world.end_ms;
                self.unreachable.insert(partition, now);
            }
            20..75 => {
                let at_most = rng.within(1, 4) as usize;
                self.read(partition, at_most);
            }
            75..90 if trouble.snapshots => self.snapshot(),
            _ => self.step(),
        }
        let has_snapshot = self.snapshots.iter().any(|known| known.is_whole);
        if rng.chance(trouble.crashes) && (has_snapshot || !trouble.snapshots) {
            let keep = if rng.chance(50) {
                usize::MAX
            } else {
                rng.below(12)
            };
            self.crash(keep);
        }
    }

    /// Goes on, by chance, until everything is read and nothing more can close.
    pub(crate) fn go(&mut self, rng: &mut Rng, trouble: Trouble) {
        while self.wall_ms < self.world.end_ms {
            self.happen(rng, trouble);
        }
        self.unreachable.clear();
        self.settle(90_000);
    }

    /// Reads everything there is, and lets so much wall time pass.
    pub(crate) fn settle(&mut self, for_ms: i64) {
        let until = self.wall_ms + for_ms;
        while self.wall_ms < until {
            self.wall_ms += 1_000;
            self.join_new();
            let partitions: Vec<_> = self.next.keys().copied().collect();
            for partition in partitions {
                self.read(partition, usize::MAX);
            }
            self.step();
        }
    }

    /// Whether correlation has come to what a fresh fold of the whole log comes to.
    pub(crate) fn is_as_folded(&mut self) -> bool {
        let mut fresh = pipeline(self.world, &self.layout);
        fresh.recover(&self.log, Timestamp::MIN);
        is_alike(fresh.brain(), self.pipeline.brain())
    }

    pub(crate) fn told(&self) -> Told {
        Told::of(&self.log)
    }

    pub(crate) fn stats(&self) -> IntakeStats {
        self.pipeline.intake_stats()
    }
}

/// Whether two have come to the same.
pub(crate) fn is_alike(one: &Brain, other: &Brain) -> bool {
    let shown = |brain: &Brain| {
        let incidents = brain.view().incidents_by_urgency();
        let alerts = brain.view().alerts_in_order();
        let alerts: Vec<_> = alerts.iter().map(|it| it.id).collect();
        format!("{incidents:?} {alerts:?}")
    };
    one.correlator().state() == other.correlator().state() && shown(one) == shown(other)
}

/// Reads a world again in some other order, under the decisions of a log: what is said now.
pub(crate) fn replay(world: &World, log: &[Entry], rng: &mut Rng) -> Told {
    replay_with(world, log, rng, &History::read(log).pins, OBEDIENT)
}

/// The same, under these pins.
pub(crate) fn replay_with(
    world: &World,
    log: &[Entry],
    rng: &mut Rng,
    pins: &[Pin],
    patience: Patience,
) -> Told {
    let layout = layout(rng, patience);
    let mut pipeline = pipeline(world, &layout);
    let decisions: Vec<_> = log
        .iter()
        .filter(|entry| is_decision(entry))
        .cloned()
        .collect();
    pipeline.recover(&decisions, BEGIN - 1);
    let mut next: BTreeMap<Partition, usize> = BTreeMap::new();
    for partition in world.logs.keys() {
        pipeline.join(*partition, 0, pins, 0, BEGIN);
        next.insert(*partition, 0);
    }
    // Wall time counts only where patience is finite: then everything is long past.
    let wall = BEGIN + world.end_ms + 90_000;
    let mut told = Vec::new();
    let step = |pipeline: &mut Pipeline, next: &BTreeMap<Partition, usize>| {
        for (partition, at) in next {
            pipeline.observe(*partition, *at >= world.logs[partition].len(), true);
        }
        pipeline.step(wall).entries
    };
    loop {
        let open: Vec<_> = next
            .iter()
            .filter(|(p, at)| **at < world.logs[p].len())
            .map(|(p, _)| *p)
            .collect();
        if open.is_empty() {
            break;
        }
        let partition = rng.pick(&open);
        // Now and then one partition is read far ahead of the others.
        let count = if rng.chance(5) {
            80
        } else {
            rng.within(1, 6) as usize
        };
        for _ in 0..count {
            let offset = next[&partition];
            let Some(record) = world.logs[&partition].get(offset) else {
                break;
            };
            pipeline
                .feed(&raw(partition, offset, record), None)
                .expect("every record can be read");
            next.insert(partition, offset + 1);
        }
        if rng.chance(40) {
            told.extend(step(&mut pipeline, &next));
        }
    }
    told.extend(step(&mut pipeline, &next));
    Told::of(&told)
}

/// What is in no source, and says nothing by itself. (Pins are given to the partitions.)
fn is_decision(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::Start { .. } | Entry::Lowered { .. } | Entry::Blind { .. }
    )
}
