//! A sink that does as little as a sink can: it looks keys up, and counts.

use std::hash::{BuildHasherDefault, Hasher};

use foghorn_model::{
    Change, Labels, LogRecord, OutsideAlert, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef,
    Timestamp,
};
use hashbrown::HashMap;

/// A key is a hash already: its lower half will do.
#[derive(Default)]
pub(super) struct Already(u64);

impl Hasher for Already {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, bits: u128) {
        self.0 = bits as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Counts samples and log records.
#[derive(Default)]
pub(super) struct Counting {
    known: HashMap<SeriesKey, SeriesRef, BuildHasherDefault<Already>>,
    /// Samples and log records since it was last set to 0.
    pub(super) items: u64,
    /// Of what was in them, so that nothing is optimised away.
    sum: u64,
}

impl SampleSink for Counting {
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.known.get(&key).copied()
    }

    fn define(&mut self, key: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        let series = SeriesRef(self.known.len() as u32);
        self.known.insert(key, series);
        series
    }

    fn sample(&mut self, series: SeriesRef, at: Timestamp, value: f64) {
        self.items += 1;
        self.sum ^= u64::from(series.0) ^ at.ms() as u64 ^ value.to_bits();
    }

    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.series(key)
    }

    fn define_stream(&mut self, key: SeriesKey, labels: Labels) -> SeriesRef {
        self.define(key, labels, SeriesKind::Absolute)
    }

    fn log(&mut self, stream: SeriesRef, record: &LogRecord<'_>) {
        self.items += 1;
        self.sum ^= u64::from(stream.0) ^ record.at.ms() as u64 ^ record.line.len() as u64;
    }

    fn change(&mut self, _: Change) {}

    fn alert(&mut self, _: OutsideAlert) {}

    fn refuse(&mut self, _: Refusal) {}
}
