//! JSON lines in the shapes of the default mappings.

use std::fmt::Write;

use foghorn_model::Labels;
use foghorn_model::{Timestamp, labels::NAME};
use serde_json::{Map, Value};

use crate::encode::Pairs;
use crate::json::scan::plain_prefix;

/// One sample: `{"ts":…,"name":…,"labels":{…},"value":…}`. A number that JSON does not have is
/// written as a string.
pub fn json_metric(labels: &Labels, at: Timestamp, value: f64) -> String {
    let mut line = String::with_capacity(64 + 2 * labels.heap_bytes());
    // Writing to a string does not fail.
    let _ = write!(line, "{{\"ts\":{},\"name\":", at.ms());
    quote(labels.value(NAME), &mut line);
    line.push_str(",\"labels\":{");
    let rest = labels.iter().filter(|(name, _)| *name != NAME);
    for (i, (name, value)) in rest.enumerate() {
        if i > 0 {
            line.push(',');
        }
        quote(name, &mut line);
        line.push(':');
        quote(value, &mut line);
    }
    line.push_str("},\"value\":");
    let _ = match value {
        _ if value.is_finite() => write!(line, "{value}}}"),
        _ if value.is_nan() => write!(line, "\"NaN\"}}"),
        _ => write!(line, "\"{}Inf\"}}", if value > 0.0 { '+' } else { '-' }),
    };
    line
}

/// Appends a text as JSON has it: most need nothing but quotes.
fn quote(text: &str, into: &mut String) {
    if plain_prefix(text.as_bytes()) == text.len() {
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        into.push_str(&Value::from(text).to_string());
    }
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
