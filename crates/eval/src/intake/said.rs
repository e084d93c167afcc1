//! What an intake tells besides batches: words that must be acted on at once, and counts.

use foghorn_model::{Change, Labels, Offset, OutsideAlert, Partition, Timestamp};
use serde::{Deserialize, Serialize};

/// A log record that a match rule is waiting for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchHit {
    /// Group and rule.
    pub rule: (usize, usize),
    /// Labels that the pipeline gives.
    pub labels: Labels,
    /// Event time.
    pub at: Timestamp,
    /// Of a late record: ticks after this one count it, no others.
    pub hidden: Option<Timestamp>,
    /// The line, cut to 512 bytes.
    pub line: String,
}

/// What a record said that is not a sample: it must be acted on at once, in the record's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Which partition.
    pub partition: Partition,
    /// Which record.
    pub offset: Offset,
    /// Log matches.
    pub matches: Vec<MatchHit>,
    /// Changes.
    pub changes: Vec<Change>,
    /// Other programs' alerts.
    pub alerts: Vec<OutsideAlert>,
    /// Edges of the service graph that this intake has not seen before: (client, server).
    pub edges: Vec<(String, String)>,
}

impl Said {
    pub(super) fn is_empty(&self) -> bool {
        self.matches.is_empty()
            && self.changes.is_empty()
            && self.alerts.is_empty()
            && self.edges.is_empty()
    }
}

/// Counts of an intake since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntakeStats {
    /// Records begun.
    pub records: u64,
    /// Samples seen.
    pub samples: u64,
    /// Samples of series that nothing names.
    pub unnamed: u64,
    /// Samples at or below their partition's watermark.
    pub late: u64,
    /// Samples too far ahead of their record's stamp to move the watermark.
    pub ahead: u64,
    /// Samples so far ahead that they were refused.
    pub refused_ahead: u64,
    /// Series that were turned away because of the bound on series, each time that this was decided.
    pub refused_series: u64,
    /// Samples (and log hits) of series that are turned away.
    pub refused_samples: u64,
    /// Log records seen.
    pub log_records: u64,
    /// Log hits: (record, pipeline) pairs.
    pub log_hits: u64,
    /// Changes.
    pub changes: u64,
    /// Outside alerts.
    pub alerts: u64,
}
