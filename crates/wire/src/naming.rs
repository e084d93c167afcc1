//! OTLP names to Prometheus names.
//!
//! The rules are those of the OpenTelemetry specification ("Prometheus and OpenMetrics
//! Compatibility", OTLP metric points to Prometheus) as Prometheus' own receiver applies them:
//! names are split at what Prometheus did not allow and joined with `_`, the unit and (for
//! monotonic sums) `total` go to the end, and a gauge of unit `1` is a `ratio`.

use crate::options::Translation;

/// What the name of a metric depends on beside its own text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameKind {
    /// A gauge: unit `1` gives `_ratio`.
    Gauge,
    /// A monotonic sum: `_total`.
    Counter,
    /// Anything else.
    Other,
}

/// The metric's name under a translation; may come out empty, which names no series.
pub(crate) fn metric_name(
    translation: Translation,
    name: &str,
    unit: &str,
    kind: NameKind,
) -> String {
    match translation {
        Translation::None => name.to_owned(),
        Translation::Underscore => sanitised_metric(name),
        Translation::Prometheus => with_suffixes(name, unit, kind),
    }
}

/// A metric's name with all that Prometheus did not allow as `_`.
pub(crate) fn sanitised_metric(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for token in name
        .split(|c: char| !(is_name_char(c) || c == '_'))
        .filter(|token| !token.is_empty())
    {
        if !out.is_empty() {
            out.push('_');
        }
        out.push_str(token);
    }
    shield_digit(out)
}

fn with_suffixes(name: &str, unit: &str, kind: NameKind) -> String {
    let mut tokens: Vec<&str> = name
        .split(|c| !is_name_char(c))
        .filter(|token| !token.is_empty())
        .collect();
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let (main, per) = (
        cleaned(main_unit(main.trim())),
        cleaned(per_unit(per.trim())),
    );
    let per = if per.is_empty() {
        per
    } else {
        format!("per_{per}")
    };
    let (has_main, has_per) = (tokens.contains(&&*main), tokens.contains(&&*per));
    if !main.is_empty() && !has_main {
        tokens.push(&main);
    }
    if !per.is_empty() && !has_per {
        tokens.push(&per);
    }
    let last = match kind {
        NameKind::Counter => "total",
        NameKind::Gauge if unit == "1" => "ratio",
        NameKind::Gauge | NameKind::Other => "",
    };
    if !last.is_empty() {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    shield_digit(tokens.join("_"))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn shield_digit(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("_{name}")
    } else {
        name
    }
}

/// A unit with one `_` for each run of characters that a name may not have, none at its ends.
fn cleaned(unit: &str) -> String {
    unit.split(|c| !is_name_char(c))
        .filter(|token| !token.is_empty())
        .collect::<Vec<_>>()
        .join("_")
}

/// UCUM's case-sensitive symbols to Prometheus' words; annotations in braces are no unit.
fn main_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" | "kBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "%" => "percent",
        "1" => "",
        other if other.contains(['{', '}']) => "",
        other => other,
    }
}

/// The word after "per".
fn per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other if other.contains(['{', '}']) => "",
        other => other,
    }
}

/// Appends a label's name under a translation: other characters become `_` one by one, a digit
/// in front gets `key_`, a single `_` in front gets `key`.
pub(crate) fn label_name(translation: Translation, name: &str, out: &mut String) {
    if translation == Translation::None {
        out.push_str(name);
        return;
    }
    match name.as_bytes() {
        [b'0'..=b'9', ..] => out.push_str("key_"),
        [b'_', b'_', ..] => {}
        [first, ..] if !first.is_ascii_alphabetic() => out.push_str("key"),
        _ => {}
    }
    out.extend(name.chars().map(|c| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '_'
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, unit: &str, kind: NameKind, expect: &str) {
        assert_eq!(
            metric_name(Translation::Prometheus, name, unit, kind),
            expect
        );
    }

    #[test]
    fn units_and_types_become_suffixes() {
        use NameKind::{Counter, Gauge, Other};
        check(
            "http.server.request.duration",
            "s",
            Other,
            "http_server_request_duration_seconds",
        );
        check(
            "process.cpu.seconds",
            "s",
            Counter,
            "process_cpu_seconds_total",
        );
        check(
            "requests.total.by_host",
            "1",
            Counter,
            "requests_by_host_total",
        );
        check(
            "system.cpu.utilization",
            "1",
            Gauge,
            "system_cpu_utilization_ratio",
        );
        check("queue.size", "{items}", Gauge, "queue_size");
        check("disk.io", "By/s", Gauge, "disk_io_bytes_per_second");
        check("jobs.done", "{jobs}/min", Other, "jobs_done_per_min");
        check("battery", "%", Gauge, "battery_percent");
        check("2xx__count", "", Other, "_2xx_count");
        check("odd", "foo-bar", Other, "odd_foo_bar");
        check("...", "", Other, "");
    }

    #[test]
    fn underscore_only_sanitises() {
        let name = |text| metric_name(Translation::Underscore, text, "s", NameKind::Counter);
        assert_eq!(name("http.server.duration"), "http_server_duration");
        assert_eq!(name("a__b:c"), "a__b:c");
        assert_eq!(
            metric_name(Translation::None, "a.b", "s", NameKind::Gauge),
            "a.b"
        );
    }

    #[test]
    fn label_names() {
        for (name, expect) in [
            ("http.method", "http_method"),
            ("2xx", "key_2xx"),
            ("_x", "key_x"),
            ("__x", "__x"),
            (".x", "key_x"),
            ("größe", "gr__e"),
        ] {
            let mut out = String::new();
            label_name(Translation::Prometheus, name, &mut out);
            assert_eq!(out, expect);
        }
    }
}
