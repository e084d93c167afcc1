//! OTLP logs against `prost` and `opentelemetry-proto` as oracle, and in fixed cases.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::Timestamp;
use foghorn_wire::encode::{LogLine, OtlpLogs};
use foghorn_wire::recording::{RecordedLog, RecordingSink};
use foghorn_wire::{DecodeOptions, Decoder, Format};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn decode(format: Format, bytes: &[u8]) -> Vec<RecordedLog> {
    let mut sink = RecordingSink::new();
    Decoder::new(DecodeOptions::default())
        .decode(format, bytes, NOW, &mut sink)
        .unwrap();
    assert_eq!(sink.refusals, []);
    sink.logs
}

// What the structs mean, said in the plainest way.

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BytesValue(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::KvlistValue(list)) => {
            let object: Vec<_> = list
                .values
                .iter()
                .map(|pair| (&pair.key, text(pair.value.as_ref())))
                .collect();
            let pairs: Vec<_> = object
                .iter()
                .map(|(key, value)| format!("{key:?}:{value}"))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        other => panic!("no strategy makes {other:?}"),
    }
}

fn naive(request: &ExportLogsServiceRequest) -> Vec<RecordedLog> {
    let mut logs = Vec::new();
    for resource in &request.resource_logs {
        let pairs = resource
            .resource
            .as_ref()
            .map_or(&[][..], |resource| &resource.attributes);
        let (stream, rest): (Vec<_>, Vec<_>) = pairs
            .iter()
            .partition(|pair| pair.key.starts_with("service."));
        let named = |pair: &&KeyValue| (pair.key.replace('.', "_"), text(pair.value.as_ref()));
        for record in resource
            .scope_logs
            .iter()
            .flat_map(|scope| &scope.log_records)
        {
            let mut attributes: Vec<_> =
                record.attributes.iter().map(|pair| named(&pair)).collect();
            for (name, id) in [("trace_id", &record.trace_id), ("span_id", &record.span_id)] {
                let hex = id
                    .iter()
                    .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
                attributes.extend((!hex.is_empty()).then_some((name.to_owned(), hex)));
            }
            for (name, text) in [
                ("severity_text", &record.severity_text),
                ("event_name", &record.event_name),
            ] {
                attributes.extend((!text.is_empty()).then_some((name.to_owned(), text.clone())));
            }
            attributes.extend(rest.iter().map(named));
            let times = [record.time_unix_nano, record.observed_time_unix_nano];
            let at = times
                .into_iter()
                .find(|nanos| *nanos > 0)
                .map_or(NOW, Timestamp::from_nanos);
            let by_word = if record.severity_text == "ERROR" {
                17
            } else {
                0
            };
            logs.push(RecordedLog {
                stream: known(foghorn_model::Labels::from_pairs(stream.iter().map(named))),
                at,
                line: text(record.body.as_ref()),
                severity: if record.severity_number == 0 {
                    by_word
                } else {
                    record.severity_number as u8
                },
                attributes,
            });
        }
    }
    logs
}

fn pairs(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<KeyValue>> {
    proptest::sample::subsequence(keys, 0..=keys.len())
        .prop_shuffle()
        .prop_flat_map(|keys| {
            let pair = |key: &'static str| {
                let value = prop_oneof![
                    "[ -~é]{0,8}".prop_map(Value::StringValue),
                    any::<i64>().prop_map(Value::IntValue)
                ];
                value.prop_map(move |value| KeyValue {
                    key: key.to_owned(),
                    value: Some(AnyValue { value: Some(value) }),
                    ..Default::default()
                })
            };
            keys.into_iter().map(pair).collect::<Vec<_>>()
        })
}

fn body() -> impl Strategy<Value = AnyValue> {
    let map = vec(("[a-z]{1,3}", any::<i64>()), 0..3).prop_map(|pairs| {
        let pair = |(key, number)| KeyValue {
            key,
            value: Some(AnyValue {
                value: Some(Value::IntValue(number)),
            }),
            ..Default::default()
        };
        Value::KvlistValue(KeyValueList {
            values: pairs.into_iter().map(pair).collect(),
        })
    });
    let value = prop_oneof![
        "\\PC{0,20}".prop_map(Value::StringValue),
        "[a-z]{0,9}".prop_map(|text| Value::BytesValue(text.into_bytes())),
        map,
    ];
    value.prop_map(|value| AnyValue { value: Some(value) })
}

fn record() -> impl Strategy<Value = LogRecord> {
    let nanos = || {
        prop_oneof![
            Just(0),
            1_600_000_000_000_000_000_u64..1_800_000_000_000_000_000
        ]
    };
    let id = |len| prop_oneof![Just(Vec::new()), vec(any::<u8>(), len)];
    let words = (0..25, "|ERROR|hm", "|order\\.placed");
    (
        nanos(),
        nanos(),
        words,
        option::of(body()),
        pairs(&["a.b", "code", "user"]),
        id(16),
        id(8),
    )
        .prop_map(
            |(
                time_unix_nano,
                observed_time_unix_nano,
                words,
                body,
                attributes,
                trace_id,
                span_id,
            )| LogRecord {
                time_unix_nano,
                observed_time_unix_nano,
                severity_number: words.0,
                severity_text: words.1,
                event_name: words.2,
                body,
                attributes,
                trace_id,
                span_id,
                ..Default::default()
            },
        )
}

fn request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let scope = vec(record(), 0..4).prop_map(|log_records| ScopeLogs {
        log_records,
        ..Default::default()
    });
    let attributes = pairs(&[
        "service.name",
        "service.namespace",
        "host.name",
        "process.pid",
    ]);
    let resource =
        (option::of(attributes), vec(scope, 0..3)).prop_map(|(attributes, scope_logs)| {
            ResourceLogs {
                resource: attributes.map(|attributes| Resource {
                    attributes,
                    ..Default::default()
                }),
                scope_logs,
                ..Default::default()
            }
        });
    vec(resource, 0..3).prop_map(|resource_logs| ExportLogsServiceRequest { resource_logs })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn protobuf_means_what_the_structs_say(request in request()) {
        prop_assert_eq!(decode(Format::OtlpLogsProto, &request.encode_to_vec()), naive(&request));
    }

    #[test]
    fn json_means_what_the_structs_say(request in request()) {
        let json = serde_json::to_string(&request).unwrap();
        prop_assert_eq!(decode(Format::OtlpLogsJson, json.as_bytes()), naive(&request));
    }
}

#[test]
fn our_own_encoder_round_trips() {
    let bytes = OtlpLogs::new()
        .resource(
            &[
                ("service.name", "api"),
                ("k8s.pod.name", "api-1"),
                ("os.type", "linux"),
            ],
            |logs| {
                logs.line(&LogLine {
                    at: NOW,
                    severity: 17,
                    line: "boom",
                    attributes: &[("user.id", "7")],
                });
            },
        )
        .into_bytes();
    let logs = decode(Format::OtlpLogsProto, &bytes);
    assert_eq!(logs.len(), 1);
    assert_eq!(
        logs[0].stream.to_string(),
        r#"{k8s_pod_name="api-1", service_name="api"}"#
    );
    assert_eq!(
        (&*logs[0].line, logs[0].severity, logs[0].at),
        ("boom", 17, NOW)
    );
    let expect = [
        ("user_id".to_owned(), "7".to_owned()),
        ("os_type".to_owned(), "linux".to_owned()),
    ];
    assert_eq!(logs[0].attributes, expect);
    let oracle = ExportLogsServiceRequest::decode(&*bytes).unwrap();
    assert_eq!(oracle.encoded_len(), bytes.len());
}

/// Stream and fields of the one record of `json`, with these stream labels.
fn check_labels(labels: &[&str], json: &str, stream: &str, fields: &[(&str, &str)]) {
    let mut decoder = Decoder::new(DecodeOptions {
        stream_labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        ..DecodeOptions::default()
    });
    let mut sink = RecordingSink::new();
    decoder
        .decode(Format::OtlpLogsJson, json.as_bytes(), NOW, &mut sink)
        .unwrap();
    let log = &sink.logs[0];
    assert_eq!(log.stream.to_string(), stream, "{labels:?}");
    let expect: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(log.attributes, expect, "{labels:?}");
}

#[test]
fn attributes_of_a_record_as_stream_labels() {
    let json = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"api"}}]},
        "scopeLogs":[{"logRecords":[{"severityNumber":17,"severityText":"ERR","eventName":"e","body":{"stringValue":"b"},
        "attributes":[{"key":"http.route","value":{"stringValue":"/pay"}},{"key":"service.name","value":{"stringValue":"x"}}]}]}]}]}"#;
    check_labels(
        &["service.name"],
        json,
        r#"{service_name="api"}"#,
        &[
            ("http_route", "/pay"),
            ("service_name", "x"),
            ("severity_text", "ERR"),
            ("event_name", "e"),
        ],
    );
    check_labels(
        &["service.name", "http.route", "level"],
        json,
        r#"{http_route="/pay", level="error", service_name="api"}"#,
        &[
            ("service_name", "x"),
            ("severity_text", "ERR"),
            ("event_name", "e"),
        ],
    );
    check_labels(
        &["http.route", "event_name", "severity_text"],
        json,
        r#"{event_name="e", http_route="/pay", severity_text="ERR"}"#,
        &[("service_name", "x"), ("service_name", "api")],
    );
}

#[test]
fn one_records_labels_do_not_stick_to_the_next() {
    let record = |attributes: &str| {
        format!(
            r#"{{"body":{{"stringValue":"b"}},"severityNumber":9,"attributes":[{attributes}]}}"#
        )
    };
    let route = |path: &str| format!(r#"{{"key":"route","value":{{"stringValue":"{path}"}}}}"#);
    let records = [route("/a"), String::new(), route("/b"), route("/a")].map(|a| record(&a));
    let json = format!(
        r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"zone","value":{{"stringValue":"z"}}}}]}},"scopeLogs":[{{"logRecords":[{}]}}]}}]}}"#,
        records.join(",")
    );
    let mut decoder = Decoder::new(DecodeOptions {
        stream_labels: vec!["zone".to_owned(), "route".to_owned()],
        ..DecodeOptions::default()
    });
    let mut sink = RecordingSink::new();
    decoder
        .decode(Format::OtlpLogsJson, json.as_bytes(), NOW, &mut sink)
        .unwrap();
    let streams: Vec<_> = sink.logs.iter().map(|log| log.stream.to_string()).collect();
    let a = r#"{route="/a", zone="z"}"#;
    assert_eq!(
        streams,
        [a, r#"{zone="z"}"#, r#"{route="/b", zone="z"}"#, a]
    );
    assert_eq!(sink.defined, 3);
}

#[test]
fn severities_by_name() {
    let json = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[
        {"severityNumber":"SEVERITY_NUMBER_WARN2","body":{"stringValue":"a\nb"}}]}]}]}"#;
    let logs = decode(Format::OtlpLogsJson, json.as_bytes());
    assert_eq!((logs[0].severity, &*logs[0].line), (14, "a\nb"));
}

/// A stream whose sender told nothing about itself has one label all the same.
fn known(stream: foghorn_model::Labels) -> foghorn_model::Labels {
    if stream.is_empty() {
        stream.with("service_name", "unknown_service")
    } else {
        stream
    }
}
