//! Where decoders write to: the seam between `wire` (bytes) and `eval` (series).
//!
//! A decoder walks a record's bytes once. For every sample it hashes the label set while walking
//! it, asks [`SampleSink::series`] for that key, and only when the key is unknown builds the
//! labels and calls [`SampleSink::define`]. Nothing is allocated for a known series.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::alert::OutsideAlert;
use crate::change::Change;
use crate::labels::Labels;
use crate::time::Timestamp;

/// A decoder's own 128-bit key of a series: a hash of the label set as it stands in the bytes,
/// salted by whatever of the decoder's settings changes the labels. Two keys may lead to one
/// series; one key always leads to the same labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey(pub u128);

impl Serialize for SeriesKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for SeriesKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Self)
            .map_err(serde::de::Error::custom)
    }
}

/// A sink's dense handle of a series, valid until the next [`SampleSink::series`] call for
/// another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub u32);

impl SeriesRef {
    /// A series that nothing names: its samples move event time and are counted, and no more.
    pub const UNNAMED: Self = Self(u32::MAX);
}

/// What a series' numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeriesKind {
    /// A value as it stands: gauges and cumulative counters alike (PromQL does not care).
    Absolute,
    /// A difference since the previous point; the cumulative value is formed at the tick, in
    /// event-time order.
    Delta,
}

/// Why part of a record (or all of it) could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Short, fixed, usable as a metric label: `truncated`, `bad_utf8`, `too_large`,
    /// `unsupported_type`, `bad_timestamp`, …
    pub code: &'static str,
    /// For people: what was wrong and where.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its explanation.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }
}

/// One log record, borrowed from the bytes that hold it.
#[derive(Clone, Debug)]
pub struct LogRecord<'a> {
    /// Event time.
    pub at: Timestamp,
    /// Key of the stream (its labels), as for series.
    pub stream: SeriesKey,
    /// The line, or the body as text (a structured body as JSON).
    pub line: &'a str,
    /// OTLP severity number 1–24, 0 where unknown.
    pub severity: u8,
    /// Further fields of the record that are not stream labels (structured metadata).
    pub attributes: &'a [(&'a str, &'a str)],
}

/// Receives what a record holds, in the record's own order.
pub trait SampleSink {
    /// The handle of a known series or log stream.
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef>;

    /// Makes a series (or a log stream) known. Labels of a series hold `__name__`.
    fn define(&mut self, key: SeriesKey, labels: Labels, kind: SeriesKind) -> SeriesRef;

    /// One sample. A staleness marker is a value like any other (see [`crate::time::STALE_NAN`]).
    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64);

    /// The handle of a known log stream; streams and series do not share keys.
    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef>;

    /// Makes a log stream known by its labels.
    fn define_stream(&mut self, key: SeriesKey, labels: Labels) -> SeriesRef;

    /// One log record of a stream that is known.
    fn log(&mut self, stream: SeriesRef, record: &LogRecord<'_>);

    /// A change event: a deploy, a flag, a scaling.
    fn change(&mut self, change: Change);

    /// An alert that somebody else's rule fired.
    fn alert(&mut self, alert: OutsideAlert);

    /// The record shows that one service calls another. It may be said again and again.
    fn edge(&mut self, client: &str, server: &str) {
        let _ = (client, server);
    }

    /// An event time of the record that belongs to no sample, log record or change: event time
    /// has come this far.
    fn witness(&mut self, at: Timestamp) {
        let _ = at;
    }

    /// Part of the record that could not be used; the rest still counts.
    fn refuse(&mut self, refusal: Refusal);
}

/// A [`SampleSink`] that is told where each record begins and ends.
pub trait RecordSink: SampleSink {
    /// Begins a record. `stamp` is the lesser of its own timestamp and wall time at first read;
    /// `None` where the source has none. `false` where the record must not be decoded: its
    /// partition is not read here, or it was read before.
    fn begin(
        &mut self,
        partition: crate::Partition,
        offset: crate::Offset,
        stamp: Option<Timestamp>,
    ) -> bool;

    /// Ends the record.
    fn end(&mut self);

    /// Whether the stamp of the record that ended last told against one of its samples: it moved
    /// no watermark, or was refused, because it lay too far ahead.
    fn stamp_mattered(&self) -> bool;
}
