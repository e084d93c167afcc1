//! Logs as Filebeat writes them to Kafka (Elastic Common Schema), the rules that count some of their
//! lines, and how often those rules must find what they look for.

use std::collections::BTreeMap;
use std::fmt::Write;

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_wire::{DecodeOptions, Format, JsonLogMapping, LineSource, Names, StreamLabel};

use crate::dataset::{Dataset, T0_MS, mix};
use crate::rules::{self, INTERVAL_MS};

/// Services that write.
const SERVICES: u64 = 200;
/// One line in so many is an error.
const ONE_IN: u64 = 100;
/// Errors that happen; rules beyond them look for lines that are never written.
pub(crate) const CODES: u64 = 5;
/// A rule has a result where a service said its line more often than this within a minute.
const MORE_THAN: u64 = 5;
/// Width of the rules' windows, in milliseconds.
const WINDOW_MS: i64 = 60_000;

/// Which service writes record `number` of a round, and the error that it tells of, if any.
fn record(number: u64, round: u64) -> (u64, Option<u64>) {
    let chance = mix(number << 24 ^ round);
    let code = chance
        .is_multiple_of(ONE_IN)
        .then_some((chance >> 32) % CODES);
    ((chance >> 8) % SERVICES, code)
}

/// Writes record `number` of a round.
pub(crate) fn write(data: &Dataset, number: u64, round: u64, into: &mut String) {
    let (service, code) = record(number, round);
    let at = data.at(number, round);
    into.clear();
    // Writing to a string does not fail.
    let _infallible = write!(
        into,
        "{{\"@timestamp\":\"{at}\",\"@metadata\":{{\"beat\":\"filebeat\",\"type\":\"_doc\",\"version\":\"8.11.0\"}},\
         \"log\":{{\"level\":\"{}\",\"logger\":\"http\",\"offset\":{},\"file\":{{\"path\":\"/var/log/svc-{service:03}.log\"}}}},\
         \"ecs\":{{\"version\":\"8.0.0\"}},\"service\":{{\"name\":\"svc-{service:03}\"}},\
         \"host\":{{\"name\":\"node-{service:03}\"}},\"agent\":{{\"type\":\"filebeat\",\"version\":\"8.11.0\"}},\"message\":\"",
        if code.is_some() { "error" } else { "info" },
        round * 977 + number,
    );
    let _infallible = match code {
        Some(code) => write!(
            into,
            "request {number:05} failed after 3 attempts: {}\"}}",
            needle(code)
        ),
        None => write!(
            into,
            "GET /api/v1/tenants/items/{number:05}/details served with 200 in {} ms\"}}",
            number % 97
        ),
    };
}

/// What rule `i` looks for.
fn needle(i: u64) -> String {
    format!("upstream error E{i:04}")
}

/// A rule file with the first so many rules. They sum, because fields of a record (`log.offset`, say)
/// are labels of what is counted, as in Loki.
pub(crate) fn file(count: usize) -> RuleFile {
    let mut text = "groups:\n  - name: comparison\n    interval: 10s\n    rules:\n".to_owned();
    for i in 0..count {
        // Writing to a string does not fail.
        let _infallible = writeln!(
            text,
            "      - record: {}\n        expr: 'sum by (service_name) (count_over_time({{service_name=~\".+\"}} |= \"{}\" [1m])) > {MORE_THAN}'",
            rules::name(i),
            needle(i as u64)
        );
    }
    RuleFile {
        path: "comparison.yaml".to_owned(),
        text,
    }
}

/// The source: nested ECS fields, the message as line.
pub(crate) fn source() -> SourceConfig {
    let label = |label: &str, from: &[&str]| StreamLabel {
        label: label.to_owned(),
        from: Names::of(from),
    };
    SourceConfig {
        decode: DecodeOptions {
            json_logs: JsonLogMapping {
                timestamp: Names::of(&["@timestamp"]),
                message: Names::of(&["message"]),
                level: Names::of(&["/log/level", "log.level"]),
                stream: vec![
                    label("service_name", &["/service/name", "service.name"]),
                    label("host", &["/host/name", "host.name"]),
                    label("level", &["/log/level", "log.level"]),
                ],
                line: LineSource::Message,
                ..JsonLogMapping::default()
            },
            ..DecodeOptions::default()
        },
        ..SourceConfig::of("m", Format::JsonLogs)
    }
}

/// Results of each rule over the ticks from `first` to `last`.
pub(crate) fn expected(
    data: &Dataset,
    rules: usize,
    first: Timestamp,
    last: Timestamp,
) -> Vec<u64> {
    let mut times: BTreeMap<(u64, u64), Vec<i64>> = BTreeMap::new();
    for round in 0..data.rounds {
        for number in 0..data.series() {
            if let (service, Some(code)) = record(number, round) {
                let at = data.at(number, round).ms() - T0_MS;
                times.entry((code, service)).or_default().push(at);
            }
        }
    }
    let mut results = vec![0; rules];
    for ((code, _), times) in &times {
        let Some(results) = results.get_mut(*code as usize) else {
            continue;
        };
        let mut tick = first;
        while tick <= last {
            let at = tick.ms() - T0_MS;
            let until = |at: i64| times.partition_point(|time| *time <= at) as u64;
            *results += u64::from(until(at) - until(at - WINDOW_MS) > MORE_THAN);
            tick += INTERVAL_MS;
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_filebeat_like() {
        let data = Dataset::new(10_000, 2);
        let (mut text, mut bytes, mut errors) = (String::new(), 0, 0);
        for number in 0..10_000 {
            write(&data, number, 1, &mut text);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(
                json["service"]["name"]
                    .as_str()
                    .unwrap()
                    .starts_with("svc-")
            );
            errors += u32::from(json["log"]["level"] == "error");
            bytes += text.len();
        }
        assert!((300..500).contains(&(bytes / 10_000)), "{bytes}");
        assert!((50..200).contains(&errors), "{errors}");
    }

    #[test]
    fn some_rules_have_results_and_most_have_none() {
        let data = Dataset::new(10_000, 60);
        let first = Timestamp(T0_MS);
        let results = expected(&data, 100, first, first + 60_000);
        assert!(
            results[..CODES as usize].iter().all(|count| *count > 0),
            "{results:?}"
        );
        assert!(results[CODES as usize..].iter().all(|count| *count == 0));
        rules::catalog(&file(100)).unwrap();
    }
}
