//! Whole JSON values, for the cold formats (changes, alerts): documents, pointers, CloudEvents.

use foghorn_model::Refusal;
use serde_json::Value;

/// The documents of a record: one value, the elements of an array, or one after another (NDJSON).
/// A broken line of NDJSON is an error beside its neighbours.
pub(crate) fn documents(payload: &[u8]) -> Vec<Result<Value, Refusal>> {
    let whole: Result<Vec<Value>, _> = serde_json::Deserializer::from_slice(payload)
        .into_iter()
        .collect();
    let values = match whole {
        Ok(values) => values.into_iter().map(Ok).collect(),
        Err(error) if !payload.contains(&b'\n') => vec![Err(bad_json(&error))],
        Err(_) => payload
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .map(|line| serde_json::from_slice(line).map_err(|error| bad_json(&error)))
            .collect::<Vec<_>>(),
    };
    values
        .into_iter()
        .flat_map(|value| match value {
            Ok(Value::Array(items)) => items.into_iter().map(Ok).collect(),
            other => vec![other],
        })
        .collect()
}

fn bad_json(error: &serde_json::Error) -> Refusal {
    let code = if error.is_eof() {
        "truncated"
    } else {
        "bad_json"
    };
    Refusal::new(code, error.to_string())
}

/// What a CloudEvents envelope says.
#[derive(Debug, Default)]
pub(crate) struct Envelope {
    pub id: String,
    pub source: String,
    pub kind: String,
    pub subject: String,
    pub time: String,
}

/// Takes a structured-mode `CloudEvent` apart; anything else stays as it is. Data may be JSON in a
/// string; in base64 it is refused.
pub(crate) fn unwrap_cloudevent(value: Value) -> Result<(Option<Envelope>, Value), Refusal> {
    let is_event = ["specversion", "type", "source"]
        .iter()
        .all(|key| value.get(key).is_some_and(Value::is_string));
    let Value::Object(mut event) = value else {
        return Ok((None, value));
    };
    if !is_event {
        return Ok((None, Value::Object(event)));
    }
    let mut take = |key: &str| {
        event
            .remove(key)
            .and_then(|value| text(&value))
            .unwrap_or_default()
    };
    let envelope = Envelope {
        id: take("id"),
        source: take("source"),
        kind: take("type"),
        subject: take("subject"),
        time: take("time"),
    };
    if event.contains_key("data_base64") {
        return Err(Refusal::new(
            "unsupported_type",
            "a CloudEvent's data in base64",
        ));
    }
    let data = match event.remove("data") {
        Some(Value::String(inner)) => serde_json::from_str(&inner).unwrap_or(Value::String(inner)),
        Some(data) => data,
        None => Value::Null,
    };
    Ok((Some(envelope), data))
}

/// A scalar as text; `None` for null, arrays and objects.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Calls `each` with pointer and text of every scalar that is in no array.
pub(crate) fn each_leaf(value: &Value, path: &mut String, each: &mut impl FnMut(&str, String)) {
    if let Value::Object(fields) = value {
        for (key, inner) in fields {
            let parent = path.len();
            path.push('/');
            path.push_str(&key.replace('~', "~0").replace('/', "~1"));
            each_leaf(inner, path, each);
            path.truncate(parent);
        }
    } else if let Some(text) = text(value) {
        each(path, text);
    }
}
