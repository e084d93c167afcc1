//! Which change is named as the cause, and when none is.

use super::dsl::{A, Story, alert, deploy, s};
use foghorn_model::{Change, ChangeKind, Evidence, Incident, Labels, Signal, SignalId};

fn cascade() -> Vec<A> {
    vec![
        alert("HighErrors", "payments", 120),
        alert("HighLatency", "checkout", 180),
        alert("SlowPages", "web", 240),
    ]
}

fn incident(changes: &[Change], alerts: &[A]) -> Incident {
    let mut story = Story::new();
    story.change_all(changes);
    story.fire_all(alerts);
    story.tick(600);
    let title = |incident: &Incident| (incident.alerts_total, incident.title.clone());
    story.live().into_iter().max_by_key(title).unwrap()
}

/// Expects the named change (its service), or an abstention.
fn check(changes: &[Change], alerts: &[A], expect: Option<&str>) -> Incident {
    let incident = incident(changes, alerts);
    let named = expect.map(|service| format!("deploy of {service}"));
    match named {
        Some(named) => assert!(
            incident
                .probable_cause
                .contains(&format!("Probably the {named}")),
            "{incident:#?}"
        ),
        None => assert!(
            incident
                .probable_cause
                .starts_with("No change explains this"),
            "{incident:#?}"
        ),
    }
    incident
}

#[test]
fn the_deploy_below_the_cascade_is_named() {
    let incident = check(
        &[deploy("payments", "v2.3.1", 60)],
        &cascade(),
        Some("payments"),
    );
    assert_eq!(
        incident.title,
        "checkout: 3 alerts over 3 services after deploy of payments v2.3.1"
    );
    assert!(
        incident
            .probable_cause
            .contains("3 of 3 affected services are payments or depend on it")
    );
    assert_eq!(incident.suspects.len(), 1);
}

#[test]
fn the_latest_deploy_is_usually_innocent() {
    let changes = [
        deploy("payments", "v2", 0),
        deploy("web", "v7", 110),
        deploy("checkout", "v3", 100),
    ];
    check(&changes, &cascade(), Some("payments"));
}

#[test]
fn an_unrelated_deploy_is_not_blamed() {
    let incident = check(
        &[deploy("batch", "v1", 110), deploy("search", "v5", 110)],
        &cascade(),
        None,
    );
    assert!(
        incident
            .suspects
            .iter()
            .all(|suspect| suspect.service != "batch")
    );
    assert!(
        incident.probable_cause.contains("begin at payments"),
        "{}",
        incident.probable_cause
    );
}

#[test]
fn a_change_after_the_onset_is_innocent() {
    let incident = check(&[deploy("payments", "v2-fix", 130)], &cascade(), None);
    assert!(
        incident
            .suspects
            .iter()
            .all(|suspect| suspect.change.is_none())
    );
}

#[test]
fn a_change_long_before_is_listed_but_not_named() {
    let incident = check(&[deploy("payments", "v2", -2_400)], &cascade(), None);
    assert!(
        incident
            .suspects
            .iter()
            .any(|suspect| suspect.change.is_some())
    );
}

#[test]
fn a_change_elsewhere_is_not_named() {
    let alerts: Vec<A> = cascade()
        .into_iter()
        .map(|alert| alert.label("env", "live"))
        .collect();
    let there = Change {
        environment: "staging".to_owned(),
        ..deploy("payments", "v2", 60)
    };
    let here = Change {
        environment: "live".to_owned(),
        ..there.clone()
    };
    check(&[there], &alerts, None);
    check(&[here], &alerts, Some("payments"));
}

#[test]
fn a_silent_dependency_is_named_only_with_evidence_of_its_own() {
    let alerts = [alert("HighErrors", "payments", 120)];
    let changes = [deploy("ledger", "v4", 60)];
    check(&changes, &alerts, None);
    let mut story = Story::new();
    story.changes(&changes[0]).fires(&alerts[0]).tick(130);
    story.hears(&Signal::Evidence(Evidence {
        id: SignalId(1),
        labels: Labels::from_pairs([("__name__", "errors_total"), ("service", "ledger")]),
        onset: s(100),
        magnitude: 12.0,
        why: "errors rose to 40/s".to_owned(),
    }));
    let words = story.tick(140).only().probable_cause;
    assert!(
        words.contains("Probably the deploy of ledger v4"),
        "{words}"
    );
    assert!(words.contains("errors rose to 40/s"), "{words}");
}

#[test]
fn two_changes_that_fit_equally_are_both_told() {
    let flag = Change {
        kind: ChangeKind::Flag,
        ..deploy("payments", "new_pricing=on", 62)
    };
    let incident = incident(&[deploy("payments", "v2", 60), flag], &cascade());
    assert!(
        incident
            .probable_cause
            .starts_with("Two changes fit about equally"),
        "{}",
        incident.probable_cause
    );
}

#[test]
fn without_services_it_abstains() {
    let words = check(
        &[deploy("payments", "v2", 60)],
        &[alert("DiskFull", "", 120)],
        None,
    )
    .probable_cause;
    assert!(words.contains("no label names a service"), "{words}");
}
