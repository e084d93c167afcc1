//! What a handful of records came to, and the block of YAML that would read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use foghorn_ingest::SourceConfig;
use foghorn_model::time::span_text;
use foghorn_wire::Compression;
use serde::Serialize;

use super::finding::Finding;

/// Counts over all records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// As what they were decoded.
    pub format: String,
    /// Records.
    pub records: u64,
    /// Records of which nothing could be used.
    pub unusable: u64,
    /// Records in which there was nothing, and nothing wrong.
    pub empty: u64,
    /// Samples.
    pub samples: u64,
    /// Series.
    pub series: u64,
    /// Log records.
    pub logs: u64,
    /// Log streams.
    pub streams: u64,
    /// Changes.
    pub changes: u64,
    /// Alerts of other programs.
    pub alerts: u64,
    /// Spans that told a time.
    pub spans: u64,
    /// Edges of the service graph.
    pub edges: u64,
    /// Records that had come before, by their id.
    pub duplicates: u64,
    /// What was refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// By how much an event trailed the highest time of earlier records of its partition, at most,
    /// in milliseconds.
    pub trails_ms: i64,
    /// How far the watermark of this source trails, in milliseconds.
    pub allowed_lateness_ms: i64,
    /// By how much an event was later than its record's own time, at most, in milliseconds.
    pub ahead_ms: i64,
    /// Beyond this it moves no watermark, in milliseconds.
    pub max_ahead_ms: i64,
}

/// Spans that people write.
const ROUND_MS: &[i64] = &[
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000,
];

impl Summary {
    /// Of nothing yet.
    pub(super) fn of(source: &SourceConfig) -> Self {
        Self {
            format: source.format.to_string(),
            allowed_lateness_ms: source.allowed_lateness_ms(),
            max_ahead_ms: source.max_ahead.0,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, finding: &Finding) {
        self.records += 1;
        self.unusable += u64::from(finding.unusable);
        self.empty += u64::from(finding.is_empty());
        self.samples += finding.samples.len() as u64;
        self.logs += finding.logs.len() as u64;
        self.changes += finding.changes.len() as u64;
        self.alerts += finding.alerts.len() as u64;
        self.spans += finding.spans;
        self.edges += finding.edges.len() as u64;
        self.duplicates += u64::from(finding.duplicate);
        for refused in &finding.refused {
            *self.refused.entry(refused.code.to_owned()).or_default() += 1;
        }
    }

    /// Whether some of these events would be late: at the watermark is late already.
    pub fn has_late(&self) -> bool {
        self.trails_ms >= self.allowed_lateness_ms
    }

    /// A lateness under which none of these events would have been late, where the source's own is
    /// too small. Events that trail by more than an hour are no reason to wait that long.
    pub fn lateness_to_allow(&self) -> Option<i64> {
        let round = ROUND_MS.iter().find(|span| **span > self.trails_ms);
        round.copied().filter(|_| self.has_late())
    }
}

/// The `sources:` block that reads these records.
pub fn source_block(source: &SourceConfig, preset: Option<&str>, summary: &Summary) -> String {
    let topics = if source.topics.is_empty() {
        "TOPIC".to_owned()
    } else {
        source.topics.join(", ")
    };
    let mut text = format!(
        "sources:\n  - name: {}\n    topics: [{topics}]\n    format: {}\n",
        source.name, source.format
    );
    // Writing to a string does not fail.
    if source.compression != Compression::None {
        let _infallible = writeln!(text, "    compression: {}", source.compression);
    }
    if let Some(preset) = preset {
        let _infallible = writeln!(text, "    decode: {{json_logs: {{preset: {preset}}}}}");
    }
    if let Some(span) = summary.lateness_to_allow() {
        let _infallible = writeln!(text, "    allowed_lateness: {}", span_text(span));
    }
    text
}
