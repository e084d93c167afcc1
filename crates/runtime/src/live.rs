//! The live runtime: worker threads that read, and one thread that closes ticks, writes the signal
//! log, and lets effects go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_correlate::Correlator;
use foghorn_emit::RecordedSink;
use foghorn_engine::core::Core;
use foghorn_engine::sequencer::Patience;
use foghorn_engine::{Brain, Command, Entry, History, Pin, RuleFile, View};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::clock::{ClockState, PartitionClock};
use foghorn_eval::intake::Intake;
use foghorn_eval::shard::Shard;
use foghorn_ingest::{Feeder, KafkaConfig, SourceConfig};
use foghorn_kafka::{Consumer, ConsumerConfig, KafkaError, Properties, RdConsumer};
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_rules::{LoadOptions, Source};
use foghorn_store::{Journal, Outbox, SignalLog, Snapshots, StoreError};
use serde::Deserialize;
use tracing::{error, warn};

use crate::backlog::catch_up;
use crate::clock::wall;
use crate::cut_off::CutOff;
use crate::dead_letters::DeadLetters;
use crate::directory::Directory;
use crate::failover::Active;
use crate::http_feed::{HttpQueue, HttpWorker};
use crate::hub::{Hub, lock};
use crate::kafka_worker::{KafkaWorker, Starter};
use crate::metrics::Metrics;
use crate::pipeline::time_rules;
use crate::scoping::ScopeTimes;

use crate::brain_loop::{Ask, BrainLoop};
use crate::planner::{Planner, gap};
use crate::self_watch::SelfWatch;
use crate::snapshot::names_of;
use crate::snapshotter::{Cuts, Found, Known, Restored, find};

/// Where a first start begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartFrom {
    /// Far enough back to fill the longest range; nothing is said for ticks before now.
    #[default]
    Window,
    /// At the oldest record that is kept; everything is said.
    Earliest,
    /// At the newest record.
    Latest,
}

/// What a start does where a source no longer keeps what it needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnGap {
    /// It goes on with shorter windows, and an alert says so until they are filled again.
    #[default]
    ContinueAndSay,
    /// It does not start.
    Stop,
}

/// Everything that the live runtime needs to know.
pub struct LiveConfig {
    /// The cluster, where some source reads from it.
    pub kafka: Option<KafkaConfig>,
    /// Properties of the cluster, checked, secrets read.
    pub properties: Properties,
    /// Sources; `http` among them where [`LiveConfig::http`] is set.
    pub sources: Vec<SourceConfig>,
    /// The queue of the HTTP receivers, and the position of their source in `sources`.
    pub http: Option<(Arc<HttpQueue>, usize)>,
    /// Bytes that the journal of what comes by HTTP may take on disk.
    pub journal_bytes: u64,
    /// Worker threads (consumer clients).
    pub workers: usize,
    /// Where a first start begins.
    pub start: StartFrom,
    /// Waiting times of the sequencer.
    pub patience: Patience,
    /// A partition so far ahead of its slowest reading group is paused, in milliseconds.
    pub max_skew_ms: i64,
    /// A start with some partition read elsewhere is given up after so long, in milliseconds.
    pub settle_ms: i64,
    /// Series that one worker may know; further ones are turned away.
    pub max_series: usize,
    /// Elements that a rule's result may have; with more it fails.
    pub max_rule_elements: usize,
    /// Scopes and replicas that one worker may see since its start; series of further ones are turned
    /// away.
    pub max_scopes: usize,
    /// When a silent replica gives way, and a silent scope is no more.
    pub scope_times: ScopeTimes,
    /// Where the signal log, the outbox, the journal and the snapshots live.
    pub state_dir: PathBuf,
    /// Whether the cluster was out of reach just before this start, and while it runs.
    pub cut_off: CutOff,
    /// Why nothing could be decided for a while before this start, where that is so: an alert says it.
    pub outage: Option<String>,
    /// Where others may take over: the lease that is held, and the topics in which the signal log and
    /// what sinks acknowledged live then.
    pub active: Option<Active>,
    /// Snapshots are so far apart, in milliseconds; `None` where there are none.
    pub snapshot_interval_ms: Option<i64>,
    /// What a start does where a source no longer keeps what it needs.
    pub on_gap: OnGap,
    /// Closed incidents are shown for so long, in milliseconds.
    pub incident_retention_ms: i64,
    /// Labels for templates.
    pub external_labels: Vec<(String, String)>,
    /// Rule files as they were read.
    pub rule_files: Vec<RuleFile>,
    /// The rules.
    pub catalog: Arc<Catalog>,
    /// How rule files are loaded: for those that the log says were in force.
    pub load_options: LoadOptions,
    /// The correlator, fresh.
    pub correlator: Correlator,
    /// Dead letters.
    pub dead_letters: DeadLetters,
    /// Where recorded samples go, if anywhere.
    pub recorded: Option<RecordedSink>,
    /// Self-metrics.
    pub metrics: Arc<Metrics>,
}

/// Why the runtime could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The state directory.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cluster.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// Another instance holds part of the partitions.
    #[error(
        "another instance of group {group:?} holds {missing} of {expected} partitions; one instance does the work for now: end the other one, or use another group"
    )]
    Partial {
        /// Consumer group.
        group: String,
        /// Partitions that are read elsewhere.
        missing: usize,
        /// Partitions in all.
        expected: usize,
    },
    /// A source no longer keeps what a start needs.
    #[error(
        "{topic}, partition {partition}: a start needs what stands from offset {wanted} on, and nothing before {oldest} is kept; lengthen the topic's retention, or set `on_gap: continue-and-say` to go on with shorter windows"
    )]
    Gap {
        /// Topic.
        topic: String,
        /// Partition.
        partition: u32,
        /// The first offset that is needed.
        wanted: Offset,
        /// The first one that is kept.
        oldest: Offset,
    },
    /// A topic that no broker has.
    #[error("source {source_name:?}: no topic matches {wanted:?} on {brokers}")]
    NoTopic {
        /// Source.
        source_name: String,
        /// What it names.
        wanted: String,
        /// Where it was looked for.
        brokers: String,
    },
    /// A thread met what it could not go on with.
    #[error("{0}")]
    Thread(String),
}

impl LiveError {
    /// Whether it says only that another instance does the work from now on.
    pub fn is_overtaken(&self) -> bool {
        let overtaken = |error: &StoreError| {
            matches!(
                error,
                StoreError::Fenced { .. }
                    | StoreError::Forgotten { .. }
                    | StoreError::GivenUp { .. }
            )
        };
        matches!(self, Self::Store(error) if overtaken(error))
    }

    /// Whether it says that the cluster does not answer, which may pass.
    pub fn is_of_the_cluster(&self) -> bool {
        let (Self::Kafka(error) | Self::Store(StoreError::Kafka(error))) = self else {
            return false;
        };
        matches!(
            error,
            KafkaError::TimedOut { .. } | KafkaError::Client { .. } | KafkaError::Fatal { .. }
        )
    }

    /// Whether it says that the disk takes nothing, which may pass.
    pub fn is_of_the_disk(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Io { .. } | StoreError::Poisoned { .. })
        )
    }
}

/// A handle to ask things of a running runtime. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    hub: Arc<Hub>,
    asks: mpsc::Sender<Ask>,
}

impl Handle {
    /// Ends it: a last snapshot is written, what was read is worked off, the log is synced.
    pub fn stop(&self) {
        self.hub.ending.store(true, Ordering::Release);
        self.hub.ring();
    }

    /// Ends it at once, since another instance does the work: nothing more is said.
    pub fn abandon(&self) {
        self.hub.stop.store(true, Ordering::Release);
        self.hub.ring();
    }

    /// When it last looked at itself, and how far behind the partition is that is furthest so, in
    /// milliseconds.
    pub fn looked(&self) -> (Timestamp, i64) {
        let at = self.hub.looked_at.load(Ordering::Acquire);
        (Timestamp(at), self.hub.behind.load(Ordering::Acquire))
    }

    /// How old is what is being read and evaluated at present, in milliseconds: for whoever is to be told
    /// of the past. A great age while nobody knows.
    pub fn past_ms(&self) -> i64 {
        self.hub.past.load(Ordering::Acquire)
    }

    /// Puts new rules in force; returns when they are.
    pub fn reload(&self, catalog: Arc<Catalog>, files: Vec<RuleFile>) {
        let (done, wait) = mpsc::channel();
        if self
            .asks
            .send(Ask::Reload {
                catalog,
                files,
                done,
            })
            .is_ok()
        {
            self.hub.ring();
            // An error says that the runtime has ended: then there is nothing to wait for.
            let _ended = wait.recv();
        }
    }

    /// Asks a question over everything that has been read; `None` where there was no answer in time.
    pub fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Brain, &mut [&mut Shard]) -> T + Send + 'static,
        patience: Duration,
    ) -> Option<T> {
        let (answer, wait) = mpsc::sync_channel(1);
        let question = move |brain: &mut Brain, shards: &mut [&mut Shard]| {
            // Nobody waits any more: that is theirs to decide.
            let _gone = answer.send(question(brain, shards));
        };
        self.asks.send(Ask::Question(Box::new(question))).ok()?;
        self.hub.ring();
        wait.recv_timeout(patience).ok()
    }

    /// Gives a command; returns when it is durable.
    pub fn command(&self, command: Command) {
        let (done, wait) = mpsc::channel();
        if self.asks.send(Ask::Command { command, done }).is_ok() {
            self.hub.ring();
            // As above.
            let _ended = wait.recv();
        }
    }
}

/// A running runtime.
pub struct Live {
    handle: Handle,
    view: Arc<View>,
    outbox: Arc<Mutex<Outbox>>,
    brain: JoinHandle<Result<(), LiveError>>,
    workers: Vec<JoinHandle<()>>,
    snapshotter: JoinHandle<()>,
    dead_letters: Arc<DeadLetters>,
    recorded: Option<Arc<RecordedSink>>,
    epoch: Option<u64>,
}

/// So long at most the end waits for recorded samples to be acknowledged.
const RECORDED_FLUSH: Duration = Duration::from_secs(10);

impl Live {
    /// Recovers, joins the group and starts. `on_news` is called when new revisions are in the
    /// outbox, or alerts of the read model have changed, durable; `on_ready` when readiness changes.
    ///
    /// # Errors
    /// [`LiveError`]: nothing was started.
    pub fn start(
        config: LiveConfig,
        on_news: impl Fn() + Send + 'static,
        on_ready: impl Fn(Result<(), String>) + Send + 'static,
    ) -> Result<Self, LiveError> {
        let (log, entries) = match &config.active {
            Some(active) => active.take_over()?,
            None => SignalLog::open(&config.state_dir.join("signals"))?,
        };
        let view = Arc::new(View::default());
        let kafka = config.kafka.as_ref();
        let kafka_workers = if kafka.is_some() {
            config.workers.max(1)
        } else {
            0
        };
        let total = kafka_workers + usize::from(config.http.is_some());
        let scoping = config.scope_times.scoping(&config.sources);
        let place = |catalog: &Arc<Catalog>| {
            catalog.name_sources(config.sources.iter().map(|source| source.name.clone()));
            catalog.scope_sources(&scoping);
        };
        place(&config.catalog);
        // Recover under the rules that the log says were in force; then reload.
        let logged = |history: &History| {
            let files = history.files.as_ref();
            files.filter(|files| **files != config.rule_files).cloned()
        };
        let fresh = |history: &History| {
            let catalog = logged(history).map_or_else(
                || Arc::clone(&config.catalog),
                |files| catalog_of(&files, &config.load_options),
            );
            place(&catalog);
            Core::new(catalog, config.external_labels.clone())
        };
        let store = Snapshots::open(&config.state_dir.join("snapshots"))?;
        let published = config.active.as_ref().map(|active| active.fetch(&store));
        let published = published.transpose()?;
        let source_names = names_of(&config.sources);
        let known = Known {
            names: &source_names,
            first: log.first(),
            fresh: &fresh,
            shards: total,
        };
        let Found {
            state,
            later,
            history: frontier,
            restored,
        } = find(&store, &known, entries)?;
        let outbox = match &config.active {
            Some(_) => Outbox::taken_over(frontier.delivered.clone()),
            None => Outbox::open(&config.state_dir.join("outbox"))?,
        };
        let outbox = Arc::new(Mutex::new(outbox));
        let reload =
            logged(&frontier).map(|_| (Arc::clone(&config.catalog), config.rule_files.clone()));
        let (snapshot, core, shards) = match restored {
            Some(Restored { head, core, shards }) => (Some(head), core, shards),
            None => {
                let core = fresh(&frontier);
                let shards = (0..total).map(|_| Shard::new(Arc::clone(core.catalog())));
                let shards = shards.collect();
                (None, core, shards)
            }
        };
        let catalog = Arc::clone(core.catalog());
        let mut brain = Brain::new(core, config.correlator, config.patience, Arc::clone(&view));
        if let Some(state) = state {
            brain = brain.after(state);
        }
        brain.bound_results(config.max_rule_elements);
        brain.keep_incidents(config.incident_retention_ms);
        if config.snapshot_interval_ms.is_some() {
            brain.keep_history();
        }
        let recorded = config.recorded.map(Arc::new);
        if recorded.is_some() {
            brain.export_recorded();
        }

        // A record that came before the first one that matters may be its twin.
        let dedup_ms = config
            .sources
            .iter()
            .map(SourceConfig::dedup_reach_ms)
            .max();
        let dedup_ms = dedup_ms.unwrap_or(0);
        let reach_ms = (catalog.longest_reach_ms() + dedup_ms).min(MAX_REACH_MS);
        let rules: Vec<_> = config.sources.iter().map(time_rules).collect();
        let parts = shards.into_iter().enumerate().map(|(i, shard)| {
            let intake = Intake::new(i as u16, total, Arc::clone(&catalog));
            let feeders = config.sources.iter().map(Feeder::new).collect();
            (intake, shard, feeders)
        });
        let hub = Arc::new(Hub::new(parts.collect(), Directory::default(), rules));
        let dead_letters = Arc::new(config.dead_letters);
        let sources = Arc::new(config.sources);

        let now = wall();
        let begin = match frontier.frontier() {
            Some(closed) => Some(closed - reach_ms),
            None => frontier.start.map(|(origin, _)| origin),
        };
        let history = brain.recover(&later, begin.unwrap_or(Timestamp::MIN));
        for worker in &mut hub.lock_all() {
            worker.intake.bound_series(config.max_series);
            worker.intake.bound_worlds(config.max_scopes);
            let own = sources.iter().map(|source| source.max_series);
            worker.intake.bound_sources(own.collect());
            for state in snapshot.iter().flat_map(|head| &head.dedup) {
                worker.dedup.insert(state.partition, state.clone());
            }
        }
        hub.resume(&history);
        catch_up(&mut lock(&outbox), &view)?;
        let (mut first_entries, mut gaps) = (Vec::new(), Vec::new());

        let mut consumers: Vec<Box<dyn Consumer + Send>> = Vec::new();
        if let Some(kafka) = kafka {
            for worker in 0..kafka_workers {
                consumers.push(join_group(
                    kafka,
                    &config.properties,
                    &sources,
                    (worker, kafka_workers),
                    config.active.is_some(),
                    &hub,
                )?);
            }
            for (partition, topic) in &history.topics {
                lock(&hub.directory).remember(topic, *partition);
            }
            let planner = Planner {
                kafka,
                sources: &sources,
                hub: &hub,
                history: &history,
                reach_ms,
                start: config.start,
                on_gap: config.on_gap,
                snapshot: snapshot.as_ref(),
            };
            gaps = planner.plan(&mut *consumers[0], begin, now, &mut first_entries)?;
        }
        if history.files.is_none() {
            first_entries.push(Entry::Rules {
                files: config.rule_files.clone(),
            });
        }
        if history.start.is_none() {
            match config.start {
                StartFrom::Window => first_entries.push(brain.start(now - reach_ms, now)),
                StartFrom::Latest => first_entries.push(brain.start(now, now)),
                StartFrom::Earliest => {}
            }
        }
        let replay = match &config.http {
            Some((queue, source)) => {
                let partition = Partition::new(*source as u16, 0);
                let dir = config.state_dir.join("journal");
                let logged = history.positions.get(&partition).copied().unwrap_or(0);
                let journal = Journal::open(&dir, logged, config.journal_bytes)?;
                let known = snapshot.as_ref().and_then(|head| head.clock(partition));
                let (wanted, offset) =
                    resume_http(&history, partition, begin, known, &hub, &journal);
                if wanted < offset {
                    gap(config.on_gap, "http", 0, wanted, offset)?;
                    gaps.push(("http".to_owned(), 0));
                }
                if history.joined(partition).is_none() {
                    let pin = Pin {
                        partition,
                        offset,
                        tick: Timestamp::MIN,
                    };
                    first_entries.push(Entry::Join {
                        pin,
                        topic: String::new(),
                    });
                }
                let pins = pins_of(&history, partition);
                let rules = hub.rules[*source];
                let mut clock = match known {
                    Some(state) => PartitionClock::resume(rules, state.from(offset), pins),
                    None => PartitionClock::new(rules, offset, pins),
                };
                let lost = wanted < offset && journal.next_offset() == offset;
                if let Some(closed) = history.latest().filter(|_| lost) {
                    // What came before is gone: ticks that were closed do not wait for it.
                    clock.pin(closed);
                }
                let mut state = hub.workers[total - 1].lock();
                state.join(partition, clock, now);
                state.hand_over();
                let replay = journal.replay(offset);
                queue.attach(journal);
                Some((replay, partition, offset))
            }
            None => None,
        };

        let mut workers = Vec::new();
        for (index, consumer) in consumers.into_iter().enumerate() {
            let worker = KafkaWorker {
                index,
                state: Arc::clone(&hub.workers[index]),
                hub: Arc::clone(&hub),
                consumer,
                sources: Arc::clone(&sources),
                dead_letters: Arc::clone(&dead_letters),
                topics: Vec::new(),
                paused: BTreeSet::new(),
                cut_off: config.cut_off.clone(),
            };
            workers.push(spawn(format!("worker-{index}"), move || worker.run())?);
        }
        let http = config.http.map(|(queue, _)| queue);
        if let (Some(queue), Some((replay, partition, next_offset))) = (&http, replay) {
            let worker = HttpWorker {
                hub: Arc::clone(&hub),
                state: Arc::clone(&hub.workers[total - 1]),
                queue: Arc::clone(queue),
                partition,
                next_offset,
            };
            workers.push(spawn("http-feed".to_owned(), move || worker.run(replay))?);
        }

        let (cuts, writer) = Cuts::new(Arc::clone(&hub), store, published);
        let snapshotter = spawn("snapshots".to_owned(), move || writer.run(|| wall().ms()))?;
        let (asks, asked) = mpsc::channel();
        let loop_ = BrainLoop {
            cuts,
            source_names,
            files: history
                .files
                .clone()
                .unwrap_or_else(|| config.rule_files.clone()),
            snapshot_interval_ms: config.snapshot_interval_ms,
            next_cut: now + config.snapshot_interval_ms.unwrap_or(0),
            cut_at: Timestamp::MIN,
            cut_took: Duration::ZERO,
            outage: config.outage,
            gaps_until: now + reach_ms,
            gaps,
            brain,
            hub: Arc::clone(&hub),
            log,
            outbox: Arc::clone(&outbox),
            asked,
            names: sources.iter().map(|source| source.name.clone()).collect(),
            scoping,
            group: kafka.map_or_else(String::new, |kafka| kafka.group.clone()),
            started: history.start.is_some() || config.start != StartFrom::Earliest,
            logged: history.positions.clone(),
            last_known: BTreeMap::new(),
            max_skew_ms: config.max_skew_ms,
            dedup_ms,
            settle_ms: config.settle_ms,
            was_complete: false,
            measures: 0,
            speaks: false,
            watch: SelfWatch::resume(&history.own, now),
            ready: None,
            metrics: config.metrics,
            http,
            reload,
            dead_letters: Arc::clone(&dead_letters),
            recorded: recorded.clone(),
            on_news: Box::new(on_news),
            on_ready: Box::new(on_ready),
        };
        let epoch = loop_.log.epoch();
        let stop = EndOfBrain(Arc::clone(&hub));
        let brain = spawn("brain".to_owned(), move || {
            let _stop = stop;
            loop_.run(&first_entries)
        })?;

        Ok(Self {
            handle: Handle { hub, asks },
            view,
            outbox,
            brain,
            workers,
            snapshotter,
            dead_letters,
            recorded,
            epoch,
        })
    }

    /// How often the work was taken over, where other instances may take it over.
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// A handle to it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The read model.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The outbox that sinks drain.
    pub fn outbox(&self) -> &Arc<Mutex<Outbox>> {
        &self.outbox
    }

    /// Whether it has ended by itself.
    pub fn is_over(&self) -> bool {
        self.brain.is_finished()
    }

    /// Ends it and waits: workers leave, what was read is worked off, dead letters and
    /// recorded samples are sent.
    ///
    /// # Errors
    /// What ended it, where that was not the asking.
    pub fn finish(self) -> Result<(), LiveError> {
        self.handle.stop();
        for worker in self.workers {
            if worker.join().is_err() {
                error!("a worker panicked");
            }
        }
        self.dead_letters.flush(Duration::from_secs(5));
        let ended = self.brain.join();
        if self.snapshotter.join().is_err() {
            error!("the writer of snapshots panicked");
        }
        if let Some(recorded) = self.recorded.and_then(Arc::into_inner) {
            recorded.finish(RECORDED_FLUSH);
        }
        ended.unwrap_or_else(|_| Err(LiveError::Thread("the engine's thread panicked".to_owned())))
    }
}

/// Without a brain nobody goes on, however it ended.
struct EndOfBrain(Arc<Hub>);

impl Drop for EndOfBrain {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::Release);
    }
}

/// The rules of files that a log holds: they loaded once.
pub(crate) fn catalog_of(files: &[RuleFile], options: &LoadOptions) -> Arc<Catalog> {
    let sources: Vec<_> = files
        .iter()
        .map(|file| Source::new(&file.path, &file.text))
        .collect();
    let (rules, problems) = foghorn_rules::load(&sources, options);
    for problem in problems.iter().filter(|problem| problem.is_error()) {
        warn!(%problem, "a rule that was in force no longer loads");
    }
    Arc::new(Catalog::new(rules))
}

/// The offset that what came by HTTP should be read again from, and the one that it can be.
fn resume_http(
    history: &History,
    partition: Partition,
    begin: Option<Timestamp>,
    known: Option<ClockState>,
    hub: &Hub,
    journal: &Journal,
) -> (Offset, Offset) {
    let oldest = journal.oldest_offset();
    let Some(joined) = history.joined(partition) else {
        return (oldest, oldest);
    };
    let lateness = hub.rules[partition.source as usize].allowed_lateness_ms;
    let rewound = || history.rewind(partition, begin?, lateness);
    let known = known.map(|state| state.next_offset);
    let wanted = known.or_else(rewound).unwrap_or(joined);
    (wanted, wanted.max(oldest))
}

/// No restart reads further back than this: 31 days.
pub(crate) const MAX_REACH_MS: i64 = 31 * 86_400_000;

fn spawn<T: Send + 'static>(
    name: String,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, LiveError> {
    std::thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|error| LiveError::Thread(format!("no thread could be started: {error}")))
}

fn join_group(
    kafka: &KafkaConfig,
    properties: &Properties,
    sources: &[SourceConfig],
    (worker, of): (usize, usize),
    is_alone: bool,
    hub: &Arc<Hub>,
) -> Result<Box<dyn Consumer + Send>, KafkaError> {
    let topics: Vec<&str> = sources
        .iter()
        .flat_map(|source| source.topics.iter().chain(&source.topic_regex))
        .map(String::as_str)
        .collect();
    let mut config = ConsumerConfig::new(properties.clone(), &kafka.group, &topics);
    let owner = Box::new(Starter::new(Arc::clone(hub)));
    if is_alone {
        // The lease says so: nobody need agree, and nobody's session need end first.
        let consumer = RdConsumer::alone(&config, worker as u32, of as u32, owner)?;
        return Ok(Box::new(consumer));
    }
    config.instance = (!kafka.instance.is_empty()).then(|| format!("{}-{worker}", kafka.instance));
    Ok(Box::new(RdConsumer::join(&config, owner)?))
}

pub(crate) fn pins_of(history: &History, partition: Partition) -> Vec<(Offset, Timestamp)> {
    history
        .pins
        .iter()
        .filter(|pin| pin.partition == partition)
        .map(|pin| (pin.offset, pin.tick))
        .collect()
}
