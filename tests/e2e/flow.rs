//! Everything at once: each kind of telemetry in, each kind of sink out.

use foghorn_kafka::OwnedRecord;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use serde_json::Value;

use crate::client::Hook;
use crate::feed::{Feed, deploy, log, remote_write};
use crate::home::{Home, assert_consistent, member, summary, until};

const RULES: &str = r#"
groups:
  - name: requests
    interval: 1s
    sources: [metrics]
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        for: 1s
        labels: {severity: critical}
        annotations:
          summary: '{{ $labels.service_name }} fails {{ $value | humanizePercentage }} of its requests'
  - name: queues
    interval: 2s
    sources: [queues]
    rules:
      - alert: QueueDeep
        expr: max by (service) (queue_depth) > 100
        labels: {severity: warning}
  - name: lines
    interval: 1s
    sources: [logs]
    rules:
      - alert: ConnectionPoolExhausted
        expr: '{service="payments"} |= "pool exhausted"'
        resolve_after: 4s
        labels: {severity: warning}
"#;

struct Topics {
    metrics: String,
    queues: String,
    logs: String,
    changes: String,
    incidents: String,
    dead: String,
}

impl Topics {
    fn of(broker: &Broker) -> Self {
        Self {
            metrics: broker.topic("metrics", 4),
            queues: broker.topic("queues", 2),
            logs: broker.topic("logs", 1),
            changes: broker.topic("changes", 1),
            incidents: broker.topic("incidents", 1),
            dead: broker.topic("dead", 1),
        }
    }

    fn config(&self, broker: &Broker, hook: &Hook) -> String {
        let Self {
            metrics,
            queues,
            logs,
            changes,
            incidents,
            dead,
        } = self;
        let (brokers, hook) = (broker.bootstrap(), hook.address);
        format!(
            "
kafka: {{brokers: '{brokers}', group: '{metrics}', dead_letter_topic: '{dead}'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
  - {{name: queues, topics: ['{queues}'], format: remote_write_1, compression: snappy, allowed_lateness: 500ms}}
  - {{name: logs, topics: ['{logs}'], format: json_logs, allowed_lateness: 500ms}}
  - {{name: changes, topics: ['{changes}'], format: changes, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
  - {{type: webhook, name: pager, url: 'http://{hook}/page', allow_networks: [127.0.0.0/8]}}
time: {{idle_timeout: 1s}}
workers: 2
"
        )
    }
}

/// One look at the shop.
fn round(feed: &mut Feed, topics: &Topics, bad: bool) {
    let (ratio, depth) = if bad { (0.2, 500.0) } else { (0.01, 3.0) };
    for _ in 0..2 {
        feed.gauge((&topics.metrics, 4), "error_ratio", "payments", ratio);
        feed.gauge((&topics.metrics, 4), "error_ratio", "web", 0.01);
    }
    let body = remote_write("queue_depth", "payments", wall(), depth);
    feed.send(&topics.queues, wall().ms() as u32 % 2, &body, None);
    if bad {
        let line = log("payments", wall(), "db: connection pool exhausted");
        feed.send(&topics.logs, 0, &line, None);
    }
}

#[test]
fn every_kind_of_telemetry_becomes_incidents_at_every_kind_of_sink() {
    let broker = Broker::start();
    let (topics, hook) = (Topics::of(&broker), Hook::listen());
    let mut feed = Feed::to(&broker);
    let mut home = Home::new(&topics.config(&broker, &hook), RULES);
    home.start();

    let garbage = b"\x0a\xff not a request";
    feed.send(&topics.metrics, 3, garbage, None);
    feed.send(
        &topics.changes,
        0,
        &deploy("payments", "v42", wall() - 5_000),
        None,
    );
    let names = ["HighErrorRate", "QueueDeep", "ConnectionPoolExhausted"];
    let all_fire = |home: &Home| {
        names
            .iter()
            .all(|name| home.incident_with(name, "firing").is_some())
    };
    until("all three alerts in incidents", 30, || {
        round(&mut feed, &topics, true);
        all_fire(&home).then_some(())
    });
    check_api(&home);
    let incident = until("an open incident with all three", 10, || {
        round(&mut feed, &topics, true);
        let last = home.revisions().pop()?;
        names
            .iter()
            .all(|n| member(&last, n).is_some())
            .then_some(last)
    });
    let suspect = &incident["suspects"][0];
    assert_eq!(suspect["service"], "payments", "{}", summary(&incident));
    assert_eq!(suspect["change"]["version"], "v42", "{suspect}");

    let resolved = until("the incident resolved", 40, || {
        round(&mut feed, &topics, false);
        let last = home.revisions().pop()?;
        (last["status"] == "resolved").then_some(last)
    });
    assert_eq!(resolved["id"], incident["id"]);
    assert_eq!(resolved["no_data"], false);
    for name in names {
        assert_eq!(member(&resolved, name).unwrap()["state"], "resolved");
    }
    check_dead_letter(&feed.read(&topics.dead), &topics.metrics, garbage);
    home.stop();
    let revisions = home.revisions();
    let ids = assert_consistent(&revisions);
    check_events(&feed.read(&topics.incidents), &revisions);
    check_pages(&hook.taken(), &ids, &resolved);
}

/// While all fire.
fn check_api(home: &Home) {
    let open = home.data("/api/v1/incidents?status=open");
    assert!(open["total"].as_u64() >= Some(1), "{open}");
    let id = open["incidents"][0]["id"].as_str().unwrap();
    assert_eq!(
        home.data(&format!("/api/v1/incidents/{id}"))["id"],
        open["incidents"][0]["id"]
    );
    for name in ["HighErrorRate", "QueueDeep", "ConnectionPoolExhausted"] {
        let alert = home.alert(name).unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(alert["state"], "firing", "{alert}");
    }
    let rules = home.data("/api/v1/rules");
    let groups: Vec<_> = rules["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["name"].as_str().unwrap())
        .collect();
    assert_eq!(groups, ["requests", "queues", "lines"]);
    let rule = &rules["groups"][0]["rules"][0];
    assert_eq!(
        (&rule["state"], &rule["health"]),
        (&"firing".into(), &"ok".into()),
        "{rule}"
    );
    for (metric, least) in [
        ("foghorn_records_total", 10.0),
        ("foghorn_samples_total", 10.0),
        ("foghorn_log_records_total", 1.0),
        ("foghorn_signals_total", 3.0),
        ("foghorn_incident_revisions_total", 1.0),
        ("foghorn_decode_errors_total", 1.0),
    ] {
        until(metric, 5, || (home.metric(metric) >= least).then_some(()));
    }
}

/// The one record that nobody could decode is there as it was, and says why.
fn check_dead_letter(letters: &[OwnedRecord], topic: &str, payload: &[u8]) {
    let [letter] = letters else {
        panic!("one dead letter, not {letters:?}")
    };
    assert_eq!(letter.payload.as_deref(), Some(payload));
    let header = |name: &str| {
        let (_, value) = letter.headers.iter().find(|(n, _)| n == name).unwrap();
        String::from_utf8(value.clone()).unwrap()
    };
    assert_eq!(header("foghorn.dlq.topic"), topic);
    assert_eq!(header("foghorn.dlq.partition"), "3");
    assert_eq!(header("foghorn.dlq.offset"), "0");
    assert_eq!(header("foghorn.dlq.format"), "otlp_metrics_proto");
    assert!(!header("foghorn.dlq.reason").is_empty());
}

/// The topic says what the NDJSON sink says, as `CloudEvents` keyed by incident.
fn check_events(records: &[OwnedRecord], revisions: &[Value]) {
    let mut said = Vec::new();
    for record in records {
        let event: Value = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
        let incident = event["data"].clone();
        let id = incident["id"].as_str().unwrap();
        assert_eq!(record.key.as_deref(), Some(id.as_bytes()));
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["subject"], id);
        assert_eq!(event["id"], format!("{id}.{}", incident["revision"]));
        let kind = incident["event"].as_str().unwrap();
        assert_eq!(event["type"], format!("dev.foghorn.incident.{kind}.v1"));
        said.push(incident);
    }
    assert_eq!(said, revisions);
}

/// A pager may be spared what is outdated, but not the end.
fn check_pages(pages: &[Value], ids: &[String], resolved: &Value) {
    let first = pages.first().expect("a page");
    assert_eq!(
        (&first["version"], &first["status"]),
        (&"4".into(), &"firing".into())
    );
    let last = pages.last().unwrap();
    assert_eq!(last["status"], "resolved");
    assert_eq!(last["groupKey"], resolved["id"]);
    assert_eq!(last["incident"]["revision"], resolved["revision"]);
    let known = |page: &Value| ids.iter().any(|id| page["groupKey"] == **id);
    assert!(pages.iter().all(known), "{pages:?}");
}
