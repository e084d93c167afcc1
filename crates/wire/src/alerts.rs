//! Alerts of other programs: Alertmanager's webhook v4, the array of its v2 API, and what its event
//! recorder writes, plain or inside CloudEvents.
//!
//! Of the event recorder's events, a created, a grouped and a resolved alert are alerts (a peer's
//! repetition is the same alert again, by its labels); what tells of notifications, silences,
//! inhibition and the program itself is read and left.

use foghorn_model::{Labels, LabelsBuilder, OutsideAlert, Refusal, SampleSink, Timestamp};
use serde_json::{Map, Value};

use crate::changes::settle;
use crate::decoder::Settings;
use crate::json::tree::{documents, text, unwrap_cloudevent};
use crate::time;

/// Decodes alerts.
pub(crate) fn decode<S: SampleSink>(
    settings: &Settings,
    payload: &[u8],
    record_time: Timestamp,
    sink: &mut S,
) -> Result<(), Refusal> {
    settle(documents(payload), sink, |document, sink| {
        let (_, document) = unwrap_cloudevent(document)?;
        let list = match document {
            Value::Array(alerts) => alerts,
            Value::Object(mut body) if body.get("alerts").is_some_and(Value::is_array) => {
                match body.remove("alerts") {
                    Some(Value::Array(alerts)) => alerts,
                    _ => Vec::new(),
                }
            }
            Value::Object(body) if body.contains_key("data") && !body.contains_key("labels") => {
                match recorded(body)? {
                    Some(alert) => vec![alert],
                    None => return Ok(()),
                }
            }
            Value::Object(_) => vec![document],
            _ => {
                return Err(Refusal::new(
                    "wrong_type",
                    "neither an alert nor a list of alerts",
                ));
            }
        };
        let (mut used, mut failed) = (list.is_empty(), None);
        for one in list {
            match alert(settings, &one, record_time) {
                Ok(alert) => {
                    used = true;
                    sink.alert(alert);
                }
                Err(refusal) => {
                    if let Some(earlier) = failed.replace(refusal) {
                        sink.refuse(earlier);
                    }
                }
            }
        }
        match failed {
            Some(refusal) if used => {
                sink.refuse(refusal);
                Ok(())
            }
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    })
}

/// The alert of one of the event recorder's events, in the shape of the v2 API; `None` where the
/// event is of another kind.
fn recorded(mut event: Map<String, Value>) -> Result<Option<Value>, Refusal> {
    let Some(Value::Object(mut data)) = event.remove("data") else {
        return Err(Refusal::new(
            "wrong_type",
            "an event whose data is no object",
        ));
    };
    let recorded = [
        ("alertCreated", "alert_created"),
        ("alertGrouped", "alert_grouped"),
        ("alertResolved", "alert_resolved"),
    ];
    let found = recorded.iter().find_map(|(json, proto)| {
        let told = data.remove(*json).or_else(|| data.remove(*proto))?;
        Some((*json == "alertResolved", told))
    });
    let Some((resolved, mut told)) = found else {
        let is_event = event.contains_key("@timestamp") && data.len() == 1;
        return if is_event {
            Ok(None)
        } else {
            Err(Refusal::new(
                "wrong_type",
                "neither an alert nor a list of alerts",
            ))
        };
    };
    let mut alert = told.get_mut("alert").map(Value::take).unwrap_or_default();
    // A grouped or resolved alert of the first version is a hash, and details where it has them.
    if alert.get("hash").is_some() {
        alert = alert
            .get_mut("details")
            .map(Value::take)
            .unwrap_or_default();
    }
    let Value::Object(mut alert) = alert else {
        return Err(Refusal::new(
            "missing_field",
            "a recorded alert without details",
        ));
    };
    let resolved = resolved || alert.get("resolved").and_then(Value::as_bool) == Some(true);
    let status = if resolved { "resolved" } else { "firing" };
    alert.insert("status".to_owned(), status.into());
    Ok(Some(Value::Object(alert)))
}

fn alert(
    settings: &Settings,
    alert: &Value,
    record_time: Timestamp,
) -> Result<OutsideAlert, Refusal> {
    let mut labels = pairs(alert.get("labels"))?;
    if labels.get("alertname").is_none() {
        return Err(Refusal::new(
            "missing_field",
            "an alert without the label alertname",
        ));
    }
    for (name, value) in &settings.options.extra_labels {
        labels.set_default(name, value);
    }
    let starts_at = instant(alert.get("startsAt"))?.unwrap_or(record_time);
    let ends_at = instant(alert.get("endsAt"))?;
    let ends_at = match alert.get("status").and_then(Value::as_str) {
        Some("resolved") => Some(ends_at.unwrap_or(record_time)),
        Some("firing") => None,
        // A sender of the v2 API says until when its alert is to be believed; only an end that
        // has passed is an end.
        _ => ends_at.filter(|end| *end <= record_time),
    };
    Ok(OutsideAlert {
        labels: labels.build(),
        annotations: pairs(alert.get("annotations"))?.build(),
        starts_at,
        ends_at,
        generator: alert.get("generatorURL").and_then(text).unwrap_or_default(),
    })
}

/// An object of texts, or the event recorder's `{"labels":[{"key":…,"value":…}]}`.
fn pairs(value: Option<&Value>) -> Result<LabelsBuilder, Refusal> {
    let mut builder = Labels::empty().to_builder();
    match value {
        None | Some(Value::Null) => {}
        Some(Value::Object(fields)) if fields.get("labels").is_some_and(Value::is_array) => {
            let list = fields.get("labels").and_then(Value::as_array);
            for pair in list.into_iter().flatten() {
                let part = |key| pair.get(key).and_then(text).unwrap_or_default();
                builder.set(&part("key"), &part("value"));
            }
        }
        Some(Value::Object(fields)) => {
            for (name, value) in fields {
                builder.set(name, &text(value).unwrap_or_default());
            }
        }
        Some(_) => {
            return Err(Refusal::new(
                "wrong_type",
                "an alert's labels that are not an object",
            ));
        }
    }
    Ok(builder)
}

/// Go's zero time (year 1) and an empty string mean no time.
fn instant(value: Option<&Value>) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = value
        .and_then(text)
        .filter(|text| !text.is_empty() && !text.starts_with("0001-01-01"))
    else {
        return Ok(None);
    };
    match time::from_text(&text) {
        Some(at) => Ok(Some(at)),
        None => Err(Refusal::new(
            "bad_timestamp",
            format!("{text:?} is no time"),
        )),
    }
}
