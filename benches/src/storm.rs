//! A storm: thousands of alerts that fire in one tick, over two hundred services of one graph.
//!
//! Timed apart: closing the tick (reading windows, alert states, signals) and folding it
//! (correlation, the read model). Then the same for the tick at which all of them resolve.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, ServiceSpec, Topology, TopologyFile};
use foghorn_engine::core::Core;
use foghorn_engine::sequencer::{PartitionState, Patience};
use foghorn_engine::{Brain, Entry, RuleFile, Sources, View};
use foghorn_eval::catalog::Catalog;
use foghorn_eval::shard::Progress;
use foghorn_ingest::{SourceConfig, Span};
use foghorn_model::{Incident, Signal, Timestamp};
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::{Dataset, METRIC, T0_MS};
use crate::measure::{ms, resident_bytes, say, spread, timed};
use crate::rig::{PARTITION, Rig};
use crate::rules::catalog;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Alerts: as many series fire at once.
    #[arg(long, default_value_t = 10_000)]
    alerts: u64,
    /// Runs, each from nothing.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

const EVERY_MS: i64 = 15_000;
/// When it begins: on a tick.
const BEGIN: Timestamp = Timestamp(T0_MS - T0_MS % EVERY_MS);
/// How far the watermark trails, in milliseconds.
const LATENESS_MS: i64 = 1_000;
/// Services of the data set's labels.
const SERVICES: u64 = 200;

/// What one tick took and made.
#[derive(Default)]
struct Told {
    tick_ms: f64,
    fold_ms: f64,
    signals: usize,
    incidents: Vec<Incident>,
}

struct Storm<'a> {
    rig: Rig,
    brain: Brain,
    data: &'a Dataset,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let text = format!(
        "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: SlowRequests\n        expr: {METRIC} > 1\n        labels: {{severity: critical}}\n        annotations:\n          summary: '{{{{ $labels.service }}}} answers in {{{{ $value | humanizeDuration }}}}'\n"
    );
    let catalog = catalog(&RuleFile {
        path: "storm.yaml".to_owned(),
        text,
    })?;
    let data = Dataset::new(args.alerts, 1);
    let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut shape = String::new();
    for _ in 0..args.runs {
        let mut storm = Storm::new(&catalog, &data);
        (0..4).try_for_each(|tick| storm.tick(tick, 0.1).map(drop))?;
        let before = resident_bytes();
        let fire = storm.tick(4, 2.0)?;
        let grown = resident_bytes().saturating_sub(before);
        let going_on = storm.tick(5, 2.0)?;
        let resolve = storm.tick(6, 0.1)?;
        if fire.signals < args.alerts as usize || resolve.signals < args.alerts as usize {
            return Err(format!(
                "{} signals at the onset, {} at the end",
                fire.signals, resolve.signals
            )
            .into());
        }
        let bytes = fire
            .incidents
            .iter()
            .map(|incident| foghorn_wire::out::cloudevent(incident, "bench").len());
        shape = format!(
            "{} signals, {} incident revision(s), the largest of {} bytes; {} incident(s) stand",
            fire.signals,
            fire.incidents.len(),
            bytes.max().unwrap_or(0),
            storm.brain.correlator().incidents().count()
        );
        for (name, figure) in [
            ("1 onset: tick, ms", fire.tick_ms),
            ("2 onset: fold and correlate, ms", fire.fold_ms),
            ("3 onset: memory, MB", grown as f64 / f64::from(1 << 20)),
            ("4 going on: tick, ms", going_on.tick_ms),
            ("5 going on: fold, ms", going_on.fold_ms),
            ("6 end: tick, ms", resolve.tick_ms),
            ("7 end: fold and correlate, ms", resolve.fold_ms),
        ] {
            figures.entry(name).or_default().push(figure);
        }
    }
    say(&format!(
        "{} alerts of {SERVICES} services in one tick; medians of {} runs",
        args.alerts, args.runs
    ));
    say(&format!("  {shape}"));
    for (name, figures) in figures {
        say(&format!("  {}: {}", &name[2..], spread(&figures, 1)));
    }
    Ok(())
}

impl<'a> Storm<'a> {
    fn new(catalog: &Arc<Catalog>, data: &'a Dataset) -> Self {
        let core = Core::new(Arc::clone(catalog), Vec::new());
        let correlator = Correlator::new(Config::default(), graph());
        let mut brain = Brain::new(
            core,
            correlator,
            Patience::default(),
            Arc::new(View::default()),
        );
        let start = brain.start(BEGIN - EVERY_MS, Timestamp::MIN);
        brain.fold(&[start]);
        let mut source = SourceConfig::of("m", Format::JsonMetrics);
        source.allowed_lateness = Some(Span(LATENESS_MS));
        Self {
            rig: Rig::new(catalog, &source),
            brain,
            data,
        }
    }

    /// Feeds one sample of each series, which all have this value, then one that lets the tick
    /// close, and closes it.
    fn tick(&mut self, round: i64, value: f64) -> Result<Told, Failure> {
        let at = BEGIN + round * EVERY_MS;
        let mut text = String::new();
        let samples = (0..self.data.series())
            .map(|series| (series, at))
            .chain([(0, at + LATENESS_MS)]);
        for (series, at) in samples {
            Dataset::write_as(series, at, value, &mut text);
            self.rig.feed(text.as_bytes(), at)?;
        }
        self.rig.settle();
        let sources = self.sources(at);
        let Self { rig, brain, .. } = self;
        let (advance, tick) =
            timed(|| brain.advance(Vec::new(), &sources, &mut [&mut rig.shard], at));
        let (incidents, fold) = timed(|| brain.fold(&advance.entries));
        let transitions = advance.entries.iter().flat_map(|entry| match entry {
            Entry::Tick { signals, .. } => signals.as_slice(),
            _ => &[],
        });
        let signals = transitions
            .filter(|signal| matches!(signal, Signal::Transition(_)))
            .count();
        Ok(Told {
            tick_ms: ms(tick),
            fold_ms: ms(fold),
            signals,
            incidents,
        })
    }

    fn sources(&self, now: Timestamp) -> Sources {
        let state = |progress: Progress| PartitionState {
            progress,
            at_end: true,
            reachable: true,
            own: Some(progress.watermark),
            quiet_since: now,
            allowed_lateness_ms: LATENESS_MS,
            logged_offset: 0,
        };
        let partitions = self
            .rig
            .shard
            .progress()
            .map(|(partition, progress)| (partition, state(progress)));
        debug_assert!(self.rig.intake.clock(PARTITION).is_some());
        Sources {
            partitions: partitions.collect(),
            names: vec!["m".to_owned()],
        }
    }
}

/// Two hundred services, each of which calls two others: a binary tree.
fn graph() -> Topology {
    let name = |i: u64| format!("svc-checkout-payments-{i:03}");
    let service = |i: u64| ServiceSpec {
        name: name(i),
        owner: format!("team-{}", i % 12),
        tier: Some((1 + i % 4) as u8),
        depends_on: [2 * i + 1, 2 * i + 2]
            .into_iter()
            .filter(|callee| *callee < SERVICES)
            .map(name)
            .collect(),
    };
    Topology::new(&TopologyFile {
        services: (0..SERVICES).map(service).collect(),
    })
}
