//! Heap allocations of decoding and appending samples of series that are known: there must be none.
//!
//! Windows are filled first, so that none grows while it is counted: in steady state a window drops
//! as many samples as it takes.

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::{Labels, Timestamp};
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point, RemoteWrite, json_log, json_metric};
use foghorn_wire::{Compression, Format};

use crate::Failure;
use crate::dataset::{METRIC, T0_MS};
use crate::measure::say;
use crate::rig::Rig;
use crate::rules::catalog;
use crate::sys::allocations;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Samples that are counted, per format.
    #[arg(long, default_value_t = 100_000)]
    samples: u64,
}

/// Series of each format; a round feeds one sample of each.
const SERIES: u64 = 1_000;
/// Series of one record, where a record holds many.
const TOGETHER: u64 = 100;
/// Rounds until nothing grows any more: windows of 5 minutes hold 20 samples.
const WARM_UP: u64 = 60;
/// Event time between rounds, in milliseconds.
const EVERY_MS: i64 = 15_000;

/// The formats whose samples are counted: all must come out at none.
const METRICS: [Format; 3] = [
    Format::JsonMetrics,
    Format::OtlpMetricsProto,
    Format::RemoteWrite1,
];

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut clean = true;
    for format in METRICS.into_iter().chain([Format::JsonLogs]) {
        let count = allocations_of(format, args.samples)?;
        let verdict = match (count, METRICS.contains(&format)) {
            (0, _) => "PASS",
            (_, true) => "FAIL",
            (_, false) => "for information",
        };
        clean &= verdict != "FAIL";
        say(&format!(
            "{}: {count} allocations for {} samples or records, {:.2} per 1,000: {verdict}",
            format.name(),
            args.samples,
            count as f64 * 1e3 / args.samples as f64
        ));
    }
    if clean {
        Ok(())
    } else {
        Err("samples of known series allocate".into())
    }
}

/// Allocations of feeding so many samples of known series, from bytes to windows.
fn allocations_of(format: Format, samples: u64) -> Result<u64, Failure> {
    let text = format!(
        "groups:\n  - name: g\n    interval: 15s\n    rules:\n      - alert: A\n        expr: max_over_time({METRIC}[5m]) > 1e9\n      - alert: B\n        expr: '{{service=~\".+\"}} |= \"never said\"'\n"
    );
    let catalog = catalog(&RuleFile {
        path: "allocs.yaml".to_owned(),
        text,
    })?;
    let compression = if format == Format::RemoteWrite1 {
        Compression::Snappy
    } else {
        Compression::None
    };
    let mut rig = Rig::new(
        &catalog,
        &SourceConfig {
            compression,
            ..SourceConfig::of("m", format)
        },
    );
    let mut counted = 0;
    for round in 0..WARM_UP + samples.div_ceil(SERIES) {
        let at = Timestamp(T0_MS + round as i64 * EVERY_MS);
        let records = records(format, at, round as f64);
        let before = allocations();
        for record in &records {
            rig.feed(record, at)?;
        }
        rig.settle();
        if round >= WARM_UP {
            counted += allocations() - before;
        }
        rig.shard.closed(0, at);
    }
    if METRICS.contains(&format) && rig.shard.counts().series != SERIES as usize {
        return Err(format!("{} series in place of {SERIES}", rig.shard.counts().series).into());
    }
    Ok(counted)
}

/// One round's records.
fn records(format: Format, at: Timestamp, value: f64) -> Vec<Vec<u8>> {
    let paths: Vec<String> = (0..SERIES)
        .map(|series| format!("/api/v1/items/{series:05}"))
        .collect();
    let labels = |path: &String| {
        Labels::from_pairs([
            ("__name__", METRIC),
            ("service", "checkout"),
            ("path", path),
        ])
    };
    match format {
        Format::JsonMetrics => paths
            .iter()
            .map(|path| json_metric(&labels(path), at, value).into_bytes())
            .collect(),
        Format::JsonLogs => {
            let line = |path: &String| {
                json_log(
                    at,
                    "request served",
                    &[("service", "checkout"), ("path", path)],
                )
            };
            paths.iter().map(|path| line(path).into_bytes()).collect()
        }
        Format::RemoteWrite1 => {
            let series =
                |body: RemoteWrite, path: &String| body.series(&labels(path), &[(at, value)]);
            let body =
                |paths: &[String]| paths.iter().fold(RemoteWrite::new(), series).into_snappy();
            paths.chunks(TOGETHER as usize).map(body).collect()
        }
        _ => paths
            .chunks(TOGETHER as usize)
            .map(|paths| otlp(paths, at, value))
            .collect(),
    }
}

fn otlp(paths: &[String], at: Timestamp, value: f64) -> Vec<u8> {
    let attributes: Vec<_> = paths.iter().map(|path| [("path", path.as_str())]).collect();
    let points: Vec<_> = attributes
        .iter()
        .map(|attributes| Point {
            attributes,
            at,
            value,
        })
        .collect();
    let resource = [
        ("service.name", "checkout"),
        ("service.instance.id", "10.0.0.1:8080"),
    ];
    let fill = |metrics: &mut foghorn_wire::encode::MetricsResource<'_>| {
        metrics.numbers(METRIC, "", MetricKind::Gauge, &points);
    };
    OtlpMetrics::new().resource(&resource, fill).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_known_series_allocate_nothing() {
        for format in METRICS {
            assert_eq!(
                allocations_of(format, 10_000).unwrap(),
                0,
                "{}",
                format.name()
            );
        }
    }

    #[test]
    fn what_allocates_is_counted() {
        let before = allocations();
        drop(std::hint::black_box(Box::new(1_u64)));
        assert_eq!(allocations() - before, 1);
    }
}
