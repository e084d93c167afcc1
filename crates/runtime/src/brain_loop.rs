//! The one thread that closes ticks, writes the signal log, and lets effects go.

mod cutting;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fail::fail_point;
use foghorn_emit::{RecordedSample, RecordedSink};
use foghorn_engine::sequencer::PartitionState;
use foghorn_engine::{Brain, Command, Entry, Pin, Recorded, RuleFile, Sources};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::{PartitionClock, REFUSED_AHEAD_MS};
use foghorn_eval::intake::TurnedAway;
use foghorn_eval::scope::Scoping;
use foghorn_eval::shard::{Progress, Shard};
use foghorn_model::{Incident, Offset, Partition, Timestamp};
use foghorn_store::{Outbox, SignalLog};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::wall;
use crate::dead_letters::DeadLetters;
use crate::http_feed::HttpQueue;
use crate::hub::{Held, Hub, lock, settle};
use crate::metrics::Metrics;
use crate::pipeline::least;
use crate::planner::Gaps;
use crate::self_watch::{SelfWatch, Signs};
use crate::snapshotter::{Cut, Cuts};

use crate::live::{LiveError, MAX_REACH_MS};

/// The brain looks at all workers so often at least: partitions fall idle as time passes.
const LOOK: Duration = Duration::from_millis(20);

/// Why samples are refused whose host's clock is wrong.
const TOO_FAR_AHEAD: &str = "too_far_ahead";

/// What the brain's thread is asked to do.
pub(crate) enum Ask {
    Reload {
        catalog: Arc<Catalog>,
        files: Vec<RuleFile>,
        done: mpsc::Sender<()>,
    },
    Command {
        command: Command,
        done: mpsc::Sender<()>,
    },
    Question(Question),
}

/// Something that is asked of the brain and all shards.
pub(crate) type Question = Box<dyn FnOnce(&mut Brain, &mut [&mut Shard]) + Send>;

/// The one thread that closes ticks and lets effects go.
pub(crate) struct BrainLoop {
    pub(crate) brain: Brain,
    pub(crate) hub: Arc<Hub>,
    pub(crate) log: SignalLog,
    pub(crate) outbox: Arc<Mutex<Outbox>>,
    pub(crate) asked: mpsc::Receiver<Ask>,
    pub(crate) names: Vec<String>,
    /// What they say of scopes.
    pub(crate) scoping: Scoping,
    pub(crate) group: String,
    /// Whether event time has begun.
    pub(crate) started: bool,
    pub(crate) logged: BTreeMap<Partition, Offset>,
    /// Where partitions stood that nobody reads at the moment: ticks wait for them.
    pub(crate) last_known: BTreeMap<Partition, PartitionState>,
    pub(crate) max_skew_ms: i64,
    /// How long before a record its twin may have come.
    pub(crate) dedup_ms: i64,
    pub(crate) settle_ms: i64,
    pub(crate) was_complete: bool,
    pub(crate) measures: u32,
    /// Whether every partition is read and event time has begun, as of the last look.
    pub(crate) speaks: bool,
    pub(crate) watch: SelfWatch,
    pub(crate) ready: Option<Result<(), String>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) http: Option<Arc<HttpQueue>>,
    /// Rules to put in force once the log is caught up with.
    pub(crate) reload: Option<(Arc<Catalog>, Vec<RuleFile>)>,
    /// Where cuts go to be written.
    pub(crate) cuts: Cuts,
    /// Sources as a snapshot knows them.
    pub(crate) source_names: Vec<String>,
    /// The rule files in force.
    pub(crate) files: Vec<RuleFile>,
    pub(crate) snapshot_interval_ms: Option<i64>,
    pub(crate) next_cut: Timestamp,
    /// When the last cut was made.
    pub(crate) cut_at: Timestamp,
    /// How long everything stood still for the last cut.
    pub(crate) cut_took: Duration,
    /// Why nothing could be decided before this start, where that is so.
    pub(crate) outage: Option<String>,
    /// Partitions of which a restart needed more than is kept, and until when that shows.
    pub(crate) gaps: Gaps,
    pub(crate) gaps_until: Timestamp,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) recorded: Option<Arc<RecordedSink>>,
    pub(crate) on_news: Box<dyn Fn() + Send>,
    pub(crate) on_ready: Box<dyn Fn(Result<(), String>) + Send>,
}

impl BrainLoop {
    pub(crate) fn run(mut self, first: &[Entry]) -> Result<(), LiveError> {
        let result = self.work(first);
        if let Err(error) = &result {
            self.hub.fail(error.to_string());
        }
        result
    }

    fn work(&mut self, first: &[Entry]) -> Result<(), LiveError> {
        self.write(first)?;
        let (mut measured, mut looked, mut busy) = (Timestamp::MIN, Instant::now(), false);
        loop {
            if self.hub.ending() && !self.hub.stopping() {
                self.last_cut()?;
                self.hub.stop.store(true, Ordering::Release);
            }
            let stopping = self.hub.stopping();
            self.hear()?;
            // A look waits for every worker's batch, and what is said meanwhile waits behind it.
            let due = self.hub.take_due() || busy || stopping || looked.elapsed() >= LOOK;
            busy = due && self.look()?;
            if due {
                looked = Instant::now();
            }
            let now = wall();
            // Whoever waits for it to be ready need not wait for a second.
            let is_ready = matches!(self.ready, Some(Ok(())));
            if now - measured >= if is_ready { 1_000 } else { 100 } {
                measured = now;
                self.measure();
                self.acknowledge()?;
                self.look_at_self(now)?;
                self.dead_letters.serve();
                self.check_coverage(now)?;
            }
            if stopping {
                break;
            }
            if !busy {
                self.hub.wait(Duration::from_millis(5));
            }
        }
        self.acknowledge()?;
        self.log.sync()?;
        match lock(&self.hub.failure).take() {
            Some(why) => Err(LiveError::Thread(why)),
            None => Ok(()),
        }
    }

    /// Takes in what records said, without waiting for the workers: matches and changes are decided
    /// on arrival. While nothing may be said that is left to the look.
    fn hear(&mut self) -> Result<(), LiveError> {
        if !self.speaks || self.hub.said() == 0 {
            return Ok(());
        }
        let words = self.hub.take_words();
        let mut entries = Vec::new();
        self.decided(words.lowered, words.turned_away, &mut entries);
        let nothing_closes = Sources::default();
        let advance = self
            .brain
            .advance(words.said, &nothing_closes, &mut [], wall());
        entries.extend(advance.entries);
        self.write(&entries)
    }

    /// What was decided when records were read.
    fn decided(
        &self,
        lowered: Vec<(Partition, Offset, Timestamp)>,
        turned_away: Vec<TurnedAway>,
        entries: &mut Vec<Entry>,
    ) {
        // What the log holds already is read again.
        let is_new = |partition: &Partition, offset: Offset| {
            let logged = self.logged.get(partition);
            logged.is_none_or(|logged| offset >= *logged)
        };
        let lowered = lowered.into_iter();
        let lowered = lowered.filter(|(partition, offset, _)| is_new(partition, *offset));
        entries.extend(lowered.map(|(partition, offset, stamp)| Entry::Lowered {
            partition,
            offset,
            stamp,
        }));
        if !turned_away.is_empty() {
            entries.push(Entry::TurnedAway {
                decisions: turned_away,
            });
        }
    }

    /// One look at everything; whether there may be more to do at once.
    fn look(&mut self) -> Result<bool, LiveError> {
        let asks: Vec<_> = self.asked.try_iter().collect();
        let hub = Arc::clone(&self.hub);
        let wall = wall();
        let mut workers = hub.lock_all();
        settle(&mut workers);
        self.give_up_slow_cut(&mut workers, wall);
        let mut entries = Vec::new();
        let mut waiting = Vec::new();
        for ask in asks {
            match ask {
                Ask::Command { command, done } => {
                    entries.push(Entry::Timer { now: wall });
                    entries.push(Entry::Command(command));
                    waiting.push(done);
                }
                Ask::Reload {
                    catalog,
                    files,
                    done,
                } => {
                    self.reload = None;
                    self.reload(&catalog, files, &mut workers, &mut entries);
                    waiting.push(done);
                }
                Ask::Question(question) => {
                    let split = workers.iter_mut().map(|worker| &mut **worker);
                    let mut shards: Vec<_> = split.map(|worker| &mut worker.shard).collect();
                    question(&mut self.brain, &mut shards);
                }
            }
        }
        for worker in &mut workers {
            for (partition, topic, offset) in worker.joined.drain(..) {
                let tick = Timestamp(hub.highest_closed.load(Ordering::Acquire));
                entries.push(Entry::Join {
                    pin: Pin {
                        partition,
                        offset,
                        tick,
                    },
                    topic,
                });
            }
        }
        let words = self.hub.take_words();
        self.decided(words.lowered, words.turned_away, &mut entries);
        let core = self.brain.core();
        if !(0..core.catalog().rules.groups.len()).any(|group| core.is_replayed(group))
            && let Some((catalog, files)) = self.reload.take()
        {
            self.reload(&catalog, files, &mut workers, &mut entries);
        }
        let sources = self.sources(&workers);
        let said = words.said;
        let complete = lock(&hub.directory).missing() == 0 && !sources.partitions.is_empty();
        if complete && !self.started {
            self.begin(&workers, &mut entries);
        }
        let mut busy = false;
        let mut cut = None;
        let mut recorded = Vec::new();
        if complete && self.started {
            let mut split: Vec<_> = workers.iter_mut().map(|worker| &mut **worker).collect();
            let mut shards: Vec<_> = split.iter_mut().map(|worker| &mut worker.shard).collect();
            let began = Instant::now();
            let advance = self.brain.advance(said, &sources, &mut shards, wall);
            let took = began.elapsed();
            self.metrics.evaluated(&advance, took);
            self.time(&advance.entries, took);
            busy = advance
                .entries
                .iter()
                .any(|entry| matches!(entry, Entry::Tick { .. }))
                || !advance.wanted.is_empty();
            entries.extend(advance.entries);
            recorded = advance.recorded;
            for (partition, (tick, skip)) in advance.wanted {
                let pinned = workers
                    .iter_mut()
                    .find_map(|worker| worker.intake.pin(partition, tick));
                if let Some(offset) = pinned {
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
            cut = self.cut(&mut workers, wall);
        } else if !said.is_empty() {
            // Nothing may be said yet: it waits where it was.
            hub.put_back(said);
        }
        self.speaks = complete && self.started;
        self.pause(&sources);
        let highest = (0..self.brain.core().catalog().rules.groups.len())
            .filter_map(|g| self.brain.core().closed(g))
            .max();
        if let Some(highest) = highest {
            hub.highest_closed.fetch_max(highest.ms(), Ordering::AcqRel);
        }
        hub.next_tick
            .store(self.next_tick().ms(), Ordering::Release);
        drop(workers);
        self.write(&entries)?;
        if let Some((head, core)) = cut {
            // The log that it stands on is durable, and folded.
            let state = self.log_state();
            self.cuts.send(Cut { state, head, core });
        }
        self.send_on(recorded);
        for done in waiting {
            // Nobody waits any more: that is theirs to decide.
            let _gone = done.send(());
        }
        Ok(busy)
    }

    /// Shows how long ticks took: those that closed together took about the same.
    fn time(&self, entries: &[Entry], took: Duration) {
        let ticks = entries.iter().filter_map(|entry| match entry {
            Entry::Tick { group, .. } => Some(group),
            _ => None,
        });
        let each = took.as_secs_f64() / ticks.clone().count().max(1) as f64;
        ticks.for_each(|group| self.brain.view().set_took(group, each));
    }

    /// The first tick of a start at the earliest record: when every partition has either shown
    /// one or is at its end. Time begins where the oldest of those first records stands, however
    /// far was read since.
    fn begin(&mut self, workers: &[Held<'_>], entries: &mut Vec<Entry>) {
        let facts: Vec<_> = workers
            .iter()
            .flat_map(|worker| worker.facts.values())
            .collect();
        if facts
            .iter()
            .any(|facts| facts.first.is_none() && !facts.at_end)
        {
            return;
        }
        if let Some(origin) = facts.iter().filter_map(|facts| facts.first).min() {
            entries.push(self.brain.start(origin, Timestamp::MIN));
            self.started = true;
        }
    }

    fn sources(&mut self, workers: &[Held<'_>]) -> Sources {
        let mut partitions = std::mem::take(&mut self.last_known);
        for state in partitions.values_mut() {
            // Unless somebody reads it: neither at its end nor out of reach, so it is waited for.
            (state.at_end, state.reachable) = (false, true);
        }
        for (reader, worker) in workers.iter().enumerate() {
            for (partition, facts) in &worker.facts {
                let seen = workers.iter().enumerate().map(|(shard, owner)| {
                    let progress = owner.shard.progress_of(*partition);
                    let own = worker.intake.clock(*partition).filter(|_| shard == reader);
                    progress.or_else(|| {
                        own.map(|clock| Progress {
                            next_offset: clock.next_offset,
                            watermark: clock.watermark(),
                        })
                    })
                });
                let Some(progress) = seen.flatten().reduce(least) else {
                    continue;
                };
                let state = PartitionState {
                    progress,
                    at_end: facts.at_end,
                    reachable: facts.reachable,
                    own: worker
                        .intake
                        .clock(*partition)
                        .and_then(PartitionClock::own),
                    quiet_since: facts.quiet_since,
                    allowed_lateness_ms: self.hub.rules[partition.source as usize]
                        .allowed_lateness_ms,
                    logged_offset: self.logged.get(partition).copied().unwrap_or(0),
                };
                partitions.insert(*partition, state);
            }
        }
        self.last_known.clone_from(&partitions);
        Sources {
            partitions,
            names: self.names.clone(),
        }
    }

    /// The earliest tick that some group has yet to close.
    fn next_tick(&self) -> Timestamp {
        let core = self.brain.core();
        let groups = 0..core.catalog().rules.groups.len();
        groups
            .map(|group| core.next_tick(group))
            .min()
            .unwrap_or(Timestamp::MAX)
    }

    /// Pauses partitions that are far ahead of the slowest group.
    fn pause(&self, sources: &Sources) {
        let core = self.brain.core();
        let slowest = (0..core.catalog().rules.groups.len())
            .map(|group| core.next_tick(group))
            .min();
        let Some(slowest) = slowest.filter(|tick| *tick > Timestamp::MIN && self.started) else {
            return;
        };
        let mut paused = lock(&self.hub.paused);
        for (partition, state) in &sources.partitions {
            let ahead_ms = state.progress.watermark - slowest;
            if ahead_ms > self.max_skew_ms {
                paused.insert(*partition);
            } else if ahead_ms < self.max_skew_ms / 2 {
                paused.remove(partition);
            }
        }
    }

    fn reload(
        &mut self,
        catalog: &Arc<Catalog>,
        files: Vec<RuleFile>,
        workers: &mut [Held<'_>],
        entries: &mut Vec<Entry>,
    ) {
        let mut split: Vec<_> = workers.iter_mut().map(|worker| &mut **worker).collect();
        let mut shards: Vec<_> = split.iter_mut().map(|worker| &mut worker.shard).collect();
        catalog.name_sources(self.names.iter().cloned());
        catalog.scope_sources(&self.scoping);
        entries.push(Entry::Timer { now: wall() });
        self.files.clone_from(&files);
        // One that is under way is of the old rules; the next one need not wait.
        self.cuts.writing.give_up();
        self.next_cut = Timestamp::MIN;
        entries.extend(self.brain.reload(catalog, files, &mut shards));
        for worker in workers {
            worker.intake.reload(Arc::clone(catalog));
        }
        info!(groups = catalog.rules.groups.len(), "rules reloaded");
    }

    /// Makes entries durable, then lets their effects go.
    fn write(&mut self, entries: &[Entry]) -> Result<(), LiveError> {
        if entries.is_empty() {
            return Ok(());
        }
        fail_point!("decided", |_| std::process::abort());
        self.log.append(entries)?;
        self.log.sync()?;
        fail_point!("decision-durable", |_| std::process::abort());
        let incidents = self.brain.fold(entries);
        self.metrics.wrote(entries, &incidents, wall());
        self.send(&incidents)?;
        if !incidents.is_empty() || entries.iter().any(Entry::tells_of_alerts) {
            (self.on_news)();
        }
        Ok(())
    }

    fn send(&mut self, incidents: &[Incident]) -> Result<(), LiveError> {
        if incidents.is_empty() {
            return Ok(());
        }
        for incident in incidents {
            info!(
                incident = %incident.id,
                revision = incident.revision,
                event = ?incident.event,
                priority = %incident.priority.level,
                alerts = incident.alerts_total,
                title = incident.title,
                "incident"
            );
        }
        // They follow from the log, which is durable: nobody waits for the outbox to be.
        lock(&self.outbox).append(incidents)?;
        fail_point!("incident-in-outbox", |_| std::process::abort());
        Ok(())
    }

    /// Writes down what sinks have acknowledged, where others may take over.
    fn acknowledge(&mut self) -> Result<(), LiveError> {
        let told = lock(&self.outbox).take_acknowledged();
        if told.is_empty() {
            return Ok(());
        }
        fail_point!("acknowledged", |_| std::process::abort());
        let told = told
            .into_iter()
            .map(|(sink, incidents)| (sink, incidents.into_iter().collect()));
        self.write(&[Entry::Delivered {
            told: told.collect(),
        }])
    }

    /// Sends on what rules recorded at ticks that are durable now.
    fn send_on(&self, recorded: Vec<Recorded>) {
        if let Some(sink) = &self.recorded {
            let sample = |recorded: Recorded| RecordedSample {
                labels: recorded.labels,
                at: recorded.at,
                value: recorded.value,
            };
            sink.offer(recorded.into_iter().map(sample).collect());
        }
    }

    fn check_coverage(&mut self, now: Timestamp) -> Result<(), LiveError> {
        let mut directory = lock(&self.hub.directory);
        let (missing, expected) = (directory.missing(), directory.expected());
        let partial_ms = directory.partial_for_ms(now);
        drop(directory);
        let state = match partial_ms {
            None => {
                self.was_complete = true;
                if self.started {
                    Ok(())
                } else {
                    Err("waiting for the first records".to_owned())
                }
            }
            Some(ms) if !self.was_complete && ms >= self.settle_ms => {
                return Err(LiveError::Partial {
                    group: self.group.clone(),
                    missing,
                    expected,
                });
            }
            Some(_) => Err(format!(
                "{missing} of {expected} partitions are not assigned to this instance"
            )),
        };
        if self.ready.as_ref() != Some(&state) {
            if let (Err(why), true) = (&state, self.was_complete) {
                warn!(why, "not ready: ticks wait");
            }
            (self.on_ready)(state.clone());
            self.ready = Some(state);
        }
        Ok(())
    }

    /// Alerts about itself are written down like any other decision.
    fn look_at_self(&mut self, now: Timestamp) -> Result<(), LiveError> {
        let outage = self.outage.take();
        let signs = Signs {
            outage,
            ..self.signs(now)
        };
        let behind = signs.backlogs.values().copied().max().unwrap_or(0);
        self.hub.behind.store(behind, Ordering::Release);
        let past = self.past_ms(now);
        self.hub.past.store(past, Ordering::Release);
        self.hub.looked_at.store(now.ms(), Ordering::Release);
        let alerts = self.watch.look(now, signs);
        if alerts.is_empty() {
            return Ok(());
        }
        for alert in &alerts {
            warn!(
                alert = alert.labels.value("alertname"),
                over = alert.ends_at.is_some(),
                summary = alert.annotations.value("summary"),
                "about Foghorn itself"
            );
        }
        self.write(&[Entry::Timer { now }, Entry::Own { alerts }])
    }

    /// How old is what is being read and evaluated at present. While some partition is not read yet, or
    /// has shown no time and not its end, nobody knows.
    fn past_ms(&self, now: Timestamp) -> i64 {
        if lock(&self.hub.directory).missing() > 0 {
            return i64::MAX;
        }
        let workers = self.hub.lock_all();
        let read = workers.iter().flat_map(|worker| {
            let open = worker.facts.iter().filter(|(_, facts)| !facts.at_end);
            open.map(|(partition, _)| {
                let high = worker.intake.clock(*partition).map(PartitionClock::high);
                let high = high.filter(|high| *high > Timestamp::MIN);
                high.map_or(i64::MAX, |high| now - high)
            })
        });
        let next = Some(self.next_tick()).filter(|next| *next > Timestamp::MIN);
        let evaluated = next.map_or(0, |next| now.ms().saturating_sub(next.ms()));
        read.max().unwrap_or(0).max(evaluated)
    }

    fn signs(&mut self, now: Timestamp) -> Signs {
        let blind = self.brain.take_blind();
        let workers = self.hub.lock_all();
        let directory = lock(&self.hub.directory);
        let name = |partition: Partition| {
            let topic = directory.topic_name(partition).unwrap_or("http");
            (topic.to_owned(), partition.index)
        };
        let mut signs = Signs {
            failures: self.brain.core().stats().failures,
            blind: blind.into_iter().map(name).collect(),
            snapshots_failed: self.cuts.writing.last().failed,
            gaps: if now < self.gaps_until {
                self.gaps.clone()
            } else {
                Vec::new()
            },
            ..Signs::default()
        };
        for worker in &workers {
            let ahead = worker.intake.far_ahead().iter();
            let ahead = ahead.map(|(source, count)| ((*source, TOO_FAR_AHEAD), *count));
            let refusals = worker.refusals.iter();
            for ((source, reason), count) in refusals.map(|(of, n)| (*of, *n)).chain(ahead) {
                let source = self.names.get(source as usize).cloned().unwrap_or_default();
                *signs.refusals.entry((source, reason)).or_default() += count;
            }
            for (partition, facts) in &worker.facts {
                let clock = worker.intake.clock(*partition);
                let high = clock
                    .map(PartitionClock::high)
                    .filter(|high| *high > Timestamp::MIN);
                if let (Some(high), Some(1..)) = (high, facts.lag) {
                    signs.backlogs.insert(name(*partition), now - high);
                }
            }
        }
        signs
    }

    /// Tells the journal what a restart would read again, and what has still to be decided on. A
    /// sample is later than its receipt by [`REFUSED_AHEAD_MS`] at most, so receipts say what a file
    /// can hold.
    fn trim_journal(&self) {
        let Some(queue) = &self.http else { return };
        let catalog = self.brain.core().catalog();
        let next = if catalog.rules.groups.is_empty() {
            wall()
        } else {
            self.next_tick()
        };
        if next > Timestamp::MIN && next < Timestamp::MAX {
            let reach = (catalog.longest_reach_ms() + self.dedup_ms).min(MAX_REACH_MS);
            let undecided = next - longest_interval_ms(catalog) - REFUSED_AHEAD_MS;
            queue.keep(undecided - reach, undecided);
        }
    }

    fn measure(&mut self) {
        self.brain.refresh();
        self.trim_journal();
        self.trim_log();
        // Summing up the bytes of all series takes a while: now and then is enough.
        self.measures = self.measures.wrapping_add(1);
        let sum_bytes = self.measures % 15 == 1;
        let workers = self.hub.lock_all();
        let topics = |partition: Partition| {
            lock(&self.hub.directory)
                .topic_name(partition)
                .unwrap_or("http")
                .to_owned()
        };
        self.metrics.queue(
            self.http.as_ref().map_or(0.0, |queue| queue.fill()),
            lock(&self.outbox).held(),
        );
        self.metrics.epoch(self.log.epoch().unwrap_or(0));
        self.metrics
            .snapshot(&self.cuts.writing.last(), self.cut_took);
        if let Some(queue) = &self.http {
            self.metrics.journal(queue.journal_size());
        }
        self.metrics.measure(
            &workers,
            &self.names,
            topics,
            &self.brain,
            self.log.bytes(),
            sum_bytes,
        );
    }
}

/// The longest interval of any group: a restart begins at the last closed tick of the slowest.
fn longest_interval_ms(catalog: &Catalog) -> i64 {
    let intervals = catalog.rules.groups.iter().map(|group| group.interval_ms);
    intervals.max().unwrap_or(0)
}
