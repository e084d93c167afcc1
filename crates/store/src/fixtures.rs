//! Small records for this room's tests.

use std::sync::Arc;

use foghorn_engine::{Command, Entry, GroupKey, Pin, RuleFile};
use foghorn_model::incident::{Event, Level, Member, Priority, PriorityPart, Status, Suspect};
use foghorn_model::{
    AlertId, AlertState, Change, ChangeId, ChangeKind, Evidence, Incident, IncidentId, Labels,
    MatchKind, MatchSignal, OutsideAlert, Partition, Reason, RuleId, RuleRef, Signal, SignalId,
    Timestamp, Transition, TransitionKind,
};

fn rule() -> RuleRef {
    RuleRef {
        id: RuleId(7),
        group: Arc::from("api"),
        name: Arc::from("HighErrorRate"),
    }
}

fn labels() -> Labels {
    Labels::from_pairs([("alertname", "HighErrorRate"), ("service", "checkout")])
}

fn firing(value: f64) -> Signal {
    let (at, alert) = (
        Timestamp(60_000),
        AlertId::derive(RuleId(7), &labels(), Timestamp(60_000)),
    );
    Signal::Transition(Transition {
        id: SignalId::transition(alert, "firing", at),
        alert,
        rule: rule(),
        kind: TransitionKind::Firing,
        at,
        active_at: at,
        fired_at: Some(at),
        labels: labels(),
        annotations: Labels::from_pairs([("summary", "a \"quoted\" line\nand another")]),
        value,
        reason: Reason::ConditionTrue {
            value,
            condition: "> 5".to_owned(),
        },
    })
}

/// A tick at which one alert fires with this value.
pub(crate) fn firing_tick(value: f64) -> Entry {
    Entry::Tick {
        group: GroupKey {
            file: Arc::from("rules/api.yml"),
            name: Arc::from("api"),
        },
        tick: Timestamp(60_000),
        signals: vec![firing(value)],
    }
}

/// One entry of every kind.
pub(crate) fn entries() -> Vec<Entry> {
    let pin = Pin {
        partition: Partition::new(0, 3),
        offset: 12,
        tick: Timestamp(60_000),
    };
    let matched = Signal::Match(MatchSignal {
        id: SignalId(9),
        rule: rule(),
        kind: MatchKind::First,
        partition: Partition::new(1, 0),
        bucket: Timestamp(60_000),
        at: Timestamp(61_234),
        labels: labels(),
        annotations: Labels::empty(),
        count: 1,
        line: "panic: nil map \u{1}".to_owned(),
        resolve_after_ms: 300_000,
    });
    let evidence = Signal::Evidence(Evidence {
        id: SignalId(10),
        labels: labels(),
        onset: Timestamp(55_000),
        magnitude: 4.5,
        why: "three times its usual".to_owned(),
    });
    let change = Change {
        id: ChangeId::derive(&["ci", "42"]),
        kind: ChangeKind::Deploy,
        at: Timestamp(50_000),
        service: "checkout".to_owned(),
        environment: String::new(),
        version: "v2".to_owned(),
        author: "ana".to_owned(),
        summary: "checkout v2".to_owned(),
        link: String::new(),
        labels: Labels::empty(),
    };
    let outside = OutsideAlert {
        labels: labels(),
        annotations: Labels::empty(),
        starts_at: Timestamp(1),
        ends_at: None,
        generator: String::new(),
    };
    vec![
        Entry::Start {
            origin: Timestamp(0),
            silent_until: Timestamp(30_000),
        },
        Entry::Rules {
            files: vec![RuleFile {
                path: "rules/api.yml".to_owned(),
                text: "groups: []\n".to_owned(),
            }],
        },
        Entry::Join {
            pin,
            topic: "metrics".to_owned(),
        },
        Entry::Pin(pin),
        Entry::Lowered {
            partition: Partition::new(0, 3),
            offset: 13,
            stamp: Timestamp(61_000),
        },
        Entry::Read {
            positions: vec![(Partition::new(0, 3), 41, Timestamp(59_000))],
        },
        firing_tick(f64::INFINITY),
        Entry::Arrival {
            partition: Partition::new(1, 0),
            offset: 5,
            signals: vec![matched, evidence],
            changes: vec![change],
            alerts: vec![outside],
            edges: vec![("web".to_owned(), "checkout".to_owned())],
        },
        Entry::Timer {
            now: Timestamp(62_000),
        },
        Entry::Command(Command::Acknowledge {
            incident: IncidentId(5),
            by: "ana".to_owned(),
        }),
        Entry::Delivered {
            told: vec![("pager".to_owned(), vec![(IncidentId(5), 3)])],
        },
    ]
}

/// Revision `revision` of incident `id`.
pub(crate) fn incident(id: u128, revision: u32, status: Status) -> Incident {
    let reason = Reason::ConditionTrue {
        value: f64::INFINITY,
        condition: "> 5".to_owned(),
    };
    Incident {
        id: IncidentId(id),
        revision,
        event: Event::Updated,
        status,
        title: format!("incident {id}, revision {revision}"),
        summary: String::new(),
        priority: Priority {
            level: Level::P2,
            score: 55.0,
            parts: vec![PriorityPart {
                name: "severity".to_owned(),
                points: 55.0,
                why: String::new(),
            }],
        },
        services: Vec::new(),
        shared_labels: labels(),
        onset: Timestamp(60_000),
        opened_at: Timestamp(61_000),
        updated_at: Timestamp(61_000 + i64::from(revision)),
        resolved_at: None,
        no_data: false,
        alerts: vec![Member {
            alert: AlertId(1),
            name: "HighErrorRate".to_owned(),
            service: "checkout".to_owned(),
            labels: labels(),
            annotations: Labels::empty(),
            state: AlertState::Firing,
            active_at: Timestamp(60_000),
            fired_at: None,
            resolved_at: None,
            value: f64::INFINITY,
            reason,
            edges: Vec::new(),
        }],
        alerts_total: 1,
        alerts_firing: 1,
        suspects: vec![Suspect {
            service: "checkout".to_owned(),
            change: None,
            score: 0.5,
            evidence: Vec::new(),
        }],
        probable_cause: String::new(),
        merged_into: None,
    }
}
