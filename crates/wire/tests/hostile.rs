//! Whatever the bytes: an error or a refusal, never a panic, never unbounded work.

use foghorn_model::{Labels, Timestamp};
use foghorn_wire::encode::{
    HistogramPoint, LogLine, MetricKind, OtlpLogs, OtlpMetrics, Point, RemoteWrite,
};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A good record of each format.
fn good(format: Format) -> Vec<u8> {
    let point = Point {
        attributes: &[("a.b", "1"), ("a_b", "2")],
        at: NOW,
        value: 1.5,
    };
    let histogram = HistogramPoint {
        attributes: &[("x", "y")],
        at: NOW,
        bounds: &[1.0, 2.0],
        counts: &[1, 2, 3],
        sum: 4.0,
    };
    let resource = [
        ("service.name", "api"),
        ("service.instance.id", "1"),
        ("host.name", "h"),
    ];
    match format {
        Format::OtlpMetricsProto => OtlpMetrics::new()
            .resource(&resource, |metrics| {
                metrics.numbers("m", "s", MetricKind::Counter, &[point, point]).histogram("h", "By", &[histogram]);
            })
            .into_bytes(),
        Format::OtlpLogsProto => OtlpLogs::new()
            .resource(&resource, |logs| {
                logs.line(&LogLine { at: NOW, severity: 9, line: "hello", attributes: &[("a.b", "c")] });
            })
            .into_bytes(),
        Format::RemoteWrite1 | Format::Mimir => RemoteWrite::new()
            .series(&Labels::from_pairs([("__name__", "up"), ("job", "é")]), &[(NOW, 1.0), (NOW + 1, 2.0)])
            .into_bytes(),
        // The series comes before its symbols, so that no beginning of the record is a record.
        Format::RemoteWrite2 => {
            let sample = [&[0x09][..], &1.5_f64.to_le_bytes(), &[0x10, 7]].concat();
            let series = [field(1, &[1, 2, 3, 4]), field(2, &sample)].concat();
            let symbols = [&b""[..], b"__name__", b"up", b"job", "é".as_bytes()];
            symbols.iter().fold(field(5, &series), |bytes, symbol| [bytes, field(4, symbol)].concat())
        }
        Format::OtlpMetricsJson => br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a\u00e9"}}]},"scopeMetrics":[{"metrics":[{"name":"m","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"timeUnixNano":"1700000000000000000","asInt":"7","attributes":[{"key":"k","value":{"bytesValue":"AAE="}}]}]}}]}]}]}"#.to_vec(),
        Format::OtlpLogsJson => br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","severityNumber":9,"traceId":"0af7651916cd43dd8448eb211c80319c","body":{"kvlistValue":{"values":[{"key":"a","value":{"doubleValue":1.5}}]}}}]}]}]}"#.to_vec(),
        Format::OtlpTracesJson => br#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]},"scopeSpans":[{"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","kind":3,"endTimeUnixNano":"1700000000000000000","attributes":[{"key":"peer.service","value":{"stringValue":"db"}}]}]}]}]}"#.to_vec(),
        // The same: resource spans {resource {service.name}, scope spans {span}}.
        Format::OtlpTracesProto => {
            let attribute = |key: &[u8], value: &[u8]| [field(1, key), field(2, &field(1, value))].concat();
            let span = [
                field(1, &[1; 16]),
                field(2, &[2; 8]),
                vec![0x30, 3],
                field(9, &attribute(b"peer.service", b"db")),
            ]
            .concat();
            let resource = field(1, &attribute(b"service.name", b"api"));
            field(1, &[field(1, &resource), field(2, &field(2, &span))].concat())
        }
        Format::PrometheusKafkaAdapter => br#"{"timestamp":"2023-11-14T22:13:20Z","value":"1","name":"up","labels":{"__name__":"up","job":"a"}}"#.to_vec(),
        Format::JsonMetrics => br#"{"ts":1700000000000,"name":"m","labels":{"a":"1\n","b":2},"value":0.5}"#.to_vec(),
        Format::JsonLogs => br#"{"timestamp":"2023-11-14T22:13:20Z","level":"info","msg":"a \ud83d\ude00","k":{"x":[1,{}]}}"#.to_vec(),
        Format::Changes => br#"{"service":"api","version":"2","labels":{"a":"b"},"time":1700000000}"#.to_vec(),
        Format::Alerts => br#"{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"A"},"startsAt":"2023-11-14T22:13:20Z"}]}"#.to_vec(),
    }
}

/// A field of bytes, in protobuf.
fn field(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = inner.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(inner);
    bytes
}

fn decode(format: Format, bytes: &[u8]) -> (bool, RecordingSink) {
    let mut sink = RecordingSink::new();
    let done = Decoder::new(DecodeOptions::default()).decode(format, bytes, NOW, &mut sink);
    (done.is_ok(), sink)
}

fn used(sink: &RecordingSink) -> usize {
    sink.samples.len() + sink.logs.len() + sink.changes.len() + sink.alerts.len() + sink.edges.len()
}

#[test]
fn a_record_cut_short_anywhere_is_an_error() {
    for format in Format::ALL {
        let bytes = good(format);
        let (done, sink) = decode(format, &bytes);
        assert!(
            done && used(&sink) > 0 && sink.refusals.is_empty(),
            "{format}: {:?}",
            sink.refusals
        );
        for len in 1..bytes.len() {
            let (done, sink) = decode(format, &bytes[..len]);
            assert!(
                !done && used(&sink) == 0,
                "{format} cut to {len} of {} bytes",
                bytes.len()
            );
        }
    }
}

#[test]
fn bytes_of_another_format_are_an_error() {
    for format in Format::ALL {
        for other in Format::ALL.into_iter().filter(|other| *other != format) {
            // Any JSON object is a log record, by design.
            let any_object = format == Format::JsonLogs && good(other).starts_with(b"{");
            // One object a sample, with the same names for its parts.
            let samples = [Format::JsonMetrics, Format::PrometheusKafkaAdapter];
            let twins = samples.contains(&format) && samples.contains(&other);
            let writes = [Format::RemoteWrite1, Format::Mimir];
            let twins = twins || writes.contains(&format) && writes.contains(&other);
            let (done, sink) = decode(format, &good(other));
            assert!(
                any_object || twins || !done || used(&sink) == 0,
                "{other} read as {format}"
            );
        }
    }
}

#[test]
fn invalid_utf8_is_refused() {
    for format in Format::ALL {
        let mut bytes = good(format);
        let needle: &[u8] = match format {
            Format::OtlpMetricsProto | Format::OtlpTracesProto => b"service.name",
            Format::OtlpLogsProto => b"hello",
            Format::RemoteWrite1 | Format::RemoteWrite2 | Format::Mimir => b"job",
            _ => b":",
        };
        let at = bytes
            .windows(needle.len())
            .position(|window| window == needle)
            .unwrap();
        bytes[at] = 0xff;
        let (done, sink) = decode(format, &bytes);
        assert!(!done && used(&sink) == 0, "{format}");
    }
}

/// `{5: {1: {5: {1: …}}}}`: an array in an array, by hand.
fn nested_any_value(depth: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for level in 0..depth {
        let mut outer = vec![if level % 2 == 0 { 0x2a } else { 0x0a }];
        let mut len = bytes.len();
        while len >= 0x80 {
            outer.push(len as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend_from_slice(&bytes);
        bytes = outer;
    }
    bytes
}

#[test]
fn deep_values_are_refused() {
    for (depth, expect) in [(21, true), (2001, false)] {
        let record = field(5, &nested_any_value(depth));
        let request = field(1, &field(2, &field(2, &record)));
        let (done, sink) = decode(Format::OtlpLogsProto, &request);
        assert_eq!(
            (done, sink.logs.len()),
            (expect, usize::from(expect)),
            "depth {depth}"
        );
    }
}

#[test]
fn records_beyond_the_bounds() {
    let options = DecodeOptions {
        max_record_bytes: 100,
        max_decompressed_bytes: 1_000,
        ..DecodeOptions::default()
    };
    let mut decoder = Decoder::new(options);
    let mut check = |compression: Compression, bytes: &[u8], expect: &str| {
        let mut sink = RecordingSink::new();
        let done =
            decoder.decode_compressed(Format::RemoteWrite1, compression, bytes, NOW, &mut sink);
        assert_eq!(done.unwrap_err().code, expect);
    };
    check(Compression::None, &[0; 101], "too_large");
    check(Compression::Snappy, &[0; 101], "too_large");
    check(
        Compression::Snappy,
        &foghorn_wire::encode::snappy(&[0; 1_001]),
        "bomb",
    );
    check(Compression::Gzip, b"no gzip at all", "bad_compression");
    check(Compression::Zstd, b"no zstd at all", "bad_compression");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn good_records_with_bytes_changed(
        which in 0..Format::ALL.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let format = Format::ALL[which];
        let mut bytes = good(format);
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let (done, sink) = decode(format, &bytes);
        // A record that is refused as a whole must have left nothing behind.
        prop_assert!(done || used(&sink) == 0);
    }

    #[test]
    fn arbitrary_bytes(which in 0..Format::ALL.len(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (done, sink) = decode(Format::ALL[which], &bytes);
        prop_assert!(done || used(&sink) == 0);
    }
}
