//! Words of a failure, as promtool has them.

use std::fmt::Write;

use foghorn_model::Labels;
use foghorn_rules::diagnostic::position;
use foghorn_rules::promql::ExprError;

/// A list of alerts is set in by so much.
const INDENT: &str = "            ";

/// A duration as Prometheus writes it: `1m30s`.
pub(super) fn duration(ms: i64) -> String {
    foghorn_rules::duration::format(ms)
}

/// A duration as Go writes it: `1m0s`.
pub(super) fn go_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms.abs() < 1_000 {
        return format!("{ms}ms");
    }
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    let seconds = (ms % 60_000) as f64 / 1e3;
    if hours > 0 {
        format!("{sign}{hours}h{minutes}m{seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m{seconds}s")
    } else {
        format!("{sign}{seconds}s")
    }
}

/// A text in double quotes, as Go's `%q` writes it.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => drop(write!(out, "\\x{:02x}", c as u32)),
            c if is_unprintable(c) && (c as u32) < 0x1_0000 => {
                let _infallible = write!(out, "\\u{:04x}", c as u32);
            }
            c if is_unprintable(c) => drop(write!(out, "\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a character behind another is written by its number.
fn is_unprintable(c: char) -> bool {
    !c.is_ascii() && format!("a{c}").escape_debug().any(|c| c == '\\')
}

/// A label set, its metric's name among the labels: `{__name__="up", job="a"}`.
pub(super) fn labels(labels: &Labels) -> String {
    let mut out = "{".to_owned();
    for (i, (name, value)) in labels.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
            out.push_str(name);
        } else {
            out.push_str(&quote(name));
        }
        let _infallible = write!(out, "={}", quote(value));
    }
    out.push('}');
    out
}

/// A number as Go's `%E` writes it, with the fewest digits that read back the same.
fn scientific(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:E}");
    let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}E{sign}{digits:0>2}")
}

/// Samples in one line.
pub(super) fn samples(samples: &[(Labels, f64)]) -> String {
    if samples.is_empty() {
        return "nil".to_owned();
    }
    let told = samples
        .iter()
        .map(|(set, value)| format!("{} {}", labels(set), scientific(*value)));
    told.collect::<Vec<_>>().join(", ")
}

/// Alerts, numbered, each in two lines.
pub(super) fn alerts(alerts: &[(Labels, Labels)]) -> String {
    if alerts.is_empty() {
        return "[]".to_owned();
    }
    let told = alerts.iter().enumerate().map(|(i, (own, annotations))| {
        format!(
            "\n{INDENT}{i}:\n{INDENT}  Labels:{}\n{INDENT}  Annotations:{}",
            labels(own),
            labels(annotations)
        )
    });
    let told: Vec<_> = told.collect();
    format!("[{}\n{INDENT}]", told.join(","))
}

/// What is wrong with an expression, with line and column.
pub(super) fn expr_error(text: &str, error: &ExprError) -> String {
    let (line, column) = position(text, error.span.start);
    format!("{line}:{column}: {}", error.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        assert_eq!(go_duration(0), "0s");
        assert_eq!(go_duration(61_500), "1m1.5s");
        assert_eq!(go_duration(3_600_000), "1h0m0s");
        assert_eq!(go_duration(250), "250ms");
        assert_eq!(
            quote("a\"\\\n\u{1}é\u{200b}e\u{301}"),
            "\"a\\\"\\\\\\n\\x01é\\u200be\u{301}\""
        );
        assert_eq!(scientific(0.1), "1E-01");
        assert_eq!(scientific(-123_456.0), "-1.23456E+05");
        assert_eq!(scientific(0.0), "0E+00");
        assert_eq!(scientific(f64::INFINITY), "+Inf");
        let odd = Labels::from_pairs([("a.b", "1"), ("c", "2")]);
        assert_eq!(labels(&odd), r#"{"a.b"="1", c="2"}"#);
    }
}
