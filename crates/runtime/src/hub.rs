//! What workers and the brain's thread share: one state a worker, locked once a batch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_eval::batch::Batch;
use foghorn_eval::clock::{PartitionClock, TimeRules};
use foghorn_eval::intake::{Intake, Said};
use foghorn_eval::shard::Shard;
use foghorn_ingest::{Feeder, Raw};
use foghorn_model::{Offset, Partition, Refusal, Timestamp};

use crate::directory::Directory;

/// Locks, whoever panicked before: the state behind is only ever replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Batches that one ring between two workers holds.
const RING: usize = 64;

/// What a worker sees of a partition's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) at_end: bool,
    pub(crate) reachable: bool,
    pub(crate) quiet_since: Timestamp,
    /// The watermark that the first record with a time made.
    pub(crate) first: Option<Timestamp>,
    pub(crate) lag: Option<i64>,
}

/// One worker's part of thought: its intake, its shard, and the rings to the other shards.
pub(crate) struct WorkerState {
    pub(crate) intake: Intake,
    pub(crate) shard: Shard,
    pub(crate) feeders: Vec<Feeder>,
    pub(crate) facts: BTreeMap<Partition, Facts>,
    /// Partitions that joined since the brain last looked: (partition, topic, clock's start).
    pub(crate) joined: Vec<(Partition, String, i64)>,
    pub(crate) said: Vec<Said>,
    /// Refusals of whole records and of parts, by (source, reason).
    pub(crate) refusals: BTreeMap<(u16, &'static str), u64>,
    pub(crate) bytes: u64,
    /// Stamps that the log holds, for records that are read again.
    pub(crate) lowered: BTreeMap<(Partition, Offset), Timestamp>,
    outbound: Vec<Option<rtrb::Producer<Batch>>>,
    /// Batches that found their ring full: nothing is read before they are gone.
    backlog: Vec<(usize, Batch)>,
    inbound: Vec<rtrb::Consumer<Batch>>,
    index: usize,
}

impl WorkerState {
    /// Feeds one record; what could not be used is counted, and given back for the dead letters.
    pub(crate) fn feed(&mut self, raw: &Raw<'_>, now: Timestamp) -> Result<(), Refusal> {
        self.bytes += raw.payload.len() as u64;
        let source = raw.partition.source;
        // A stamp that was lowered before, and mattered, is the same on every reading.
        let stamp = if self.lowered.is_empty() {
            None
        } else {
            self.lowered.remove(&(raw.partition, raw.offset))
        };
        let result =
            self.feeders[source as usize].feed(raw, Some(stamp.unwrap_or(now)), &mut self.intake);
        if let Some(facts) = self.facts.get_mut(&raw.partition) {
            (facts.quiet_since, facts.at_end, facts.reachable) = (now, false, true);
            if facts.first.is_none() {
                let watermark = self
                    .intake
                    .clock(raw.partition)
                    .map(PartitionClock::watermark);
                facts.first = watermark.filter(|watermark| *watermark > Timestamp::MIN);
            }
        }
        if let Err(refusal) = &result {
            *self.refusals.entry((source, refusal.code)).or_default() += 1;
        }
        result
    }

    /// Reads a partition from here on.
    pub(crate) fn join(&mut self, partition: Partition, clock: PartitionClock, now: Timestamp) {
        self.intake.join(partition, clock);
        self.facts.insert(
            partition,
            Facts {
                at_end: false,
                reachable: true,
                quiet_since: now,
                first: None,
                lag: None,
            },
        );
    }

    /// Hands on what was fed: to the own shard at once, to the others by their rings.
    pub(crate) fn hand_over(&mut self) {
        self.said.extend(self.intake.take_said());
        for (partition, _, refusal) in self.intake.take_refused() {
            *self
                .refusals
                .entry((partition.source, refusal.code))
                .or_default() += 1;
        }
        let own = self.index;
        for (to, batch) in self.intake.batches().iter_mut().enumerate() {
            if batch.is_empty() {
                continue;
            }
            if to == own {
                self.shard.apply(batch);
                batch.clear();
            } else {
                let intake = batch.intake;
                let full = std::mem::replace(
                    batch,
                    Batch {
                        intake,
                        ..Batch::default()
                    },
                );
                self.backlog.push((to, full));
            }
        }
        self.push_backlog();
    }

    /// Pushes what waits for room; whether all of it is gone.
    pub(crate) fn push_backlog(&mut self) -> bool {
        let mut waiting = Vec::new();
        for (to, batch) in self.backlog.drain(..) {
            // Later batches for a full ring wait behind the first.
            let behind = waiting.iter().any(|(other, _)| *other == to);
            match &mut self.outbound[to] {
                Some(ring) if !behind => {
                    if let Err(rtrb::PushError::Full(batch)) = ring.push(batch) {
                        waiting.push((to, batch));
                    }
                }
                _ => waiting.push((to, batch)),
            }
        }
        self.backlog = waiting;
        self.backlog.is_empty()
    }

    /// Takes in what the other workers handed over.
    pub(crate) fn drain(&mut self) {
        for ring in &mut self.inbound {
            while let Ok(mut batch) = ring.pop() {
                self.shard.apply(&mut batch);
            }
        }
    }

    /// Share of the fullest outbound ring that is in use.
    pub(crate) fn ring_fill(&self) -> f64 {
        let used = self
            .outbound
            .iter()
            .flatten()
            .map(|ring| RING - ring.slots())
            .max()
            .unwrap_or(0);
        used as f64 / RING as f64
    }
}

/// Everything that is shared.
pub(crate) struct Hub {
    pub(crate) workers: Vec<Arc<Mutex<WorkerState>>>,
    pub(crate) directory: Mutex<Directory>,
    pub(crate) rules: Vec<TimeRules>,
    /// Partitions to pause, by the brain's word.
    pub(crate) paused: Mutex<std::collections::BTreeSet<Partition>>,
    /// The highest tick that any group has closed.
    pub(crate) highest_closed: AtomicI64,
    pub(crate) stop: AtomicBool,
    /// A thread met what it cannot go on with.
    pub(crate) failure: Mutex<Option<String>>,
    bell: (Mutex<bool>, Condvar),
}

impl Hub {
    /// A hub of workers whose rings are laid.
    pub(crate) fn new(
        parts: Vec<(Intake, Shard, Vec<Feeder>)>,
        directory: Directory,
        rules: Vec<TimeRules>,
    ) -> Self {
        let count = parts.len();
        let mut outbound: Vec<Vec<_>> = (0..count)
            .map(|_| (0..count).map(|_| None).collect())
            .collect();
        let mut inbound: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for (from, row) in outbound.iter_mut().enumerate() {
            for (to, slot) in row.iter_mut().enumerate().filter(|(to, _)| *to != from) {
                let (producer, consumer) = rtrb::RingBuffer::new(RING);
                *slot = Some(producer);
                inbound[to].push(consumer);
            }
        }
        let states = parts
            .into_iter()
            .zip(outbound)
            .zip(inbound)
            .enumerate()
            .map(|(index, ((part, outbound), inbound))| {
                let (intake, shard, feeders) = part;
                Arc::new(Mutex::new(WorkerState {
                    intake,
                    shard,
                    feeders,
                    facts: BTreeMap::new(),
                    joined: Vec::new(),
                    said: Vec::new(),
                    refusals: BTreeMap::new(),
                    bytes: 0,
                    lowered: BTreeMap::new(),
                    outbound,
                    backlog: Vec::new(),
                    inbound,
                    index,
                }))
            });
        Self {
            workers: states.collect(),
            directory: Mutex::new(directory),
            rules,
            paused: Mutex::default(),
            highest_closed: AtomicI64::new(Timestamp::MIN.ms()),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            bell: (Mutex::new(false), Condvar::new()),
        }
    }

    /// Locks every worker, in order.
    pub(crate) fn lock_all(&self) -> Vec<MutexGuard<'_, WorkerState>> {
        self.workers.iter().map(|worker| lock(worker)).collect()
    }

    /// Something happened that the brain should look at.
    pub(crate) fn ring(&self) {
        *lock(&self.bell.0) = true;
        self.bell.1.notify_one();
    }

    /// Waits for the bell, at most so long.
    pub(crate) fn wait(&self, at_most: Duration) {
        let rung = lock(&self.bell.0);
        let (mut rung, _) = self
            .bell
            .1
            .wait_timeout_while(rung, at_most, |rung| !*rung)
            .unwrap_or_else(PoisonError::into_inner);
        *rung = false;
    }

    /// Whether the end was asked for.
    pub(crate) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// A thread cannot go on: the runtime ends with this word.
    pub(crate) fn fail(&self, why: String) {
        lock(&self.failure).get_or_insert(why);
        self.stop.store(true, Ordering::Release);
        self.ring();
    }
}

/// Moves everything that is on its way between workers to where it belongs, and death marks back.
pub(crate) fn settle(workers: &mut [MutexGuard<'_, WorkerState>]) {
    for i in 0..workers.len() {
        workers[i].hand_over();
        while !workers[i].push_backlog() {
            workers.iter_mut().for_each(|worker| worker.drain());
        }
    }
    for worker in &mut *workers {
        worker.drain();
    }
    for i in 0..workers.len() {
        for (intake, number) in workers[i].shard.take_deaths() {
            workers[intake as usize].intake.forget(number);
        }
    }
}
