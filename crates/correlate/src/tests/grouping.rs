//! Which alerts become one incident.

use super::dsl::{A, Story, alert, deploy, s};
use crate::Config;
use foghorn_model::Change;
use foghorn_model::incident::{EvidenceKind, Status};

/// Fires all alerts within one tick (at their last onset) and expects these groups.
fn check(changes: &[Change], alerts: &[A], expect: &[&[&str]]) -> Story {
    let mut story = Story::new();
    story.change_all(changes);
    story.fire_all(alerts);
    story.tick(alerts.iter().map(|alert| alert.at).max().unwrap() + 1);
    let expect: Vec<Vec<String>> = expect
        .iter()
        .map(|group| group.iter().map(|name| (*name).to_owned()).collect())
        .collect();
    assert_eq!(story.groups(), expect);
    story
}

#[test]
fn a_cascade_along_the_calls_is_one_incident() {
    let alerts = [
        alert("HighErrors", "payments", 0),
        alert("HighLatency", "checkout", 60),
        alert("HighErrors", "checkout", 90),
        alert("SlowPages", "web", 180),
    ];
    let expect: &[&str] = &[
        "HighErrors/checkout",
        "HighErrors/payments",
        "HighLatency/checkout",
        "SlowPages/web",
    ];
    let story = check(&[], &alerts, &[expect]);
    let incident = story.only();
    assert_eq!(incident.title, "checkout: 4 alerts over 3 services");
    assert!(incident.alerts[0].edges.is_empty());
    let why: Vec<_> = incident.alerts[1].edges[0]
        .evidence
        .iter()
        .map(|evidence| evidence.why.as_str())
        .collect();
    assert_eq!(why, ["checkout calls payments", "they began 1m apart"]);
}

#[test]
fn a_noisy_host_at_the_same_time_stays_apart() {
    let noisy = A {
        labels: foghorn_model::Labels::from_pairs([
            ("alertname", "HighCpu"),
            ("job", "node"),
            ("instance", "host-7:9100"),
            ("cluster", "prod"),
        ]),
        ..alert("HighCpu", "", 30)
    };
    let alerts = [
        alert("HighErrors", "payments", 0),
        alert("HighLatency", "checkout", 60),
        noisy,
    ];
    check(
        &[],
        &alerts,
        &[
            &["HighCpu/"],
            &["HighErrors/payments", "HighLatency/checkout"],
        ],
    );
}

#[test]
fn what_everybody_carries_ties_nothing() {
    let alerts = [
        alert("HighErrors", "search", 0),
        alert("JobFailed", "batch", 0),
    ];
    check(
        &[],
        &alerts,
        &[&["HighErrors/search"], &["JobFailed/batch"]],
    );
}

#[test]
fn one_node_ties_whatever_runs_on_it() {
    let on = |alert: A| alert.label("node", "n1");
    let alerts = [
        on(alert("NodeDown", "", 0)),
        on(alert("PodCrash", "batch", 60)),
        alert("SlowQuery", "search", 60),
    ];
    check(
        &[],
        &alerts,
        &[&["NodeDown/", "PodCrash/batch"], &["SlowQuery/search"]],
    );
}

#[test]
fn one_change_ties_what_depends_on_its_service() {
    let far = [
        alert("HighErrors", "payments", 120),
        alert("SlowPages", "web", 200),
    ];
    check(&[], &far, &[&["HighErrors/payments"], &["SlowPages/web"]]);
    let story = check(
        &[deploy("ledger", "v9", 60)],
        &far,
        &[&["HighErrors/payments", "SlowPages/web"]],
    );
    let kinds: Vec<_> = story.only().alerts[1].edges[0]
        .evidence
        .iter()
        .map(|evidence| evidence.kind)
        .collect();
    assert!(kinds.contains(&EvidenceKind::SharedChange));
    check(
        &[deploy("ledger", "v9", 150)],
        &far,
        &[&["HighErrors/payments"], &["SlowPages/web"]],
    );
}

#[test]
fn a_change_heard_of_late_still_ties() {
    let mut story = Story::new();
    story
        .fires(&alert("HighErrors", "payments", 120))
        .fires(&alert("SlowPages", "web", 200))
        .tick(201);
    assert_eq!(story.live().len(), 2);
    story.changes(&deploy("ledger", "v9", 60)).tick(210);
    assert_eq!(story.only().alerts_total, 2);
}

#[test]
fn distance_in_time_keeps_apart() {
    let alerts = [
        alert("HighErrors", "payments", 0),
        alert("HighErrors", "checkout", 1_200),
    ];
    check(
        &[],
        &alerts,
        &[&["HighErrors/checkout"], &["HighErrors/payments"]],
    );
}

#[test]
fn learnt_calls_count_as_declared_ones() {
    let alerts = [
        alert("HighErrors", "batch", 0),
        alert("SlowQuery", "search", 60),
    ];
    check(
        &[],
        &alerts,
        &[&["HighErrors/batch"], &["SlowQuery/search"]],
    );
    let mut story = Story::new();
    story.edge("search", "batch");
    story.fire_all(&alerts);
    assert_eq!(story.tick(61).only().alerts_total, 2);
}

#[test]
fn an_alert_between_two_incidents_merges_them() {
    let mut story = Story::new();
    story.fires(&alert("HighErrors", "ledger", 0)).tick(1);
    story.fires(&alert("SlowPages", "checkout", 60)).tick(61);
    let [older, younger] = <[_; 2]>::try_from(story.live()).unwrap();
    story.fires(&alert("HighErrors", "payments", 70)).tick(71);
    let merged = story.only();
    assert_eq!((merged.id, merged.alerts_total), (older.id, 3));
    let farewell = story
        .said
        .iter()
        .rev()
        .find(|incident| incident.id == younger.id)
        .unwrap();
    assert_eq!(farewell.merged_into, Some(older.id));
    assert_eq!(
        (farewell.status, farewell.revision, farewell.alerts_total),
        (Status::Resolved, 2, 0)
    );
    assert_eq!(story.correlator.stats().merges, 1);
    // Who takes the one that is gone takes the one that holds its alerts.
    story.takes(younger.id, "ann");
    assert_eq!(story.only().status, Status::Acknowledged);
}

#[test]
fn an_incident_does_not_roll_on_for_ever() {
    let config = Config {
        max_incident_span_ms: 600_000,
        ..Config::default()
    };
    let mut story = Story::with(config);
    for i in 0..4 {
        story
            .fires(&alert(&format!("Errors{i}"), "payments", i * 300))
            .tick(i * 300 + 1);
    }
    let sizes: Vec<_> = story
        .live()
        .iter()
        .map(|incident| incident.alerts_total)
        .collect();
    assert_eq!(sizes, [3, 1]);
}

#[test]
fn priority_is_a_sum() {
    let mut story = Story::new();
    story
        .fires(&alert("HighErrors", "payments", 0))
        .fires(&alert("HighLatency", "checkout", 30))
        .tick(31);
    let incident = story.only();
    let sum: f64 = incident.priority.parts.iter().map(|part| part.points).sum();
    assert!((sum - incident.priority.score).abs() < 1e-9);
    assert_eq!(incident.priority.level.to_string(), "P1");
    assert_eq!(incident.services[0].owner, "team-payments");
    assert_eq!(incident.onset, s(0));
}
