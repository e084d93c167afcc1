//! Incidents on their way out.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use foghorn_model::incident::{AffectedService, Event, Level, Member, Priority, Status, Suspect};
use foghorn_model::{AlertId, AlertState, Incident, IncidentId, Labels, Reason, Timestamp};
use foghorn_wire::out::{PostedAlert, alertmanager_v2, cloudevent, ndjson, webhook_v4};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn member(name: &str, state: AlertState) -> Member {
    let resolved = state == AlertState::Resolved;
    Member {
        alert: AlertId(1),
        name: name.to_owned(),
        service: "api".to_owned(),
        labels: Labels::from_pairs([("alertname", name), ("service", "api")]),
        annotations: Labels::from_pairs([("runbook", "http://r"), ("summary", name)]),
        state,
        active_at: NOW + -60_000,
        fired_at: Some(NOW + -30_000),
        resolved_at: resolved.then_some(NOW),
        value: 2.0,
        reason: Reason::NoData,
        edges: Vec::new(),
    }
}

fn incident() -> Incident {
    Incident {
        id: IncidentId(0xabc),
        revision: 3,
        event: Event::Updated,
        status: Status::Open,
        title: "api is slow".to_owned(),
        summary: "two alerts".to_owned(),
        priority: Priority {
            level: Level::P2,
            score: 55.0,
            parts: Vec::new(),
        },
        services: vec![AffectedService {
            name: "api".to_owned(),
            owner: String::new(),
            tier: Some(1),
            onset: NOW,
            alerts: 2,
        }],
        shared_labels: Labels::from_pairs([("service", "api")]),
        onset: NOW + -60_000,
        opened_at: NOW + -30_000,
        updated_at: NOW,
        resolved_at: None,
        no_data: false,
        alerts: vec![
            member("Slow", AlertState::Firing),
            member("Down", AlertState::Resolved),
            member("Soon", AlertState::Pending),
        ],
        alerts_total: 5,
        alerts_firing: 1,
        suspects: vec![Suspect {
            service: "db".to_owned(),
            change: None,
            score: 0.7,
            evidence: Vec::new(),
        }],
        probable_cause: "no change explains this".to_owned(),
        merged_into: None,
    }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn a_cloudevent_carries_the_whole_incident() {
    let event = parse(&cloudevent(&incident(), "/foghorn/eu1"));
    let id = "00000000000000000000000000000abc";
    for (key, expect) in [
        ("specversion", json!("1.0")),
        ("id", json!(format!("{id}.3"))),
        ("source", json!("/foghorn/eu1")),
        ("type", json!("dev.foghorn.incident.updated.v1")),
        ("subject", json!(id)),
        ("partitionkey", json!(id)),
        ("time", json!("2023-11-14T22:13:20.000Z")),
        ("datacontenttype", json!("application/json")),
    ] {
        assert_eq!(event[key], expect, "{key}");
    }
    assert_eq!(
        serde_json::from_value::<Incident>(event["data"].clone()).unwrap(),
        incident()
    );
}

#[test]
fn a_webhook_reads_as_alertmanagers() {
    let body = parse(&webhook_v4(&incident(), "team-api", "http://foghorn"));
    assert_eq!(body["version"], "4");
    assert_eq!(body["status"], "firing");
    assert_eq!(body["truncatedAlerts"], 2);
    assert_eq!(body["externalURL"], "http://foghorn");
    assert_eq!(body["commonLabels"], json!({"service": "api"}));
    assert_eq!(body["commonAnnotations"], json!({"runbook": "http://r"}));
    assert_eq!(body["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(body["alerts"][0]["startsAt"], "2023-11-14T22:12:50.000Z");
    assert_eq!(body["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(body["alerts"][1]["status"], "resolved");
    assert_eq!(body["incident"]["priority"], "P2");
    assert_eq!(body["incident"]["revision"], 3);
    assert_eq!(body["incident"]["services"], json!(["api"]));
    assert_eq!(
        body["incident"]["probable_cause"],
        "no change explains this"
    );
}

#[test]
fn our_own_webhook_is_read_back() {
    let mut sink = RecordingSink::new();
    let bytes = webhook_v4(&incident(), "team-api", "http://foghorn");
    Decoder::new(DecodeOptions::default())
        .decode(Format::Alerts, &bytes, NOW, &mut sink)
        .unwrap();
    assert_eq!(sink.alerts.len(), 2);
    assert_eq!(
        (sink.alerts[0].ends_at, sink.alerts[1].ends_at),
        (None, Some(NOW))
    );
    assert_eq!(sink.alerts[0].labels, incident().alerts[0].labels);
}

#[test]
fn a_line_is_one_line() {
    let mut incident = incident();
    incident.title = "a\nb".to_owned();
    let line = ndjson(&incident);
    assert_eq!(
        (line.matches('\n').count(), line.ends_with('\n')),
        (1, true)
    );
    assert_eq!(serde_json::from_str::<Incident>(&line).unwrap(), incident);
}

#[test]
fn alerts_as_prometheus_posts_them() {
    let labels = Labels::from_pairs([("alertname", "Slow"), ("service.name", "api")]);
    let annotations = Labels::from_pairs([("summary", "slow \"api\"")]);
    let firing = PostedAlert {
        labels: &labels,
        annotations: &annotations,
        starts_at: NOW + -30_000,
        ends_at: NOW + 240_000,
        generator_url: "http://prom:9090/graph?g0.expr=up&g0.tab=1",
    };
    let plain = PostedAlert {
        annotations: &Labels::empty(),
        generator_url: "",
        ..firing.clone()
    };
    let posted = parse(&alertmanager_v2(&[firing, plain]));
    let common = json!({
        "labels": {"alertname": "Slow", "service.name": "api"},
        "annotations": {},
        "startsAt": "2023-11-14T22:12:50.000Z",
        "endsAt": "2023-11-14T22:17:20.000Z",
    });
    let mut first = common.clone();
    first["annotations"] = json!({"summary": "slow \"api\""});
    first["generatorURL"] = json!("http://prom:9090/graph?g0.expr=up&g0.tab=1");
    assert_eq!(posted, json!([first, common]));
}
