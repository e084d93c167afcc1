//! A sink that remembers everything, for tests, tools and demos.

use std::collections::BTreeMap;

use foghorn_model::{
    Change, Labels, LogRecord, OutsideAlert, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef,
    Timestamp,
};

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedSample {
    /// Labels of its series.
    pub labels: Labels,
    /// What its series' numbers mean.
    pub kind: SeriesKind,
    /// When.
    pub at: Timestamp,
    /// What.
    pub value: f64,
}

/// One log record, owned.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedLog {
    /// Labels of its stream.
    pub stream: Labels,
    /// When.
    pub at: Timestamp,
    /// The line.
    pub line: String,
    /// OTLP severity number, 0 where unknown.
    pub severity: u8,
    /// Further fields.
    pub attributes: Vec<(String, String)>,
}

/// Remembers what a decoder wrote, and checks the decoder's side of the bargain: labels are
/// defined only for unknown keys.
#[derive(Clone, Debug, Default)]
pub struct RecordingSink {
    /// Samples in the order in which they came.
    pub samples: Vec<RecordedSample>,
    /// Log records in the order in which they came.
    pub logs: Vec<RecordedLog>,
    /// Changes.
    pub changes: Vec<Change>,
    /// Alerts.
    pub alerts: Vec<OutsideAlert>,
    /// Who calls whom: client, server.
    pub edges: Vec<(String, String)>,
    /// Event times that belong to nothing else.
    pub witnessed: Vec<Timestamp>,
    /// What was refused.
    pub refusals: Vec<Refusal>,
    /// How often a series or a stream was defined.
    pub defined: usize,
    series: Vec<(Labels, SeriesKind)>,
    streams: Vec<Labels>,
    series_by_key: BTreeMap<SeriesKey, SeriesRef>,
    streams_by_key: BTreeMap<SeriesKey, SeriesRef>,
}

impl RecordingSink {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets records, keeps the series that are known.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.logs.clear();
        self.changes.clear();
        self.alerts.clear();
        self.edges.clear();
        self.witnessed.clear();
        self.refusals.clear();
        self.defined = 0;
    }

    /// The codes of what was refused.
    pub fn codes(&self) -> Vec<&'static str> {
        self.refusals.iter().map(|refusal| refusal.code).collect()
    }

    /// Samples as text, one a line: `up{job="a"} 1 @1700000000000`, with ` delta` behind a
    /// difference.
    pub fn text(&self) -> String {
        let line = |sample: &RecordedSample| {
            let delta = if sample.kind == SeriesKind::Delta {
                " delta"
            } else {
                ""
            };
            let value = if foghorn_model::is_stale(sample.value) {
                "stale".to_owned()
            } else {
                sample.value.to_string()
            };
            format!("{} {value} @{}{delta}\n", sample.labels, sample.at.ms())
        };
        self.samples.iter().map(line).collect()
    }
}

impl SampleSink for RecordingSink {
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.series_by_key.get(&key).copied()
    }

    fn define(&mut self, key: SeriesKey, labels: Labels, kind: SeriesKind) -> SeriesRef {
        debug_assert!(
            !self.series_by_key.contains_key(&key),
            "series {labels} is defined twice"
        );
        let series = SeriesRef(self.series.len() as u32);
        self.series.push((labels, kind));
        self.series_by_key.insert(key, series);
        self.defined += 1;
        series
    }

    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64) {
        let (labels, kind) = self.series[series.0 as usize].clone();
        self.samples.push(RecordedSample {
            labels,
            kind,
            at,
            value,
        });
    }

    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.streams_by_key.get(&key).copied()
    }

    fn define_stream(&mut self, key: SeriesKey, labels: Labels) -> SeriesRef {
        debug_assert!(
            !self.streams_by_key.contains_key(&key),
            "stream {labels} is defined twice"
        );
        let stream = SeriesRef(self.streams.len() as u32);
        self.streams.push(labels);
        self.streams_by_key.insert(key, stream);
        self.defined += 1;
        stream
    }

    fn log(&mut self, stream: SeriesRef, record: &LogRecord<'_>) {
        self.logs.push(RecordedLog {
            stream: self.streams[stream.0 as usize].clone(),
            at: record.at,
            line: record.line.to_owned(),
            severity: record.severity,
            attributes: record
                .attributes
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
        });
    }

    fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    fn alert(&mut self, alert: OutsideAlert) {
        self.alerts.push(alert);
    }

    fn edge(&mut self, client: &str, server: &str) {
        self.edges.push((client.to_owned(), server.to_owned()));
    }

    fn witness(&mut self, at: Timestamp) {
        self.witnessed.push(at);
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.refusals.push(refusal);
    }
}
