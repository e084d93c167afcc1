//! `foghorn demo`: the whole path on a scripted shop, with time compressed. Nothing is faked: the
//! script's records go through the same feeders, intakes, shards, brain and formats as production.

mod shop;
pub mod story;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_correlate::{Config, Correlator, Topology};
use foghorn_engine::{Entry, View};
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Raw, SourceConfig};
use foghorn_model::{
    Incident, Labels, Offset, Partition, RuleId, Signal, Timestamp, Transition, TransitionKind,
};
use foghorn_rules::{LoadOptions, Source, load};
use foghorn_runtime::{Layout, Pipeline, Step};
use foghorn_wire::Format;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::time::Instant;

use crate::replay::Books;
use shop::{LENGTH_MS, STEP_MS, Sent, Shop};

/// The demo's rules, as they stand in `rules/demo/shop.yaml`.
pub const RULES: &str = include_str!("../../../../rules/demo/shop.yaml");
/// The demo's service graph, as it stands in `deploy/services.yaml`.
pub const SERVICES: &str = include_str!("../../../../deploy/services.yaml");
/// When the story begins: 2026-11-24T09:00:00Z.
const BEGIN: Timestamp = Timestamp(1_795_510_800_000);

/// How to run it.
#[derive(Clone, Copy, Debug)]
pub struct DemoOptions {
    /// Wall time that the whole story takes; zero for as fast as it goes.
    pub takes: Duration,
}

impl Default for DemoOptions {
    fn default() -> Self {
        Self {
            takes: Duration::from_secs(18),
        }
    }
}

/// What the demo tells as it goes.
#[derive(Debug)]
pub enum Told<'a> {
    /// Event time has come so far: its share of the story.
    Progress(Timestamp, f64),
    /// An alert began to fire, or is over.
    Alert(&'a Transition),
    /// A log record matched for the first time in a while.
    Match(&'a foghorn_model::MatchSignal),
    /// A change was heard of.
    Change(&'a foghorn_model::Change),
    /// An incident's new revision.
    Incident(&'a Incident),
}

/// What it came to.
#[derive(Clone, Debug, Serialize)]
pub struct DemoSummary {
    /// Records in.
    pub records: u64,
    /// Samples and log records in them.
    pub events: u64,
    /// Alerts that fired.
    pub alerts: u64,
    /// Incidents.
    pub incidents: u64,
    /// Incident revisions.
    pub revisions: u64,
    /// Alerts per incident.
    pub compression: f64,
    /// Records read to decision written: median, in microseconds.
    pub decision_p50_us: u64,
    /// … and 99th percentile.
    pub decision_p99_us: u64,
}

/// Why the demo could not run: its own rules or settings are at fault.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// Its rules.
    #[error("the demo's rules do not load: {0}")]
    Rules(String),
}

/// The demo, ready to run.
pub struct Demo {
    pipeline: Pipeline,
    catalog: Arc<Catalog>,
    latency: Histogram<u64>,
}

const METRICS: u16 = 0;
const LOGS: u16 = 1;
const CHANGES: u16 = 2;

impl Demo {
    /// Loads its rules and graph.
    ///
    /// # Errors
    /// They do not load: a mistake of ours.
    pub fn new(topology: Topology) -> Result<Self, DemoError> {
        let files = [Source {
            path: "rules/demo/shop.yaml".to_owned(),
            text: RULES.to_owned(),
        }];
        let (rules, diagnostics) = load(&files, &LoadOptions::default());
        if let Some(first) = diagnostics.first() {
            return Err(DemoError::Rules(first.render(RULES, false)));
        }
        let catalog = Arc::new(Catalog::new(rules));
        let sources = [
            SourceConfig::of("metrics", Format::OtlpMetricsProto),
            SourceConfig::of("logs", Format::OtlpLogsProto),
            SourceConfig::of("changes", Format::Changes),
        ];
        let correlator = Correlator::new(Config::default(), topology);
        let mut pipeline = Pipeline::new(
            Arc::clone(&catalog),
            &sources,
            correlator,
            Vec::new(),
            &Layout::default(),
        );
        pipeline.brain().start(BEGIN, Timestamp::MIN);
        for partition in [
            Partition::new(METRICS, 0),
            Partition::new(METRICS, 1),
            Partition::new(LOGS, 0),
            Partition::new(CHANGES, 0),
        ] {
            pipeline.join(partition, 0, &[], 0, BEGIN);
        }
        let latency =
            Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable_bounds());
        Ok(Self {
            pipeline,
            catalog,
            latency,
        })
    }

    /// The read model, for an API beside it.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(self.pipeline.view())
    }

    /// Runs the story.
    pub fn run(mut self, options: DemoOptions, mut tell: impl FnMut(Told<'_>)) -> DemoSummary {
        let mut shop = Shop::new(BEGIN);
        let mut books = Books::default();
        let mut offsets = [0; 4];
        let mut revisions = 0;
        let mut matching = BTreeMap::new();
        let steps = LENGTH_MS / STEP_MS;
        let pace = options.takes / steps as u32;
        let begun = Instant::now();
        for step in 1..=steps {
            let at_ms = step * STEP_MS;
            let wall = BEGIN + at_ms;
            let came = Instant::now();
            self.feed(shop.step(at_ms), &mut offsets, wall);
            let said = self.advance(wall);
            if said.entries.iter().any(speaks) {
                self.latency
                    .saturating_record(came.elapsed().as_micros() as u64);
            }
            revisions += said.incidents.len() as u64;
            books.take(&said);
            retell(&said, &mut matching, &mut tell);
            tell(Told::Progress(wall, step as f64 / steps as f64));
            let due = pace * step as u32;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        let stats = self.pipeline.intake_stats();
        let (alerts, incidents) = (books.alerts(), books.incidents());
        debug_assert!(
            !books.rows(&self.catalog).is_empty(),
            "the demo has alerting rules"
        );
        DemoSummary {
            records: stats.records,
            events: stats.samples + stats.log_records,
            alerts,
            incidents,
            revisions,
            compression: if incidents == 0 {
                0.0
            } else {
                alerts as f64 / incidents as f64
            },
            decision_p50_us: self.latency.value_at_quantile(0.5),
            decision_p99_us: self.latency.value_at_quantile(0.99),
        }
    }

    fn feed(&mut self, sent: Sent, offsets: &mut [Offset; 4], wall: Timestamp) {
        let metrics = sent
            .metrics
            .into_iter()
            .map(|(index, bytes)| (Partition::new(METRICS, index), bytes));
        let logs = sent
            .logs
            .into_iter()
            .map(|bytes| (Partition::new(LOGS, 0), bytes));
        let changes = sent
            .changes
            .into_iter()
            .map(|bytes| (Partition::new(CHANGES, 0), bytes));
        for (partition, bytes) in metrics.chain(logs).chain(changes) {
            let slot = match partition.source {
                METRICS => partition.index as usize,
                LOGS => 2,
                _ => 3,
            };
            let raw = Raw {
                partition,
                offset: offsets[slot],
                timestamp: Some(wall),
                payload: &bytes,
                ..Raw::default()
            };
            offsets[slot] += 1;
            if let Err(refusal) = self.pipeline.feed(&raw, Some(wall)) {
                tracing::error!(
                    reason = refusal.code,
                    detail = refusal.detail,
                    "the demo wrote what it cannot read"
                );
            }
        }
    }

    fn advance(&mut self, wall: Timestamp) -> Step {
        // Changes are rare: between them their partition is at its end, and idle.
        self.pipeline
            .observe(Partition::new(CHANGES, 0), true, true);
        self.pipeline.step(wall)
    }
}

#[expect(
    clippy::panic,
    reason = "constant bounds: 1 < 60,000,000 with 3 digits"
)]
fn unreachable_bounds() -> Histogram<u64> {
    panic!("hdrhistogram refused constant bounds")
}

fn speaks(entry: &Entry) -> bool {
    match entry {
        Entry::Tick { signals, .. } | Entry::Arrival { signals, .. } => !signals.is_empty(),
        _ => false,
    }
}

/// Per match alert: until when it fires without another match.
type Matching = BTreeMap<(RuleId, Labels), Timestamp>;

fn retell(step: &Step, matching: &mut Matching, tell: &mut impl FnMut(Told<'_>)) {
    for entry in &step.entries {
        let (signals, changes) = match entry {
            Entry::Tick { signals, .. } => (signals.as_slice(), &[][..]),
            Entry::Arrival {
                signals, changes, ..
            } => (signals.as_slice(), changes.as_slice()),
            _ => continue,
        };
        changes.iter().for_each(|change| tell(Told::Change(change)));
        for signal in signals {
            match signal {
                Signal::Transition(t)
                    if matches!(t.kind, TransitionKind::Firing | TransitionKind::Resolved) =>
                {
                    tell(Told::Alert(t));
                }
                Signal::Match(m) => {
                    let until =
                        matching.insert((m.rule.id, m.labels.clone()), m.at + m.resolve_after_ms);
                    if until.is_none_or(|until| until < m.at) {
                        tell(Told::Match(m));
                    }
                }
                _ => {}
            }
        }
    }
    step.incidents
        .iter()
        .for_each(|incident| tell(Told::Incident(incident)));
}
