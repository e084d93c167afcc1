//! The live runtime as `foghorn run` wires it, less arguments, API and console.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_emit::{
    Backlog, DeadLetterSink, Emitter, KafkaSink, KafkaSinkConfig, RecordedFormat,
    RecordedKafkaConfig, RecordedSink, Sink, SinkMetrics,
};
use foghorn_engine::RuleFile;
use foghorn_engine::sequencer::Patience;
use foghorn_ingest::{KafkaConfig, SourceConfig};
use foghorn_model::Timestamp;
use foghorn_rules::LoadOptions;
use foghorn_runtime::{DeadLetters, Live, LiveConfig, Metrics, OutboxBacklog, StartFrom};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::{Failure, rules};

/// What a run needs to be told.
pub(crate) struct Setup<'a> {
    /// The cluster that it reads from.
    pub(crate) cluster: &'a Cluster,
    /// A consumer group to come back to, as a static member; a new one where there is none.
    pub(crate) group: Option<&'a str>,
    /// The one source.
    pub(crate) source: SourceConfig,
    /// The rules.
    pub(crate) rules: RuleFile,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Where to start.
    pub(crate) start: StartFrom,
    /// A partition at its end is idle after so long, in milliseconds.
    pub(crate) idle_timeout_ms: i64,
    /// Where state goes.
    pub(crate) state_dir: &'a Path,
    /// Snapshots are so far apart, in milliseconds.
    pub(crate) snapshot_interval_ms: Option<i64>,
    /// A topic for incidents.
    pub(crate) output: Option<&'a str>,
    /// A topic for recorded samples, in JSON.
    pub(crate) recorded: Option<&'a str>,
}

/// A runtime that runs.
pub(crate) struct Running {
    pub(crate) live: Live,
    metrics: Arc<Metrics>,
    ready: Arc<AtomicBool>,
    emitter: Option<Arc<Emitter>>,
}

type Bell = Arc<Mutex<Option<Arc<Emitter>>>>;

impl Setup<'_> {
    /// Starts it.
    pub(crate) fn start(self) -> Result<Running, Failure> {
        let metrics = Arc::new(Metrics::new()?);
        let sink_metrics = SinkMetrics::register(metrics.registry())?;
        let ready = Arc::new(AtomicBool::new(false));
        let recorded = self.recorded.map(|topic| {
            let config = RecordedKafkaConfig {
                brokers: Some(self.cluster.bootstrap().to_owned()),
                properties: BTreeMap::new(),
                property_files: BTreeMap::new(),
                topic: topic.to_owned(),
                format: RecordedFormat::JsonMetrics,
            };
            RecordedSink::open(&config, sink_metrics.clone())
        });
        let bell = Bell::default();
        let (rung, told) = (Arc::clone(&bell), Arc::clone(&ready));
        let config = LiveConfig {
            max_series: usize::MAX,
            max_rule_elements: usize::MAX,
            max_scopes: foghorn_eval::intake::DEFAULT_MAX_WORLDS,
            scope_times: foghorn_runtime::ScopeTimes::default(),
            kafka: Some(KafkaConfig {
                brokers: self.cluster.bootstrap().to_owned(),
                group: self.group.map_or_else(
                    || format!("foghorn-{}", crate::measure::wall().ms()),
                    str::to_owned,
                ),
                instance: self.group.map_or_else(String::new, str::to_owned),
                ..KafkaConfig::default()
            }),
            properties: self.cluster.properties(),
            sources: vec![self.source],
            http: None,
            journal_bytes: 0,
            workers: self.workers,
            start: self.start,
            patience: Patience {
                idle_timeout_ms: self.idle_timeout_ms,
                ..Patience::default()
            },
            max_skew_ms: 600_000,
            settle_ms: 20_000,
            state_dir: self.state_dir.to_owned(),
            active: None,
            outage: None,
            cut_off: foghorn_runtime::CutOff::default(),
            snapshot_interval_ms: self.snapshot_interval_ms,
            on_gap: foghorn_runtime::OnGap::default(),
            incident_retention_ms: foghorn_engine::INCIDENT_RETENTION_MS,
            external_labels: Vec::new(),
            catalog: rules::catalog(&self.rules)?,
            rule_files: vec![self.rules],
            load_options: LoadOptions::default(),
            correlator: Correlator::new(Config::default(), Topology::new(&TopologyFile::default())),
            dead_letters: DeadLetters::new(DeadLetterSink::counting(sink_metrics.clone())),
            recorded: recorded.transpose()?,
            metrics: Arc::clone(&metrics),
        };
        let wake = move || {
            if let Some(emitter) = &*rung.lock().unwrap_or_else(PoisonError::into_inner) {
                emitter.wake();
            }
        };
        let live = Live::start(config, wake, move |state| {
            told.store(state.is_ok(), Ordering::Release);
        })?;
        let mut running = Running {
            live,
            metrics,
            ready,
            emitter: None,
        };
        if let Some(topic) = self.output {
            running.emit_to(topic, self.cluster.bootstrap(), &sink_metrics, &bell)?;
        }
        Ok(running)
    }
}

impl Running {
    fn emit_to(
        &mut self,
        topic: &str,
        brokers: &str,
        metrics: &SinkMetrics,
        bell: &Bell,
    ) -> Result<(), Failure> {
        let outbox = self.live.outbox();
        outbox
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .set_sinks(&["output"])?;
        let sink = KafkaSink::open(
            &KafkaSinkConfig {
                name: "output".to_owned(),
                brokers: Some(brokers.to_owned()),
                properties: BTreeMap::new(),
                property_files: BTreeMap::new(),
                topic: topic.to_owned(),
                source: "foghorn-bench".to_owned(),
                delivery: foghorn_emit::Delivery::default(),
            },
            None,
        )?;
        let sinks: Vec<Box<dyn Sink>> = vec![Box::new(sink)];
        let backlog: Arc<dyn Backlog> = Arc::new(OutboxBacklog::new(Arc::clone(outbox)));
        let emitter = Arc::new(Emitter::start(
            sinks,
            &backlog,
            metrics,
            &foghorn_emit::Pace::at_once(foghorn_runtime::clock::wall),
        )?);
        *bell.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&emitter));
        self.emitter = Some(emitter);
        Ok(())
    }

    /// A gauge of the self-metrics.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let families = self.metrics.registry().gather();
        let family = families.iter().find(|family| family.name() == name);
        family
            .and_then(|family| family.get_metric().first())
            .map_or(0.0, |metric| metric.get_gauge().get_value())
    }

    /// The last tick that the first group closed.
    pub(crate) fn last_tick(&self) -> Option<Timestamp> {
        let groups = self.live.view().groups();
        groups.first().and_then(|group| group.last_tick)
    }

    /// Whether every partition is read and event time has begun.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Waits until something holds.
    ///
    /// # Errors
    /// It did not within `patience`, or the runtime ended.
    pub(crate) fn wait(
        &self,
        what: &str,
        patience: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        let begin = Instant::now();
        while !holds(self) {
            if self.live.is_over() {
                return Err(format!("the runtime ended before this: {what}").into());
            }
            if begin.elapsed() > patience {
                return Err(format!("this did not come: {what}").into());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.live.finish()?;
        if let Some(emitter) = self.emitter {
            emitter.wake();
        }
        Ok(())
    }
}
