use foghorn_ingest::{SourceConfig, Span, Specimen};
use foghorn_model::Timestamp;
use foghorn_wire::Format;

use super::*;

fn record(offset: i64, payload: &str) -> Specimen {
    Specimen {
        source: "t".to_owned(),
        partition: Some(0),
        offset,
        timestamp: Some(Timestamp(60_000)),
        payload: payload.as_bytes().to_vec(),
        ..Specimen::default()
    }
}

fn shown(format: Format, payloads: &[&str]) -> String {
    let source = SourceConfig::of("t", format);
    let mut sampler = Sampler::new(&source);
    let mut text = String::new();
    for (offset, payload) in (0..).zip(payloads) {
        text += &finding_text(&sampler.take(&record(offset, payload), None), 2);
    }
    text + &summary_text(&sampler.finish())
}

#[test]
fn samples_and_refusals() {
    let got = shown(
        Format::JsonMetrics,
        &[
            r#"{"name":"up","labels":{"job":"a"},"value":1,"ts":60000000000}"#,
            r#"{"name":"up","labels":{"job":"a"},"ts":5}"#,
        ],
    );
    assert!(
        got.contains("t/0 @0  1970-01-01T00:01:00.000Z  61 bytes\n"),
        "{got}"
    );
    assert!(got.contains("up{job=\"a\"} 1\n"), "{got}");
    assert!(got.contains("  nothing of it can be used\n"), "{got}");
    assert!(
        got.contains(
            "2 records as json_metrics: 1 samples of 1 series; 1 refused, 1 records altogether\n"
        ),
        "{got}"
    );
}

#[test]
fn long_records_are_cut() {
    let line = r#"{"msg":"x","service":"a","ts":60}"#;
    let got = shown(
        Format::JsonLogs,
        &[&format!("{line}\n{line}\n{line}\n{line}")],
    );
    assert!(got.contains("  … and 2 more\n"), "{got}");
    assert!(
        got.contains("4 log records of 1 streams; 0 refused\n"),
        "{got}"
    );
}

#[test]
fn changes_and_alerts() {
    let got = shown(
        Format::Changes,
        &[r#"{"service":"cart","version":"v2","kind":"deploy","author":"ann","timestamp":60}"#],
    );
    assert!(
        got.contains("  1970-01-01T00:01:00.000Z  deploy of cart v2 by ann"),
        "{got}"
    );
    let got = shown(
        Format::Alerts,
        &[
            r#"[{"labels":{"alertname":"A"},"annotations":{"summary":"s"},"startsAt":"1970-01-01T00:00:30Z"}]"#,
        ],
    );
    assert!(
        got.contains("  firing since 1970-01-01T00:00:30.000Z  {alertname=\"A\"} summary=\"s\"\n"),
        "{got}"
    );
    assert!(got.contains(": 1 alerts; 0 refused\n"), "{got}");
}

/// What the summary says of records whose events lie at these seconds, and what is to be allowed.
fn check_lateness(seconds: &[i64], trails_ms: i64, allow: Option<&str>) {
    let source = SourceConfig {
        allowed_lateness: Some(Span(2_000)),
        topics: vec!["t".to_owned()],
        ..SourceConfig::of("t", Format::JsonMetrics)
    };
    let mut sampler = Sampler::new(&source);
    for (offset, at) in (0..).zip(seconds) {
        sampler.take(
            &record(offset, &format!(r#"{{"name":"up","value":1,"ts":{at}}}"#)),
            None,
        );
    }
    let summary = sampler.finish();
    assert_eq!(summary.trails_ms, trails_ms, "{seconds:?}");
    let block = source_block(&source, Some("ecs"), &summary);
    let line = block
        .lines()
        .find_map(|line| line.trim().strip_prefix("allowed_lateness: "));
    assert_eq!(line, allow, "{block}");
    assert!(
        block.contains("decode: {json_logs: {preset: ecs}}"),
        "{block}"
    );
}

#[test]
fn lateness_is_what_earlier_records_had_passed() {
    check_lateness(&[10, 11, 12], 0, None);
    check_lateness(&[12, 11], 1_000, None);
    check_lateness(&[12, 10], 2_000, Some("5s"));
    check_lateness(&[50, 10, 51], 40_000, Some("1m"));
}
