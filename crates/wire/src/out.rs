//! Incidents as other programs want them: CloudEvents, Alertmanager's webhook, a line of JSON; and
//! alerts as Alertmanager takes them.
//!
//! Every writer is a function of what it writes: the same revision always gives the same bytes.

use std::collections::BTreeMap;

use foghorn_model::incident::{Event, Level, Member, Status};
use foghorn_model::{AlertState, ChangeKind, Incident, Labels, Timestamp, time::span_text};
use serde::Serialize;

/// What Go writes for "no time yet".
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// An incident's revision as a `CloudEvent` 1.0 in structured mode. The type is
/// `dev.foghorn.incident.{event}.v1`; `id` is `{incident}.{revision}`, so that redelivery is
/// recognised; `partitionkey` keeps the revisions of an incident in order.
pub fn cloudevent(incident: &Incident, source: &str) -> Vec<u8> {
    let id = incident.id.to_string();
    to_bytes(&CloudEvent {
        specversion: "1.0",
        id: format!("{id}.{}", incident.revision),
        source,
        kind: format!("dev.foghorn.incident.{}.v1", event_word(incident.event)),
        time: incident.updated_at.to_string(),
        subject: &id,
        partitionkey: &id,
        datacontenttype: "application/json",
        delayed: delayed(incident),
        data: incident,
    })
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'a str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: String,
    time: String,
    subject: &'a str,
    partitionkey: &'a str,
    datacontenttype: &'a str,
    /// See [`Extension::delayed`].
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed: Option<String>,
    data: &'a Incident,
}

/// An incident's revision as Alertmanager's webhook (version 4): its members are the alerts, its
/// id is the group. What a webhook cannot say stands under `incident`. `external_url` is where
/// people find this Foghorn, without a slash at its end.
pub fn webhook_v4(incident: &Incident, receiver: &str, external_url: &str) -> Vec<u8> {
    let id = incident.id.to_string();
    let link = format!("{external_url}/incidents/{id}");
    // A pending alert is no news to a receiver of alerts.
    let members: Vec<&Member> = incident
        .alerts
        .iter()
        .filter(|m| m.state != AlertState::Pending)
        .collect();
    let beyond = (incident.alerts_total as usize).saturating_sub(incident.alerts.len());
    let firing = matches!(incident.status, Status::Open | Status::Acknowledged);
    to_bytes(&Webhook {
        version: "4",
        group_key: &id,
        truncated_alerts: beyond,
        status: if firing { "firing" } else { "resolved" },
        receiver,
        group_labels: BTreeMap::from([("incident", &*id)]),
        common_labels: &incident.shared_labels,
        common_annotations: common_annotations(&members),
        external_url,
        alerts: members
            .iter()
            .map(|member| webhook_alert(member, &link))
            .collect(),
        incident: Extension {
            id: &id,
            revision: incident.revision,
            event: event_word(incident.event),
            status: incident.status,
            title: &incident.title,
            summary: &incident.summary,
            priority: incident.priority.level,
            score: incident.priority.score,
            probable_cause: &incident.probable_cause,
            suspects: incident.suspects.iter().map(suspect).collect(),
            services: incident
                .services
                .iter()
                .map(|service| &*service.name)
                .collect(),
            onset: incident.onset.to_string(),
            delayed: delayed(incident),
            link: &link,
        },
    })
}

/// An incident that is made so much later than its first alert is marked, in milliseconds.
const DELAYED_MS: i64 = 120_000;

/// By how much an incident came late, for people; `None` where that is not worth a word.
fn delayed(incident: &Incident) -> Option<String> {
    let delay_ms = incident.delay_ms();
    (delay_ms > DELAYED_MS).then(|| span_text(delay_ms / 1_000 * 1_000))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Webhook<'a> {
    version: &'a str,
    group_key: &'a str,
    truncated_alerts: usize,
    status: &'a str,
    receiver: &'a str,
    group_labels: BTreeMap<&'a str, &'a str>,
    common_labels: &'a Labels,
    common_annotations: BTreeMap<&'a str, &'a str>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: Vec<WebhookAlert<'a>>,
    incident: Extension<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookAlert<'a> {
    status: &'a str,
    labels: &'a Labels,
    annotations: &'a Labels,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

#[derive(Serialize)]
struct Extension<'a> {
    id: &'a str,
    revision: u32,
    event: &'a str,
    status: Status,
    title: &'a str,
    summary: &'a str,
    priority: Level,
    score: f64,
    probable_cause: &'a str,
    suspects: Vec<Suspect<'a>>,
    services: Vec<&'a str>,
    onset: String,
    /// By how much it came late, where that is more than a little.
    #[serde(skip_serializing_if = "Option::is_none")]
    delayed: Option<String>,
    link: &'a str,
}

#[derive(Serialize)]
struct Suspect<'a> {
    service: &'a str,
    score: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<SuspectChange<'a>>,
}

#[derive(Serialize)]
struct SuspectChange<'a> {
    kind: ChangeKind,
    summary: &'a str,
    at: String,
    link: &'a str,
}

/// An incident's revision as one line of JSON, newline included.
pub fn ndjson(incident: &Incident) -> String {
    let mut line = String::from_utf8(to_bytes(incident)).unwrap_or_default();
    line.push('\n');
    line
}

/// An alert as it is posted to `/api/v2/alerts` of an Alertmanager.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedAlert<'a> {
    /// Labels, `alertname` among them.
    pub labels: &'a Labels,
    /// Annotations.
    pub annotations: &'a Labels,
    /// When it began to fire.
    #[serde(serialize_with = "as_text")]
    pub starts_at: Timestamp,
    /// When it ended; of one that fires, when it ends unless it is posted again.
    #[serde(serialize_with = "as_text")]
    pub ends_at: Timestamp,
    /// A link to its rule; left out where it is empty.
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    pub generator_url: &'a str,
}

/// Alerts as the body of `POST /api/v2/alerts`.
pub fn alertmanager_v2(alerts: &[PostedAlert<'_>]) -> Vec<u8> {
    to_bytes(&alerts)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands fields over by reference"
)]
fn as_text<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn webhook_alert<'a>(member: &'a Member, link: &'a str) -> WebhookAlert<'a> {
    let text = |at: Option<Timestamp>| at.map_or_else(|| ZERO_TIME.to_owned(), |at| at.to_string());
    WebhookAlert {
        status: if member.state == AlertState::Resolved {
            "resolved"
        } else {
            "firing"
        },
        labels: &member.labels,
        annotations: &member.annotations,
        starts_at: member.fired_at.unwrap_or(member.active_at).to_string(),
        ends_at: text(member.resolved_at),
        generator_url: link,
        fingerprint: format!("{:016x}", member.labels.alertmanager_fingerprint()),
    }
}

fn suspect(suspect: &foghorn_model::incident::Suspect) -> Suspect<'_> {
    Suspect {
        service: &suspect.service,
        score: suspect.score,
        change: suspect.change.as_ref().map(|change| SuspectChange {
            kind: change.kind,
            summary: &change.summary,
            at: change.at.to_string(),
            link: &change.link,
        }),
    }
}

fn common_annotations<'a>(members: &[&'a Member]) -> BTreeMap<&'a str, &'a str> {
    let Some((first, rest)) = members.split_first() else {
        return BTreeMap::new();
    };
    let shared = |name: &str, value: &str| {
        rest.iter()
            .all(|member| member.annotations.get(name) == Some(value))
    };
    first
        .annotations
        .iter()
        .filter(|(name, value)| shared(name, value))
        .collect()
}

const fn event_word(event: Event) -> &'static str {
    match event {
        Event::Opened => "opened",
        Event::Updated => "updated",
        Event::Acknowledged => "acknowledged",
        Event::Resolved => "resolved",
        Event::Reopened => "reopened",
        Event::Closed => "closed",
    }
}

/// Serialising our own types into memory does not fail: their keys are strings, and a number that
/// JSON does not have becomes `null`.
fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
