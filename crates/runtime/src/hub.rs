//! What workers and the brain's thread share: one state a worker, locked once a batch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foghorn_engine::History;
use foghorn_eval::clock::{PartitionClock, TimeRules};
use foghorn_eval::intake::{Intake, Said, TurnedAway};
use foghorn_eval::shard::Shard;
use foghorn_ingest::{DedupState, Feeder, Raw};
use foghorn_model::{Offset, Partition, Refusal, Timestamp};
use parking_lot::{FairMutex, FairMutexGuard};

use crate::directory::Directory;
use crate::rings::Rings;

/// Locks, whoever panicked before: the state behind is only ever replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker's state behind its lock. Fair: a worker that has more to read takes the lock again within
/// microseconds, and the brain's thread, woken meanwhile, would find it taken for as long as the
/// backlog lasts. So whoever waits is next.
pub(crate) type State = FairMutex<WorkerState>;
/// A worker's state, held.
pub(crate) type Held<'a> = FairMutexGuard<'a, WorkerState>;

/// Cells of a batch at which it is handed over though the poll goes on: what is written is read
/// again while it is still in the core's cache.
const GROWN_CELLS: usize = 4_096;

/// What a worker sees of a partition's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) at_end: bool,
    pub(crate) reachable: bool,
    /// It counts as idle so long after this; in the future after an outage of the cluster.
    pub(crate) quiet_since: Timestamp,
    /// The watermark that the first record with a time made.
    pub(crate) first: Option<Timestamp>,
    pub(crate) lag: Option<i64>,
    pub(crate) is_paused: bool,
}

/// What a worker's records said, and what was decided when they were read, on its way to the brain.
/// Behind a lock of its own, held for an instant: a match on arrival need not wait for a batch.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// What records said, in the order of their partitions' records.
    pub(crate) said: Vec<Said>,
    /// Stamps that were lowered, and mattered.
    pub(crate) lowered: Vec<(Partition, Offset, Timestamp)>,
    /// Series that were turned away.
    pub(crate) turned_away: Vec<TurnedAway>,
}

impl Words {
    /// Whether nothing waits for the brain.
    pub(crate) fn is_empty(&self) -> bool {
        self.said.is_empty() && self.lowered.is_empty() && self.turned_away.is_empty()
    }

    /// These after those that wait already.
    fn append(&mut self, mut later: Self) {
        self.said.append(&mut later.said);
        self.lowered.append(&mut later.lowered);
        self.turned_away.append(&mut later.turned_away);
    }
}

/// One worker's part of thought: its intake, its shard, and the rings to the other shards.
pub(crate) struct WorkerState {
    pub(crate) intake: Intake,
    pub(crate) shard: Shard,
    pub(crate) feeders: Vec<Feeder>,
    pub(crate) facts: BTreeMap<Partition, Facts>,
    /// Partitions that joined since the brain last looked: (partition, topic, clock's start).
    pub(crate) joined: Vec<(Partition, String, i64)>,
    /// Refusals of whole records and of parts, by (source, reason).
    pub(crate) refusals: BTreeMap<(u16, &'static str), u64>,
    pub(crate) bytes: u64,
    /// Stamps that the log holds, for records that are read again.
    pub(crate) lowered: BTreeMap<(Partition, Offset), Timestamp>,
    /// The positions that the log holds, of partitions that have not joined yet.
    pub(crate) logged: BTreeMap<Partition, Offset>,
    /// The same, of those that are being read again.
    again: BTreeMap<Partition, Offset>,
    /// What the log has decided of each partition's new series, and up to where.
    pub(crate) turned_away: BTreeMap<Partition, (Offset, Vec<TurnedAway>)>,
    /// Ids of records that a snapshot remembers, for partitions that have not joined yet.
    pub(crate) dedup: BTreeMap<Partition, DedupState>,
    rings: Rings,
    words: Arc<Mutex<Words>>,
    /// The partition of the last record, where its facts say already that it is being read.
    fresh: Option<Partition>,
    /// The tick that was due when the brain was last called, and the partitions that were past it.
    called: (Timestamp, usize),
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
        // And one that was not is not lowered now, though this clock may be behind that one.
        let again = !self.again.is_empty() && self.reads_again(raw.partition, raw.offset);
        let first_read = stamp.or((!again || raw.timestamp.is_none()).then_some(now));
        let result = self.feeders[source as usize].feed(raw, first_read, &mut self.intake);
        if self.fresh != Some(raw.partition) {
            self.freshen(raw.partition, now);
        }
        if let Err(refusal) = &result {
            *self.refusals.entry((source, refusal.code)).or_default() += 1;
        }
        result
    }

    /// Whether the log holds that a record was read before.
    fn reads_again(&mut self, partition: Partition, offset: Offset) -> bool {
        let logged = self.again.get(&partition);
        let again = logged.is_some_and(|logged| offset < *logged);
        if !again {
            self.again.remove(&partition);
        }
        again
    }

    /// Notes that a partition is being read: once a run of its records.
    fn freshen(&mut self, partition: Partition, now: Timestamp) {
        let Some(facts) = self.facts.get_mut(&partition) else {
            return;
        };
        (facts.at_end, facts.reachable) = (false, true);
        if facts.first.is_none() {
            let clock = self.intake.clock(partition);
            facts.first = clock.and_then(PartitionClock::own);
        }
        // One that says much, and nothing with a time that is believed, is waited for no longer.
        if facts.first.is_some() {
            facts.quiet_since = facts.quiet_since.max(now);
        }
        // Until a record with a time has come, each is looked at.
        self.fresh = facts.first.map(|_| partition);
    }

    /// Reads a partition from here on.
    pub(crate) fn join(&mut self, partition: Partition, clock: PartitionClock, now: Timestamp) {
        self.intake.join(partition, clock);
        if let Some(logged) = self.logged.remove(&partition) {
            self.again.insert(partition, logged);
        }
        if let Some((settled, decisions)) = self.turned_away.remove(&partition) {
            self.intake.turn_away(partition, settled, decisions);
        }
        if let Some(state) = self.dedup.remove(&partition) {
            self.feeders[partition.source as usize].resume_dedup(&state);
        }
        self.facts.insert(
            partition,
            Facts {
                at_end: false,
                reachable: true,
                quiet_since: now,
                first: None,
                lag: None,
                is_paused: false,
            },
        );
    }

    /// Hands on what was fed: to the own shard at once, to the others by their rings.
    pub(crate) fn hand_over(&mut self) {
        let lowered = self.feeders.iter_mut().flat_map(Feeder::take_lowered);
        let words = Words {
            said: self.intake.take_said(),
            lowered: lowered.collect(),
            turned_away: self.intake.take_turned_away(),
        };
        if !words.is_empty() {
            lock(&self.words).append(words);
        }
        for (partition, _, refusal) in self.intake.take_refused() {
            *self
                .refusals
                .entry((partition.source, refusal.code))
                .or_default() += 1;
        }
        self.fresh = None;
        let own = self.rings.own();
        for (to, batch) in self.intake.batches().iter_mut().enumerate() {
            if batch.is_empty() {
                continue;
            }
            if to == own {
                self.shard.apply(batch);
                batch.clear();
            } else {
                self.rings.send(to, batch);
            }
        }
        self.push_backlog();
    }

    /// Hands over, where some batch has grown to its bound.
    #[inline]
    pub(crate) fn hand_over_grown(&mut self) {
        let batches = self.intake.batches();
        if batches.iter().any(|batch| batch.cells.len() >= GROWN_CELLS) {
            self.hand_over();
        }
    }

    /// Pushes what waits for room; whether all of it is gone.
    pub(crate) fn push_backlog(&mut self) -> bool {
        self.rings.push()
    }

    /// Takes in what the other workers handed over.
    pub(crate) fn drain(&mut self) {
        self.rings.drain(&mut self.shard);
    }

    /// Whether the brain should look now, and not only when its turn comes: one more partition has
    /// got past the tick that is due next, or has joined.
    pub(crate) fn calls(&mut self, due: Timestamp) -> bool {
        let clocks = self.facts.keys().filter_map(|p| self.intake.clock(*p));
        let past = clocks.filter(|clock| clock.watermark() >= due).count();
        let before = std::mem::replace(&mut self.called, (due, past));
        let crossed = past > 0 && before != self.called;
        crossed || !self.joined.is_empty()
    }

    /// Whether something waits for the brain's ear.
    pub(crate) fn has_words(&self) -> bool {
        !lock(&self.words).is_empty()
    }

    /// Share of the fullest outbound ring that is in use.
    pub(crate) fn ring_fill(&self) -> f64 {
        self.rings.fill()
    }
}

/// Everything that is shared.
pub(crate) struct Hub {
    pub(crate) workers: Vec<Arc<State>>,
    /// Per worker: its words.
    words: Vec<Arc<Mutex<Words>>>,
    pub(crate) directory: Mutex<Directory>,
    pub(crate) rules: Vec<TimeRules>,
    /// Partitions to pause, by the brain's word.
    pub(crate) paused: Mutex<std::collections::BTreeSet<Partition>>,
    /// The highest tick that any group has closed.
    pub(crate) highest_closed: AtomicI64,
    /// The earliest tick that some group has yet to close.
    pub(crate) next_tick: AtomicI64,
    /// When the brain last looked at itself (wall time), and how far behind the partition is that is
    /// furthest so, both in milliseconds.
    pub(crate) looked_at: AtomicI64,
    pub(crate) behind: AtomicI64,
    /// How old is what is being read and evaluated, in milliseconds; a great age while nobody knows.
    pub(crate) past: AtomicI64,
    /// The end was asked for: the brain makes a last cut, and then has everybody stop.
    pub(crate) ending: AtomicBool,
    pub(crate) stop: AtomicBool,
    /// A thread met what it cannot go on with.
    pub(crate) failure: Mutex<Option<String>>,
    /// Whether the brain should look at the workers.
    due: AtomicBool,
    bell: (Mutex<bool>, Condvar),
}

impl Hub {
    /// A hub of workers whose rings are laid.
    pub(crate) fn new(
        parts: Vec<(Intake, Shard, Vec<Feeder>)>,
        directory: Directory,
        rules: Vec<TimeRules>,
    ) -> Self {
        let rings = Rings::lay(parts.len());
        let words: Vec<_> = rings.iter().map(|_| Arc::default()).collect();
        let states = parts
            .into_iter()
            .zip(rings)
            .zip(&words)
            .map(|((part, rings), words)| {
                let (intake, shard, feeders) = part;
                Arc::new(State::new(WorkerState {
                    intake,
                    shard,
                    feeders,
                    facts: BTreeMap::new(),
                    joined: Vec::new(),
                    refusals: BTreeMap::new(),
                    bytes: 0,
                    lowered: BTreeMap::new(),
                    logged: BTreeMap::new(),
                    again: BTreeMap::new(),
                    turned_away: BTreeMap::new(),
                    dedup: BTreeMap::new(),
                    rings,
                    words: Arc::clone(words),
                    fresh: None,
                    called: (Timestamp::MIN, 0),
                }))
            });
        Self {
            workers: states.collect(),
            words,
            directory: Mutex::new(directory),
            rules,
            paused: Mutex::default(),
            highest_closed: AtomicI64::new(Timestamp::MIN.ms()),
            next_tick: AtomicI64::new(Timestamp::MIN.ms()),
            looked_at: AtomicI64::new(i64::MIN),
            behind: AtomicI64::new(0),
            past: AtomicI64::new(i64::MAX),
            ending: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            failure: Mutex::new(None),
            due: AtomicBool::new(true),
            bell: (Mutex::new(false), Condvar::new()),
        }
    }

    /// Goes on from what a log says: what is read again is read as it was then, and a partition that turns
    /// up while the log is caught up with joins after what it has closed.
    pub(crate) fn resume(&self, history: &History) {
        if let Some(closed) = history.latest() {
            self.highest_closed.store(closed.ms(), Ordering::Release);
        }
        let decided = |(partition, settled): (&Partition, &Offset)| {
            let decisions = history.turned_away.get(partition).cloned();
            (*partition, (*settled, decisions.unwrap_or_default()))
        };
        for worker in &mut self.lock_all() {
            worker.lowered.clone_from(&history.lowered);
            worker.logged.clone_from(&history.positions);
            worker.turned_away = history.positions.iter().map(decided).collect();
        }
    }

    /// Locks every worker, in order.
    pub(crate) fn lock_all(&self) -> Vec<Held<'_>> {
        self.workers.iter().map(|worker| worker.lock()).collect()
    }

    /// Records whose words wait for the brain.
    pub(crate) fn said(&self) -> usize {
        self.words.iter().map(|words| lock(words).said.len()).sum()
    }

    /// What all workers' records said since the last call.
    pub(crate) fn take_words(&self) -> Words {
        let mut all = Words::default();
        for words in &self.words {
            all.append(std::mem::take(&mut *lock(words)));
        }
        all
    }

    /// What may not be said yet goes back to where it waited.
    pub(crate) fn put_back(&self, said: Vec<Said>) {
        if let Some(words) = self.words.first() {
            lock(words).said.splice(0..0, said);
        }
    }

    /// Something happened that the brain should look at.
    pub(crate) fn ring(&self) {
        self.due.store(true, Ordering::Release);
        self.ring_to_hear();
    }

    /// Whether somebody rang since the last call.
    pub(crate) fn take_due(&self) -> bool {
        self.due.swap(false, Ordering::AcqRel)
    }

    /// Something was said: the brain need not look at the workers for that.
    pub(crate) fn ring_to_hear(&self) {
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

    /// The earliest tick that some group has yet to close.
    pub(crate) fn next_tick(&self) -> Timestamp {
        Timestamp(self.next_tick.load(Ordering::Acquire))
    }

    /// Whether the end was asked for.
    pub(crate) fn ending(&self) -> bool {
        self.ending.load(Ordering::Acquire)
    }

    /// Whether everybody is to stop.
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
pub(crate) fn settle(workers: &mut [Held<'_>]) {
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

#[cfg(test)]
mod tests {
    use foghorn_engine::{Entry, GroupKey};
    use foghorn_eval::catalog::Catalog;
    use foghorn_ingest::SourceConfig;
    use foghorn_model::Labels;
    use foghorn_rules::{LoadOptions, Source, load};
    use foghorn_wire::Format;
    use foghorn_wire::encode::json_metric;

    use super::*;
    use crate::pipeline::time_rules;

    const AT: Partition = Partition::new(0, 0);

    /// A worker of which the log holds that it has read one record of its partition.
    fn restarted() -> Hub {
        let text = "groups: [{name: g, rules: [{alert: Down, expr: up < 1}]}]";
        let (rules, problems) = load(&[Source::new("r.yaml", text)], &LoadOptions::default());
        assert_eq!(problems, []);
        let catalog = Arc::new(Catalog::new(rules));
        let source = SourceConfig::of("m", Format::JsonMetrics);
        let intake = Intake::new(0, 1, Arc::clone(&catalog));
        let parts = (intake, Shard::new(catalog), vec![Feeder::new(&source)]);
        let hub = Hub::new(vec![parts], Directory::default(), vec![time_rules(&source)]);
        let mut worker = hub.workers[0].lock();
        worker.logged.insert(AT, 1);
        let clock = PartitionClock::new(time_rules(&source), 0, Vec::new());
        worker.join(AT, clock, Timestamp(0));
        drop(worker);
        hub
    }

    #[test]
    fn what_turns_up_joins_after_what_the_log_has_closed() {
        let hub = restarted();
        let closed = Entry::Tick {
            group: GroupKey {
                file: "r.yaml".into(),
                name: "g".into(),
            },
            tick: Timestamp(60_000),
            signals: Vec::new(),
        };
        hub.resume(&History::read(&[closed]));
        // Though no tick was evaluated again yet.
        assert_eq!(hub.highest_closed.load(Ordering::Acquire), 60_000);
    }

    #[test]
    fn what_was_read_before_keeps_its_stamp_though_this_clock_is_behind() {
        let hub = restarted();
        let mut worker = hub.workers[0].lock();
        let mut seen = Vec::new();
        let first = Timestamp(1_767_225_600_000);
        for (offset, at) in [(0, first), (1, first + 100_000)] {
            let labels = Labels::from_pairs([("__name__", "up")]);
            let payload = json_metric(&labels, at, 1.0);
            let raw = Raw {
                partition: AT,
                offset,
                timestamp: Some(at),
                payload: payload.as_bytes(),
                ..Raw::default()
            };
            // The clock is a minute behind: a new record is not believed so far ahead of it.
            assert_eq!(worker.feed(&raw, first - 60_000), Ok(()));
            seen.push(worker.intake.clock(AT).unwrap().high());
        }
        assert_eq!(seen, [first, first]);
    }
}
