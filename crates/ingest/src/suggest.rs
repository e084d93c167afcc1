//! What a record might hold, for people who set a source up, and for files that name no format.
//!
//! Headers are believed first, then the keys of JSON. Protobuf tells nothing: OTLP's signals and
//! remote write all begin with the same byte, and bytes of one decode as another; so it is tried
//! ([`attempts`]) and never guessed.

use foghorn_model::{
    Change, Labels, LogRecord, OutsideAlert, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef,
    Timestamp,
};
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format};
use serde_json::Value;

use crate::specimen::Specimen;

/// A format, and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The format.
    pub format: Format,
    /// Preset of `json_logs`, where its shape is a known shipper's.
    pub preset: Option<&'static str>,
    /// What speaks for it.
    pub reason: String,
}

/// What trying one format came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The format that was tried.
    pub format: Format,
    /// How the records were unpacked.
    pub compression: Compression,
    /// Samples, log records, changes and alerts that came out.
    pub found: Found,
    /// The first thing that was refused.
    pub refused: Option<Refusal>,
}

/// What came out of records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Samples.
    pub samples: u64,
    /// Log records.
    pub logs: u64,
    /// Changes, alerts, spans and edges of the service graph.
    pub others: u64,
}

impl Attempt {
    /// Something came out, and nothing was refused.
    pub fn is_clean(&self) -> bool {
        self.refused.is_none() && self.found != Found::default()
    }
}

/// What a record's headers and bytes suggest.
///
/// # Errors
/// Why nothing is suggested.
pub fn of(specimen: &Specimen) -> Result<Suggestion, String> {
    if let Some(suggestion) = by_headers(&specimen.headers) {
        return Ok(suggestion);
    }
    let mut plain = Vec::new();
    let packed = packing(specimen);
    let bytes = match foghorn_wire::decompress(packed, &specimen.payload, 16 << 20, &mut plain) {
        Ok(()) => &plain[..],
        Err(_) => &specimen.payload,
    };
    match bytes.trim_ascii_start().first() {
        Some(b'{' | b'[') => by_keys(bytes),
        None => Err("it is empty".to_owned()),
        Some(_) => {
            Err("it is no JSON, and neither protobuf nor plain text tells what it holds".to_owned())
        }
    }
}

/// How a record seems to be packed: as a header says, or as its first bytes do (gzip, RFC 1952;
/// zstd, RFC 8878). Snappy blocks have no mark.
pub fn packing(specimen: &Specimen) -> Compression {
    let header = specimen
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    let name = match (header, &specimen.payload[..]) {
        (Some((_, value)), _) => std::str::from_utf8(value).unwrap_or(""),
        (None, [0x1f, 0x8b, ..]) => "gzip",
        (None, [0x28, 0xb5, 0x2f, 0xfd, ..]) => "zstd",
        _ => "",
    };
    name.parse().unwrap_or_default()
}

fn by_headers(headers: &[(String, Vec<u8>)]) -> Option<Suggestion> {
    let header = |wanted: &str| {
        let found = headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| &value[..])
    };
    if let Some(version @ [0, 0, 0, _]) = header("Version") {
        let reason = format!(
            "its header Version is {}, as of Mimir's ingest storage",
            version[3]
        );
        return suggestion("mimir", reason);
    }
    let media = std::str::from_utf8(header("content-type")?).ok()?;
    let reason = format!("its header content-type is {media}");
    if media.contains("io.prometheus.write.v2.Request") {
        suggestion("remote_write_2", reason)
    } else if media.contains("prometheus.WriteRequest") {
        suggestion("remote_write_1", reason)
    } else if media == "application/x-protobuf" && header("content-encoding") == Some(b"snappy") {
        // OTLP's senders pack with gzip or zstd, and not into snappy's blocks.
        suggestion(
            "remote_write_1",
            format!("{reason}, in snappy, as of remote write"),
        )
    } else {
        None
    }
}

/// A format by its name; `None` where this build does not read it.
fn suggestion(name: &str, reason: String) -> Option<Suggestion> {
    let format = name.parse().ok()?;
    Some(Suggestion {
        format,
        preset: None,
        reason,
    })
}

/// Tells a JSON record's format by its keys: those below are each format's own.
///
/// # Errors
/// Why it cannot be told.
pub fn by_keys(record: &[u8]) -> Result<Suggestion, String> {
    let first = serde_json::Deserializer::from_slice(record)
        .into_iter::<Value>()
        .next()
        .unwrap_or(Ok(Value::Null));
    let value = first.map_err(|error| format!("its first record is no JSON ({error})"))?;
    let element = match &value {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        one => one,
    };
    let (name, preset, keys) = told(element)?;
    suggestion(name, format!("its keys are those of {keys}"))
        .map(|found| Suggestion { preset, ..found })
        .ok_or_else(|| format!("its keys are those of {keys}, which is not read"))
}

type Told = (&'static str, Option<&'static str>, &'static str);

fn told(value: &Value) -> Result<Told, String> {
    let has = |key: &str| value.get(key).is_some();
    let all = |keys: &[&str]| keys.iter().all(|key| has(key));
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    if has("resourceMetrics") {
        return Ok(("otlp_metrics_json", None, "OTLP metrics"));
    }
    if has("resourceLogs") {
        return Ok(("otlp_logs_json", None, "OTLP logs"));
    }
    if has("resourceSpans") {
        return Ok(("otlp_traces_json", None, "OTLP traces"));
    }
    if has("specversion") {
        let inner = value.get("data").unwrap_or(&Value::Null);
        return Ok(match told(inner) {
            Ok(("alerts", ..)) => ("alerts", None, "CloudEvents around alerts"),
            _ => ("changes", None, "CloudEvents"),
        });
    }
    if let Some(other) = unread(value) {
        return Err(format!("its keys are those of {other}, which is not read"));
    }
    let is_alert = value
        .get("labels")
        .is_some_and(|labels| labels.get("alertname").is_some());
    if value.get("alerts").is_some_and(Value::is_array)
        || all(&["labels", "startsAt"])
        || (is_alert && !has("value"))
    {
        return Ok(("alerts", None, "Alertmanager"));
    }
    if all(&["@timestamp", "instance", "data"]) {
        return Ok(("alerts", None, "Alertmanager's event recorder"));
    }
    if has("context")
        || (has("service")
            && (has("version") || has("commit_sha"))
            && !has("message")
            && !has("msg"))
    {
        return Ok(("changes", None, "change events"));
    }
    if all(&["timestamp", "name", "labels"])
        && text("value")
        && value["labels"].get("__name__").is_some()
    {
        if "prometheus_kafka_adapter".parse::<Format>().is_ok() {
            return Ok(("prometheus_kafka_adapter", None, "prometheus-kafka-adapter"));
        }
        return Ok(("json_metrics", None, "a sample"));
    }
    if has("value") && (has("name") || has("metric") || has("__name__")) {
        return Ok(("json_metrics", None, "a sample"));
    }
    log(value)
        .map(|(preset, keys)| ("json_logs", preset, keys))
        .ok_or_else(|| "the keys of its first record tell no format".to_owned())
}

/// A log record's shipper, by what only it writes.
fn log(value: &Value) -> Option<(Option<&'static str>, &'static str)> {
    let has = |key: &str| value.get(key).is_some();
    let deep = |pointer: &str| value.pointer(pointer).is_some();
    if deep("/@metadata/beat") || deep("/ecs/version") || has("ecs.version") {
        Some((
            Some("ecs"),
            "the Elastic Common Schema (Filebeat, Logstash)",
        ))
    } else if has("log")
        && (value.get("@timestamp").is_some_and(Value::is_number)
            || (has("stream") && has("kubernetes")))
    {
        Some((Some("fluentbit"), "Fluent Bit"))
    } else if has("source_type") && has("message") {
        Some((Some("vector"), "Vector"))
    } else if has("message") || has("msg") || has("log") || has("body") {
        Some((None, "a log record"))
    } else {
        None
    }
}

/// What is known and not read.
fn unread(value: &Value) -> Option<&'static str> {
    let all = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    if all(&["fields", "name", "tags"]) {
        Some("Telegraf's JSON")
    } else if all(&["op", "source", "before", "after"]) {
        Some("Debezium")
    } else if all(&["dstypes", "dsnames", "values"]) {
        Some("collectd")
    } else if all(&["kind", "name"])
        && ["counter", "gauge", "set", "distribution"]
            .iter()
            .any(|kind| value.get(kind).is_some_and(Value::is_object))
    {
        Some("Vector's metrics")
    } else {
        None
    }
}

/// Tries every binary format on the records, unpacked and not; what came of each, in the order of
/// the documentation.
pub fn attempts(specimens: &[Specimen], options: &DecodeOptions) -> Vec<Attempt> {
    let mut packings: Vec<_> = specimens.iter().map(packing).collect();
    packings.extend([Compression::None, Compression::Snappy]);
    packings.sort_unstable();
    packings.dedup();
    let binary = |format: &Format| BINARY.contains(&format.name());
    let tried = Format::ALL.into_iter().filter(binary);
    tried
        .flat_map(|format| packings.iter().map(move |packing| (format, *packing)))
        .map(|(format, packing)| attempt(specimens, options, format, packing))
        .collect()
}

const BINARY: &[&str] = &[
    "otlp_metrics_proto",
    "otlp_logs_proto",
    "otlp_traces_proto",
    "remote_write_1",
    "remote_write_2",
];

fn attempt(
    specimens: &[Specimen],
    options: &DecodeOptions,
    format: Format,
    compression: Compression,
) -> Attempt {
    let (mut decoder, mut tally) = (Decoder::new(options.clone()), Tally::default());
    for specimen in specimens.iter().filter(|s| !s.payload.is_empty()) {
        let time = specimen.timestamp.unwrap_or_default();
        let done =
            decoder.decode_compressed(format, compression, &specimen.payload, time, &mut tally);
        if let Err(refusal) = done {
            tally.refuse(refusal);
        }
    }
    Attempt {
        format,
        compression,
        found: tally.found,
        refused: tally.refused,
    }
}

/// Counts what comes out, and forgets it.
#[derive(Debug, Default)]
struct Tally {
    found: Found,
    refused: Option<Refusal>,
}

impl SampleSink for Tally {
    fn series(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        None
    }
    fn define(&mut self, _: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn sample(&mut self, _: SeriesRef, _: Timestamp, _: f64) {
        self.found.samples += 1;
    }
    fn stream(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        None
    }
    fn define_stream(&mut self, _: SeriesKey, _: Labels) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn log(&mut self, _: SeriesRef, _: &LogRecord<'_>) {
        self.found.logs += 1;
    }
    fn change(&mut self, _: Change) {
        self.found.others += 1;
    }
    fn alert(&mut self, _: OutsideAlert) {
        self.found.others += 1;
    }
    fn edge(&mut self, _: &str, _: &str) {
        self.found.others += 1;
    }
    fn witness(&mut self, _: Timestamp) {
        self.found.others += 1;
    }
    fn refuse(&mut self, refusal: Refusal) {
        self.refused.get_or_insert(refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str, expect: &str) {
        let got = match by_keys(record.as_bytes()) {
            Ok(found) => format!("{} {}", found.format, found.preset.unwrap_or("-")),
            Err(why) => why,
        };
        assert_eq!(got, expect, "{record}");
    }

    #[test]
    fn keys_tell_the_format() {
        check(r#"{"resourceMetrics":[]}"#, "otlp_metrics_json -");
        check(r#"{"name":"up","value":1,"ts":5}"#, "json_metrics -");
        check(r#"{"service":"a","version":"1"}"#, "changes -");
        check(
            r#"{"context":{"type":"dev.cdevents.service.deployed.0.1.0"}}"#,
            "changes -",
        );
        check(r#"{"msg":"x"} {"msg":"y"}"#, "json_logs -");
        check(
            r#"{"@timestamp":"2026-01-01T00:00:00Z","message":"x","ecs":{"version":"8.0.0"}}"#,
            "json_logs ecs",
        );
        check(
            r#"{"@timestamp":1700000000.5,"log":"x"}"#,
            "json_logs fluentbit",
        );
        check(
            r#"{"message":"x","source_type":"file","host":"a"}"#,
            "json_logs vector",
        );
        check(
            r#"[{"labels":{"alertname":"A"},"startsAt":"2026-01-01T00:00:00Z"}]"#,
            "alerts -",
        );
        check(r#"{"specversion":"1.0","data":{"alerts":[]}}"#, "alerts -");
        check(
            r#"{"specversion":"1.0","data":{"service":"a"}}"#,
            "changes -",
        );
    }

    #[test]
    fn what_is_not_read_is_named() {
        check(
            r#"{"fields":{},"name":"cpu","tags":{},"timestamp":1}"#,
            "its keys are those of Telegraf's JSON, which is not read",
        );
        check(r#"{"a":1}"#, "the keys of its first record tell no format");
        check("", "the keys of its first record tell no format");
        assert!(by_keys(b"{").unwrap_err().contains("is no JSON"));
    }

    #[test]
    fn headers_come_before_keys() {
        let specimen = |headers: &[(&str, &[u8])], payload: &[u8]| Specimen {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
                .collect(),
            payload: payload.to_vec(),
            ..Specimen::default()
        };
        let media = b"application/x-protobuf;proto=prometheus.WriteRequest";
        let found = of(&specimen(&[("Content-Type", media)], b"{}")).unwrap();
        assert_eq!(found.format, Format::RemoteWrite1);
        let headers: &[(&str, &[u8])] = &[
            ("content-type", b"application/x-protobuf"),
            ("content-encoding", b"snappy"),
        ];
        let found = of(&specimen(headers, b"\x0a")).unwrap();
        assert_eq!(found.format, Format::RemoteWrite1);
        assert!(
            of(&specimen(&[], b"\x0a\x01"))
                .unwrap_err()
                .contains("protobuf")
        );
        assert_eq!(packing(&specimen(&[], b"\x1f\x8b\x08")), Compression::Gzip);
        assert_eq!(
            packing(&specimen(&[("content-encoding", b"snappy")], b"x")),
            Compression::Snappy
        );
    }
}
