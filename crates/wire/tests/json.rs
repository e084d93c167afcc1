//! JSON metrics and JSON logs, by mapping.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::Timestamp;
use foghorn_wire::encode::{json_log, json_metric};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format, LineSource};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn decode(options: &str, format: Format, text: &str) -> (Result<(), &'static str>, RecordingSink) {
    let options: DecodeOptions = serde_json::from_str(options).unwrap();
    let mut sink = RecordingSink::new();
    let done = Decoder::new(options).decode(format, text.as_bytes(), NOW, &mut sink);
    (done.map_err(|refusal| refusal.code), sink)
}

fn check_metrics(options: &str, text: &str, expect: Result<(&str, &[&str]), &str>) {
    let (done, sink) = decode(options, Format::JsonMetrics, text);
    let got = done.map(|()| (sink.text(), sink.codes()));
    let expect = expect.map(|(lines, codes)| (lines.to_owned(), codes.to_vec()));
    assert_eq!(got, expect, "{text}");
}

const PEERS: &str = r#"{"ts":1700000000000,"name":"http_request_duration_seconds","labels":{"service":"svc-checkout-payments-000","instance":"10.0.0.0:8080","zone":"eu-west-1a","method":"GET","path":"/api/v1/tenants/items/00000/details"},"value":0.123456}"#;

#[test]
fn the_form_that_the_peers_are_measured_with() {
    let expect = r#"http_request_duration_seconds{instance="10.0.0.0:8080", method="GET", path="/api/v1/tenants/items/00000/details", service="svc-checkout-payments-000", zone="eu-west-1a"} 0.123456 @1700000000000
"#;
    check_metrics("{}", PEERS, Ok((expect, &[])));
}

#[test]
fn a_known_series_is_not_defined_again() {
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut sink = RecordingSink::new();
    // A key for each order of members, and none for another record in the same.
    for text in [
        r#"{"name":"m","ts":1,"labels":{"a":"1","b":"2"},"value":1}"#,
        r#"{"name":"m","labels":{"b":"2","a":"1"},"value":2,"ts":1}"#,
        r#"{"ts":1,"name":"m","labels":{"a":"1","b":"2"},"value":3}"#,
        r#"{"name":"m","ts":2,"labels":{"a":"1","b":"2"},"value":1}"#,
        r#"{"name":"m","labels":{"b":"2","a":"1"},"value":2,"ts":1700000000001}"#,
        r#"{"ts":"2023-11-14T22:13:20Z","name":"m","labels":{"a":"1","b":"2"},"value":"4"}"#,
    ] {
        decoder
            .decode(Format::JsonMetrics, text.as_bytes(), NOW, &mut sink)
            .unwrap();
    }
    assert_eq!((sink.samples.len(), sink.defined), (6, 3));
}

#[test]
fn values_and_times_in_all_their_spellings() {
    for (value, time, expect) in [
        ("1e3", "1700000000", "1000 @1700000000000"),
        (
            r#""9876.5""#,
            r#""2023-11-14T22:13:20Z""#,
            "9876.5 @1700000000000",
        ),
        (r#""NaN""#, "1700000000.5", "NaN @1700000000500"),
        (r#""+Inf""#, "null", "inf @1700000000000"),
        ("true", r#""1700000000001""#, "1 @1700000000001"),
    ] {
        let text = format!(r#"{{"name":"m","value":{value},"timestamp":{time}}}"#);
        check_metrics("{}", &text, Ok((&format!("m {expect}\n"), &[])));
    }
}

#[test]
fn escapes_and_odd_names() {
    let text = r#" { "name" : "http.server\u002eload" , "labels" : { "a\"b" : "x\ny" , "n" : 7 , "t" : true , "gone" : null , "deep" : {"x":[1]} } , "value" : 1 } "#;
    check_metrics(
        "{}",
        text,
        Ok((
            "http_server_load{a_b=\"x\\ny\", n=\"7\", t=\"true\"} 1 @1700000000000\n",
            &[],
        )),
    );
    let kept = "http.server.load{a\"b=\"x\\ny\", n=\"7\", t=\"true\"} 1 @1700000000000\n";
    check_metrics(r#"{"translation":"none"}"#, text, Ok((kept, &[])));
}

#[test]
fn prometheus_kafka_adapter() {
    let text = r#"{"timestamp":"2023-11-14T22:13:20Z","value":"1","name":"up","labels":{"__name__":"up","job":"a"}}"#;
    check_metrics("{}", text, Ok(("up{job=\"a\"} 1 @1700000000000\n", &[])));
}

#[test]
fn top_level_labels_where_the_mapping_says_so() {
    let options =
        r#"{"json_metrics":{"name":"metric","value":"v","top_level_labels":true,"labels":"tags"}}"#;
    let text =
        r#"{"metric":"m","v":1,"host":"h1","tags":{"host":"h0","zone":"z"},"region":"r","n":5}"#;
    check_metrics(
        options,
        text,
        Ok((
            "m{host=\"h0\", region=\"r\", zone=\"z\"} 1 @1700000000000\n",
            &[],
        )),
    );
}

#[test]
fn several_samples_in_one_record() {
    let (a, b) = (r#"{"name":"a","value":1}"#, r#"{"name":"b","value":2}"#);
    let both = Ok(("a 1 @1700000000000\nb 2 @1700000000000\n", &[][..]));
    check_metrics("{}", &format!("{a}\n{b}\n"), both);
    check_metrics("{}", &format!("[{a}, {b}]"), both);
    let bad = Ok((
        "a 1 @1700000000000\nb 2 @1700000000000\n",
        &["bad_json"][..],
    ));
    check_metrics("{}", &format!("{a}\n{{oops\n{b}"), bad);
    let nameless = Ok(("a 1 @1700000000000\nb 2 @1700000000000\n", &["no_name"][..]));
    check_metrics("{}", &format!("[{a},{{\"value\":3}},{b}]"), nameless);
    check_metrics(
        "{}",
        &format!("[{a},{b}"),
        Ok(("a 1 @1700000000000\nb 2 @1700000000000\n", &["truncated"])),
    );
}

#[test]
fn metrics_that_are_none() {
    check_metrics("{}", "", Err("empty"));
    check_metrics("{}", "[]", Err("empty"));
    check_metrics("{}", "7", Err("bad_json"));
    check_metrics("{}", r#"{"name":"m"}"#, Err("bad_value"));
    check_metrics("{}", r#"{"name":"m","value":"much"}"#, Err("bad_value"));
    check_metrics(
        "{}",
        r#"{"name":"m","value":1,"ts":"soon"}"#,
        Err("bad_timestamp"),
    );
    check_metrics("{}", r#"{"value":1}"#, Err("no_name"));
    check_metrics("{}", r#"{"name":"...","value":1}"#, Err("no_name"));
    check_metrics(
        "{}",
        r#"{"name":"m","value":1,"labels":{"a":"1","a":"2"}}"#,
        Err("duplicate_label"),
    );
    check_metrics(
        "{}",
        r#"{"name":"m","value":1,"labels":{"a.b":"1","a_b":"2"}}"#,
        Err("duplicate_label"),
    );
    check_metrics("{}", r#"{"name":"\ud800","value":1}"#, Err("bad_json"));
    check_metrics(
        "{}",
        &format!(r#"{{"x":{}"#, "[".repeat(100_000)),
        Err("too_deep"),
    );
}

proptest! {
    #[test]
    fn our_own_encoder_round_trips(
        labels in proptest::collection::btree_map("[a-z]{1,4}", "\\PC{1,9}", 0..5),
        ms in 100_000_000_000_i64..10_000_000_000_000,
        value in prop_oneof![any::<f64>().prop_filter("has bits of its own", |v| !v.is_nan()), Just(f64::INFINITY)],
    ) {
        let mut pairs: Vec<_> = labels.into_iter().collect();
        pairs.push(("__name__".to_owned(), "m".to_owned()));
        let labels = foghorn_model::Labels::from_pairs(pairs);
        let (done, sink) = decode("{}", Format::JsonMetrics, &json_metric(&labels, Timestamp(ms), value));
        prop_assert_eq!(done, Ok(()));
        prop_assert_eq!(&sink.samples[0].labels, &labels);
        prop_assert_eq!((sink.samples[0].at.ms(), sink.samples[0].value), (ms, value));
    }
}

/// Stream, severity, milliseconds, line, further fields.
type Brief<'a> = (&'a str, u8, i64, &'a str, &'a [(&'a str, &'a str)]);

fn check_logs(options: &str, text: &str, expect: &[Brief<'_>]) {
    let (done, sink) = decode(options, Format::JsonLogs, text);
    assert_eq!(done, Ok(()), "{text}");
    let logs: Vec<_> = sink
        .logs
        .iter()
        .map(|log| {
            let attributes: Vec<_> = log.attributes.iter().map(|(n, v)| (&**n, &**v)).collect();
            (
                log.stream.to_string(),
                log.severity,
                log.at.ms(),
                &*log.line,
                attributes,
            )
        })
        .collect();
    let expect: Vec<_> = expect
        .iter()
        .map(|(s, sev, at, line, a)| ((*s).to_owned(), *sev, *at, *line, a.to_vec()))
        .collect();
    assert_eq!(logs, expect);
}

#[test]
fn a_record_and_its_parts() {
    let text = r#"{"@timestamp":"2023-11-14T22:13:20.5Z","service":"api","level":"Warn","msg":"slow \"query\"","db":{"name":"orders","ms":12,"ok":true},"list":[1],"none":null}"#;
    let fields = [("db_name", "orders"), ("db_ms", "12"), ("db_ok", "true")];
    let stream = r#"{level="Warn", service="api"}"#;
    check_logs(
        "{}",
        text,
        &[(stream, 13, 1_700_000_000_500, text, &fields)],
    );
    let options = r#"{"json_logs":{"line":"message"}}"#;
    check_logs(
        options,
        text,
        &[(stream, 13, 1_700_000_000_500, "slow \"query\"", &fields)],
    );
}

#[test]
fn mapped_pointers_and_their_order() {
    let options = r#"{"json_logs":{"stream":[{"label":"svc","from":["/a/b","x"]},{"label":"lvl","from":"/log~1level"}],
        "level":"/log~1level","timestamp":"t","message":"m","line":"message"}}"#;
    let text =
        r#"{"x":"second","a":{"b":"first"},"log/level":"error","t":1700000000,"m":"hello","k":1}"#;
    check_logs(
        options,
        text,
        &[(
            r#"{lvl="error", svc="first"}"#,
            17,
            NOW.ms(),
            "hello",
            &[("k", "1")],
        )],
    );
    let text = r#"{"x":"second","t":1700000000,"m":"hello"}"#;
    check_logs(
        options,
        text,
        &[(r#"{svc="second"}"#, 0, NOW.ms(), "hello", &[])],
    );
}

#[test]
fn several_records_and_broken_neighbours() {
    let options = r#"{"json_logs":{"line":"message"}}"#;
    let lines = [
        (
            "{service_name=\"unknown_service\"}",
            0,
            NOW.ms(),
            "a",
            &[][..],
        ),
        (
            "{service_name=\"unknown_service\"}",
            0,
            NOW.ms(),
            "b",
            &[][..],
        ),
    ];
    check_logs(options, "{\"msg\":\"a\"}\n{\"msg\":\"b\"}", &lines);
    check_logs(options, "[{\"msg\":\"a\"},{\"msg\":\"b\"}]", &lines);
    check_logs(
        options,
        "{\"msg\":\"a\"}\n{\"msg\":\n{\"msg\":\"b\"}\n",
        &lines,
    );
    for (text, code) in [
        ("", "empty"),
        ("plain text", "wrong_type"),
        ("7", "wrong_type"),
        ("{\"a\":1", "truncated"),
    ] {
        assert_eq!(decode("{}", Format::JsonLogs, text).0, Err(code), "{text}");
    }
}

#[test]
fn bounds_and_bad_times_are_counted() {
    let options = r#"{"json_logs":{"max_attributes":1,"line":"message"}}"#;
    let (done, sink) = decode(
        options,
        Format::JsonLogs,
        r#"{"msg":"m","a":1,"b":2,"c":3,"time":"soon"}"#,
    );
    assert_eq!(
        (done, sink.codes()),
        (Ok(()), vec!["too_many_fields", "bad_timestamp"])
    );
    assert_eq!(sink.logs[0].attributes, [("a".to_owned(), "1".to_owned())]);
    assert_eq!(sink.logs[0].at, NOW);
}

#[test]
fn our_own_log_encoder_round_trips() {
    assert_eq!(DecodeOptions::default().json_logs.line, LineSource::Object);
    let text = json_log(NOW, "it \"works\"", &[("service", "api"), ("user", "é")]);
    check_logs(
        "{}",
        &text,
        &[(r#"{service="api"}"#, 0, NOW.ms(), &text, &[("user", "é")])],
    );
}

#[test]
fn what_prometheus_kafka_adapter_writes() {
    let mut sink = RecordingSink::new();
    // The samples of its own documentation and of its serialisers' test, with a NaN beside them.
    let text = r#"{"timestamp":"1970-01-01T00:00:00Z","value":"9876543210","name":"up","labels":{"__name__":"up","label1":"value1","label2":"value2"}}
{"value":"+Inf","timestamp":"1970-01-01T00:00:10Z","name":"foo","labels":{"__name__":"foo","labelfoo":"label-bar"}}
{"labels":{"__name__":"job:up:sum","a.b":"c"},"name":"job:up:sum","timestamp":"2023-11-14T22:13:20Z","value":"NaN"}"#;
    Decoder::new(DecodeOptions::default())
        .decode(
            Format::PrometheusKafkaAdapter,
            text.as_bytes(),
            NOW,
            &mut sink,
        )
        .unwrap();
    assert_eq!(
        sink.text(),
        "up{label1=\"value1\", label2=\"value2\"} 9876543210 @0\n\
         foo{labelfoo=\"label-bar\"} inf @10000\n\
         job:up:sum{a.b=\"c\"} NaN @1700000000000\n"
    );
    assert_eq!(sink.refusals, []);
    // Its keys stay its keys, whatever the mapping of JSON metrics says.
    let options: DecodeOptions =
        serde_json::from_str(r#"{"json_metrics":{"value":"v","timestamp":"t"}}"#).unwrap();
    sink.clear();
    Decoder::new(options)
        .decode(
            Format::PrometheusKafkaAdapter,
            text.as_bytes(),
            NOW,
            &mut sink,
        )
        .unwrap();
    assert_eq!(sink.samples.len(), 3);
}
