//! What a restart goes on from when its sources have no more what it has read, and what it says when
//! it has nothing to go on from.

use std::fs;
use std::path::PathBuf;

use foghorn_testkit::broker::{Broker, Kind};

use crate::feed::{Feed, gauge, instant};
use crate::home::{Home, not_proven, until};

const RULES: &str = r"
groups:
  - name: seen
    interval: 1s
    rules:
      - alert: Seen
        expr: sum_over_time(error_ratio[1h]) >= 1
        keep_firing_for: 1h
";

/// A home without any Kafka that writes snapshots as often as it can.
fn home() -> Home {
    home_with("snapshot_interval: 100ms")
}

fn home_with(more: &str) -> Home {
    let config = format!(
        "
sources: []
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
time: {{idle_timeout: 1s}}
{more}
"
    );
    Home::new(&config, RULES)
}

fn post(home: &Home, count: usize) {
    for _ in 0..count {
        let body = gauge("error_ratio", "payments", instant(), 1.0);
        let headers = ["Content-Type: application/x-protobuf"];
        let answer = home.ask("POST /v1/metrics", &headers, &body);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

/// Waits until the rule has seen so many, and never more.
fn sees(home: &Home, count: usize) {
    let value = until(&format!("{count} seen"), 40, || {
        let alert = home.alert("Seen")?;
        let value = alert["value"].as_str()?.parse::<f64>().ok()?;
        (value >= count as f64).then_some(value)
    });
    assert!(
        (value - count as f64).abs() < f64::EPSILON,
        "{value} of {count}: each once"
    );
}

/// Waits until a snapshot is on disk that knows of everything so far: the next but one that ends.
fn snapshot(home: &Home) {
    let written = || home.metric("foghorn_snapshots_total");
    let before = written();
    until("a snapshot", 20, || {
        (written() >= before + 2.0).then_some(())
    });
}

/// The snapshots, the newest first.
fn snapshots(home: &Home) -> Vec<PathBuf> {
    let listed = fs::read_dir(home.path("state/snapshots")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "snapshot"))
        .collect();
    paths.sort();
    paths.reverse();
    paths
}

fn damage(path: &PathBuf) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_the_source_has_no_more_comes_back_from_a_snapshot() {
    let mut home = home();
    home.start();
    post(&home, 5);
    sees(&home, 5);
    snapshot(&home);
    home.kill();
    fs::remove_dir_all(home.path("state/journal")).unwrap();
    home.start();
    assert!(home.has_said("gone on from a snapshot"));
    post(&home, 3);
    sees(&home, 8);
    // What came after the last snapshot is read again, once.
    for _ in 0..3 {
        post(&home, 1);
        home.kill();
        home.start();
    }
    sees(&home, 11);
    assert!(home.alert("FoghornGap").is_none());
    home.stop();
}

#[test]
fn an_orderly_end_leaves_a_snapshot_of_everything() {
    let mut home = home();
    home.start();
    post(&home, 4);
    sees(&home, 4);
    home.stop();
    fs::remove_dir_all(home.path("state/journal")).unwrap();
    home.start();
    post(&home, 1);
    sees(&home, 5);
    home.stop();
}

#[test]
fn a_corrupt_snapshot_gives_way_to_the_one_before_it() {
    let mut home = home();
    home.start();
    post(&home, 3);
    sees(&home, 3);
    snapshot(&home);
    post(&home, 2);
    sees(&home, 5);
    snapshot(&home);
    home.kill();
    let [newest, before] = &snapshots(&home)[..] else {
        panic!("the newest two are kept: {:?}", snapshots(&home));
    };
    damage(newest);
    home.start();
    assert!(home.has_said("a snapshot is corrupt"));
    assert!(home.has_said(before.file_name().unwrap().to_str().unwrap()));
    assert!(newest.with_extension("aside").exists());
    post(&home, 1);
    sees(&home, 6);
    home.stop();
}

#[test]
fn other_rules_are_put_in_force_over_what_a_snapshot_holds() {
    let mut home = home();
    home.start();
    post(&home, 3);
    sees(&home, 3);
    home.stop();
    fs::remove_dir_all(home.path("state/journal")).unwrap();
    let more = "
      - alert: SeenOften
        expr: sum_over_time(error_ratio[1h]) >= 4
";
    home.write("rules.yaml", &format!("{RULES}{more}"));
    home.start();
    post(&home, 1);
    sees(&home, 4);
    until("the new rule over what was there before", 20, || {
        home.alert("SeenOften")
    });
    // The snapshot after a reload is of the new rules.
    snapshot(&home);
    home.kill();
    fs::remove_dir_all(home.path("state/journal")).unwrap();
    home.start();
    post(&home, 1);
    sees(&home, 5);
    home.stop();
}

#[test]
fn a_source_that_keeps_too_little_is_said_or_ends_the_start() {
    for (on_gap, goes_on) in [("continue-and-say", true), ("stop", false)] {
        let mut home = home_with(&format!("snapshot_interval: 0s\non_gap: {on_gap}"));
        home.start();
        post(&home, 3);
        sees(&home, 3);
        home.kill();
        fs::remove_dir_all(home.path("state/journal")).unwrap();
        if goes_on {
            home.start();
            post(&home, 1);
            until("the gap in an incident", 20, || {
                home.incident_with("FoghornGap", "firing")
            });
            home.stop();
        } else {
            home.spawn();
            assert!(!home.await_end(20).success());
            assert!(home.has_said("on_gap: continue-and-say"));
        }
    }
}

#[test]
fn the_log_before_the_older_snapshot_is_forgotten_and_nothing_with_it() {
    let mut home = home();
    home.start();
    post(&home, 3);
    sees(&home, 3);
    let before = home.incident_with("Seen", "firing").unwrap();
    let begins = |home: &Home| home.path("state/signals/signals.log").exists();
    until("the log's beginning to go", 20, || {
        post(&home, 1);
        (!begins(&home)).then_some(())
    });
    let files = fs::read_dir(home.path("state/signals")).unwrap().count();
    assert!(files <= 6, "{files} files");
    // More than a restart needs of the API's past: who took it, and since when it fires.
    let path = format!(
        "POST /api/v1/incidents/{}/acknowledge",
        before["id"].as_str().unwrap()
    );
    let answer = home.ask(
        &path,
        &["Content-Type: application/json"],
        br#"{"by": "ada"}"#,
    );
    assert!(answer.status < 300, "{answer:?}");
    snapshot(&home);
    snapshot(&home);
    home.kill();
    home.start();
    let after = home.data("/api/v1/alerts");
    assert!(
        after["alerts"][0]["labels"]["alertname"] == "Seen",
        "{after}"
    );
    let incident = home.get(&format!(
        "/api/v1/incidents/{}",
        before["id"].as_str().unwrap()
    ));
    assert!(incident.body.contains("ada"), "{incident:?}");
    // Nobody knows what was said before any more.
    home.kill();
    snapshots(&home).iter().for_each(damage);
    home.spawn();
    assert!(!home.await_end(20).success());
    assert!(home.has_said("no snapshot in"));
}

#[test]
fn what_kafka_has_no_more_comes_back_from_a_snapshot_or_is_said() {
    let broker = Broker::start();
    if broker.kind() == Kind::Mock {
        return not_proven("mock brokers delete no records: a gap in Kafka was not tried");
    }
    let feed = Feed::to(&broker);
    for (interval, comes_back) in [("100ms", true), ("0s", false)] {
        let topic = broker.topic("metrics", 1);
        let config = format!(
            "
kafka:
  brokers: '{}'
  group: '{topic}'
  properties: {{session.timeout.ms: '6000', max.poll.interval.ms: '10000'}}
sources: [{{name: metrics, topics: ['{topic}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}]
sinks: [{{type: ndjson, name: lines, path: incidents.ndjson}}]
time: {{idle_timeout: 1s}}
snapshot_interval: {interval}
",
            broker.bootstrap()
        );
        let mut home = Home::new(&config, RULES);
        let send = |count| {
            for _ in 0..count {
                let body = gauge("error_ratio", "payments", instant(), 1.0);
                feed.send(&topic, 0, &body, None);
            }
        };
        home.start();
        send(4);
        sees(&home, 4);
        if comes_back {
            snapshot(&home);
        }
        home.kill();
        feed.forget(&topic, 0);
        home.start();
        send(2);
        if comes_back {
            sees(&home, 6);
            assert!(!home.has_said("no longer keeps"));
        } else {
            assert!(home.has_said("no longer keeps"));
            until("the gap in an incident", 20, || {
                home.incident_with("FoghornGap", "firing")
            });
        }
        home.stop();
    }
}
