//! A case again as a stream: its samples scrambled over partitions, within the allowed lateness.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::Entry;
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Raw, SourceConfig, Span};
use foghorn_model::labels::NAME;
use foghorn_model::{Labels, Partition, STALE_NAN, Signal, Timestamp, TransitionKind};
use foghorn_rules::{LoadOptions, Source, duration, load};
use foghorn_runtime::{Layout, Pipeline};
use foghorn_testkit::rng::Rng;
use foghorn_wire::Format;
use foghorn_wire::encode::RemoteWrite;

use crate::answers::Answers;
use crate::case::{Case, TICKS};

const PARTITIONS: u32 = 8;

/// A sample's record: when it is read at the earliest, where, of which instant, and its bytes.
type Sample = (i64, Partition, Timestamp, Vec<u8>);

/// Whether the same alerts are pending and firing at each tick as are without a stream; `false` where
/// that was not looked at: a failed rule ends a test, and says nothing of the ticks behind it.
///
/// # Errors
/// What differs.
pub(crate) fn check(case: &Case, ours: &Answers, rng: &mut Rng) -> Result<bool, String> {
    if ours.keys().any(|key| key.starts_with("rule: ")) {
        return Ok(false);
    }
    let states = play(case, rng)?;
    for (tick, told) in states.iter().enumerate() {
        let at_ms = tick as i64 * case.step_s * 1_000;
        let question = format!("expr: \"ALERTS\", time: {},", duration::format(at_ms));
        let expect = ours.get(&question).map_or("", |answer| {
            answer
                .lines()
                .find_map(|line| line.strip_prefix("got: "))
                .unwrap_or("")
        });
        if told != expect {
            return Err(format!("at {at_ms} ms: {told}\n  in order: {expect}"));
        }
    }
    Ok(true)
}

/// `ALERTS` at each tick.
fn play(case: &Case, rng: &mut Rng) -> Result<Vec<String>, String> {
    let step_ms = case.step_s * 1_000;
    let options = LoadOptions {
        default_interval_ms: step_ms,
        ..LoadOptions::default()
    };
    let source = Source::new(case.files().1, case.rules.to_string());
    let (rules, _) = load(&[source], &options);
    let lateness_ms = 3 * step_ms;
    let sources = [SourceConfig {
        allowed_lateness: Some(Span(lateness_ms)),
        ..SourceConfig::of("metrics", Format::RemoteWrite1)
    }];
    let layout = Layout {
        shards: 1 + rng.below(3),
        intakes: 1 + rng.below(2),
        ..Layout::default()
    };
    let topology = Topology::new(&TopologyFile::default());
    let correlator = Correlator::new(Config::default(), topology);
    let catalog = Arc::new(Catalog::new(rules));
    let mut pipeline = Pipeline::new(catalog, &sources, correlator, Vec::new(), &layout);
    let last = Timestamp((TICKS as i64 - 1) * step_ms);
    pipeline.brain().follow_event_time();
    pipeline.brain().start(Timestamp(-1), Timestamp::MIN);
    pipeline.brain().stop_at(last);
    let partitions = (0..PARTITIONS).map(|index| Partition::new(0, index));
    for partition in partitions.clone() {
        pipeline.join(partition, 0, &[], 0, Timestamp(0));
    }
    let mut signals = Vec::new();
    let mut step = |pipeline: &mut Pipeline| {
        for entry in pipeline.step(last).entries {
            if let Entry::Tick { signals: told, .. } = entry {
                signals.extend(told);
            }
        }
    };
    let mut offsets: BTreeMap<Partition, i64> = BTreeMap::new();
    for (_, partition, at, payload) in samples(case, lateness_ms, rng) {
        let offset = offsets.entry(partition).or_default();
        let raw = Raw {
            partition,
            offset: *offset,
            timestamp: Some(at),
            payload: &payload,
            ..Raw::default()
        };
        *offset += 1;
        pipeline
            .feed(&raw, None)
            .map_err(|refusal| format!("{}: {}", refusal.code, refusal.detail))?;
        if rng.chance(20) {
            step(&mut pipeline);
        }
    }
    for partition in partitions {
        pipeline.finish(partition);
    }
    // One step closes so many ticks at most.
    (0..TICKS).for_each(|_| step(&mut pipeline));
    let late = pipeline.intake_stats().late;
    if late > 0 {
        return Err(format!("{late} samples were late"));
    }
    Ok((0..TICKS)
        .map(|tick| shown(&signals, Timestamp(tick as i64 * step_ms)))
        .collect())
}

/// Every sample in a record of its own, each read a little after its time: in one partition none
/// comes when one is there that is younger by the allowed lateness.
fn samples(case: &Case, lateness_ms: i64, rng: &mut Rng) -> Vec<Sample> {
    let mut samples = Vec::new();
    for input in &case.input {
        for (step, word) in input.values.iter().enumerate() {
            let value = match word.as_str() {
                "_" => continue,
                "stale" => STALE_NAN,
                "Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                word => word.parse().unwrap_or(f64::NAN),
            };
            let at = Timestamp(step as i64 * case.step_s * 1_000);
            let body = RemoteWrite::new().series(&input.labels, &[(at, value)]);
            let partition = Partition::new(0, rng.below(PARTITIONS as usize) as u32);
            let read = at.ms() + rng.within(0, lateness_ms - 1);
            samples.push((read, partition, at, body.into_bytes()));
        }
    }
    samples.sort_by_key(|(read, ..)| *read);
    samples
}

/// `ALERTS` after a tick, in promtool's words.
fn shown(signals: &[Signal], tick: Timestamp) -> String {
    let mut states = BTreeMap::new();
    for signal in signals {
        let Signal::Transition(t) = signal else {
            continue;
        };
        if t.at > tick {
            continue;
        }
        let key = (t.rule.id, t.labels.clone());
        match t.kind {
            TransitionKind::Pending => drop(states.insert(key, "pending")),
            TransitionKind::Firing => drop(states.insert(key, "firing")),
            TransitionKind::Dropped | TransitionKind::Resolved => drop(states.remove(&key)),
        }
    }
    let alerts = states.into_iter();
    let mut all: Vec<Labels> = alerts
        .map(|((_, labels), state)| labels.with(NAME, "ALERTS").with("alertstate", state))
        .collect();
    all.sort();
    let told = all.iter().map(|labels| {
        let pairs = labels.iter().map(|(name, value)| {
            let plain = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            let quote = if plain { "" } else { "\"" };
            format!("{quote}{name}{quote}={}", serde_json::Value::from(value))
        });
        format!("{{{}}} 1E+00", pairs.collect::<Vec<_>>().join(", "))
    });
    told.collect::<Vec<_>>().join(", ")
}
