//! When the broker had a record: its own time of appending, read back after a run.
//!
//! What a client measures from sending to seeing holds its own queues as well, which at a high rate
//! are most of it: a producer that fills two cores together with everything else is late by itself.
//! Between the two appendings lies what the runtime takes, fetching and the sink's producer included.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_kafka::{Consumer, ConsumerConfig, RdConsumer, Start};
use foghorn_model::Timestamp;
use tokio::time::Instant;

use crate::Failure;
use crate::cluster::Cluster;
use crate::probes;

/// Nothing here takes longer than this.
const PATIENCE: Duration = Duration::from_mins(2);

/// When a topic of load and probes got what.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    /// Each probe.
    pub(crate) probes: BTreeMap<u32, Timestamp>,
    /// Per event time that was asked for: when the last partition got its first record of that time
    /// or a later one.
    pub(crate) reached: BTreeMap<Timestamp, Timestamp>,
}

/// Reads so many records of a topic back. `times` are event times to look for.
pub(crate) fn read(
    cluster: &Cluster,
    topic: &str,
    records: u64,
    times: &[Timestamp],
) -> Result<Appended, Failure> {
    let group = format!("appended-{}", crate::measure::wall().ms());
    let config = ConsumerConfig::new(cluster.properties(), &group, &[topic]);
    let mut consumer: Box<dyn Consumer> = Box::new(RdConsumer::join(
        &config,
        Box::new(|_: &str, _: u32| Start::Earliest),
    )?);
    let (mut appended, mut seen, began) = (Appended::default(), 0, Instant::now());
    // Per partition: how many of the times it has reached.
    let mut passed = BTreeMap::<u32, usize>::new();
    while seen < records {
        consumer.poll_batch(1_000, Duration::from_millis(100), &mut |record| {
            seen += 1;
            let at = Timestamp(record.timestamp_ms.unwrap_or_default());
            let payload = record.payload.unwrap_or_default();
            let text = std::str::from_utf8(payload).unwrap_or_default();
            if let Some(number) = probes::number(text) {
                appended.probes.insert(number, at);
            }
            let passed = passed.entry(record.partition).or_default();
            while let Some(time) = times
                .get(*passed)
                .filter(|time| event_time(text) >= Some(**time))
            {
                let reached = appended.reached.entry(*time).or_insert(at);
                *reached = at.max(*reached);
                *passed += 1;
            }
        })?;
        consumer.events();
        if began.elapsed() > PATIENCE {
            return Err(format!("only {seen} of {records} records came back").into());
        }
    }
    consumer.close()?;
    Ok(appended)
}

/// The event time that a record of load begins with.
fn event_time(text: &str) -> Option<Timestamp> {
    let digits = text.strip_prefix("{\"ts\":")?;
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok().map(Timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_event_time() {
        assert_eq!(
            event_time("{\"ts\":1700,\"name\":\"m\"}"),
            Some(Timestamp(1_700))
        );
        assert_eq!(event_time("{\"name\":\"m\"}"), None);
    }
}
