//! Telemetry by HTTP: checked, then queued for the worker that reads it.

use std::sync::{Arc, Mutex, PoisonError};

use foghorn_http::{Accepted, Declined, Intake};
use foghorn_model::{
    Change, Labels, LogRecord, OutsideAlert, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef,
    Timestamp,
};
use foghorn_runtime::HttpQueue;
use foghorn_wire::{DecodeOptions, Decoder, Format};

/// See the module's text. The queue is in memory: what was taken and not yet decided on is lost
/// with the process.
pub(crate) struct Receivers {
    queue: Arc<HttpQueue>,
    decoder: Mutex<Decoder>,
}

impl Receivers {
    pub(crate) fn new(queue: Arc<HttpQueue>, options: DecodeOptions) -> Self {
        Self {
            queue,
            decoder: Mutex::new(Decoder::new(options)),
        }
    }
}

impl Intake for Receivers {
    fn offer(
        &self,
        format: Format,
        body: Vec<u8>,
        received: Timestamp,
    ) -> Result<Accepted, Declined> {
        let mut checked = Checked::default();
        self.decoder
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .decode(format, &body, received, &mut checked)
            .map_err(Declined::Refused)?;
        if self.queue.offer(format, body, received) {
            Ok(Accepted {
                rejected: checked.rejected,
                message: checked.first.map(|r| r.detail).unwrap_or_default(),
            })
        } else {
            Err(Declined::Busy { retry_after_s: 1 })
        }
    }
}

/// Counts what cannot be used, and forgets everything else.
#[derive(Debug, Default)]
struct Checked {
    rejected: u64,
    first: Option<Refusal>,
}

impl SampleSink for Checked {
    fn series(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        Some(SeriesRef::UNNAMED)
    }
    fn define(&mut self, _: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn sample(&mut self, _: SeriesRef, _: Timestamp, _: f64) {}
    fn stream(&mut self, _: SeriesKey) -> Option<SeriesRef> {
        Some(SeriesRef::UNNAMED)
    }
    fn define_stream(&mut self, _: SeriesKey, _: Labels) -> SeriesRef {
        SeriesRef::UNNAMED
    }
    fn log(&mut self, _: SeriesRef, _: &LogRecord<'_>) {}
    fn change(&mut self, _: Change) {}
    fn alert(&mut self, _: OutsideAlert) {}
    fn refuse(&mut self, refusal: Refusal) {
        self.rejected += 1;
        self.first.get_or_insert(refusal);
    }
}
