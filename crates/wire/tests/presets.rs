//! JSON logs by the layouts of the programs that write them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::Timestamp;
use foghorn_wire::recording::{RecordedLog, RecordingSink};
use foghorn_wire::{DecodeOptions, Decoder, Format};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn decode(config: &str, text: &str) -> RecordedLog {
    let options: DecodeOptions =
        serde_json::from_str(&format!(r#"{{"json_logs":{config}}}"#)).unwrap();
    let mut sink = RecordingSink::new();
    Decoder::new(options)
        .decode(Format::JsonLogs, text.as_bytes(), NOW, &mut sink)
        .unwrap();
    assert_eq!(sink.refusals, [], "{text}");
    assert_eq!(sink.logs.len(), 1, "{text}");
    sink.logs.remove(0)
}

/// Stream, line, severity, milliseconds after `NOW`.
fn check(config: &str, text: &str, expect: (&str, &str, u8, i64)) {
    let log = decode(config, text);
    let got = (
        &*log.stream.to_string(),
        &*log.line,
        log.severity,
        log.at - NOW,
    );
    assert_eq!(got, expect, "{config} {text}");
}

fn field<'a>(log: &'a RecordedLog, name: &str) -> Option<&'a str> {
    log.attributes
        .iter()
        .find_map(|(own, value)| (own == name).then_some(&**value))
}

#[test]
fn ecs_nested_and_dotted() {
    let expect = (
        r#"{container="app", environment="prod", host="node-3", level="error", namespace="shop", pod="checkout-7d9", service_name="checkout"}"#,
        "card declined",
        17,
        123,
    );
    check(
        r#"{"preset":"ecs"}"#,
        r#"{"@timestamp":"2023-11-14T22:13:20.123Z","@metadata":{"beat":"filebeat","type":"_doc","version":"8.11.1"},
            "message":"card declined","log":{"level":"error","offset":7,"file":{"path":"/var/log/a.log"}},
            "service":{"name":"checkout","environment":"prod"},"host":{"name":"node-3"},"ecs":{"version":"8.0.0"},
            "kubernetes":{"namespace":"shop","pod":{"name":"checkout-7d9"},"container":{"name":"app"}}}"#,
        expect,
    );
    check(
        r#"{"preset":"ecs"}"#,
        r#"{"@timestamp":"2023-11-14T22:13:20.123Z","log.level":"error","message":"card declined","service.name":"checkout",
            "service.environment":"prod","host.name":"node-3","kubernetes.namespace":"shop",
            "kubernetes.pod.name":"checkout-7d9","kubernetes.container.name":"app"}"#,
        expect,
    );
}

#[test]
fn ecs_names_the_service_by_the_pod_where_it_says_nothing() {
    let log = decode(
        r#"{"preset":"ecs"}"#,
        r#"{"message":"m","host":"h","kubernetes":{"labels":{"app":"a","app_kubernetes_io/name":"b"}}}"#,
    );
    assert_eq!(log.stream.to_string(), r#"{host="h", service_name="b"}"#);
}

#[test]
fn fluent_bit_in_kubernetes() {
    let kubernetes = r#""stream":"stderr","kubernetes":{"namespace_name":"shop","pod_name":"cart-1","container_name":"cart",
        "host":"node-1","labels":{"app":"cart-svc"}}"#;
    let stream = |level: &str| {
        format!(
            r#"{{container="cart", host="node-1"{level}, namespace="shop", pod="cart-1", service_name="cart-svc", stream="stderr"}}"#
        )
    };
    let of =
        |time: &str, log: &str| format!(r#"{{"@timestamp":{time},"log":"{log}",{kubernetes}}}"#);
    let preset = r#"{"preset":"fluentbit"}"#;
    check(
        preset,
        &of("1700000000.123456", "out of stock\\n"),
        (&stream(""), "out of stock", 0, 123),
    );
    check(
        preset,
        &of(r#""2023-11-14T22:13:20.123456Z""#, "out of stock\\n"),
        (&stream(""), "out of stock", 0, 123),
    );
    let inner = r#"{\"level\":\"warn\",\"msg\":\"slow\",\"took\":{\"ms\":812}}\n"#;
    let line = r#"{"level":"warn","msg":"slow","took":{"ms":812}}"#;
    let expect = stream(r#", level="warn""#);
    check(preset, &of("1700000000.5", inner), (&expect, line, 13, 500));
    let log = decode(preset, &of("1700000000.5", inner));
    assert_eq!(field(&log, "log_took_ms"), Some("812"));
    // Asked not to look inside, or with nothing whole to look into, it stays a text.
    let plain = r#"{"preset":"fluentbit","nested":[]}"#;
    check(plain, &of("1700000000", inner), (&stream(""), line, 0, 0));
    check(
        preset,
        &of("1700000000", r#"{\"level\":\"warn\""#),
        (&stream(""), r#"{"level":"warn""#, 0, 0),
    );
}

#[test]
fn vector_in_kubernetes_and_from_syslog() {
    check(
        r#"{"preset":"vector"}"#,
        r#"{"file":"/var/log/pods/x.log","kubernetes":{"container_name":"cart","pod_labels":{"app.kubernetes.io/name":"cart-svc"},
            "pod_name":"cart-1","pod_namespace":"shop","pod_node_name":"node-1"},"message":"out of stock","level":"ERROR",
            "source_type":"kubernetes_logs","stream":"stderr","timestamp":"2023-11-14T22:13:20.123456789Z"}"#,
        (
            r#"{container="cart", host="node-1", level="ERROR", namespace="shop", pod="cart-1", service_name="cart-svc", source_type="kubernetes_logs", stream="stderr"}"#,
            "out of stock",
            17,
            123,
        ),
    );
    check(
        r#"{"preset":"vector"}"#,
        r#"{"appname":"sshd","facility":"auth","host":"h1","message":"bad login","procid":77,"severity":"warning",
            "source_ip":"10.0.0.1","source_type":"syslog","timestamp":"2023-11-14T22:13:20Z"}"#,
        (
            r#"{host="h1", level="warning", service_name="sshd", source_type="syslog"}"#,
            "bad login",
            13,
            0,
        ),
    );
}

#[test]
fn explicit_keys_win_over_the_presets() {
    check(
        r#"{"preset":"ecs","message":"text","stream":[{"label":"team","from":"/owner/team"}],"line":"message"}"#,
        r#"{"message":"m","text":"t","owner":{"team":"core"},"log":{"level":"info"}}"#,
        (r#"{team="core"}"#, "t", 9, 0),
    );
}

/// An object of `n` keys that begin with `prefix`, then a message.
fn wide(prefix: &str, n: usize) -> String {
    let keys: Vec<_> = (0..n)
        .map(|i| format!(r#""{prefix}{i}":{{"k":{i}}},"#))
        .collect();
    format!(r#"{{{}"message":"m","level":"warn"}}"#, keys.concat())
}

#[test]
fn what_came_before_changes_nothing() {
    let texts = [
        wide("a", 10),
        wide("b", 3_000),
        wide("c", 3_000),
        // More keys than are known at once, in one record.
        wide("d", 9_000),
        wide("a", 10),
        r#"{"message":"m","a1":{"k":1,"l":{"m":2}},"a0":{"k":"\u00e9"},"a1":3}"#.to_owned(),
        // One key so long that nothing of it fits, another as often.
        format!(r#"{{"{}":{{"x":1}},"message":"m"}}"#, "k".repeat(2_000_000)),
        wide("a", 10),
    ];
    let options: DecodeOptions =
        serde_json::from_str(r#"{"json_logs":{"preset":"ecs","max_attributes":20000}}"#).unwrap();
    let mut decoder = Decoder::new(options.clone());
    for text in &texts {
        let said = [&mut decoder, &mut Decoder::new(options.clone())].map(|decoder| {
            let mut sink = RecordingSink::new();
            decoder
                .decode(Format::JsonLogs, text.as_bytes(), NOW, &mut sink)
                .unwrap();
            (sink.logs, sink.refusals)
        });
        assert_eq!(said[0], said[1], "{text:.80}");
        assert_eq!(said[0].0[0].line, "m");
    }
    assert_eq!(
        decode(r#"{"preset":"ecs"}"#, &texts[0]).attributes.len(),
        10
    );
}
