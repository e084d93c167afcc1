//! What a config says about sources.

use std::collections::BTreeMap;

use foghorn_wire::{Compression, DecodeOptions, Format};
use serde::Deserialize;

use crate::dedup::DedupConfig;

/// One source: where records come from, what they hold, how it treats time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name: rule groups refer to it by `sources:`.
    pub name: String,
    /// Kafka topics.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Kafka topics by regular expression, in place of a list (`^otlp_.*`).
    #[serde(default)]
    pub topic_regex: Option<String>,
    /// What its records hold; record headers may say more precisely (a `content-type`).
    pub format: Format,
    /// How senders packed the records, beside Kafka's own compression.
    #[serde(default)]
    pub compression: Compression,
    /// How records are decoded.
    #[serde(default)]
    pub decode: DecodeOptions,
    /// Whether records that come twice are left out, and how they are known. Not by default.
    #[serde(default)]
    pub dedup: Option<DedupConfig>,
    /// The watermark trails the highest event time by so much (`10s`); by default 10 s for remote
    /// write and OTLP, whose senders hold data back, and 2 s for the others.
    #[serde(default)]
    pub allowed_lateness: Option<Span>,
    /// Series of it that one worker may know; further ones are turned away. Without a bound of its own
    /// only that of all sources counts.
    #[serde(default)]
    pub max_series: Option<usize>,
    /// Labels whose values tell several Prometheus apart (`[cluster]`): rules are evaluated once for
    /// each, over its own series, without these labels.
    #[serde(default)]
    pub scope: Vec<String>,
    /// The label that tells the replicas of one Prometheus apart: rules see one of them.
    #[serde(default)]
    pub replica: Option<String>,
    /// A sample later than its record's stamp by more than this moves no watermark.
    #[serde(default = "ten_seconds")]
    pub max_ahead: Span,
    /// Whether its records are bodies that came by HTTP, each of a format that a header names.
    #[serde(skip)]
    pub is_posted: bool,
}

impl SourceConfig {
    /// A source of this format with everything else at its default.
    pub fn of(name: &str, format: Format) -> Self {
        Self {
            name: name.to_owned(),
            topics: Vec::new(),
            topic_regex: None,
            format,
            compression: Compression::default(),
            decode: DecodeOptions::default(),
            dedup: None,
            allowed_lateness: None,
            max_series: None,
            scope: Vec::new(),
            replica: None,
            max_ahead: ten_seconds(),
            is_posted: false,
        }
    }

    /// How far before the first record that matters a reader must begin, so that it knows what came
    /// before it, in milliseconds.
    pub fn dedup_reach_ms(&self) -> i64 {
        self.dedup.as_ref().map_or(0, |dedup| dedup.window.0)
    }

    /// Whether its series have a scope or a replica.
    pub fn is_scoped(&self) -> bool {
        !self.scope.is_empty() || self.replica.is_some()
    }

    /// How far the watermark trails, in milliseconds.
    pub fn allowed_lateness_ms(&self) -> i64 {
        self.allowed_lateness
            .map_or_else(|| default_lateness_ms(self.format), |span| span.0)
    }
}

/// Remote write and OTLP senders hold data back for 5 s; the others send as they go.
fn default_lateness_ms(format: Format) -> i64 {
    match format {
        Format::OtlpMetricsProto
        | Format::OtlpMetricsJson
        | Format::OtlpLogsProto
        | Format::OtlpLogsJson
        | Format::OtlpTracesProto
        | Format::OtlpTracesJson
        | Format::PrometheusKafkaAdapter
        | Format::RemoteWrite1
        | Format::RemoteWrite2
        | Format::Mimir => 10_000,
        _ => 2_000,
    }
}

fn ten_seconds() -> Span {
    Span(10_000)
}

/// A span of time as configs write it (`10s`, `1m30s`, `250ms`), in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Span(pub i64);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no span of time: write it like 10s, 1m30s or 250ms");
        if text == "0" {
            return Ok(Self(0));
        }
        let (mut total, mut rest) = (0_i64, text);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: i64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
            let unit_ms = match &rest[..letters] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return Err(bad()),
            };
            total = number
                .checked_mul(unit_ms)
                .and_then(|ms| ms.checked_add(total))
                .ok_or_else(bad)?;
            rest = &rest[letters..];
        }
        if text.is_empty() {
            Err(bad())
        } else {
            Ok(Self(total))
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The Kafka cluster that sources read from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port,…`
    pub brokers: String,
    /// Consumer group.
    pub group: String,
    /// Stable name of this instance (static membership); empty for none.
    pub instance: String,
    /// Any librdkafka property.
    pub properties: BTreeMap<String, String>,
    /// Properties whose values stand in files (secrets).
    pub property_files: BTreeMap<String, String>,
    /// Topic for records that could not be used; empty: they are only counted.
    pub dead_letter_topic: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!("1m30s".parse(), Ok(Span(90_000)));
        assert_eq!("250ms".parse(), Ok(Span(250)));
        assert_eq!("0".parse(), Ok(Span(0)));
        assert!("10".parse::<Span>().is_err());
        assert!("".parse::<Span>().is_err());
        assert!("5 s".parse::<Span>().is_err());
    }
}
