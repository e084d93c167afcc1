//! An instance that works: engine, sinks and door, from their start to their end in order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use foghorn_correlate::{Correlator, Topology, TopologyFile};
use foghorn_emit::{
    AlertFeed, Backlog, DeadLetterSink, Emitter, Heartbeat, Owner, Pace, Pulse, RecordedSink,
    SinkConfig, SinkMetrics, build,
};
use foghorn_engine::{Brain, Command, Query};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::shard::Shard;
use foghorn_http::{Answers, Api, Commands, Declined, Late, Queries, Readiness, ReloadError};
use foghorn_ingest::{SourceConfig, Span};
use foghorn_kafka::Properties;
use foghorn_model::Timestamp;
use foghorn_runtime::{
    Active, CutOff, DeadLetters, Handle, Hold, HttpQueue, Lease, Live, LiveConfig, LiveError,
    Metrics, OutboxBacklog, ViewAlerts, clock,
};
use foghorn_store::StoreError;
use foghorn_wire::Format;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::config::{Config, beside, load, without_secrets};
use crate::receive::{KeptIn, Receivers};
use crate::rule_files::{self, Loaded};
use crate::serving::Serving;
use crate::{logging, replay};

/// How long sinks may take to deliver what is left at the end.
const DRAIN: Duration = Duration::from_secs(10);
/// So long at most an instance that others may relieve waits for the cluster at its end.
const END_WITHIN: Duration = Duration::from_secs(25);

/// What came before a start.
pub(crate) struct Was {
    /// Why nothing could be decided, for people.
    pub(crate) outage: Option<String>,
    /// Whether the cluster was out of reach.
    pub(crate) cut_off: CutOff,
}

/// See the module's text.
pub(crate) struct Running {
    live: Live,
    beating: Option<JoinHandle<()>>,
    emitter: Arc<Emitter>,
    serving: Serving,
    readiness: Readiness,
    reloader: Arc<Reloader>,
    lease: Option<Lease>,
}

impl Running {
    /// Recovers, joins and opens everything.
    pub(crate) fn start(
        config: Config,
        path: PathBuf,
        set: Vec<String>,
        loaded: Loaded,
        leased: Option<(Lease, Active)>,
        was: Was,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<Self> {
        let (lease, active) = leased.unzip();
        let hold = lease.as_ref().map(Lease::hold);
        let metrics = Arc::new(Metrics::new()?);
        let config_text = std::fs::read_to_string(&path).unwrap_or_default();
        let sink_metrics = SinkMetrics::register(metrics.registry())?;
        let readiness = Readiness::default();
        let topology = match &config.topology {
            Some(file) => replay::topology(&beside(&path, file))?,
            None => Topology::new(&TopologyFile::default()),
        };
        let properties = properties(&config, &path)?;
        let reads_kafka = !config.sources.is_empty() || active.is_some();
        let mut sources = config.sources;
        let decode = foghorn_wire::DecodeOptions {
            // The door bounds bodies already, and says so.
            max_record_bytes: config
                .receivers
                .decode
                .max_record_bytes
                .max(config.http.max_decompressed_bytes),
            ..config.receivers.decode.clone()
        };
        let source = SourceConfig {
            allowed_lateness: Some(config.receivers.allowed_lateness),
            decode: decode.clone(),
            scope: config.receivers.scope.clone(),
            replica: config.receivers.replica.clone(),
            ..SourceConfig::of("http", Format::OtlpMetricsProto)
        };
        let most = config.receivers.queue_bytes;
        let (mut http, mut kept) = (None, None);
        match active.as_ref().map(Active::failover) {
            _ if !config.receivers.enabled => {}
            None => {
                let queue = Arc::new(HttpQueue::new(most));
                http = Some((Arc::clone(&queue), sources.len()));
                kept = Some(KeptIn::Journal(queue));
                sources.push(source);
            }
            Some(failover) => {
                kept = Some(KeptIn::Topic(Arc::new(failover.http_topic(most)?)));
                sources.push(failover.http_source(source));
            }
        }
        let dead_letters = dead_letters(
            &config.kafka.dead_letter_topic,
            &properties,
            sink_metrics.clone(),
        )?;
        let recorded = config.recorded.kafka.as_ref();
        let recorded = recorded
            .map(|kafka| RecordedSink::open(kafka, sink_metrics.clone()))
            .transpose()
            .map_err(|why| anyhow::anyhow!("recorded series cannot be sent on: {why}"))?;
        let woken: Arc<Mutex<Option<Arc<Emitter>>>> = Arc::default();
        let wake = Arc::clone(&woken);
        let ready = readiness.clone();
        let live = Live::start(
            LiveConfig {
                kafka: reads_kafka.then(|| config.kafka.clone()),
                properties,
                sources,
                http,
                journal_bytes: config.receivers.journal_bytes,
                workers: config.workers,
                start: config.start,
                patience: foghorn_engine::sequencer::Patience {
                    idle_timeout_ms: config.time.idle_timeout.0,
                    max_stall_ms: config.time.max_stall.0,
                },
                max_skew_ms: config.time.max_skew.0,
                settle_ms: config.time.settle.0,
                max_series: config.limits.max_series,
                max_scopes: config.limits.max_scopes,
                max_rule_elements: config.limits.max_rule_elements,
                scope_times: foghorn_runtime::ScopeTimes {
                    replica_timeout_ms: config.time.replica_timeout.0,
                    scope_ttl_ms: config.time.scope_ttl.0,
                },
                state_dir: beside(&path, &config.state_dir),
                active,
                outage: was.outage,
                cut_off: was.cut_off,
                snapshot_interval_ms: Some(config.snapshot_interval.0).filter(|ms| *ms > 0),
                on_gap: config.on_gap,
                incident_retention_ms: config.incident_retention.0,
                external_labels: config.external_labels.clone().into_iter().collect(),
                rule_files: loaded.files,
                catalog: Arc::new(Catalog::new(loaded.rules)),
                load_options: config.rules.options(&config.external_labels),
                correlator: Correlator::new(config.correlate.clone(), topology),
                dead_letters,
                recorded,
                metrics: Arc::clone(&metrics),
            },
            move || {
                if let Some(emitter) = &*wake.lock().unwrap_or_else(PoisonError::into_inner) {
                    emitter.wake();
                }
            },
            move |state| match state {
                Ok(()) => ready.set_ready(),
                Err(why) => ready.set_not_ready(why),
            },
        )?;
        let emitter = sinks(
            &config.sinks,
            &config.external_labels,
            &live,
            hold,
            config.max_notification_age,
            &sink_metrics,
            runtime,
        )?;
        let emitter = Arc::new(emitter);
        *woken.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&emitter));
        emitter.wake();

        let reloader = Arc::new(Reloader {
            path,
            set,
            handle: live.handle(),
        });
        let reload = Arc::clone(&reloader);
        let api = Api {
            readiness: readiness.clone(),
            intake: kept.map(|kept| -> Arc<dyn foghorn_http::Intake> {
                Arc::new(Receivers::new(kept, decode))
            }),
            commands: Some(Arc::new(Orders(live.handle()))),
            queries: Some(Arc::new(Asked(live.handle()))),
            config_text: without_secrets(&config_text).into(),
            reload: Some(Arc::new(move || {
                reload.reload().map_err(ReloadError::Rejected)
            })),
            ..Api::new(
                Arc::clone(live.view()),
                metrics.registry().clone(),
                clock::wall,
            )
        };
        let access =
            crate::web::access(&config.http, |file| beside(&reloader.path, file), runtime)?;
        let heartbeat = config.heartbeat.as_ref();
        let heartbeat = heartbeat.map(|heartbeat| Heartbeat::new(heartbeat, metrics.registry()));
        let heartbeat = heartbeat.transpose();
        let heartbeat = heartbeat.map_err(|why| anyhow::anyhow!("the heartbeat {why}"))?;
        let serving = Serving::open(config.http, api, access, runtime)?;
        info!(address = %serving.address(), "listening");
        let handle = live.handle();
        let beating = heartbeat.map(|it| beat(it, handle, readiness.clone(), runtime));
        Ok(Self {
            live,
            beating,
            emitter,
            serving,
            readiness,
            reloader,
            lease,
        })
    }

    /// Works until it is asked to end, or cannot go on.
    pub(crate) fn work(
        self,
        signals: &mut Signals,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<()> {
        let hold = self.lease.as_ref().map(Lease::hold);
        let mut was_sure = true;
        loop {
            if self.live.is_over() {
                // Where there are others they may have taken over: nothing more is handed out.
                return self.finish(hold.is_some(), runtime);
            }
            for signal in signals.pending() {
                if signal == SIGHUP {
                    self.reload();
                    continue;
                }
                if let Some(hold) = &hold {
                    hold.end_within(END_WITHIN);
                }
                return self.finish(false, runtime);
            }
            if let Some(hold) = &hold {
                if let Some(why) = hold.over() {
                    warn!(why, "nothing more is said");
                    self.live.handle().abandon();
                    return self.finish(true, runtime);
                }
                let is_sure = hold.is_sure();
                if is_sure != was_sure {
                    warn!(is_sure, "sinks wait while the lease is not certain");
                    // What waited goes out.
                    self.emitter.wake();
                }
                was_sure = is_sure;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn reload(&self) {
        match self.reloader.reload() {
            Ok(what) => info!(what, "reloaded"),
            Err(problems) => problems
                .iter()
                .for_each(|problem| error!(problem, "not reloaded")),
        }
    }

    /// Ends everything in order. Unless another instance does the work already, what was decided is
    /// delivered.
    fn finish(self, overtaken: bool, runtime: &tokio::runtime::Runtime) -> anyhow::Result<()> {
        self.readiness.set_not_ready("stopping");
        info!("stopping: working off what was read");
        if let Some(beating) = &self.beating {
            beating.abort();
        }
        let standing = logging::standing(self.live.view());
        let ended = if self.lease.is_some() {
            // Before the log is given up: what sinks acknowledge is written down there.
            if !overtaken {
                deliver_rest(&self.emitter);
            }
            self.live.finish()
        } else {
            let ended = self.live.finish();
            deliver_rest(&self.emitter);
            ended
        };
        self.serving.stop_and_wait(runtime);
        drop(self.lease);
        info!(standing, "stopped");
        ended?;
        if overtaken {
            let why = "the lease is over".to_owned();
            return Err(LiveError::from(StoreError::GivenUp { why }).into());
        }
        Ok(())
    }
}

/// Delivers what waits, for a while.
fn deliver_rest(emitter: &Emitter) {
    for sink in emitter.drain(DRAIN) {
        if sink.pending > 0 {
            warn!(
                sink = sink.name,
                pending = sink.pending,
                "not everything was delivered; it will be after the next start"
            );
        }
    }
}

/// A brain that has not looked at itself for so long hangs, in milliseconds.
const HANGS_MS: i64 = 15_000;

/// Tells somebody that all is well, again and again, while it is.
fn beat(
    heartbeat: Heartbeat,
    handle: Handle,
    readiness: Readiness,
    runtime: &tokio::runtime::Runtime,
) -> JoinHandle<()> {
    runtime.spawn(async move {
        let mut beats = tokio::time::interval(heartbeat.interval());
        loop {
            beats.tick().await;
            let (looked, behind_ms) = handle.looked();
            let pulse = match readiness.reason() {
                Some(why) => Pulse::Ill(why),
                None if clock::wall() - looked > HANGS_MS => {
                    Pulse::Ill("the engine's thread does not get on".to_owned())
                }
                None => Pulse::Alive {
                    behind: Duration::from_millis(behind_ms.max(0) as u64),
                },
            };
            heartbeat.beat(&pulse).await;
        }
    })
}

/// Starts the sinks: those that take incidents drain the outbox, those that take alerts follow the
/// read model.
fn sinks(
    configs: &[SinkConfig],
    external_labels: &BTreeMap<String, String>,
    live: &Live,
    hold: Option<Hold>,
    max_age: Span,
    metrics: &SinkMetrics,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Emitter> {
    let handle = live.handle();
    let pace = Pace {
        wall: clock::wall,
        behind_ms: Arc::new(move || handle.past_ms()),
        max_age_ms: max_age.0,
    };
    let owner = live.epoch().zip(hold.clone()).map(|(epoch, hold)| Owner {
        epoch,
        is_sure: Arc::new(move || hold.is_sure()),
    });
    let sinks = build(configs, external_labels, owner.as_ref(), runtime.handle())?;
    let names: Vec<_> = sinks.incidents.iter().map(|sink| sink.name()).collect();
    live.outbox()
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .set_sinks(&names)?;
    let backlog: Arc<dyn Backlog> =
        Arc::new(OutboxBacklog::new(Arc::clone(live.outbox())).under(hold.clone()));
    let mut emitter = Emitter::start(sinks.incidents, &backlog, metrics, &pace)?;
    let feed: Arc<dyn AlertFeed> = Arc::new(ViewAlerts::new(Arc::clone(live.view())).under(hold));
    for sink in sinks.alerts {
        emitter.send_alerts(sink, &feed, clock::wall, metrics)?;
    }
    Ok(emitter)
}

/// Reads the rules again and puts them in force: all of them, or none.
struct Reloader {
    path: PathBuf,
    set: Vec<String>,
    handle: Handle,
}

impl Reloader {
    fn reload(&self) -> Result<String, Vec<String>> {
        let config = load(&self.path, &self.set).map_err(|error| vec![format!("{error:#}")])?;
        let files: Vec<_> = config
            .rules
            .files
            .iter()
            .map(|file| beside(&self.path, file))
            .collect();
        let loaded = rule_files::read(&files, &config.rules.options(&config.external_labels))
            .map_err(|error| vec![format!("{error:#}")])?;
        let errors: Vec<_> = loaded
            .diagnostics
            .iter()
            .filter(|d| d.is_error())
            .map(ToString::to_string)
            .collect();
        if !errors.is_empty() {
            return Err(errors);
        }
        let rules = loaded.rules();
        self.handle
            .reload(Arc::new(Catalog::new(loaded.rules)), loaded.files);
        Ok(format!("{rules} rules in force"))
    }
}

pub(crate) fn properties(config: &Config, path: &Path) -> anyhow::Result<Properties> {
    let mut properties = config.kafka.properties.clone();
    if !config.kafka.brokers.is_empty() {
        properties.insert("bootstrap.servers".to_owned(), config.kafka.brokers.clone());
    }
    for (name, file) in &config.kafka.property_files {
        let file = beside(path, Path::new(file));
        let value = std::fs::read_to_string(&file)
            .with_context(|| format!("kafka property {name}: {} cannot be read", file.display()))?;
        properties.insert(
            name.clone(),
            value.trim_end_matches(['\r', '\n']).to_owned(),
        );
    }
    Ok(Properties::new(properties)?)
}

fn dead_letters(
    topic: &str,
    properties: &Properties,
    metrics: SinkMetrics,
) -> anyhow::Result<DeadLetters> {
    if topic.is_empty() {
        return Ok(DeadLetters::new(DeadLetterSink::counting(metrics)));
    }
    let producer = foghorn_kafka::RdProducer::open(properties)?;
    let sink = DeadLetterSink::over(topic, Box::new(producer), metrics);
    let max_bytes = properties.get("message.max.bytes");
    Ok(DeadLetters::new(
        match max_bytes.and_then(|max| max.parse().ok()) {
            Some(max_bytes) => sink.with_max_bytes(max_bytes),
            None => sink,
        },
    ))
}

/// Commands on their way to the engine.
struct Orders(Handle);

impl Commands for Orders {
    fn command(&self, command: Command) -> Result<(), Declined> {
        self.0.command(command);
        Ok(())
    }
}

/// Questions on their way to the engine.
struct Asked(Handle);

/// Instants that are looked at in one go: rules' ticks wait meanwhile.
const AT_ONCE: usize = 50;
/// So long an answer is waited for: Prometheus' own bound is two minutes.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

impl Queries for Asked {
    fn query(&self, query: &Query, at: &[Timestamp]) -> Result<Answers, Late> {
        let mut answers = Vec::with_capacity(at.len());
        for at in at.chunks(AT_ONCE) {
            let (query, at) = (query.clone(), at.to_vec());
            let ask = move |brain: &mut Brain, shards: &mut [&mut Shard]| -> Answers {
                let each = at.into_iter();
                each.map(|at| brain.query(&query, at, shards)).collect()
            };
            answers.extend(self.0.ask(ask, ANSWER_WITHIN).ok_or(Late)?);
        }
        Ok(answers)
    }

    fn metrics(&self) -> Vec<String> {
        let names = |brain: &mut Brain, _: &mut [&mut Shard]| {
            let rules = &brain.core().catalog().rules;
            let metrics = rules
                .selectors()
                .filter_map(|selector| selector.metric.as_deref());
            let names: std::collections::BTreeSet<_> = metrics.map(str::to_owned).collect();
            names.into_iter().collect()
        };
        self.0.ask(names, ANSWER_WITHIN).unwrap_or_default()
    }
}
