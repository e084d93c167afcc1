//! Telemetry by HTTP, without any Kafka.

use foghorn_runtime::clock::wall;
use foghorn_wire::encode::{LogLine, OtlpLogs};

use crate::feed::{deploy, gauge, instant, remote_write};
use crate::home::{Home, assert_consistent, member, until};

const CONFIG: &str = "
sources: []
sinks: [{type: ndjson, name: lines, path: incidents.ndjson}]
time: {idle_timeout: 1s}
";

const RULES: &str = r#"
groups:
  - name: all
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
      - alert: QueueDeep
        expr: max by (service) (queue_depth) > 100
      - alert: PoolExhausted
        expr: '{service_name="payments"} |= "pool exhausted"'
        resolve_after: 3s
"#;

const PROTOBUF: &str = "Content-Type: application/x-protobuf";
const JSON: &str = "Content-Type: application/json";
const SNAPPY: &str = "Content-Encoding: snappy";

/// Posts what must be taken.
fn post(home: &Home, path: &str, headers: &[&str], body: &[u8]) {
    let answer = home.ask(&format!("POST {path}"), headers, body);
    assert!(matches!(answer.status, 200 | 204), "{path}: {answer:?}");
}

fn round(home: &Home, bad: bool) {
    let (ratio, depth) = if bad { (0.2, 500.0) } else { (0.01, 3.0) };
    let body = gauge("error_ratio", "payments", wall(), ratio);
    post(home, "/v1/metrics", &[PROTOBUF], &body);
    let body = remote_write("queue_depth", "payments", wall(), depth);
    post(home, "/api/v1/write", &[PROTOBUF, SNAPPY], &body);
    let line = if bad { "pool exhausted" } else { "all is well" };
    let record = LogLine {
        at: wall(),
        severity: 17,
        line,
        attributes: &[],
    };
    let logs = OtlpLogs::new().resource(&[("service.name", "payments")], |logs| {
        logs.line(&record);
    });
    post(home, "/v1/logs", &[PROTOBUF], &logs.into_bytes());
}

#[test]
fn telemetry_by_http_becomes_an_incident_that_survives_a_crash() {
    let mut home = Home::new(CONFIG, RULES);
    home.start();
    post(
        &home,
        "/api/v1/changes",
        &[JSON],
        &deploy("payments", "v42", wall() - 5_000),
    );
    let names = ["HighErrorRate", "QueueDeep", "PoolExhausted"];
    let open = until("an incident with all three", 30, || {
        round(&home, true);
        let last = home.revisions().pop()?;
        names
            .iter()
            .all(|n| member(&last, n).is_some())
            .then_some(last)
    });
    assert_eq!(open["suspects"][0]["change"]["version"], "v42");

    let id = open["id"].as_str().unwrap();
    let order = format!("POST /api/v1/incidents/{id}/acknowledge");
    let answer = home.ask(&order, &[JSON], b"{\"by\": \"ana\"}");
    assert_eq!(answer.status, 200, "{}", answer.body);
    home.kill();
    home.start();
    let incident = home.data(&format!("/api/v1/incidents/{id}"));
    assert_eq!(incident["status"], "acknowledged", "what was taken is kept");
    let resolved = until("resolved", 40, || {
        round(&home, false);
        let last = home.revisions().pop()?;
        (last["status"] == "resolved").then_some(last)
    });
    assert_eq!(resolved["id"], open["id"]);
    home.stop();
    assert_eq!(assert_consistent(&home.revisions()).len(), 1);
}

#[test]
fn what_was_answered_with_success_is_decided_on_though_the_process_is_killed_at_once() {
    let rules = r"
groups:
  - name: seen
    interval: 1s
    rules:
      - alert: Seen
        expr: sum_over_time(error_ratio[5m]) >= 3
        keep_firing_for: 5m
";
    let mut home = Home::new(CONFIG, rules);
    home.start();
    let (began, sent) = (wall(), 12);
    for n in 0..sent {
        let body = gauge("error_ratio", "payments", instant(), 1.0);
        post(&home, "/v1/metrics", &[PROTOBUF], &body);
        if n % 4 == 3 {
            // Before any tick can have closed over the last of them.
            home.kill();
            home.start();
        }
    }
    let value = until("an alert over all that was sent", 60, || {
        let alert = home.alert("Seen")?;
        let value = alert["value"]
            .as_f64()
            .or(alert["value"].as_str()?.parse().ok())?;
        (value >= f64::from(sent)).then_some(value)
    });
    assert!(
        wall() - began < 300_000,
        "the window is too short for this machine"
    );
    assert!(
        (value - f64::from(sent)).abs() < f64::EPSILON,
        "{value} of {sent}: each once"
    );
    home.stop();
    assert_eq!(assert_consistent(&home.revisions()).len(), 1);
}

#[test]
fn what_is_no_telemetry_is_a_bad_request() {
    let mut home = Home::new(CONFIG, RULES);
    home.start();
    let check = |path: &str, headers: &[&str], body: &[u8], status: u16| {
        let answer = home.ask(&format!("POST {path}"), headers, body);
        assert_eq!(answer.status, status, "{path} {headers:?}: {}", answer.body);
    };
    check("/v1/metrics", &[PROTOBUF], b"\x0a\xff garbage", 400);
    check("/v1/metrics", &[JSON], b"{\"resourceMetrics\": 7}", 400);
    check("/v1/logs", &[PROTOBUF], b"\x0a\xff garbage", 400);
    check("/api/v1/write", &[PROTOBUF, SNAPPY], b"garbage", 400);
    check("/api/v1/changes", &[JSON], b"[{]", 400);
    check("/v1/metrics", &["Content-Type: text/plain"], b"x 1", 415);
    check("/v1/nothing", &[JSON], b"{}", 404);
    home.stop();
    assert_eq!(home.revisions(), [] as [serde_json::Value; 0]);
}
