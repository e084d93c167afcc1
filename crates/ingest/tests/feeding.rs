//! A feeder's way with what is not in the bytes alone: ids of events, and partitions of spans.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_ingest::{DedupConfig, DedupStats, Feeder, Raw, SourceConfig, Span};
use foghorn_model::{
    Change, Labels, LogRecord, Offset, OutsideAlert, Partition, RecordSink, Refusal, SampleSink,
    SeriesKey, SeriesKind, SeriesRef, Timestamp,
};
use foghorn_wire::Format;

/// Remembers the values of samples and the edges, and which records began.
#[derive(Default)]
struct Told {
    begun: usize,
    values: Vec<f64>,
    edges: Vec<String>,
}

impl SampleSink for Told {
    fn series(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        None
    }
    fn define(&mut self, _: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn sample(&mut self, _: SeriesRef, _: Timestamp, value: f64) {
        self.values.push(value);
    }
    fn stream(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        None
    }
    fn define_stream(&mut self, _: SeriesKey, _: Labels) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn log(&mut self, _: SeriesRef, _: &LogRecord<'_>) {}
    fn change(&mut self, _: Change) {}
    fn alert(&mut self, _: OutsideAlert) {}
    fn edge(&mut self, client: &str, server: &str) {
        self.edges.push(format!("{client}->{server}"));
    }
    fn refuse(&mut self, _: Refusal) {}
}

impl RecordSink for Told {
    fn begin(&mut self, _: Partition, _: Offset, _: Option<Timestamp>) -> bool {
        self.begun += 1;
        true
    }
    fn end(&mut self) {}
    fn stamp_mattered(&self) -> bool {
        false
    }
}

/// A sample with an id, as JSON.
fn sample(id: &str, value: u32) -> String {
    format!(r#"{{"event_id":"{id}","name":"m","ts":1,"value":{value}}}"#)
}

/// Milliseconds, headers, payload.
type Sent<'a> = (i64, &'a [(&'a str, &'a str)], String);

/// The values of the samples that came through.
fn check(records: &[Sent<'_>], expect: &[f64], stats: DedupStats) {
    let mut feeder = Feeder::new(&SourceConfig {
        dedup: Some(DedupConfig {
            window: Span(1_000),
            ..DedupConfig::default()
        }),
        ..SourceConfig::of("s", Format::JsonMetrics)
    });
    let mut told = Told::default();
    for (offset, (ms, headers, payload)) in records.iter().enumerate() {
        let mut raw = Raw {
            offset: offset as Offset,
            timestamp: Some(Timestamp(*ms)),
            payload: payload.as_bytes(),
            ..Raw::default()
        };
        for (name, value) in *headers {
            raw.heed(name, value.as_bytes());
        }
        feeder.feed(&raw, None, &mut told).unwrap();
    }
    assert_eq!(told.values, expect);
    assert_eq!(feeder.dedup_stats(), stats);
    // A duplicate moves its partition's position all the same.
    assert_eq!(told.begun, records.len());
}

#[test]
fn an_event_that_comes_twice_counts_once() {
    let none: &[(&str, &str)] = &[];
    let duplicates = |duplicates| DedupStats {
        duplicates,
        ..DedupStats::default()
    };
    check(
        &[
            (0, none, sample("a", 1)),
            (10, none, sample("a", 2)),
            (20, none, sample("b", 3)),
            (1_100, none, sample("a", 4)),
        ],
        &[1.0, 3.0, 4.0],
        duplicates(1),
    );
    // A header goes before the field; CloudEvents' own will do.
    check(
        &[
            (0, &[("event_id", "x")], sample("a", 1)),
            (0, &[("Event_Id", "x")], sample("b", 2)),
            (0, &[("ce_id", "y")], sample("b", 3)),
            (0, &[("event_id", "")], sample("b", 4)),
        ],
        &[1.0, 3.0, 4.0],
        duplicates(1),
    );
}

#[test]
fn a_source_keeps_no_ids_unless_asked() {
    let mut feeder = Feeder::new(&SourceConfig::of("s", Format::JsonMetrics));
    let mut told = Told::default();
    for offset in 0..2 {
        let payload = sample("a", 1);
        let raw = Raw {
            offset,
            payload: payload.as_bytes(),
            ..Raw::default()
        };
        feeder.feed(&raw, None, &mut told).unwrap();
    }
    assert_eq!(told.values, [1.0, 1.0]);
}

/// A span of `service` with this id, called by `parent`.
fn span(service: &str, id: u8, parent: &str, kind: u8) -> String {
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"{service}"}}}}]}},
            "scopeSpans":[{{"spans":[{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"00000000000000{id:02}",
            "parentSpanId":"{parent}","kind":{kind},"endTimeUnixNano":"1700000000000000000"}}]}}]}}]}}"#
    )
}

#[test]
fn spans_of_different_partitions_do_not_meet() {
    let web = span("web", 1, "", 3);
    let api = span("api", 2, "0000000000000001", 2);
    for (partitions, expect) in [([0, 0], vec!["web->api"]), ([0, 1], vec![])] {
        // A content type says JSON where the source says protobuf.
        let mut feeder = Feeder::new(&SourceConfig::of("t", Format::OtlpTracesProto));
        let mut told = Told::default();
        for (partition, payload) in partitions.into_iter().zip([&web, &api]) {
            let raw = Raw {
                partition: Partition::new(0, partition),
                content_type: Some("application/json"),
                payload: payload.as_bytes(),
                ..Raw::default()
            };
            feeder.feed(&raw, None, &mut told).unwrap();
        }
        assert_eq!(told.edges, expect, "{partitions:?}");
    }
}
