//! Worlds: sources, partitions and what stands in them, all from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_engine::RuleFile;
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{SourceConfig, Span};
use foghorn_model::{Labels, Partition, Timestamp};
use foghorn_rules::{LoadOptions, Source, load};
use foghorn_runtime::ScopeTimes;
use foghorn_testkit::scenario::BEGIN;
use foghorn_wire::Format;
use foghorn_wire::encode::{
    LogLine, MetricKind, OtlpLogs, OtlpMetrics, Point, RemoteWrite, json_metric,
};

use foghorn_testkit::rng::Rng;

pub(crate) const FIRST: u16 = 0;
pub(crate) const SECOND: u16 = 1;
pub(crate) const DELTAS: u16 = 2;
pub(crate) const LOGS: u16 = 3;

/// One record of a partition's log.
pub(crate) struct Rec {
    /// Wall time from which on it can be read, in milliseconds after the beginning.
    pub(crate) available_ms: i64,
    /// Its own timestamp.
    pub(crate) stamp: Timestamp,
    pub(crate) payload: Vec<u8>,
}

/// What there is to be read, and under which rules.
pub(crate) struct World {
    pub(crate) sources: Vec<SourceConfig>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) files: Vec<RuleFile>,
    pub(crate) logs: BTreeMap<Partition, Vec<Rec>>,
    /// Partitions that are there only from some instant on, in milliseconds after the beginning.
    pub(crate) born_ms: BTreeMap<Partition, i64>,
    /// Nothing comes after it.
    pub(crate) end_ms: i64,
    pub(crate) scope_times: ScopeTimes,
}

/// How a partition behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Steady,
    Bursts,
    /// Stops for good.
    Silent,
    /// Its event time is long past.
    Trailing,
    /// Its clock runs ahead by seconds, and stamps its records too.
    Ahead,
}

const FILE: &str = "rules.yml";

pub(crate) fn catalog(rules: &str) -> Arc<Catalog> {
    let (rules, diagnostics) = load(&[Source::new(FILE, rules)], &LoadOptions::default());
    assert_eq!(diagnostics, []);
    Arc::new(Catalog::new(rules))
}

impl World {
    /// Sources that are all alike in time, and nothing in them.
    pub(crate) fn empty(rules: &str, lateness_ms: i64) -> Self {
        let of = |name: &str, format| SourceConfig {
            allowed_lateness: Some(Span(lateness_ms)),
            ..SourceConfig::of(name, format)
        };
        Self {
            sources: vec![
                of("first", Format::RemoteWrite1),
                of("second", Format::JsonMetrics),
                of("deltas", Format::OtlpMetricsProto),
                of("logs", Format::OtlpLogsProto),
            ],
            catalog: catalog(rules),
            files: vec![RuleFile {
                path: FILE.to_owned(),
                text: rules.to_owned(),
            }],
            logs: BTreeMap::new(),
            born_ms: BTreeMap::new(),
            end_ms: 0,
            scope_times: ScopeTimes::default(),
        }
    }

    /// Series of two sources live in scopes, and some of them come from replicas.
    pub(crate) fn scoped(mut self, scope_ttl_ms: i64) -> Self {
        for source in [FIRST, SECOND] {
            let source = &mut self.sources[source as usize];
            source.scope = vec!["zone".to_owned()];
            source.replica = Some("instance".to_owned());
        }
        self.scope_times = ScopeTimes {
            replica_timeout_ms: 10_000,
            scope_ttl_ms,
        };
        self
    }

    /// Some partitions of some sources, each with its own habits.
    pub(crate) fn random(seed: u64, rules: &str, end_ms: i64) -> Self {
        let mut rng = Rng::new(seed);
        let mut world = Self {
            end_ms,
            ..Self::empty(rules, 4_000)
        };
        let count = rng.within(2, 5);
        let mut next_index = [0; 4];
        for n in 0..count {
            let source = if n == 0 {
                FIRST
            } else {
                rng.pick(&[FIRST, FIRST, SECOND, DELTAS, LOGS, LOGS])
            };
            let partition = Partition::new(source, next_index[source as usize]);
            next_index[source as usize] += 1;
            let styles = [
                Style::Steady,
                Style::Steady,
                Style::Bursts,
                Style::Silent,
                Style::Trailing,
                Style::Ahead,
            ];
            let style = rng.pick(&styles);
            let born_ms = if n > 1 && rng.chance(20) {
                end_ms / 2
            } else {
                0
            };
            if born_ms > 0 {
                world.born_ms.insert(partition, born_ms);
            }
            let records = partition_log(&mut rng, partition, style, born_ms, end_ms);
            world.logs.insert(partition, records);
        }
        world
    }

    /// Appends a record; its place in time follows from the last one's.
    pub(crate) fn put(&mut self, partition: Partition, available_ms: i64, payload: Vec<u8>) {
        self.logs.entry(partition).or_default().push(Rec {
            available_ms,
            stamp: BEGIN + available_ms,
            payload,
        });
        self.end_ms = self.end_ms.max(available_ms);
    }
}

fn partition_log(
    rng: &mut Rng,
    partition: Partition,
    style: Style,
    born_ms: i64,
    end_ms: i64,
) -> Vec<Rec> {
    let mut records: Vec<Rec> = Vec::new();
    let mut now = born_ms + rng.within(0, 5_000);
    while now < end_ms {
        now += match style {
            Style::Bursts => rng.pick(&[1_000, 1_000, 1_000, 30_000]),
            _ => rng.pick(&[1_000, 2_000, 2_500, 5_000]),
        };
        if style == Style::Silent && now > end_ms / 3 {
            break;
        }
        let behind = match style {
            Style::Trailing => 40_000,
            Style::Ahead => -15_000,
            _ => 0,
        };
        let late = rng.pick(&[0, 0, 0, 0, 0, 3_000, 9_000, 25_000]);
        // Now and then a clock jumps: by minutes, or by a day.
        let jump = match rng.below(60) {
            0 => 40_000,
            1 => 86_400_000,
            _ => 0,
        };
        let at_ms = (now - behind - late + jump).max(0);
        let delay = rng.within(0, 3_000);
        let available_ms = records
            .last()
            .map_or(0, |last| last.available_ms)
            .max(now + delay);
        let stamp = if style == Style::Ahead {
            now + 15_000
        } else {
            now
        };
        records.push(Rec {
            available_ms,
            stamp: BEGIN + stamp,
            payload: payload(rng, partition, at_ms),
        });
    }
    records
}

/// Times stand on a grid, so that partitions meet in one series and instant.
fn grid(at_ms: i64) -> Timestamp {
    BEGIN + at_ms / 1_000 * 1_000
}

fn payload(rng: &mut Rng, partition: Partition, at_ms: i64) -> Vec<u8> {
    match partition.source {
        DELTAS => deltas(rng, at_ms),
        LOGS => logs(rng, at_ms),
        source => samples(rng, source, partition.index, at_ms),
    }
}

fn samples(rng: &mut Rng, source: u16, index: u32, at_ms: i64) -> Vec<u8> {
    let mut rows: Vec<(Labels, Timestamp, f64)> = Vec::new();
    for _ in 0..rng.within(1, 4) {
        let at = grid((at_ms - rng.pick(&[0, 0, 1_000, 2_000])).max(0));
        let noise = rng.within(0, 999) as f64 / 1e3;
        let counter = (at.ms() - BEGIN.ms()) as f64 / 1e3 * 3.0 + noise;
        let zone = rng.pick(&["a", "b", "c"]);
        let own = format!("p{source}{index}");
        rows.push(match rng.below(6) {
            0 => (
                Labels::from_pairs([
                    ("__name__", "requests_total"),
                    ("job", "api"),
                    ("instance", "shared"),
                ]),
                at,
                counter,
            ),
            1 => (
                Labels::from_pairs([
                    ("__name__", "requests_total"),
                    ("job", "api"),
                    ("instance", own.as_str()),
                ]),
                at,
                counter,
            ),
            2 => (
                Labels::from_pairs([("__name__", "temp"), ("zone", zone)]),
                at,
                5.0 + 10.0 * noise,
            ),
            3 => (
                Labels::from_pairs([("__name__", "temp"), ("zone", own.as_str())]),
                at,
                5.0 + 10.0 * noise,
            ),
            4 => (
                Labels::from_pairs([("__name__", "temp"), ("zone", zone)]),
                at,
                foghorn_model::STALE_NAN,
            ),
            _ => (Labels::from_pairs([("__name__", "beat")]), at, 1.0),
        });
    }
    if source == FIRST {
        rows.iter()
            .fold(RemoteWrite::new(), |body, (labels, at, value)| {
                body.series(labels, &[(*at, *value)])
            })
            .into_bytes()
    } else {
        let lines: Vec<_> = rows
            .iter()
            .filter(|(_, _, value)| !foghorn_model::is_stale(*value))
            .map(|(labels, at, value)| json_metric(labels, *at, *value))
            .collect();
        lines.join("\n").into_bytes()
    }
}

fn deltas(rng: &mut Rng, at_ms: i64) -> Vec<u8> {
    let kind = rng.pick(&["x", "y"]);
    let point = Point {
        attributes: &[("kind", kind)],
        at: grid(at_ms),
        value: rng.within(0, 5_000) as f64 / 1e3,
    };
    OtlpMetrics::new()
        .resource(&[("service.name", "worker")], |metrics| {
            metrics.numbers("jobs", "", MetricKind::DeltaCounter, &[point]);
        })
        .into_bytes()
}

fn logs(rng: &mut Rng, at_ms: i64) -> Vec<u8> {
    let lines: Vec<_> = (0..rng.within(1, 3))
        .map(|n| {
            let word = rng.pick(&["error", "boom", "error boom", "fine"]);
            (
                grid(at_ms) - n * 500,
                format!("{word} {}", "x".repeat(rng.below(9))),
            )
        })
        .collect();
    let service = rng.pick(&["api", "web"]);
    OtlpLogs::new()
        .resource(&[("service.name", service)], |logs| {
            for (at, line) in &lines {
                logs.line(&LogLine {
                    at: *at,
                    severity: 9,
                    line,
                    attributes: &[],
                });
            }
        })
        .into_bytes()
}
