//! Alerts of other programs: Alertmanager's webhook v4, and the array of its v2 API, plain or
//! inside CloudEvents.

use foghorn_model::{Labels, LabelsBuilder, OutsideAlert, Refusal, SampleSink, Timestamp};
use serde_json::Value;

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

fn pairs(value: Option<&Value>) -> Result<LabelsBuilder, Refusal> {
    let mut builder = Labels::empty().to_builder();
    match value {
        None | Some(Value::Null) => {}
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
