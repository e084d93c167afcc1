//! Runs through a world: the live one, which decides and crashes, and the replay, which obeys.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::sequencer::Patience;
use foghorn_engine::{Brain, Entry, History, LogState, Pin};
use foghorn_eval::intake::IntakeStats;
use foghorn_ingest::Raw;
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_runtime::snapshot::Head;
use foghorn_runtime::{Layout, Pipeline, ScopeTimes};
use foghorn_testkit::scenario::BEGIN;

use super::source::{Rec, World};
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

struct Snapshot {
    state: LogState,
    head: Head,
    blocks: Vec<Vec<u8>>,
    is_whole: bool,
}

fn pipeline(world: &World, layout: &Layout) -> Pipeline {
    let correlator = Correlator::new(Config::default(), Topology::new(&TopologyFile::default()));
    let mut pipeline = Pipeline::new(
        Arc::clone(&world.catalog),
        &world.sources,
        correlator,
        Vec::new(),
        &Layout {
            scope_times: world.scope_times,
            ..layout.clone()
        },
    );
    pipeline.brain().keep_history();
    pipeline
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

fn raw(partition: Partition, offset: usize, record: &Rec) -> Raw<'_> {
    Raw {
        partition,
        offset: offset as Offset,
        timestamp: Some(record.stamp),
        payload: &record.payload,
        ..Raw::default()
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
        self.pipeline = pipeline(self.world, &self.layout);
        // One that is under way is lost; one is published when the log before it is durable.
        let entries = self.log.len() as u64;
        self.snapshots
            .retain(|known| known.is_whole && known.state.position <= entries);
        let mut before = History::default();
        let mut later = &self.log[..];
        let mut state = None;
        if let Some(snapshot) = self.snapshots.last() {
            later = &self.log[snapshot.state.position as usize..];
            before = snapshot.state.history.clone();
            let packed = snapshot.state.pack().expect("it can be packed");
            state = Some(LogState::unpack(&packed).expect("what the log came to comes back"));
            self.restored += 1;
        }
        later.iter().for_each(|entry| before.take(entry));
        if let Some(Snapshot { head, blocks, .. }) = self.usable() {
            head.check(self.pipeline.names(), later, &before)
                .expect("it is of this log");
            let (head, blocks) = (head.pack().expect("it can be packed"), blocks.clone());
            // On other shards than it was made on, now and then.
            self.layout.shards = 1 + (self.layout.shards + self.crashes) % 3;
            self.pipeline = pipeline(self.world, &self.layout);
            let head = Head::unpack(&head).expect("a head comes back");
            self.pipeline
                .restore(&head, blocks, Vec::new())
                .expect("a snapshot comes back");
        }
        if let Some(state) = state {
            let fresh = pipeline(self.world, &self.layout);
            self.pipeline = std::mem::replace(&mut self.pipeline, fresh).after(state);
        }
        let begin = self.begin_of(&before);
        let later = self
            .snapshots
            .last()
            .map_or(0, |known| known.state.position);
        let history = self.pipeline.recover(&self.log[later as usize..], begin);
        self.next.clear();
        for partition in self.world.logs.keys() {
            let Some(joined) = history.joined(*partition) else {
                continue;
            };
            let lateness_ms = self.world.sources[partition.source as usize].allowed_lateness_ms();
            let offset = history
                .rewind(*partition, begin, lateness_ms)
                .unwrap_or(joined);
            let logged = history.positions.get(partition).copied().unwrap_or(0);
            let wall = self.wall();
            if let Some(Snapshot { head, .. }) = self.usable() {
                let clock = head.clock(*partition);
                // One that it does not know has joined since.
                let at = clock.map_or(joined, |clock| clock.next_offset);
                self.next.insert(*partition, at as usize);
                match clock {
                    Some(clock) => {
                        self.pipeline
                            .rejoin(*partition, clock, &history.pins, logged, wall);
                    }
                    None => self
                        .pipeline
                        .join(*partition, joined, &history.pins, logged, wall),
                }
                continue;
            }
            self.pipeline
                .join(*partition, offset, &history.pins, logged, wall);
            self.next.insert(*partition, offset as usize);
        }
        self.durable = self.log.len();
        self.join_new();
    }

    /// From where sources are read again without a snapshot.
    fn begin_of(&self, history: &History) -> Timestamp {
        let reach_ms = self.world.catalog.longest_reach_ms();
        let begin = history
            .frontier()
            .map(|closed| closed - reach_ms)
            .or(history.start.map(|(origin, _)| origin));
        begin.unwrap_or(Timestamp::MIN)
    }

    /// The snapshot to go on from, unless only what it says of the log is good.
    fn usable(&self) -> Option<&Snapshot> {
        self.snapshots.last().filter(|_| !self.only_log)
    }

    /// The snapshots that are whole.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = (&LogState, &Head, &[Vec<u8>])> {
        let whole = self.snapshots.iter().filter(|known| known.is_whole);
        whole.map(|known| (&known.state, &known.head, &known.blocks[..]))
    }

    /// Goes on with a snapshot, or begins one.
    fn snapshot(&mut self) {
        if let Some(under_way) = self.snapshots.last_mut().filter(|last| !last.is_whole) {
            match self.pipeline.capture(1) {
                Some(block) => under_way.blocks.push(block),
                None => under_way.is_whole = true,
            }
            return;
        }
        self.step();
        if let Some((head, core)) = self.pipeline.cut(&self.world.files) {
            let head = head.with_core(&core).expect("it can be packed");
            let reach_ms = self.world.catalog.longest_reach_ms();
            let sources = &self.world.sources;
            let lateness_ms = |of: Partition| sources[of.source as usize].allowed_lateness_ms();
            let position = self.log.len() as u64;
            let state = self
                .pipeline
                .brain()
                .log_state(position, reach_ms, lateness_ms);
            self.snapshots.push(Snapshot {
                state,
                head,
                blocks: Vec::new(),
                is_whole: false,
            });
        }
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
        let (fresh, run) = (fresh.brain(), self.pipeline.brain());
        let shown = |brain: &Brain| {
            let incidents = brain.view().incidents_by_urgency();
            let alerts = brain.view().alerts_in_order();
            format!(
                "{incidents:?} {:?}",
                alerts.iter().map(|it| it.id).collect::<Vec<_>>()
            )
        };
        fresh.correlator().state() == run.correlator().state() && shown(fresh) == shown(run)
    }

    pub(crate) fn told(&self) -> Told {
        Told::of(&self.log)
    }

    pub(crate) fn stats(&self) -> IntakeStats {
        self.pipeline.intake_stats()
    }
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
