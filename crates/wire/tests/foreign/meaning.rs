//! What records of other programs decode to.

use foghorn_model::Timestamp;
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder};

use crate::fixture::fixtures;

/// After all that the fixtures tell.
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// When the fixtures were written, give or take: a firing alert ends four minutes later, so to say.
const THEN: Timestamp = Timestamp(1_795_576_100_000);

/// Decodes fixtures in turn, with one decoder.
fn decode(options: &str, files: &[&str]) -> RecordingSink {
    decode_at(NOW, options, files)
}

/// As [`decode`], of records that came at `time`.
fn decode_at(time: Timestamp, options: &str, files: &[&str]) -> RecordingSink {
    let options: DecodeOptions = serde_json::from_str(options).unwrap();
    let mut decoder = Decoder::new(options);
    let mut sink = RecordingSink::new();
    let all = fixtures();
    for file in files {
        let fixture = all.iter().find(|fixture| fixture.file == *file).unwrap();
        decoder
            .decode_compressed(
                fixture.format,
                fixture.compression,
                fixture.bytes,
                time,
                &mut sink,
            )
            .unwrap();
    }
    sink
}

/// Each log as `stream | line | severity`.
fn check_logs(preset: &str, file: &str, expect: &[&str]) {
    let options = format!(r#"{{"json_logs":{{"preset":"{preset}"}}}}"#);
    let sink = decode(&options, &[file]);
    let logs: Vec<_> = sink
        .logs
        .iter()
        .map(|log| format!("{} | {} | {}", log.stream, log.line, log.severity))
        .collect();
    assert_eq!(logs, expect, "{file}");
    assert_eq!(sink.refusals, [], "{file}");
}

#[test]
fn every_fixture_is_read_whole() {
    for fixture in fixtures() {
        let sink = decode("{}", &[fixture.file]);
        let used = sink.samples.len() + sink.logs.len() + sink.changes.len() + sink.alerts.len();
        assert!(used + sink.witnessed.len() > 0, "{}", fixture.file);
        // Native histograms are not read, and said so.
        let unread = sink
            .codes()
            .into_iter()
            .filter(|code| *code != "unsupported_type");
        assert_eq!(unread.count(), 0, "{}: {:?}", fixture.file, sink.refusals);
    }
}

#[test]
fn logs_by_their_programs_presets() {
    check_logs(
        "ecs",
        "ecs-logging/logs.ndjson",
        &[
            r#"{environment="lab", level="info", service_name="checkout"} | order 7 taken | 9"#,
            r#"{environment="lab", level="warning", service_name="checkout"} | slow answer | 13"#,
            r#"{environment="lab", level="error", service_name="checkout"} | payment failed | 17"#,
        ],
    );
    check_logs(
        "ecs",
        "documentation/filebeat.ndjson",
        &[
            r#"{container="app", host="node-3", level="error", namespace="shop", pod="checkout-7d9", service_name="checkout"} | card declined | 17"#,
        ],
    );
    check_logs(
        "fluentbit",
        "documentation/fluent_bit.ndjson",
        &[
            r#"{container="fluent-bit", host="minikube", namespace="logging", pod="fluent-bit-qpz69", service_name="fluent-bit-logging", stream="stderr"} | [error] [out_kafka] delivery failed | 0"#,
            r#"{container="cart", host="node-1", level="warn", namespace="shop", pod="cart-1", service_name="cart", stream="stdout"} | {"level":"warn","msg":"slow","took":{"ms":812}} | 13"#,
        ],
    );
    check_logs(
        "fluentbit",
        "fluent-bit/cri.ndjson",
        &[
            r#"{host="node-1", service_name="checkout", stream="stderr"} | [error] payment failed: timeout | 0"#,
            r#"{host="node-1", level="warn", service_name="checkout", stream="stdout"} | {"level":"warn","msg":"slow","took":{"ms":812}} | 13"#,
        ],
    );
    check_logs(
        "vector",
        "documentation/vector.ndjson",
        &[
            r#"{container="cart", host="node-1", namespace="shop", pod="cart-1", service_name="cart-svc", source_type="kubernetes_logs", stream="stderr"} | out of stock | 0"#,
            r#"{host="h1", level="warning", service_name="sshd", source_type="syslog"} | bad login | 13"#,
        ],
    );
}

#[test]
fn an_sdks_logs() {
    let sink = decode(
        r#"{"stream_labels":["service.name","level"]}"#,
        &["otel-sdk/logs.bin"],
    );
    let logs: Vec<_> = sink
        .logs
        .iter()
        .map(|log| format!("{} {}", log.stream, log.line))
        .collect();
    assert_eq!(
        logs,
        [
            r#"{level="info", service_name="checkout"} order 0 taken"#,
            r#"{level="info", service_name="checkout"} order 1 taken"#,
            r#"{level="info", service_name="checkout"} order 2 taken"#,
            r#"{level="error", service_name="checkout"} payment failed"#,
        ]
    );
    let of_last = |name: &str| {
        let attributes = &sink.logs[3].attributes;
        attributes
            .iter()
            .any(|(own, value)| own == name && !value.is_empty())
    };
    assert!(of_last("trace_id") && of_last("exception_message"));
}

#[test]
fn an_sdks_metrics() {
    let sink = decode("{}", &["otel-sdk/metrics.bin"]);
    let values: Vec<_> = sink
        .samples
        .iter()
        .filter(|sample| !sample.labels.metric().ends_with("_bucket"))
        .map(|sample| format!("{}={}", sample.labels.metric(), sample.value))
        .collect();
    assert_eq!(
        values,
        [
            "orders_total=3",
            "http_server_request_duration_seconds_sum=0.06",
            "http_server_request_duration_seconds_count=3",
            "queue_length=0",
            "room_temperature_celsius=22.5",
        ]
    );
    let labels = &sink.samples[0].labels;
    let part = |name: &str| labels.value(name).to_owned();
    assert_eq!(
        [part("job"), part("instance"), part("http_route")],
        ["shop/checkout", "checkout-1", "/pay"]
    );
}

#[test]
fn an_sdks_spans_show_who_calls_whom() {
    for files in [
        ["otel-sdk/traces_web.bin", "otel-sdk/traces_checkout.bin"],
        ["otel-sdk/traces_checkout.bin", "otel-sdk/traces_web.bin"],
    ] {
        let sink = decode("{}", &files);
        let mut edges: Vec<_> = sink
            .edges
            .iter()
            .map(|(client, server)| format!("{client}->{server}"))
            .collect();
        edges.sort_unstable();
        edges.dedup();
        assert_eq!(
            edges,
            ["checkout->orders", "checkout->stripe", "web->checkout"]
        );
    }
}

/// What a collector wrote, in both encodings.
fn check_collector(signal: &str, told: impl Fn(&RecordingSink) -> Vec<String>, expect: &[&str]) {
    for encoding in ["bin", "json"] {
        let file = format!("otel-collector/{signal}.{encoding}");
        let sink = decode(r#"{"stream_labels":["log.file.name"]}"#, &[&file]);
        assert_eq!(told(&sink), expect, "{file}");
        assert_eq!(sink.refusals, [], "{file}");
    }
}

#[test]
fn a_collectors_logs_metrics_and_spans() {
    let logs = |sink: &RecordingSink| {
        let logs = sink.logs.iter();
        logs.map(|log| format!("{} {}", log.stream, log.line))
            .collect()
    };
    check_collector(
        "logs",
        logs,
        &[
            r#"{log_file_name="app.log"} ERROR connection pool exhausted"#,
            r#"{log_file_name="app.log"} INFO ready in 12 ms"#,
        ],
    );
    let metrics = |sink: &RecordingSink| {
        let samples = sink.samples.iter();
        samples
            .map(|sample| format!("{} {}", sample.labels, sample.value))
            .collect()
    };
    check_collector(
        "metrics",
        metrics,
        &[
            "system_cpu_load_average_15m 1.36",
            "system_cpu_load_average_1m 2.77",
            "system_cpu_load_average_5m 2.52",
            r#"system_memory_usage_bytes{state="used"} 850337792"#,
            r#"system_memory_usage_bytes{state="free"} 20828762112"#,
            r#"system_memory_usage_bytes{state="buffered"} 65720320"#,
            r#"system_memory_usage_bytes{state="cached"} 3929759744"#,
            r#"system_memory_usage_bytes{state="slab_reclaimable"} 264302592"#,
            r#"system_memory_usage_bytes{state="slab_unreclaimable"} 34529280"#,
        ],
    );
    let edges = |sink: &RecordingSink| {
        let edges = sink.edges.iter();
        edges
            .map(|(client, server)| format!("{client}->{server}"))
            .collect()
    };
    check_collector("traces", edges, &["web->checkout"]);
}

/// Alerts as `name instance`, with `ended` behind those that are over.
fn check_alerts(file: &str, expect: &[&str]) {
    let sink = decode_at(THEN, "{}", &[file]);
    let alerts: Vec<_> = sink
        .alerts
        .iter()
        .map(|alert| {
            let over = if alert.ends_at.is_some() {
                " ended"
            } else {
                ""
            };
            let part = |name| alert.labels.value(name);
            format!("{} {}{over}", part("alertname"), part("instance"))
        })
        .collect();
    assert_eq!(alerts, expect, "{file}");
}

#[test]
fn alerts_of_prometheus_and_alertmanager() {
    check_alerts(
        "prometheus/alerts_v2_firing.json",
        &["TargetDown 127.0.0.1:19100"],
    );
    check_alerts(
        "prometheus/alerts_v2_firing_and_ended.json",
        &[
            "TargetDown 127.0.0.1:19100",
            "NodeBusy 127.0.0.1:19100 ended",
        ],
    );
    check_alerts(
        "alertmanager/webhook_firing_and_resolved.json",
        &[
            "TargetDown 127.0.0.1:19",
            "TargetDown 127.0.0.1:19100 ended",
        ],
    );
    // Created and then grouped; grouped again once it is over, and resolved once that is told.
    check_alerts(
        "alertmanager/events.ndjson",
        &[
            "TargetDown 127.0.0.1:19100",
            "TargetDown 127.0.0.1:19100",
            "TargetDown 127.0.0.1:19",
            "TargetDown 127.0.0.1:19",
            "TargetDown 127.0.0.1:19100 ended",
            "TargetDown 127.0.0.1:19100 ended",
            "NodeBusy 127.0.0.1:19100",
            "NodeBusy 127.0.0.1:19100",
            "NodeBusy 127.0.0.1:19100 ended",
            "TargetDown 127.0.0.1:19100",
            "NodeBusy 127.0.0.1:19100 ended",
        ],
    );
}

#[test]
fn prometheus_own_remote_write() {
    let sink = decode("{}", &["prometheus/remote_write_1.snappy"]);
    let up = sink
        .samples
        .iter()
        .filter(|sample| sample.labels.metric() == "up")
        .map(|sample| format!("{} {}", sample.labels.value("job"), sample.value));
    assert_eq!(up.collect::<Vec<_>>(), ["prometheus 1", "node 1"]);
    assert!(sink.samples.iter().all(|sample| {
        sample.labels.value("cluster") == "lab" && !sample.labels.value("instance").is_empty()
    }));
}
