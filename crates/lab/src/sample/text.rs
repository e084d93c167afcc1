//! Findings and summaries as people read them.

use std::fmt::Write as _;

use foghorn_ingest::suggest::{Attempt, Found};
use foghorn_model::time::span_text;
use foghorn_model::{Change, OutsideAlert};
use foghorn_wire::Compression;

use super::finding::{Finding, LogShown, SampleShown};
use super::summary::Summary;

/// A record: a heading, then a line for each thing in it, at most `limit` of them.
pub fn finding_text(finding: &Finding, limit: usize) -> String {
    let mut text = heading(finding);
    for (name, value) in &finding.headers {
        put(&mut text, &format!("header {name}: {value}"));
    }
    let lines = finding
        .samples
        .iter()
        .map(sample)
        .chain(finding.logs.iter().map(log))
        .chain(finding.changes.iter().map(change))
        .chain(finding.alerts.iter().map(alert))
        .chain(
            finding
                .edges
                .iter()
                .map(|edge| format!("call {} → {}", edge.client, edge.server)),
        );
    let mut hidden = 0;
    for (number, line) in lines.enumerate() {
        if number < limit {
            put(&mut text, &line);
        } else {
            hidden += 1;
        }
    }
    if hidden > 0 {
        put(&mut text, &format!("… and {hidden} more"));
    }
    for refused in &finding.refused {
        put(
            &mut text,
            &format!("refused {}: {}", refused.code, refused.detail),
        );
    }
    if finding.spans > 0 {
        put(&mut text, &format!("{} spans", finding.spans));
    }
    if finding.duplicate {
        put(&mut text, "it came before, by its id: left out");
    }
    if finding.unusable {
        put(&mut text, "nothing of it can be used");
    } else if finding.is_empty() {
        put(&mut text, "nothing in it");
    }
    text
}

fn put(text: &mut String, line: &str) {
    text.push_str("  ");
    text.push_str(line);
    text.push('\n');
}

fn heading(finding: &Finding) -> String {
    let mut text = match finding.partition {
        Some(partition) => format!("{}/{partition} @{}", finding.source, finding.offset),
        None => format!("{} #{}", finding.source, finding.offset),
    };
    // Writing to a string does not fail.
    if let Some(at) = finding.timestamp {
        let _infallible = write!(text, "  {at}");
    }
    let _infallible = write!(text, "  {} bytes", finding.bytes);
    if let Some(key) = &finding.key {
        let _infallible = write!(text, "  key {key}");
    }
    text.push('\n');
    text
}

fn sample(sample: &SampleShown) -> String {
    let value = if sample.stale {
        "ends here (stale)".to_owned()
    } else {
        sample.value.to_string()
    };
    let delta = if sample.kind == "delta" {
        "  (delta)"
    } else {
        ""
    };
    format!("{}  {} {value}{delta}", sample.at, sample.labels)
}

/// Characters of a line or a value that are shown.
const WIDTH: usize = 240;

fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn log(log: &LogShown) -> String {
    let mut text = format!("{}  {} {}", log.at, log.labels, cut(&log.line));
    if log.severity > 0 {
        let _infallible = write!(text, " severity={}", log.severity);
    }
    for (name, value) in &log.attributes {
        let _infallible = write!(text, " {name}={}", cut(value));
    }
    text
}

fn change(change: &Change) -> String {
    let kind = serde_json::to_value(change.kind).unwrap_or_default();
    let mut text = format!("{}  {} of", change.at, kind.as_str().unwrap_or("change"));
    let or_unknown = |word: &str| {
        if word.is_empty() {
            "?".to_owned()
        } else {
            word.to_owned()
        }
    };
    let _infallible = write!(text, " {}", or_unknown(&change.service));
    for (before, word) in [
        (" ", &change.version),
        (" in ", &change.environment),
        (" by ", &change.author),
        (": ", &change.summary),
    ] {
        if !word.is_empty() {
            let _infallible = write!(text, "{before}{word}");
        }
    }
    if !change.labels.is_empty() {
        let _infallible = write!(text, "  {}", change.labels);
    }
    text
}

fn alert(alert: &OutsideAlert) -> String {
    let mut text = match alert.ends_at {
        Some(end) => format!("resolved {end}, began {}", alert.starts_at),
        None => format!("firing since {}", alert.starts_at),
    };
    let _infallible = write!(text, "  {}", alert.labels);
    for (name, value) in alert.annotations.iter() {
        let _infallible = write!(text, " {name}={value:?}");
    }
    text
}

/// What all records came to.
pub fn summary_text(summary: &Summary) -> String {
    let mut text = format!("{} records as {}: ", summary.records, summary.format);
    let counts = [
        (
            summary.samples,
            format!("samples of {} series", summary.series),
        ),
        (
            summary.logs,
            format!("log records of {} streams", summary.streams),
        ),
        (summary.changes, "changes".to_owned()),
        (summary.alerts, "alerts".to_owned()),
        (summary.spans, "spans".to_owned()),
        (summary.edges, "calls between services".to_owned()),
    ];
    let told: Vec<_> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    text.push_str(&if told.is_empty() {
        "nothing".to_owned()
    } else {
        told.join(", ")
    });
    let refused: u64 = summary.refused.values().sum();
    let _infallible = write!(text, "; {refused} refused");
    if summary.unusable > 0 {
        let _infallible = write!(text, ", {} records altogether", summary.unusable);
    }
    if summary.duplicates > 0 {
        let _infallible = write!(text, "; {} had come before", summary.duplicates);
    }
    if summary.empty > 0 {
        let _infallible = write!(text, "; {} with nothing in them", summary.empty);
    }
    text.push('\n');
    for (code, count) in &summary.refused {
        put(&mut text, &format!("refused {code}: {count}"));
    }
    if summary.samples + summary.logs > 0 {
        put(&mut text, &lateness(summary));
    }
    if summary.ahead_ms > summary.max_ahead_ms {
        put(
            &mut text,
            &format!(
                "events are up to {} later than their record: beyond max_ahead ({}) they move no watermark, beyond 10m they are refused",
                span_text(summary.ahead_ms),
                span_text(summary.max_ahead_ms)
            ),
        );
    }
    text
}

fn lateness(summary: &Summary) -> String {
    let allowed = span_text(summary.allowed_lateness_ms);
    if summary.trails_ms == 0 {
        return format!("in order of time; allowed_lateness is {allowed}");
    }
    let trails = span_text(summary.trails_ms);
    let verdict = if summary.has_late() {
        "some of them are late"
    } else {
        "none is late"
    };
    format!(
        "events trail what their partition had shown before by up to {trails}; allowed_lateness is {allowed}: {verdict}"
    )
}

/// What trying a format came to, as a line.
pub fn attempt_line(attempt: &Attempt) -> String {
    let Found {
        samples,
        logs,
        others,
    } = attempt.found;
    let packed = match attempt.compression {
        Compression::None => String::new(),
        packed => format!(" in {packed}"),
    };
    let counts = [
        (samples, "samples"),
        (logs, "log records"),
        (others, "others"),
    ];
    let found: Vec<_> = counts
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, what)| format!("{n} {what}"))
        .collect();
    let found = if found.is_empty() {
        "nothing in it".to_owned()
    } else {
        found.join(", ")
    };
    match &attempt.refused {
        Some(refusal) => format!(
            "{}{packed}: {found}; refused {}: {}",
            attempt.format, refusal.code, refusal.detail
        ),
        None => format!("{}{packed}: {found}", attempt.format),
    }
}
