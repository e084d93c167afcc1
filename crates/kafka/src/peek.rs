//! A look at a topic: a handful of records, without a group, without a trace.
//!
//! Nothing is joined and nothing committed, so that looking at a topic changes nothing about it.
//! Bounded by the number of records, by the ends of the partitions as they stood at the beginning,
//! and by patience with a silent cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as RdError;
use rdkafka::{Message as _, Offset as RdOffset, TopicPartitionList};

use crate::admin::{ANSWER, RdAdmin, copied};
use crate::consumer::pattern;
use crate::context::{LogOnly, log_in};
use crate::error::KafkaError;
use crate::record::OwnedRecord;

/// Where a look begins, in each partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeekFrom {
    /// At the first record that is kept.
    Earliest,
    /// Behind the last record: only what is written from now on is seen.
    Latest,
    /// So many records before the end.
    Last(u64),
    /// At this offset, or the first that is kept behind it.
    At(Offset),
}

/// What to look at, and how much of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peek {
    /// Topic's name.
    pub topic: String,
    /// One partition; `None` = all.
    pub partition: Option<u32>,
    /// Where to begin.
    pub from: PeekFrom,
    /// Most records: shared out evenly over partitions that have any.
    pub count: usize,
    /// Longest wait for a record.
    pub silence: Duration,
}

/// How long one poll waits.
const SLICE: Duration = Duration::from_millis(50);

/// What of a partition is to be read.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    next: Offset,
    /// `None` where the end does not count: what is to come is waited for.
    end: Option<Offset>,
    left: usize,
}

impl RdAdmin {
    /// Copies a few records of a topic, in (partition, offset) order.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], or a cluster that does not answer. A silent one is no error:
    /// what came until then is the answer.
    pub fn peek(&self, peek: &Peek) -> Result<Vec<OwnedRecord>, KafkaError> {
        const DOING: &str = "look at a topic";
        let failed = |e: RdError| KafkaError::from_rd(DOING, &e);
        let config = self.properties.reader();
        let reader: BaseConsumer<LogOnly> = config.create_with_context(LogOnly).map_err(failed)?;
        log_in(&self.properties, &reader);
        let mut open = self.stretches(peek, &reader)?;
        let mut list = TopicPartitionList::new();
        for (partition, stretch) in &open {
            let start = match stretch.end {
                Some(_) => RdOffset::Offset(stretch.next),
                None => RdOffset::End,
            };
            list.add_partition_offset(&peek.topic, *partition, start)
                .map_err(failed)?;
        }
        reader.assign(&list).map_err(failed)?;
        let name: Arc<str> = Arc::from(peek.topic.as_str());
        let (mut records, mut silent) = (Vec::new(), Duration::ZERO);
        while !open.is_empty() && records.len() < peek.count && silent < peek.silence {
            match reader.poll(SLICE) {
                Some(Ok(message)) => {
                    silent = Duration::ZERO;
                    if take(&mut open, message.partition(), message.offset()) {
                        records.push(copied(&message, &name));
                    }
                }
                Some(Err(RdError::PartitionEOF(partition))) => {
                    // The end as it is now is behind that of the beginning: nothing more is meant.
                    if open.get(&partition).is_some_and(|s| s.end.is_some()) {
                        open.remove(&partition);
                    }
                }
                Some(Err(error @ RdError::MessageConsumptionFatal(_))) => {
                    return Err(failed(error));
                }
                // Brokers come and go; the client retries by itself.
                Some(Err(_)) | None => silent += SLICE,
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Existing topics with this name, or (if it begins with `^`) matching this regular expression,
    /// sorted.
    ///
    /// # Errors
    /// A pattern that is none, or a cluster that does not answer.
    pub fn topics(&self, wanted: &str) -> Result<Vec<String>, KafkaError> {
        let pattern = pattern(wanted)?;
        let only = pattern.is_none().then_some(wanted);
        let metadata = self.client.inner().fetch_metadata(only, ANSWER);
        let metadata = metadata.map_err(|e| KafkaError::from_rd("ask for topics", &e))?;
        let known = metadata.topics().iter().filter(|t| t.error().is_none());
        let matches = |name: &&str| pattern.as_ref().is_none_or(|p| p.is_match(name));
        let mut names: Vec<_> = known
            .map(rdkafka::metadata::MetadataTopic::name)
            .filter(matches)
            .map(str::to_owned)
            .collect();
        names.sort();
        Ok(names)
    }

    fn stretches(
        &self,
        peek: &Peek,
        reader: &BaseConsumer<LogOnly>,
    ) -> Result<BTreeMap<i32, Stretch>, KafkaError> {
        let mut open = BTreeMap::new();
        for (partition, _) in self.layout(&peek.topic)? {
            if peek.partition.is_some_and(|only| only as i32 != partition) {
                continue;
            }
            if peek.from == PeekFrom::Latest {
                let waits = Stretch {
                    next: 0,
                    end: None,
                    left: peek.count,
                };
                open.insert(partition, waits);
                continue;
            }
            let ends = reader.fetch_watermarks(&peek.topic, partition, ANSWER);
            let (first, end) =
                ends.map_err(|e| KafkaError::from_rd("ask for a partition's ends", &e))?;
            let next = match peek.from {
                PeekFrom::Earliest | PeekFrom::Latest => first,
                PeekFrom::Last(records) => end.saturating_sub_unsigned(records).max(first),
                PeekFrom::At(offset) => offset.max(first),
            };
            if next < end {
                let stretch = Stretch {
                    next,
                    end: Some(end),
                    left: 0,
                };
                open.insert(partition, stretch);
            }
        }
        if let Some(partition) = peek.partition.filter(|_| open.is_empty())
            && !self
                .layout(&peek.topic)?
                .iter()
                .any(|(id, _)| *id == partition as i32)
        {
            return Err(KafkaError::Client {
                doing: "look at a topic",
                code: "UnknownPartition".to_owned(),
                text: format!("{} has no partition {partition}", peek.topic),
            });
        }
        share(&mut open, peek);
        Ok(open)
    }
}

/// Shares the records out, so that a busy partition does not hide the others. Of the last records
/// each partition shows its very last.
fn share(open: &mut BTreeMap<i32, Stretch>, peek: &Peek) {
    let each = peek.count.div_ceil(open.len().max(1));
    for stretch in open.values_mut() {
        let Some(end) = stretch.end else { continue };
        stretch.left = each;
        if matches!(peek.from, PeekFrom::Last(_)) {
            stretch.next = stretch.next.max(end.saturating_sub_unsigned(each as u64));
        }
    }
}

/// Whether a record is asked for; a partition that has given enough is read no further.
fn take(open: &mut BTreeMap<i32, Stretch>, partition: i32, offset: Offset) -> bool {
    let Some(stretch) = open.get_mut(&partition) else {
        return false;
    };
    stretch.left = stretch.left.saturating_sub(1);
    let over = stretch.end.is_some_and(|end| offset + 1 >= end);
    let wanted = stretch.end.is_none_or(|end| offset < end);
    if over || stretch.left == 0 {
        open.remove(&partition);
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MockBrokers, Outgoing, Producer as _, Properties, RdProducer};

    /// Two partitions: 0 holds `a0 … a7`, 1 holds `b0`.
    fn check(from: PeekFrom, partition: Option<u32>, count: usize, expect: &str) {
        let brokers = MockBrokers::start(1).unwrap();
        brokers.create_topic("t", 2).unwrap();
        let properties = Properties::bootstrap(&brokers.bootstrap().unwrap());
        let producer = RdProducer::open(&properties).unwrap();
        for number in 0..9_u64 {
            let (partition, text) = match number {
                8 => (1, "b0".to_owned()),
                number => (0, format!("a{number}")),
            };
            let record = Outgoing {
                topic: "t",
                partition: Some(partition),
                payload: Some(text.as_bytes()),
                ..Outgoing::default()
            };
            producer.send(&record, number).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        let peek = Peek {
            topic: "t".to_owned(),
            partition,
            from,
            count,
            silence: Duration::from_secs(20),
        };
        let records = RdAdmin::open(&properties).unwrap().peek(&peek).unwrap();
        let texts: Vec<_> = records
            .iter()
            .map(|record| String::from_utf8(record.payload.clone().unwrap()).unwrap())
            .collect();
        assert_eq!(texts.join(" "), expect, "{from:?} {partition:?} {count}");
    }

    #[test]
    fn every_partition_shows_its_share() {
        check(PeekFrom::Earliest, None, 4, "a0 a1 b0");
        check(PeekFrom::Last(100), None, 6, "a5 a6 a7 b0");
        check(PeekFrom::Last(1), None, 10, "a7 b0");
        check(PeekFrom::At(6), None, 10, "a6 a7");
        check(PeekFrom::Last(2), Some(0), 10, "a6 a7");
    }
}
