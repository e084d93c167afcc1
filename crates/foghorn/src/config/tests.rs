use super::*;

fn check(text: &str, expect: &str) {
    let (_, problems) = parse("foghorn.yaml", text);
    let got: Vec<_> = problems
        .iter()
        .map(|p| {
            format!(
                "{}:{}: {} ({})",
                p.line,
                p.column,
                p.message,
                p.hint.as_deref().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(got.join("\n"), expect);
}

#[test]
fn a_small_config_is_fine() {
    check(
        "kafka: {brokers: 'localhost:9092', group: fog}\nsources:\n  - {name: m, topics: [otlp_metrics], format: otlp_metrics_proto}\n",
        "",
    );
}

#[test]
fn typos_say_what_was_meant() {
    check(
        "kafka:\n  brokers: 'localhost:9092'\n  gruop: fog\n",
        "3:3: unknown key `gruop` (did you mean `group`?)",
    );
    check(
        "start: windwo\n",
        "1:8: unknown value `windwo` (did you mean `window`?)",
    );
}

/// A source with these further keys.
fn check_source(keys: &str, expect: &str) {
    let text = format!(
        "kafka: {{brokers: 'localhost:9092', group: fog}}\nsources:\n  - {{name: m, topics: [a], {keys}}}\n"
    );
    check(&text, expect);
}

#[test]
fn sources_say_how_they_are_read() {
    check_source("format: json_logs, compression: gzip", "");
    check_source("format: remote_write_2, compression: zstd", "");
    check_source(
        "format: json_logs, decode: {json_logs: {timestamp: [t, /a/b]}}",
        "",
    );
    check_source(
        "format: json_logs, decode: {json_logs: {preset: fluentbit, line: object}}",
        "",
    );
    check_source(
        "format: json_logs, dedup: {field: [event_id, /meta/id], window: 5m, max_ids: 1000}",
        "",
    );
    check_source(
        "format: json_logs, decode: {json_logs: {preset: fluent}}",
        "3:76: unknown value `fluent` (did you mean `fluentbit`?)",
    );
    check_source(
        "format: json_logs, dedup: {fields: id}",
        "3:55: unknown key `fields` (did you mean `field`?)",
    );
    check_source(
        "format: json_metrics, decode: {json_logs: {preset: ecs}}",
        "3:59: source \"m\" is json_metrics, and never looks at decode.json_logs (give the source the format that its records have)",
    );
    check_source(
        "format: json_log",
        "3:36: unknown format `json_log` (did you mean `json_logs`?)",
    );
    check_source(
        "format: otlp_proto",
        "3:36: unknown format `otlp_proto` (the signal and the encoding cannot be told from the bytes; write otlp_metrics_proto, otlp_metrics_json, otlp_logs_proto or otlp_logs_json)",
    );
    check_source(
        "format: json_logs, compression: gzp",
        "3:60: unknown value `gzp` (did you mean `gzip`?)",
    );
    check_source(
        "format: json_logs, decode: {json_logs: {timestmp: t}}",
        "3:68: unknown key `timestmp` (did you mean `timestamp`?)",
    );
    check_source(
        "format: json_logs, allowed_lateness: 5 s",
        "3:65: \"5 s\" is no span of time: write it like 10s, 1m30s or 250ms (-)",
    );
}

/// A sink with these keys.
fn check_sink(keys: &str, expect: &str) {
    check(&format!("sinks:\n  - {{name: am, {keys}}}\n"), expect);
}

#[test]
fn sinks_say_what_was_meant() {
    let good = "type: alertmanager, urls: ['http://a:9093']";
    check_sink(good, "");
    check_sink(
        "type: alertmanagr, urls: ['http://a:9093']",
        "2:22: unknown value `alertmanagr` (did you mean `alertmanager`?)",
    );
    check_sink(
        &format!("{good}, resend_dely: 1m"),
        "2:61: unknown key `resend_dely` (did you mean `resend_delay`?)",
    );
    check_sink(
        &format!("{good}, api_version: v1"),
        "2:74: unknown value `v1` (did you mean `v2`?)",
    );
    check_sink(
        &format!("{good}, basic_auth: {{username: a, password_fil: x}}"),
        "2:87: unknown key `password_fil` (did you mean `password_file`?)",
    );
    check_sink(
        "type: ndjson, paht: x",
        "2:30: unknown key `paht` (did you mean `path`?)",
    );
}

#[test]
fn alertmanagers_make_sense() {
    check_sink(
        "type: alertmanager, urls: []",
        "2:36: sink \"am\" names no Alertmanager (add `urls: ['http://alertmanager:9093']`)",
    );
    check_sink(
        "type: alertmanager, urls: ['a:9093']",
        "2:44: sink \"am\" cannot send to \"a:9093\": its URL begins with a:, and only http: and https: are known (write it like http://alertmanager:9093)",
    );
}

#[test]
fn what_types_cannot_say_is_said() {
    check(
        "sources:\n  - {name: m, topics: [a], format: json_logs}\n",
        "1:1: sources read topics, but no cluster is named (add `kafka: {brokers: host:9092, group: foghorn}`)\n1:1: the cluster needs a consumer group (add `group: foghorn` under `kafka:`)",
    );
}

#[test]
fn scopes_are_for_metrics_and_name_labels_once() {
    check_source(
        "format: remote_write_1, scope: [cluster], replica: prometheus_replica",
        "",
    );
    check_source(
        "format: json_logs, scope: [cluster]",
        "3:47: source \"m\" is json_logs, which has no scope (scope and replica are for sources of metrics: logs, changes and alerts are read whole)",
    );
    check_source(
        "format: mimir, scope: [zone], replica: zone",
        "3:51: \"zone\" is named twice (scope tells clusters apart, replica the copies of one Prometheus)",
    );
    check_source(
        "format: mimir, scope: [alertname]",
        "3:51: \"alertname\" cannot be scope or replica (name a label that tells clusters or replicas apart, such as `cluster`)",
    );
    check(
        "receivers: {replica: le}\ntime: {scope_ttl: 30s}\n",
        "1:22: \"le\" cannot be scope or replica (name a label that tells clusters or replicas apart, such as `cluster`)\n2:8: scope_ttl is not longer than replica_timeout (a scope outlives the silence of its replicas: 24h and 1m by default)",
    );
}

#[test]
fn what_is_shown_of_a_config_holds_no_secrets() {
    let shown = without_secrets(
        "kafka:\n  properties: {sasl.password: 'hunter 2', ssl.key.location: /k}\nsinks:\n  - token_file: /t\n    secret: s3cret # why\n",
    );
    assert_eq!(
        shown,
        "kafka:\n  properties: {sasl.password: <secret>, ssl.key.location: /k}\nsinks:\n  - token_file: /t\n    secret: <secret> # why\n"
    );
}

#[test]
fn what_rules_get_where_their_groups_say_nothing() {
    let (config, _) = parse(
        "foghorn.yaml",
        "rules: {interval: 30s, query_offset: 10s, external_url: 'http://x'}\n",
    );
    let options = config.unwrap().rules.options(&BTreeMap::new());
    assert_eq!(
        (
            options.default_interval_ms,
            options.default_query_offset_ms,
            &*options.external_url
        ),
        (30_000, 10_000, "http://x")
    );
}
