//! Change events: `CDEvents`, Kubernetes events, CloudEvents around anything, and plain JSON by
//! mapping.
//!
//! Of `CDEvents`, what happens to running services and environments is a change; the events of
//! pipelines, builds and tests are refused as `not_a_change`. So are the events of Kubernetes that
//! tell of symptoms (`BackOff`, `Unhealthy`), not of somebody's change.

use foghorn_model::{Change, ChangeId, ChangeKind, LabelsBuilder, Refusal, SampleSink, Timestamp};
use serde_json::Value;

use crate::decoder::Settings;
use crate::json::tree::{Envelope, documents, each_leaf, text, unwrap_cloudevent};
use crate::naming::label_name;
use crate::options::{Names, Translation};
use crate::time;

/// Most fields of an event that are kept as labels.
const MAX_LABELS: usize = 64;

/// Decodes one event, an array of them, or one after another.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    payload: &[u8],
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    settle(documents(payload), sink, |document, sink| {
        let change = change(settings, document, record_time)?;
        sink.change(change);
        Ok(())
    })
}

/// Uses each document; a record of which none could be used is refused as a whole.
pub(crate) fn settle<S: SampleSink>(
    documents: Vec<Result<Value, Refusal>>,
    sink: &mut S,
    mut each: impl FnMut(Value, &mut S) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let (mut used, mut failed) = (documents.is_empty(), None);
    for document in documents {
        match document.and_then(|document| each(document, sink)) {
            Ok(()) => used = true,
            Err(refusal) => {
                if let Some(earlier) = failed.replace(refusal) {
                    sink.refuse(earlier);
                }
            }
        }
    }
    match failed {
        Some(refusal) if !used => Err(refusal),
        Some(refusal) => {
            sink.refuse(refusal);
            Ok(())
        }
        None => Ok(()),
    }
}

fn change(settings: &Settings, document: Value, record_time: Timestamp) -> Result<Change, Refusal> {
    let (envelope, event) = unwrap_cloudevent(document)?;
    if !event.is_object() {
        return Err(Refusal::new(
            "wrong_type",
            "a change event that is not an object",
        ));
    }
    let kind = event
        .pointer("/context/type")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let mut change = match kind.strip_prefix("dev.cdevents.") {
        Some(kind) => cd_event(kind, &event, record_time)?,
        None => match kube_object(&event) {
            Some((event, object)) => kube_event(event, object, record_time)?,
            None => by_mapping(settings, &event, envelope.as_ref(), record_time)?,
        },
    };
    let mut labels = change.labels.to_builder();
    for (name, value) in &settings.options.extra_labels {
        labels.set_default(name, value);
    }
    change.labels = labels.build();
    Ok(change)
}

/// `kind` is the type without its prefix: `service.deployed.0.2.0`.
fn cd_event(kind: &str, event: &Value, record_time: Timestamp) -> Result<Change, Refusal> {
    let mut words = kind.split('.');
    let (subject, predicate) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let sort = match (subject, predicate) {
        ("service", "deployed" | "upgraded" | "published") => ChangeKind::Deploy,
        ("service", "rolledback") => ChangeKind::Rollback,
        ("service" | "environment", "removed" | "deleted") => ChangeKind::Remove,
        ("environment", "modified") => ChangeKind::Config,
        ("environment", "created") => ChangeKind::Other,
        _ => {
            return Err(Refusal::new(
                "not_a_change",
                format!("CDEvent {subject}.{predicate}"),
            ));
        }
    };
    let at_pointer = |pointer: &str| event.pointer(pointer).and_then(text).unwrap_or_default();
    let (id, source, subject_id) = (
        at_pointer("/context/id"),
        at_pointer("/context/source"),
        at_pointer("/subject/id"),
    );
    let name = subject_id
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let (service, environment) = if subject == "service" {
        (name.clone(), at_pointer("/subject/content/environment/id"))
    } else {
        (String::new(), name.clone())
    };
    let version = artifact_version(&at_pointer("/subject/content/artifactId"));
    let shown = if version.is_empty() {
        String::new()
    } else {
        format!(" {version}")
    };
    let place = if environment.is_empty() || service.is_empty() {
        String::new()
    } else {
        format!(" in {environment}")
    };
    Ok(Change {
        id: ChangeId::derive(&[&source, &id]),
        kind: sort,
        at: event
            .pointer("/context/timestamp")
            .and_then(text)
            .map_or(Ok(record_time), |text| instant(&text))?,
        summary: format!("{subject} {name}{shown} {predicate}{place}"),
        service,
        environment,
        version,
        author: String::new(),
        link: String::new(),
        labels: labels_of(event, |pointer| {
            matches!(
                pointer,
                "/context/type" | "/context/timestamp" | "/subject/content/environment/id"
            )
        }),
    })
}

/// A Kubernetes event and the object that it is about; bare, or in a watch's `{"type","object"}`.
fn kube_object(event: &Value) -> Option<(&Value, &Value)> {
    [Some(event), event.get("object")]
        .into_iter()
        .flatten()
        .find_map(|event| {
            let object = event
                .get("involvedObject")
                .or_else(|| event.get("regarding"))?;
            (object.is_object() && event.get("reason").is_some_and(Value::is_string))
                .then_some((event, object))
        })
}

/// An event of core/v1 or events.k8s.io/v1. Only a workload's own events are changes; which of a
/// Deployment's scalings are a rollout and which are a scaling is not told, so all are scalings.
fn kube_event(event: &Value, object: &Value, record_time: Timestamp) -> Result<Change, Refusal> {
    let of = |value: &Value, pointer: &str| value.pointer(pointer).and_then(text);
    let reason = of(event, "/reason").unwrap_or_default();
    let kind = match &*reason {
        "ScalingReplicaSet" | "SuccessfulRescale" | "SuccessfulUpdate" => ChangeKind::Scale,
        "DeploymentRollback" => ChangeKind::Rollback,
        _ => {
            return Err(Refusal::new(
                "not_a_change",
                format!("Kubernetes event {reason}"),
            ));
        }
    };
    let service = of(object, "/name").unwrap_or_default();
    let environment = of(object, "/namespace").unwrap_or_default();
    let times = [
        "/lastTimestamp",
        "/eventTime",
        "/deprecatedLastTimestamp",
        "/metadata/creationTimestamp",
    ];
    let at = times.iter().find_map(|pointer| of(event, pointer));
    let message = of(event, "/message").or_else(|| of(event, "/note"));
    // A repeated event keeps its uid and counts up.
    let id = of(event, "/metadata/uid").unwrap_or_default();
    let count = of(event, "/count").or_else(|| of(event, "/series/count"));
    let at = at.map_or(Ok(record_time), |text| instant(&text))?;
    Ok(Change {
        id: ChangeId::derive(&[
            &id,
            &count.unwrap_or_default(),
            &environment,
            &service,
            &reason,
            &at.ms().to_string(),
        ]),
        kind,
        at,
        summary: message.unwrap_or_else(|| format!("{reason} of {service}")),
        author: of(event, "/source/component")
            .or_else(|| of(event, "/reportingController"))
            .unwrap_or_default(),
        version: String::new(),
        link: String::new(),
        labels: LabelsBuilder::default()
            .build()
            .with("kind", &of(object, "/kind").unwrap_or_default())
            .with("reason", &reason),
        service,
        environment,
    })
}

/// The version in a package URL: its tag where it is pinned by digest, else what follows `@`.
fn artifact_version(purl: &str) -> String {
    let (path, query) = purl.split_once('?').unwrap_or((purl, ""));
    let tag = query.split('&').find_map(|pair| pair.strip_prefix("tag="));
    let version = path.rsplit_once('@').map(|(_, version)| version);
    match (tag, version) {
        (Some(tag), _) => tag.to_owned(),
        (None, Some(version)) => version.replace("%3A", ":").replace("%3a", ":"),
        (None, None) => String::new(),
    }
}

fn by_mapping(
    settings: &Settings,
    event: &Value,
    envelope: Option<&Envelope>,
    record_time: Timestamp,
) -> Result<Change, Refusal> {
    let mapping = &settings.options.change;
    let mut used = Vec::new();
    let mut take = |names: &Names| {
        let found = names.pointers().find_map(|pointer| {
            let text = event
                .pointer(&pointer)
                .and_then(text)
                .filter(|text| !text.is_empty())?;
            Some((pointer, text))
        });
        found.map(|(pointer, text)| {
            used.push(pointer);
            text
        })
    };
    let from_envelope = |field: fn(&Envelope) -> &String| {
        envelope.map(field).filter(|text| !text.is_empty()).cloned()
    };
    let service = take(&mapping.service)
        .or_else(|| from_envelope(|e| &e.subject))
        .unwrap_or_default();
    let version = take(&mapping.version).unwrap_or_default();
    let environment = take(&mapping.environment).unwrap_or_default();
    let word = take(&mapping.kind)
        .or_else(|| from_envelope(|e| &e.kind))
        .unwrap_or_default();
    let summary = take(&mapping.summary);
    if service.is_empty() && summary.is_none() {
        return Err(Refusal::new(
            "missing_field",
            "a change event names neither a service nor a summary",
        ));
    }
    let at = take(&mapping.timestamp).or_else(|| from_envelope(|e| &e.time));
    let at = at.map_or(Ok(record_time), |text| instant(&text))?;
    let kind = mapping
        .kinds
        .get(&word)
        .copied()
        .unwrap_or_else(|| kind_of(&word, &version));
    let id = match (take(&mapping.id), envelope) {
        (_, Some(envelope)) if !envelope.id.is_empty() => {
            ChangeId::derive(&[&envelope.source, &envelope.id])
        }
        (Some(id), _) => ChangeId::derive(&["", &id]),
        (None, _) => {
            let parts = [
                &*service,
                &*environment,
                &*version,
                &*word,
                summary.as_deref().unwrap_or_default(),
            ];
            ChangeId::derive(&[&parts[..], &[&at.ms().to_string()]].concat())
        }
    };
    let author = take(&mapping.author).unwrap_or_default();
    let link = take(&mapping.link).unwrap_or_default();
    let summary = summary.unwrap_or_else(|| {
        let words = [
            if word.is_empty() { "change" } else { &word },
            "of",
            &service,
            &version,
        ];
        words
            .iter()
            .filter(|word| !word.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join(" ")
    });
    let labels = labels_of(event, |pointer| used.iter().any(|taken| taken == pointer));
    Ok(Change {
        id,
        kind,
        at,
        service,
        environment,
        version,
        author,
        summary,
        link,
        labels,
    })
}

fn instant(text: &str) -> Result<Timestamp, Refusal> {
    time::from_text(text)
        .ok_or_else(|| Refusal::new("bad_timestamp", format!("{text:?} is no time")))
}

/// The usual words for sorts of change. An event that says nothing but has a version is a deploy.
fn kind_of(word: &str, version: &str) -> ChangeKind {
    let word = word.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
    if word.is_empty() {
        return if version.is_empty() {
            ChangeKind::Other
        } else {
            ChangeKind::Deploy
        };
    }
    if has(&["rollback", "rolledback", "roll-back", "roll_back", "revert"]) {
        ChangeKind::Rollback
    } else if has(&["flag", "toggle"]) {
        ChangeKind::Flag
    } else if has(&["scal", "resize", "replica"]) {
        ChangeKind::Scale
    } else if has(&["migrat", "schema"]) {
        ChangeKind::Migration
    } else if has(&["remove", "delete", "undeploy", "destroy", "decommission"]) {
        ChangeKind::Remove
    } else if has(&[
        "deploy", "release", "rollout", "upgrade", "canary", "promote",
    ]) {
        ChangeKind::Deploy
    } else if has(&["config", "setting", "secret"]) {
        ChangeKind::Config
    } else {
        ChangeKind::Other
    }
}

/// Every other scalar, named by its path; what stands under `labels` or `tags` by its own name.
fn labels_of(event: &Value, taken: impl Fn(&str) -> bool) -> foghorn_model::Labels {
    let mut builder = LabelsBuilder::default();
    let mut count = 0;
    each_leaf(event, &mut String::new(), &mut |pointer, text| {
        if taken(pointer) || count >= MAX_LABELS {
            return;
        }
        let path = ["/labels/", "/tags/"]
            .iter()
            .find_map(|prefix| pointer.strip_prefix(prefix));
        let path = path.unwrap_or_else(|| pointer.trim_start_matches('/'));
        if path.is_empty() {
            return;
        }
        let mut name = String::new();
        label_name(Translation::Underscore, path, &mut name);
        builder.set(&name, &text);
        count += 1;
    });
    builder.build()
}
