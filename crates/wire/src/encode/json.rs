//! JSON lines in the shapes of the default mappings.

use std::fmt::Write;

use foghorn_model::Labels;
use foghorn_model::{Timestamp, labels::NAME};
use serde_json::{Map, Value};

use crate::encode::Pairs;

/// One sample: `{"ts":…,"name":…,"labels":{…},"value":…}`. A number that JSON does not have is
/// written as a string.
pub fn json_metric(labels: &Labels, at: Timestamp, value: f64) -> String {
    let rest = labels.without_name();
    let quoted = |text: &str| Value::from(text).to_string();
    let mut line = format!(
        "{{\"ts\":{},\"name\":{},\"labels\":{{",
        at.ms(),
        quoted(labels.value(NAME))
    );
    for (i, (name, value)) in rest.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(line, "{comma}{}:{}", quoted(name), quoted(value));
    }
    let _ = match value {
        _ if value.is_finite() => write!(line, "}},\"value\":{value}}}"),
        _ if value.is_nan() => write!(line, "}},\"value\":\"NaN\"}}"),
        _ => write!(
            line,
            "}},\"value\":\"{}Inf\"}}",
            if value > 0.0 { '+' } else { '-' }
        ),
    };
    line
}

/// One log record: `{"timestamp":…,"message":…,…}`, with `fields` beside.
pub fn json_log(at: Timestamp, message: &str, fields: Pairs<'_>) -> String {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), at.to_string().into());
    object.insert("message".to_owned(), message.into());
    for (name, value) in fields {
        object.insert((*name).to_owned(), (*value).into());
    }
    Value::Object(object).to_string()
}
