//! Telemetry by HTTP: checked, journalled, then queued for the worker that reads it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use foghorn_http::{Accepted, Declined, Intake};
use foghorn_model::{
    Change, Labels, LogRecord, OutsideAlert, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef,
    Timestamp,
};
use foghorn_runtime::{HttpQueue, HttpTopic, Offered};
use foghorn_wire::{DecodeOptions, Decoder, Format};

/// Series and streams whose labels were found good and need no second look. With more of them the
/// look is taken again.
const MAX_KNOWN: usize = 1 << 20;

/// After so many seconds a sender comes again where there is no room for the moment.
const SOON: u32 = 1;
/// The same, where the disk takes nothing.
const LATER: u32 = 10;

/// See the module's text.
pub(crate) struct Receivers {
    kept: KeptIn,
    check: Mutex<(Decoder, Checked)>,
}

/// What keeps a body before its sender hears of success.
#[derive(Clone)]
pub(crate) enum KeptIn {
    /// The journal of this instance, in front of its queue.
    Journal(Arc<HttpQueue>),
    /// A topic, from which whoever takes over reads it.
    Topic(Arc<HttpTopic>),
}

impl Receivers {
    pub(crate) fn new(kept: KeptIn, options: DecodeOptions) -> Self {
        Self {
            kept,
            check: Mutex::new((Decoder::new(options), Checked::default())),
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
        let accepted = {
            let mut check = self.check.lock().unwrap_or_else(PoisonError::into_inner);
            let (decoder, checked) = &mut *check;
            checked.begin();
            decoder
                .decode(format, &body, received, checked)
                .map_err(Declined::Refused)?;
            Accepted {
                samples: checked.samples,
                rejected: checked.rejected,
                message: checked.first.take().map(|r| r.detail).unwrap_or_default(),
            }
        };
        let offered = match &self.kept {
            KeptIn::Journal(queue) => queue.offer(format, body, received),
            KeptIn::Topic(topic) => topic.offer(format, &body, received),
        };
        match offered {
            Offered::Taken => Ok(accepted),
            Offered::Full => Err(Declined::Busy {
                retry_after_s: SOON,
            }),
            Offered::Failed(_) => Err(Declined::Busy {
                retry_after_s: LATER,
            }),
        }
    }
}

/// Counts what can be used and what cannot, and forgets everything but whose labels are good.
#[derive(Debug, Default)]
struct Checked {
    samples: u64,
    rejected: u64,
    first: Option<Refusal>,
    /// Never iterated.
    known: HashSet<SeriesKey>,
}

impl Checked {
    /// Begins a body.
    fn begin(&mut self) {
        (self.samples, self.rejected, self.first) = (0, 0, None);
        if self.known.len() > MAX_KNOWN {
            self.known.clear();
        }
    }

    fn known(&self, key: SeriesKey) -> Option<SeriesRef> {
        self.known.contains(&key).then_some(SeriesRef::UNNAMED)
    }

    fn learn(&mut self, key: SeriesKey) -> SeriesRef {
        self.known.insert(key);
        SeriesRef::UNNAMED
    }
}

impl SampleSink for Checked {
    fn series(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.known(key)
    }
    fn define(&mut self, key: SeriesKey, _: Labels, _: SeriesKind) -> SeriesRef {
        self.learn(key)
    }
    fn sample(&mut self, _: SeriesRef, _: Timestamp, _: f64) {
        self.samples += 1;
    }
    fn stream(&mut self, key: SeriesKey) -> Option<SeriesRef> {
        self.known(key)
    }
    fn define_stream(&mut self, key: SeriesKey, _: Labels) -> SeriesRef {
        self.learn(key)
    }
    fn log(&mut self, _: SeriesRef, _: &LogRecord<'_>) {}
    fn change(&mut self, _: Change) {}
    fn alert(&mut self, _: OutsideAlert) {}
    fn refuse(&mut self, refusal: Refusal) {
        self.rejected += 1;
        self.first.get_or_insert(refusal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bodies: &[&str], expect: &str) {
        let queue = Arc::new(HttpQueue::new(1 << 20));
        let receivers = Receivers::new(KeptIn::Journal(queue), DecodeOptions::default());
        let mut got = Vec::new();
        for body in bodies {
            let offered =
                receivers.offer(Format::JsonMetrics, body.as_bytes().to_vec(), Timestamp(0));
            got.push(match offered {
                Ok(accepted) => format!("{}+{}", accepted.samples, accepted.rejected),
                Err(Declined::Refused(refusal)) => refusal.code.to_owned(),
                Err(Declined::Busy { .. }) => "busy".to_owned(),
            });
        }
        assert_eq!(got.join(" "), expect);
    }

    #[test]
    fn what_can_be_used_is_counted() {
        let good = r#"{"name":"up","value":1,"ts":1}"#;
        let nameless = r#"{"value":1,"ts":1}"#;
        check(&[good, good], "1+0 1+0");
        check(
            &[&format!("{good}\n{good}\n{nameless}"), nameless],
            "2+1 no_name",
        );
    }
}
