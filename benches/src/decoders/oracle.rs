//! The oracles: structs are built, and walked for their items.

use std::borrow::Cow;
use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use prost::Message;
use serde::Deserialize;

use super::messages::{Request2, WriteRequest};
use crate::Failure;

pub(super) fn otlp(record: &[u8]) -> Result<u64, Failure> {
    let request = ExportMetricsServiceRequest::decode(record)?;
    let metrics = request
        .resource_metrics
        .iter()
        .flat_map(|resource| &resource.scope_metrics)
        .flat_map(|scope| &scope.metrics);
    Ok(metrics
        .map(|metric| match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len() as u64,
            Some(Data::Sum(sum)) => sum.data_points.len() as u64,
            _ => 0,
        })
        .sum())
}

pub(super) fn remote_write_1(record: &[u8]) -> Result<u64, Failure> {
    let request = WriteRequest::decode(record)?;
    Ok(request
        .timeseries
        .iter()
        .map(|series| series.samples.len() as u64)
        .sum())
}

pub(super) fn remote_write_1_snappy(record: &[u8]) -> Result<u64, Failure> {
    remote_write_1(&snap::raw::Decoder::new().decompress_vec(record)?)
}

pub(super) fn remote_write_2(record: &[u8]) -> Result<u64, Failure> {
    let request = Request2::decode(record)?;
    Ok(request
        .timeseries
        .iter()
        .map(|series| series.samples.len() as u64)
        .sum())
}

pub(super) fn remote_write_2_snappy(record: &[u8]) -> Result<u64, Failure> {
    remote_write_2(&snap::raw::Decoder::new().decompress_vec(record)?)
}

/// One JSON sample, borrowed where that can be.
#[derive(Deserialize)]
struct JsonSample<'a> {
    ts: i64,
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow)]
    labels: JsonLabels<'a>,
    value: f64,
}

/// The labels of the data set, each with a field of its own: the fastest that serde can do.
#[derive(Deserialize)]
struct JsonLabels<'a> {
    service: &'a str,
    instance: &'a str,
    zone: &'a str,
    method: &'a str,
    path: &'a str,
}

pub(super) fn json_metric(record: &[u8]) -> Result<u64, Failure> {
    let sample: JsonSample<'_> = serde_json::from_slice(record)?;
    let labels = &sample.labels;
    let text = sample.name.len()
        + labels.service.len()
        + labels.instance.len()
        + labels.zone.len()
        + labels.method.len()
        + labels.path.len();
    Ok(u64::from(
        sample.ts > 0 && sample.value.is_finite() && text > 0,
    ))
}

/// The same with labels that are not known beforehand.
#[derive(Deserialize)]
struct AnySample<'a> {
    ts: i64,
    #[serde(borrow)]
    name: &'a str,
    #[serde(borrow)]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    value: f64,
}

pub(super) fn json_metric_any(record: &[u8]) -> Result<u64, Failure> {
    let sample: AnySample<'_> = serde_json::from_slice(record)?;
    let used = sample.ts > 0 && sample.value.is_finite() && !sample.name.is_empty();
    Ok(u64::from(used && !sample.labels.is_empty()))
}

/// The parts of an ECS record that a log rule may name; the rest is stepped over.
#[derive(Deserialize)]
struct Ecs<'a> {
    #[serde(rename = "@timestamp", borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    log: EcsLog<'a>,
    #[serde(borrow)]
    service: EcsName<'a>,
    #[serde(borrow)]
    host: EcsName<'a>,
}

#[derive(Deserialize)]
struct EcsLog<'a> {
    #[serde(borrow)]
    level: Cow<'a, str>,
}

#[derive(Deserialize)]
struct EcsName<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

pub(super) fn json_log(record: &[u8]) -> Result<u64, Failure> {
    let log: Ecs<'_> = serde_json::from_slice(record)?;
    let text = log.timestamp.len()
        + log.message.len()
        + log.log.level.len()
        + log.service.name.len()
        + log.host.name.len();
    Ok(u64::from(text > 0))
}
