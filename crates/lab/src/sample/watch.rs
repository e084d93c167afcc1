//! The sink behind `source sample`: remembers what a record wrote, and how its times lie.

use std::collections::BTreeMap;

use foghorn_model::{
    Change, Labels, LogRecord, Offset, OutsideAlert, Partition, RecordSink, Refusal, SampleSink,
    SeriesKey, SeriesKind, SeriesRef, Timestamp, is_stale,
};

use super::finding::{Edge, Finding, LogShown, SampleShown};

/// Series, streams and clocks last for all records; the finding is of the current one.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) finding: Finding,
    /// By how much an event trailed the highest time of earlier records of its partition, at most.
    pub(super) trails_ms: i64,
    /// By how much an event was later than its record's stamp, at most.
    pub(super) ahead_ms: i64,
    series: Vec<(Labels, SeriesKind)>,
    series_by_key: BTreeMap<SeriesKey, SeriesRef>,
    streams: Vec<Labels>,
    streams_by_key: BTreeMap<SeriesKey, SeriesRef>,
    /// Highest event time of earlier records, by partition.
    highest: BTreeMap<Partition, Timestamp>,
    partition: Partition,
    stamp: Option<Timestamp>,
    /// Highest event time of the current record.
    latest: Option<Timestamp>,
}

impl Watch {
    /// Series seen.
    pub(super) fn series(&self) -> u64 {
        self.series.len() as u64
    }

    /// Log streams seen.
    pub(super) fn streams(&self) -> u64 {
        self.streams.len() as u64
    }

    fn see(&mut self, at: Timestamp) {
        // Neither the event nor its record (of a file) said a time.
        if self.stamp.is_none() && at == Timestamp::default() {
            return;
        }
        self.latest = self.latest.max(Some(at));
        if let Some(highest) = self.highest.get(&self.partition) {
            self.trails_ms = self.trails_ms.max(*highest - at);
        }
        if let Some(stamp) = self.stamp {
            self.ahead_ms = self.ahead_ms.max(at - stamp);
        }
    }
}

impl SampleSink for Watch {
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.series_by_key.get(&key).copied()
    }

    fn define(&mut self, key: SeriesKey, labels: Labels, kind: SeriesKind) -> SeriesRef {
        let series = SeriesRef(self.series.len() as u32);
        self.series.push((labels, kind));
        self.series_by_key.insert(key, series);
        series
    }

    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64) {
        self.see(at);
        let (labels, kind) = &self.series[series.0 as usize];
        self.finding.samples.push(SampleShown {
            labels: labels.clone(),
            kind: match kind {
                SeriesKind::Absolute => "absolute",
                SeriesKind::Delta => "delta",
            },
            at,
            value,
            stale: is_stale(value),
        });
    }

    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.streams_by_key.get(&key).copied()
    }

    fn define_stream(&mut self, key: SeriesKey, labels: Labels) -> SeriesRef {
        let stream = SeriesRef(self.streams.len() as u32);
        self.streams.push(labels);
        self.streams_by_key.insert(key, stream);
        stream
    }

    fn log(&mut self, stream: SeriesRef, record: &LogRecord<'_>) {
        self.see(record.at);
        let attributes = record.attributes.iter();
        self.finding.logs.push(LogShown {
            labels: self.streams[stream.0 as usize].clone(),
            at: record.at,
            severity: record.severity,
            line: record.line.to_owned(),
            attributes: attributes
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        });
    }

    fn change(&mut self, change: Change) {
        self.finding.changes.push(change);
    }

    fn alert(&mut self, alert: OutsideAlert) {
        self.finding.alerts.push(alert);
    }

    fn edge(&mut self, client: &str, server: &str) {
        self.finding.edges.push(Edge {
            client: client.to_owned(),
            server: server.to_owned(),
        });
    }

    fn witness(&mut self, at: Timestamp) {
        self.see(at);
        self.finding.spans += 1;
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.finding.refused.push(refusal.into());
    }
}

impl RecordSink for Watch {
    fn begin(&mut self, partition: Partition, _: Offset, stamp: Option<Timestamp>) -> bool {
        (self.partition, self.stamp, self.latest) = (partition, stamp, None);
        true
    }

    fn end(&mut self) {
        if let Some(latest) = self.latest {
            let highest = self.highest.entry(self.partition).or_insert(latest);
            *highest = latest.max(*highest);
        }
    }

    fn stamp_mattered(&self) -> bool {
        false
    }
}
