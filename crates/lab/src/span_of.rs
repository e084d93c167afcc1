//! The first and last event time of recordings, told by decoding them once.

use foghorn_ingest::{Feeder, Raw, Recording, SourceConfig};
use foghorn_model::{
    Change, Labels, LogRecord, Offset, OutsideAlert, Partition, RecordSink, Refusal, SampleSink,
    SeriesKey, SeriesKind, SeriesRef, Timestamp,
};

/// Remembers times and forgets everything else.
#[derive(Debug)]
struct Times {
    first: Timestamp,
    last: Timestamp,
    /// Of changes and alerts: they count only where nothing else tells.
    aside: (Timestamp, Timestamp),
}

impl Times {
    fn see(&mut self, at: Timestamp) {
        (self.first, self.last) = (self.first.min(at), self.last.max(at));
    }

    fn see_aside(&mut self, at: Timestamp) {
        self.aside = (self.aside.0.min(at), self.aside.1.max(at));
    }
}

impl SampleSink for Times {
    fn series(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        Some(SeriesRef::UNNAMED)
    }
    fn define(&mut self, _: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn sample(&mut self, _: SeriesRef, at: Timestamp, _: f64) {
        self.see(at);
    }
    fn stream(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        Some(SeriesRef::UNNAMED)
    }
    fn define_stream(&mut self, _: SeriesKey, _: Labels) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn log(&mut self, _: SeriesRef, record: &LogRecord<'_>) {
        self.see(record.at);
    }
    fn change(&mut self, change: Change) {
        self.see_aside(change.at);
    }
    fn alert(&mut self, alert: OutsideAlert) {
        self.see_aside(alert.starts_at);
    }
    fn witness(&mut self, at: Timestamp) {
        self.see_aside(at);
    }
    fn refuse(&mut self, _: Refusal) {}
}

impl RecordSink for Times {
    fn begin(&mut self, _: Partition, _: Offset, _: Option<Timestamp>) -> bool {
        true
    }
    fn end(&mut self) {}
    fn stamp_mattered(&self) -> bool {
        false
    }
}

/// First and last event time of the samples and log records (of changes and alerts, where there
/// are no others); `None` where there is nothing.
pub fn span_of(files: &[(Recording, SourceConfig)]) -> Option<(Timestamp, Timestamp)> {
    let none = (Timestamp::MAX, Timestamp::MIN);
    let mut times = Times {
        first: none.0,
        last: none.1,
        aside: none,
    };
    for (recording, source) in files {
        let mut feeder = Feeder::new(source);
        for offset in 0..recording.len() {
            let raw = Raw {
                partition: Partition::default(),
                offset: offset as Offset,
                timestamp: None,
                format: Some(recording.format),
                payload: recording.record(offset),
                ..Raw::default()
            };
            // What cannot be decoded is counted by the replay itself.
            drop(feeder.feed(&raw, None, &mut times));
        }
    }
    if times.last == none.1 {
        (times.aside != none).then_some(times.aside)
    } else {
        Some((times.first, times.last))
    }
}
