//! What one record decoded to, as it is shown: a JSON object, or text.

use std::collections::BTreeMap;

use foghorn_ingest::Specimen;
use foghorn_model::{Change, Labels, Offset, OutsideAlert, Refusal, Timestamp};
use serde::Serialize;

/// A record and all that came out of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// Topic, or the file's path.
    pub source: String,
    /// Partition; absent for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Offset, or the record's number from 0 in a file.
    pub offset: Offset,
    /// The record's own time, in milliseconds since the epoch.
    pub timestamp: Option<Timestamp>,
    /// Length of the value in bytes.
    pub bytes: usize,
    /// The key, as text where it is text, else in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Headers in order, values as text where they are text, else in hex.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Samples.
    pub samples: Vec<SampleShown>,
    /// Log records.
    pub logs: Vec<LogShown>,
    /// Changes.
    pub changes: Vec<Change>,
    /// Alerts of other programs.
    pub alerts: Vec<OutsideAlert>,
    /// Edges of the service graph.
    pub edges: Vec<Edge>,
    /// Times of spans, which tell of nothing but edges.
    pub spans: u64,
    /// Whether the record came before, by its id (`dedup`), and was left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// What was refused, and why.
    pub refused: Vec<Refused>,
    /// Nothing of it could be used: `run` would send it to the dead letters.
    pub unusable: bool,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleShown {
    /// Labels of its series, `__name__` among them.
    pub labels: Labels,
    /// `absolute`, or `delta` for a difference since the previous point.
    pub kind: &'static str,
    /// When, in milliseconds since the epoch.
    pub at: Timestamp,
    /// What; where JSON has no number for it, a string.
    #[serde(with = "foghorn_model::number")]
    pub value: f64,
    /// Whether it is the marker that ends a series.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

/// One log record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LogShown {
    /// Labels of its stream.
    pub labels: Labels,
    /// When, in milliseconds since the epoch.
    pub at: Timestamp,
    /// OTLP's severity number, 0 where unknown.
    pub severity: u8,
    /// The line.
    pub line: String,
    /// Further fields.
    pub attributes: BTreeMap<String, String>,
}

/// One call from service to service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Edge {
    /// Who calls.
    pub client: String,
    /// Who is called.
    pub server: String,
}

/// A part of a record (or all of it) that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The reason, as in metrics.
    pub code: &'static str,
    /// What was wrong, and where.
    pub detail: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            code: refusal.code,
            detail: refusal.detail,
        }
    }
}

impl Finding {
    /// A record of which nothing is known yet but itself.
    pub fn of(specimen: &Specimen) -> Self {
        let headers = specimen.headers.iter();
        Self {
            source: specimen.source.clone(),
            partition: specimen.partition,
            offset: specimen.offset,
            timestamp: specimen.timestamp,
            bytes: specimen.payload.len(),
            key: specimen.key.as_deref().map(readable),
            headers: headers
                .map(|(name, value)| (name.clone(), readable(value)))
                .collect(),
            ..Self::default()
        }
    }

    /// Whether nothing came out and nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
            && self.logs.is_empty()
            && self.changes.is_empty()
            && self.alerts.is_empty()
            && self.edges.is_empty()
            && self.spans == 0
            && !self.duplicate
            && self.refused.is_empty()
    }
}

/// Text as it is, other bytes in hex.
fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            use std::fmt::Write as _;
            let _infallible = write!(hex, "{byte:02x}");
            hex
        }),
    }
}
