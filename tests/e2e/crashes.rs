//! What a crash and an orderly end leave behind.

use foghorn_testkit::broker::{Broker, Kind};
use serde_json::Value;

use crate::feed::Feed;
use crate::home::{Home, assert_consistent, assert_said_once, member, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        for: 1s
        labels: {severity: critical}
      - alert: SomeLatency
        expr: max by (service_name) (latency_seconds) > 1
";

/// A home over one topic of metrics, with an NDJSON sink and a topic of incidents.
fn home(broker: &Broker, metrics: &str, incidents: &str, snapshot_interval: &str) -> Home {
    let brokers = broker.bootstrap();
    let config = format!(
        "
kafka:
  brokers: '{brokers}'
  group: '{metrics}'
  # So long does the group wait for members that were killed.
  properties: {{session.timeout.ms: '6000', max.poll.interval.ms: '10000'}}
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{incidents}'}}
time: {{idle_timeout: 1s}}
snapshot_interval: {snapshot_interval}
"
    );
    Home::new(&config, RULES)
}

fn events(feed: &Feed, topic: &str) -> Vec<Value> {
    let data = |payload: Option<Vec<u8>>| {
        let event: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        event["data"].clone()
    };
    feed.read(topic)
        .into_iter()
        .map(|r| data(r.payload))
        .collect()
}

#[test]
fn a_killed_process_goes_on_with_the_same_alert_and_incident() {
    check_kills("0s");
}

#[test]
fn nor_does_anything_begin_anew_where_snapshots_are_made_all_the_time() {
    let said = check_kills("100ms");
    assert!(
        said.iter()
            .any(|line| line.contains("gone on from a snapshot"))
    );
    assert!(
        !said.iter().any(|line| line.contains("not used")),
        "{said:?}"
    );
}

/// Kills a process at several moments; what all its lives said.
fn check_kills(snapshot_interval: &str) -> Vec<String> {
    let broker = Broker::start();
    let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
    let mut feed = Feed::to(&broker);
    let mut home = home(&broker, &metrics, &incidents, snapshot_interval);
    let metrics = (&*metrics, 2);
    home.start();
    let before = until("an incident", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        feed.gauge(metrics, "latency_seconds", "payments", 0.1);
        home.incident_with("HighErrorRate", "firing")
    });
    let active_at = home.alert("HighErrorRate").unwrap()["activeAt"].clone();

    // At rest; then while it recovers; then again when something has just begun.
    for moment in ["assigned", "listening", "assigned"] {
        home.kill();
        for _ in 0..6 {
            feed.gauge(metrics, "error_ratio", "payments", 0.3);
        }
        home.spawn();
        until(moment, 60, || {
            feed.gauge(metrics, "error_ratio", "payments", 0.3);
            home.has_said(moment).then_some(())
        });
    }
    home.await_ready();
    let after = until("the second alert in the same incident", 40, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.3);
        feed.gauge(metrics, "latency_seconds", "payments", 3.0);
        home.incident_with("SomeLatency", "firing")
    });
    assert_eq!(after["id"], before["id"]);
    assert!(after["revision"].as_u64() > before["revision"].as_u64());
    let (earlier, later) = (
        member(&before, "HighErrorRate"),
        member(&after, "HighErrorRate"),
    );
    assert_eq!(later.unwrap()["active_at"], earlier.unwrap()["active_at"]);
    assert_eq!(later.unwrap()["alert"], earlier.unwrap()["alert"]);
    let alert = home.alert("HighErrorRate");
    let alert = alert.expect("the API shows alerts that fired before the crash");
    assert_eq!(
        (&alert["activeAt"], &alert["state"]),
        (&active_at, &"firing".into())
    );

    let resolved = until("resolved", 40, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.01);
        feed.gauge(metrics, "latency_seconds", "payments", 0.1);
        let last = home.revisions().pop()?;
        (last["status"] == "resolved").then_some(last)
    });
    assert_eq!(resolved["id"], before["id"]);
    home.stop();
    if broker.kind() != Kind::Mock {
        // Mock brokers cannot be asked for what was said since a time.
        assert_said_once(&events(&feed, &incidents));
    }
    for said in [home.revisions(), events(&feed, &incidents)] {
        assert_eq!(assert_consistent(&said), [before["id"].as_str().unwrap()]);
        let alerts = said.last().unwrap()["alerts"].as_array().unwrap();
        assert_eq!(alerts.len(), 2, "nothing was opened twice: {alerts:?}");
    }
    home.all_said()
}

#[test]
fn sigterm_works_off_what_was_read_and_ends_well() {
    let broker = Broker::start();
    let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
    let mut feed = Feed::to(&broker);
    let mut home = home(&broker, &metrics, &incidents, "0s");
    home.start();
    let fires = until("firing", 30, || {
        feed.gauge((&metrics, 2), "error_ratio", "payments", 0.2);
        home.alert("HighErrorRate")
            .filter(|alert| alert["state"] == "firing")
    });
    assert_eq!(fires["labels"]["service_name"], "payments");
    home.stop();
    let said = home.revisions();
    assert_eq!(
        said,
        events(&feed, &incidents),
        "both sinks have everything"
    );
    let last = said.last().expect("what was decided is delivered");
    assert_eq!(member(last, "HighErrorRate").unwrap()["state"], "firing");

    // A second good end right after a start, with nothing new in between.
    home.start();
    home.stop();
    assert_consistent(&home.revisions());
}

#[test]
fn what_was_decided_and_not_yet_handed_on_is_said_after_the_crash() {
    let broker = Broker::start();
    let (metrics, incidents) = (broker.topic("metrics", 2), broker.topic("incidents", 1));
    let mut feed = Feed::to(&broker);
    let mut home = home(&broker, &metrics, &incidents, "0s");
    let metrics = (&*metrics, 2);
    home.start();
    until("firing", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.2);
        home.incident_with("HighErrorRate", "firing")
    });
    home.stop();
    let outbox = home.save("state/outbox");
    home.start();
    let resolved = until("resolved", 30, || {
        feed.gauge(metrics, "error_ratio", "payments", 0.01);
        home.incident_with("HighErrorRate", "resolved")
    });
    home.kill();

    // As if the crash had come when the log had the end and the outbox had not.
    home.put_back("state/outbox", &outbox);
    home.write("incidents.ndjson", "");
    home.start();
    let again = until("said once more", 30, || home.revisions().pop());
    assert_eq!(again, resolved);
    home.stop();
}
