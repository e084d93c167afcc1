//! What a topic can hold: the same samples in each format that pipelines send, or logs.

use clap::ValueEnum;
use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::{Labels, Timestamp};
use foghorn_wire::encode::{MetricKind, OtlpMetrics, Point, RemoteWrite};
use foghorn_wire::{Compression, Format};

use crate::cluster::Filling;
use crate::dataset::{Dataset, Identity, METRIC, PARTITIONS};
use crate::rules::{self, Kind};
use crate::{Failure, logs};

/// See the module's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Load {
    /// One sample a record, keyed by series.
    Json,
    /// OTLP protobuf as the Collector writes it: no key, 90 points a record, all partitions in turn.
    Otlp,
    /// Remote write 1.0: 500 samples a request, snappy, no key, all partitions in turn.
    Rw1,
    /// One log record a record, ECS, no key, all partitions in turn.
    Logs,
}

/// Points of one OTLP record.
const POINTS: u64 = 90;
/// Samples of one remote write request.
const SAMPLES: u64 = 500;

impl Load {
    /// Its name in figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Otlp => "otlp",
            Self::Rw1 => "rw1",
            Self::Logs => "logs",
        }
    }

    /// The source that reads it.
    pub(crate) fn source(self, topic: &str) -> SourceConfig {
        let of = match self {
            Self::Json => SourceConfig::of("m", Format::JsonMetrics),
            Self::Otlp => SourceConfig::of("m", Format::OtlpMetricsProto),
            Self::Rw1 => SourceConfig {
                compression: Compression::Snappy,
                ..SourceConfig::of("m", Format::RemoteWrite1)
            },
            Self::Logs => logs::source(),
        };
        SourceConfig {
            topics: vec![topic.to_owned()],
            ..of
        }
    }

    /// Its rules.
    pub(crate) fn rules(self, kind: Kind, count: usize) -> RuleFile {
        match self {
            Self::Logs => logs::file(count),
            _ => rules::file(kind, count),
        }
    }

    /// The self-metric that counts what is read of it.
    pub(crate) fn counter(self) -> &'static str {
        match self {
            Self::Logs => "foghorn_log_records_total",
            _ => "foghorn_samples_total",
        }
    }

    /// Writes a data set to a topic.
    pub(crate) fn fill(self, data: &Dataset, topic: &mut Filling<'_>) -> Result<(), Failure> {
        for round in 0..data.rounds {
            match self {
                Self::Json => json(data, round, topic)?,
                Self::Otlp => otlp(data, round, topic)?,
                Self::Rw1 => remote_write(data, round, topic)?,
                Self::Logs => log_lines(data, round, topic)?,
            }
        }
        Ok(())
    }
}

fn json(data: &Dataset, round: u64, topic: &mut Filling<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    for series in 0..data.series() {
        data.write(series, round, &mut text);
        let (key, at) = (Dataset::key(series), data.at(series, round));
        let partition = Dataset::partition(series);
        topic.put(Some(&key), partition, text.as_bytes(), at)?;
    }
    Ok(())
}

fn log_lines(data: &Dataset, round: u64, topic: &mut Filling<'_>) -> Result<(), Failure> {
    let mut text = String::new();
    for number in 0..data.series() {
        logs::write(data, number, round, &mut text);
        let partition = topic.records() as u32 % PARTITIONS;
        topic.put(None, partition, text.as_bytes(), data.at(number, round))?;
    }
    Ok(())
}

/// Runs of series, so many each, and the time of each run's newest sample.
fn runs(
    data: &Dataset,
    round: u64,
    length: u64,
) -> impl Iterator<Item = (std::ops::Range<u64>, Timestamp)> {
    let of = move |begin| begin..data.series().min(begin + length);
    (0..data.series())
        .step_by(length as usize)
        .map(move |begin| (of(begin), data.at(of(begin).end - 1, round)))
}

fn remote_write(data: &Dataset, round: u64, topic: &mut Filling<'_>) -> Result<(), Failure> {
    for (run, newest) in runs(data, round, SAMPLES) {
        let add = |body: RemoteWrite, series: u64| {
            let is = Identity::new(series);
            let labels = Labels::from_pairs([
                ("__name__", METRIC),
                ("instance", &is.instance),
                ("method", is.method),
                ("path", &is.path),
                ("service", &is.service),
                ("zone", is.zone),
            ]);
            let sample = (data.at(series, round), Dataset::value(series, round));
            body.series(&labels, &[sample])
        };
        let body = run.fold(RemoteWrite::new(), add).into_snappy();
        let partition = topic.records() as u32 % PARTITIONS;
        topic.put(None, partition, &body, newest)?;
    }
    Ok(())
}

/// A record holds two resources, as a Collector's batches do.
fn otlp(data: &Dataset, round: u64, topic: &mut Filling<'_>) -> Result<(), Failure> {
    for (run, newest) in runs(data, round, POINTS) {
        let middle = run.start.midpoint(run.end);
        let body = [run.start..middle, middle..run.end]
            .into_iter()
            .fold(OtlpMetrics::new(), |body, run| {
                resource(body, data, round, run)
            });
        let partition = topic.records() as u32 % PARTITIONS;
        topic.put(None, partition, &body.into_bytes(), newest)?;
    }
    Ok(())
}

fn resource(
    body: OtlpMetrics,
    data: &Dataset,
    round: u64,
    run: std::ops::Range<u64>,
) -> OtlpMetrics {
    let is: Vec<_> = run.clone().map(Identity::new).collect();
    let attributes: Vec<_> = is
        .iter()
        .map(|is| {
            [
                ("method", is.method),
                ("path", is.path.as_str()),
                ("service", is.service.as_str()),
                ("upstream", is.instance.as_str()),
                ("zone", is.zone),
            ]
        })
        .collect();
    let points: Vec<_> = run
        .clone()
        .zip(&attributes)
        .map(|(series, attributes)| Point {
            attributes,
            at: data.at(series, round),
            value: Dataset::value(series, round),
        })
        .collect();
    let host = format!("gateway-{:04}", run.start / 45);
    let attributes = [
        ("service.name", "gateway"),
        ("service.instance.id", host.as_str()),
        ("host.name", host.as_str()),
        ("telemetry.sdk.language", "go"),
    ];
    body.resource(&attributes, |resource| {
        resource.numbers(METRIC, "s", MetricKind::Gauge, &points);
    })
}
