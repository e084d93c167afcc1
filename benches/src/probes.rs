//! Probes: alerts with a number of their own, each sent at a known instant and looked for on the
//! output topic.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use foghorn_kafka::{Consumer, ConsumerConfig, KafkaError, Properties, RdConsumer, Start};
use foghorn_model::Timestamp;
use hdrhistogram::Histogram;
use tokio::time::Instant;

use crate::Failure;

/// The first sight of a probe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub(crate) seen: Instant,
    /// The same, by the clock that the broker goes by.
    pub(crate) at: Timestamp,
    /// When the broker had it.
    pub(crate) appended: Timestamp,
}

/// When each probe was first seen.
pub(crate) type Seen = BTreeMap<u32, Sight>;

/// The service that stands for a probe.
pub(crate) fn service(number: u32) -> String {
    format!("probe-{number:06}")
}

/// The number of the probe that a text speaks of first.
pub(crate) fn number(text: &str) -> Option<u32> {
    let at = text.find("probe-")? + "probe-".len();
    text.get(at..at + 6)?.parse().ok()
}

/// A thread that reads the output topic.
pub(crate) struct Observer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Seen, KafkaError>>,
}

impl Observer {
    /// Starts to read.
    pub(crate) fn start(properties: Properties, topic: &str) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, topic) = (Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::Builder::new()
            .name("observer".to_owned())
            .spawn(move || observe(properties, &topic, &told))?;
        Ok(Self { stop, thread })
    }

    /// Ends it; what it saw.
    pub(crate) fn finish(self) -> Result<Seen, Failure> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(seen) => Ok(seen?),
            Err(_) => Err("the observer panicked".into()),
        }
    }
}

fn observe(properties: Properties, topic: &str, stop: &AtomicBool) -> Result<Seen, KafkaError> {
    let group = format!("observer-{}", crate::measure::wall().ms());
    let config = ConsumerConfig::new(properties, &group, &[topic]);
    let mut consumer: Box<dyn Consumer> = Box::new(RdConsumer::join(
        &config,
        Box::new(|_: &str, _: u32| Start::Earliest),
    )?);
    let mut seen = Seen::new();
    while !stop.load(Ordering::Acquire) {
        consumer.poll_batch(1_000, Duration::from_millis(100), &mut |record| {
            let text = std::str::from_utf8(record.payload.unwrap_or_default()).unwrap_or_default();
            if let Some(number) = number(text) {
                seen.entry(number).or_insert_with(|| Sight {
                    seen: Instant::now(),
                    at: crate::measure::wall(),
                    appended: Timestamp(record.timestamp_ms.unwrap_or_default()),
                });
            }
        })?;
        consumer.events();
    }
    consumer.close()?;
    Ok(seen)
}

/// From begin to being seen, in microseconds.
///
/// # Errors
/// A probe that was never seen.
pub(crate) fn latencies(
    begun: &BTreeMap<u32, Instant>,
    seen: &Seen,
) -> Result<Histogram<u64>, Failure> {
    let mut histogram = Histogram::new(3)?;
    let missing: Vec<_> = begun
        .keys()
        .filter(|number| !seen.contains_key(number))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "{} of {} probes never came, {:?} first",
            missing.len(),
            begun.len(),
            missing[0]
        )
        .into());
    }
    for (number, begin) in begun {
        let span = seen[number].seen.saturating_duration_since(*begin);
        histogram.record(span.as_micros() as u64)?;
    }
    Ok(histogram)
}

/// From one appending to the other, in microseconds: the broker's clock counts milliseconds.
pub(crate) fn between(
    appended: impl Iterator<Item = (u32, Timestamp)>,
    seen: &Seen,
) -> Result<Histogram<u64>, Failure> {
    let mut histogram = Histogram::new(3)?;
    for (number, at) in appended {
        if let Some(sight) = seen.get(&number) {
            histogram.record(1_000 * (sight.appended - at).max(0) as u64)?;
        }
    }
    Ok(histogram)
}

/// `p50 … ms, p99 … ms, most … ms of … probes`
pub(crate) fn words(histogram: &Histogram<u64>) -> String {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
    format!(
        "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, most {:.1} ms of {} probes",
        at(0.5),
        at(0.9),
        at(0.99),
        histogram.max() as f64 / 1e3,
        histogram.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_found_in_any_text() {
        assert_eq!(
            number(&format!("\"service\":\"{}\"", service(42))),
            Some(42)
        );
        assert_eq!(number("nothing"), None);
    }
}
