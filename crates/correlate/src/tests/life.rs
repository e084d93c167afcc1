//! The life of alerts and incidents: opened, taken, resolved, reopened, closed; and every bound.

use super::dsl::{A, Story, alert, deploy, s};
use crate::{Bounds, Config};
use foghorn_model::incident::{Event, Status};
use foghorn_model::{MatchKind, Reason, Timestamp, TransitionKind};

fn errors() -> A {
    alert("HighErrors", "payments", 0)
}

/// Plays a scenario and expects these events.
fn check(play: impl FnOnce(&mut Story), expect: &[Event]) -> Story {
    let mut story = Story::new();
    play(&mut story);
    assert_eq!(story.events(), expect);
    story
}

#[test]
fn pending_opens_nothing() {
    let pending = errors().signal(TransitionKind::Pending, 0, Reason::NoData);
    let dropped = errors().signal(TransitionKind::Dropped, 30, Reason::NoData);
    let story = check(
        |story| {
            story.hears(&pending).tick(1);
        },
        &[],
    );
    assert_eq!(story.correlator.alerts().count(), 1);
    let story = check(
        |story| {
            story.hears(&pending).hears(&dropped).tick(31);
        },
        &[],
    );
    assert_eq!(story.correlator.alerts().count(), 0);
}

#[test]
fn a_repeated_firing_changes_nothing() {
    let story = check(
        |story| {
            story.fires(&errors()).tick(1).fires(&errors()).tick(5);
        },
        &[Event::Opened],
    );
    assert_eq!(story.correlator.stats().duplicates, 1);
}

#[test]
fn it_resolves_and_closes() {
    let story = check(
        |story| {
            story
                .fires(&errors())
                .tick(1)
                .ends(&errors(), 60)
                .tick(61)
                .tick(61 + 1_799)
                .tick(61 + 1_800);
        },
        &[Event::Opened, Event::Resolved, Event::Closed],
    );
    assert_eq!(story.said[1].resolved_at, Some(s(60)));
    assert_eq!(story.correlator.stats().alerts, 0);
    assert_eq!(story.correlator.incidents().count(), 1);
    assert_eq!(story.correlator.next_deadline(), None);
}

#[test]
fn it_reopens_within_the_window() {
    let story = check(
        |story| {
            story
                .fires(&errors())
                .tick(1)
                .ends(&errors(), 3_000)
                .tick(3_001);
            story.fires(&errors().again(3_600)).tick(3_601);
        },
        &[Event::Opened, Event::Resolved, Event::Reopened],
    );
    let incident = story.only();
    assert_eq!(
        (
            incident.status,
            incident.alerts_total,
            incident.alerts_firing
        ),
        (Status::Open, 2, 1)
    );
    assert_eq!(incident.resolved_at, None);
    let story = check(
        |story| {
            story.fires(&errors()).tick(1).ends(&errors(), 60).tick(61);
            story.tick(3_900).fires(&errors().again(4_000)).tick(4_001);
        },
        &[Event::Opened, Event::Resolved, Event::Closed, Event::Opened],
    );
    assert_ne!(story.said[0].id, story.said[3].id);
}

#[test]
fn fired_and_over_within_one_tick_is_still_told() {
    check(
        |story| {
            story.fires(&errors()).ends(&errors(), 1).tick(2).tick(3);
        },
        &[Event::Opened, Event::Resolved],
    );
}

#[test]
fn it_is_taken_until_it_reopens() {
    let story = check(
        |story| {
            story.fires(&errors()).tick(1);
            let id = story.only().id;
            story
                .takes(id, "ann")
                .fires(&alert("HighLatency", "checkout", 10))
                .tick(11);
        },
        &[Event::Opened, Event::Acknowledged, Event::Updated],
    );
    assert_eq!(story.only().status, Status::Acknowledged);
    assert!(story.only().summary.contains("Acknowledged by ann"));
}

#[test]
fn who_takes_what_is_not_there_is_counted() {
    let story = check(
        |story| {
            story.takes(foghorn_model::IncidentId(7), "ann");
        },
        &[],
    );
    assert_eq!(story.correlator.stats().commands_refused, 1);
}

#[test]
fn no_data_is_not_an_all_clear() {
    let blind = |story: &mut Story| {
        story
            .fires(&errors())
            .tick(1)
            .goes_blind(&errors(), 60)
            .tick(61);
    };
    let story = check(blind, &[Event::Opened, Event::Updated]);
    let incident = story.only();
    assert_eq!(
        (incident.status, incident.alerts_firing, incident.no_data),
        (Status::Open, 0, true)
    );
    // An hour later it is let go, and still says so.
    let story = check(
        |story| {
            blind(story);
            story.tick(60 + 3_600);
        },
        &[Event::Opened, Event::Updated, Event::Resolved],
    );
    assert!(story.only().no_data);
    // A real end settles it at once, of the same occurrence or of the next.
    let story = check(
        |story| {
            blind(story);
            story.ends(&errors(), 90).tick(91);
        },
        &[Event::Opened, Event::Updated, Event::Resolved],
    );
    assert!(!story.only().no_data);
    let again = errors().again(100);
    let story = check(
        |story| {
            blind(story);
            story.fires(&again).tick(101).ends(&again, 200).tick(201);
        },
        &[
            Event::Opened,
            Event::Updated,
            Event::Updated,
            Event::Resolved,
        ],
    );
    assert!(!story.only().no_data);
}

#[test]
fn a_match_alert_ends_when_it_is_quiet() {
    let line = |at| alert("PaymentRefused", "payments", at);
    let story = check(
        |story| {
            story.hears(&line(0).matching(MatchKind::First, 1)).tick(1);
            assert_eq!(story.correlator.next_deadline(), Some(s(300)));
            story
                .hears(&line(50).matching(MatchKind::Total, 7))
                .tick(60)
                .tick(349)
                .tick(350);
        },
        &[Event::Opened, Event::Resolved],
    );
    let member = &story.said[1].alerts[0];
    assert_eq!((member.value, member.resolved_at), (7.0, Some(s(350))));
    assert_eq!(member.reason, Reason::Quiet { after_ms: 300_000 });
}

#[test]
fn an_outside_alert_ends_when_it_says_so_or_its_end_passes() {
    let outside = alert("Probe", "web", 0);
    check(
        |story| {
            story
                .outside(&outside.outside(None))
                .tick(1)
                .outside(&outside.outside(None))
                .tick(5);
            story.tick(30).outside(&outside.outside(Some(20))).tick(31);
        },
        &[Event::Opened, Event::Resolved],
    );
    check(
        |story| {
            story
                .outside(&outside.outside(Some(60)))
                .tick(1)
                .outside(&outside.outside(Some(90)))
                .tick(5);
            story.tick(60).tick(90);
        },
        &[Event::Opened, Event::Resolved],
    );
}

#[test]
fn revisions_are_a_second_apart_and_only_when_something_differs() {
    let mut story = Story::new();
    story.tick(0).fires(&errors()).timer(s(1));
    for i in 1..=5 {
        let more = alert(&format!("Errors{i}"), "payments", 1);
        story.fires(&more).timer(s(1) + i * 100);
    }
    assert_eq!(story.events(), [Event::Opened]);
    assert_eq!(story.correlator.next_deadline(), Some(s(2)));
    story.tick(2).tick(3).tick(4);
    assert_eq!(story.events(), [Event::Opened, Event::Updated]);
    assert_eq!(story.only().alerts_total, 6);
    story.changes(&deploy("batch", "v1", 0)).tick(5);
    assert_eq!(story.said.len(), 2);
}

#[test]
fn at_the_end_of_a_replay_every_deadline_passes() {
    let refused = alert("PaymentRefused", "payments", 0).matching(MatchKind::First, 1);
    let story = check(
        |story| {
            story.hears(&refused).tick(1).timer(Timestamp::MAX);
        },
        &[Event::Opened, Event::Resolved, Event::Closed],
    );
    assert_eq!(story.said[2].updated_at, s(300 + 1_800));
}

#[test]
fn a_revision_lists_no_more_than_its_cap() {
    let mut story = Story::with(Config {
        member_cap: 3,
        ..Config::default()
    });
    let alerts: Vec<_> = (0..10)
        .map(|i| alert(&format!("Errors{i}"), "payments", i))
        .collect();
    story.fire_all(&alerts);
    story.ends(&alerts[0], 20).tick(21);
    let incident = story.only();
    assert_eq!(
        (
            incident.alerts.len(),
            incident.alerts_total,
            incident.alerts_firing
        ),
        (3, 10, 9)
    );
    let names: Vec<_> = incident
        .alerts
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(names, ["Errors1", "Errors2", "Errors3"]);
}

#[test]
fn what_is_over_a_bound_is_counted() {
    let bounds = Bounds {
        alerts: 3,
        incidents: 1,
        changes: 1,
        services: 8,
        ..Bounds::default()
    };
    let mut story = Story::with(Config {
        bounds,
        ..Config::default()
    });
    let waits = alert("SlowQuery", "search", 0);
    story
        .fires(&errors())
        .fires(&waits)
        .fires(&alert("JobFailed", "batch", 0))
        .fires(&alert("E", "ledger", 0));
    story
        .changes(&deploy("web", "v1", 0))
        .changes(&deploy("web", "v2", 0));
    story.edge("web", "x").edge("web", "y").tick(1);
    let stats = story.correlator.stats();
    assert_eq!(
        (
            stats.alerts_refused,
            stats.changes_refused,
            stats.edges_refused
        ),
        (1, 1, 1)
    );
    assert_eq!((stats.incidents, stats.waiting), (1, 2));
    let held = story.only().alerts[0].name.clone();
    // Once the incident closes, who waited gets its place.
    for alert in [errors(), waits, alert("JobFailed", "batch", 0)] {
        if alert.name == held {
            story.ends(&alert, 10);
        }
    }
    story.tick(11).tick(11 + 1_800);
    assert_eq!(story.only().alerts_total, 1);
    assert_ne!(story.only().alerts[0].name, held);
}
