//! The records that are decoded: about ten thousand series of each format.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use foghorn_wire::{Compression, Format};

use super::messages::{Label, Metadata2, Request2, Sample, TimeSeries, TimeSeries2, WriteRequest};
use super::{name, oracle};
use crate::Failure;
use crate::dataset::{Dataset, T0_MS};

/// One thing to measure.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) records: Vec<Vec<u8>>,
    items_per_record: u64,
    /// What the oracle is.
    pub(super) against: &'static str,
    /// Decodes one record, gives its number of items.
    pub(super) oracle: fn(&[u8]) -> Result<u64, Failure>,
}

impl Case {
    /// Items in all records together.
    pub(super) fn items(&self) -> u64 {
        self.records.len() as u64 * self.items_per_record
    }

    fn new(
        format: Format,
        compression: Compression,
        records: Vec<Vec<u8>>,
        items_per_record: u64,
        against: &'static str,
        oracle: fn(&[u8]) -> Result<u64, Failure>,
    ) -> Self {
        Self {
            name: name(format, compression),
            format,
            compression,
            records,
            items_per_record,
            against,
            oracle,
        }
    }
}

/// Points of an OTLP record, series of a remote-write request.
const POINTS: u64 = 90;
const SERIES: u64 = 500;

pub(super) fn cases() -> Result<Vec<Case>, Failure> {
    use Compression::{None, Snappy};
    let data = Dataset::new(10_000, 8);
    let json = |write: &dyn Fn(u64, &mut String)| {
        let mut text = String::new();
        (0..10_000)
            .map(|s| {
                write(s, &mut text);
                text.clone().into_bytes()
            })
            .collect::<Vec<_>>()
    };
    let samples = json(&|s, text| data.write(s, s % 8, text));
    let logs = json(&ecs);
    let otlp = (0..110).map(otlp_record).collect();
    let (write_1, write_2): (Vec<_>, Vec<_>) = (0..20).map(|i| (write_1(i), write_2(i))).unzip();
    let (packed_1, packed_2) = (snappy(&write_1)?, snappy(&write_2)?);
    let mut cases = vec![
        Case::new(
            Format::OtlpMetricsProto,
            None,
            otlp,
            POINTS,
            "prost",
            oracle::otlp,
        ),
        Case::new(
            Format::RemoteWrite1,
            None,
            write_1,
            SERIES,
            "prost",
            oracle::remote_write_1,
        ),
        Case::new(
            Format::RemoteWrite1,
            Snappy,
            packed_1,
            SERIES,
            "prost",
            oracle::remote_write_1_snappy,
        ),
        Case::new(
            Format::RemoteWrite2,
            None,
            write_2,
            SERIES,
            "prost",
            oracle::remote_write_2,
        ),
        Case::new(
            Format::RemoteWrite2,
            Snappy,
            packed_2,
            SERIES,
            "prost",
            oracle::remote_write_2_snappy,
        ),
        Case::new(
            Format::JsonMetrics,
            None,
            samples.clone(),
            1,
            "serde, labels typed",
            oracle::json_metric,
        ),
        Case::new(
            Format::JsonMetrics,
            None,
            samples,
            1,
            "serde, labels in a map",
            oracle::json_metric_any,
        ),
        Case::new(
            Format::JsonLogs,
            None,
            logs,
            1,
            "serde, five fields",
            oracle::json_log,
        ),
    ];
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn snappy(records: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Failure> {
    let packed = records
        .iter()
        .map(|record| snap::raw::Encoder::new().compress_vec(record));
    Ok(packed.collect::<Result<_, _>>()?)
}

fn attribute(key: &str, value: impl Into<String>) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}

/// As the Collector writes it: one resource with eleven attributes, nine metrics of ten points with
/// five attributes each.
fn otlp_record(i: u64) -> Vec<u8> {
    let resource = [
        (
            "service.name",
            format!("svc-checkout-payments-{:03}", i % 200),
        ),
        ("service.namespace", "shop".to_owned()),
        (
            "service.instance.id",
            format!("627cc493-f310-47de-96bd-71410b7d{i:04}"),
        ),
        (
            "host.name",
            format!("node-{:03}.eu-west-1.compute.internal", i % 50),
        ),
        ("k8s.cluster.name", "prod-eu1".to_owned()),
        ("k8s.namespace.name", "checkout".to_owned()),
        (
            "k8s.pod.name",
            format!("checkout-payments-7d9c6b5f4-{i:05}"),
        ),
        ("k8s.node.name", format!("node-{:03}", i % 50)),
        ("deployment.environment", "production".to_owned()),
        ("telemetry.sdk.language", "java".to_owned()),
        ("telemetry.sdk.version", "1.44.1".to_owned()),
    ];
    let metrics = (0..9).map(|m| {
        let points = (0..10).map(|p| point(i, m, p)).collect();
        let data = if m.is_multiple_of(3) {
            Data::Gauge(Gauge {
                data_points: points,
            })
        } else {
            Data::Sum(Sum {
                data_points: points,
                aggregation_temporality: 2,
                is_monotonic: true,
            })
        };
        Metric {
            name: format!("http.server.request.metric_{m}"),
            description: "How long requests took, or how many there were.".to_owned(),
            unit: "s".to_owned(),
            data: Some(data),
            ..Metric::default()
        }
    });
    let scope = ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "io.opentelemetry.tomcat-10.0".to_owned(),
            version: "2.10.0-alpha".to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: metrics.collect(),
        ..ScopeMetrics::default()
    };
    let resource = Resource {
        attributes: resource
            .into_iter()
            .map(|(key, value)| attribute(key, value))
            .collect(),
        ..Resource::default()
    };
    let all = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![all],
    }
    .encode_to_vec()
}

fn point(i: u64, m: u64, p: u64) -> NumberDataPoint {
    let attributes = vec![
        attribute(
            "http.request.method",
            ["GET", "PUT", "POST"][(p % 3) as usize],
        ),
        attribute(
            "http.response.status_code",
            ["200", "404", "500"][(p / 3 % 3) as usize],
        ),
        attribute("http.route", format!("/api/v1/tenants/items/{p:05}")),
        attribute("server.address", format!("10.0.{}.{}", i % 7, i % 250)),
        attribute("url.scheme", "https"),
    ];
    let number = (i * 100 + m * 10 + p) as f64 * 0.173;
    NumberDataPoint {
        attributes,
        start_time_unix_nano: (T0_MS as u64 - 3_600_000) * 1_000_000,
        time_unix_nano: T0_MS as u64 * 1_000_000,
        value: Some(if m.is_multiple_of(2) {
            Number::AsDouble(number)
        } else {
            Number::AsInt(number as i64)
        }),
        ..NumberDataPoint::default()
    }
}

/// Nine labels, sorted as Prometheus sends them.
fn labels(s: u64) -> [(&'static str, String); 9] {
    [
        (
            "__name__",
            format!("http_request_duration_seconds_{}", s % 50),
        ),
        ("cluster", "prod-eu1".to_owned()),
        ("container", "checkout-payments".to_owned()),
        (
            "instance",
            format!("10.{}.{}.{}:8080", s % 7, s / 250 % 250, s % 250),
        ),
        ("job", "kubernetes-pods".to_owned()),
        (
            "method",
            ["GET", "PUT", "POST"][(s % 3) as usize].to_owned(),
        ),
        ("namespace", "checkout".to_owned()),
        ("pod", format!("checkout-payments-7d9c6b5f4-{s:05}")),
        (
            "status",
            ["200", "404", "500"][(s / 3 % 3) as usize].to_owned(),
        ),
    ]
}

fn sample(s: u64) -> Sample {
    Sample {
        value: s as f64 * 0.173,
        timestamp: T0_MS + (s % 1_000) as i64,
    }
}

fn write_1(i: u64) -> Vec<u8> {
    let timeseries = (0..SERIES).map(|s| {
        let s = i * SERIES + s;
        TimeSeries {
            labels: labels(s)
                .into_iter()
                .map(|(name, value)| Label {
                    name: name.to_owned(),
                    value,
                })
                .collect(),
            samples: vec![sample(s)],
        }
    });
    WriteRequest {
        timeseries: timeseries.collect(),
    }
    .encode_to_vec()
}

fn write_2(i: u64) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let mut known = hashbrown::HashMap::new();
    let mut symbol = |text: &str| {
        *known.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    };
    let help_ref = symbol("How long requests took.");
    let timeseries = (0..SERIES).map(|s| {
        let s = i * SERIES + s;
        TimeSeries2 {
            labels_refs: labels(s)
                .iter()
                .flat_map(|(name, value)| [symbol(name), symbol(value)])
                .collect(),
            samples: vec![sample(s)],
            metadata: Some(Metadata2 {
                kind: 1,
                help_ref,
                unit_ref: 0,
            }),
        }
    });
    let timeseries = timeseries.collect();
    Request2 {
        symbols,
        timeseries,
    }
    .encode_to_vec()
}

/// About 630 bytes, as Filebeat writes them.
fn ecs(s: u64, text: &mut String) {
    use std::fmt::Write;
    text.clear();
    // Writing to a string does not fail.
    let _infallible = write!(
        text,
        "{{\"@timestamp\":\"2023-11-14T22:13:20.{:03}Z\",\"@metadata\":{{\"beat\":\"filebeat\",\"type\":\"_doc\",\"version\":\"8.15.0\"}},\
         \"message\":\"payment {s} declined by issuer after {} ms: insufficient funds\",\"log\":{{\"level\":\"{}\",\"file\":{{\"path\":\"/var/log/pods/checkout/payments/0.log\"}},\"offset\":{}}},\
         \"service\":{{\"name\":\"checkout-payments-{:03}\",\"version\":\"2.7.1\"}},\"host\":{{\"name\":\"node-{:03}\"}},\
         \"kubernetes\":{{\"namespace\":\"checkout\",\"pod\":{{\"name\":\"checkout-payments-7d9c6b5f4-{:05}\"}},\"container\":{{\"name\":\"payments\"}}}},\
         \"trace\":{{\"id\":\"0af7651916cd43dd8448eb211c{s:06}\"}},\"http\":{{\"response\":{{\"status_code\":402}}}},\"ecs\":{{\"version\":\"8.11.0\"}},\"agent\":{{\"name\":\"node-{:03}\",\"type\":\"filebeat\"}}}}",
        s % 1_000,
        s % 900,
        ["info", "warn", "error"][(s % 3) as usize],
        s * 631,
        s % 200,
        s % 50,
        s % 500,
        s % 50,
    );
}
