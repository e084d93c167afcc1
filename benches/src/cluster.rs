//! A real broker, the data set on it, and the bare loop over it.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_kafka::{
    Admin, Consumer, ConsumerConfig, Outgoing, Producer, Properties, RdAdmin, RdConsumer,
    RdProducer, SendError, Start, TopicSpec,
};
use foghorn_model::Timestamp;
use foghorn_testkit::broker::{Broker, Kind};
use tokio::time::Instant;

use crate::Failure;
use crate::dataset::PARTITIONS;
use crate::sys::cpu_seconds;

/// Nothing here takes longer than this.
const PATIENCE: Duration = Duration::from_mins(5);

/// A running cluster; a broker that was started for it ends with it.
pub(crate) struct Cluster {
    broker: Broker,
}

/// What reading a topic with nothing else to do took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    /// CPU-seconds.
    pub(crate) cpu_s: f64,
    /// Seconds of wall time.
    pub(crate) wall_s: f64,
}

/// A topic while it is filled.
pub(crate) struct Filling<'a> {
    producer: RdProducer,
    topic: &'a str,
    records: u64,
    bytes: u64,
    newest: [Option<Timestamp>; PARTITIONS as usize],
}

/// A topic that is filled.
#[derive(Clone, Debug)]
pub(crate) struct Filled {
    /// Its name.
    pub(crate) topic: String,
    /// Records on it.
    pub(crate) records: u64,
    /// Bytes of their payloads.
    pub(crate) bytes: u64,
    /// The newest event time of each partition; none where it is empty.
    pub(crate) newest: [Option<Timestamp>; PARTITIONS as usize],
}

impl Filling<'_> {
    /// Records so far.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Sends a record whose newest event time is `at`.
    pub(crate) fn put(
        &mut self,
        key: Option<&str>,
        partition: u32,
        payload: &[u8],
        at: Timestamp,
    ) -> Result<(), Failure> {
        let record = Outgoing {
            topic: self.topic,
            partition: Some(partition),
            key: key.map(str::as_bytes),
            payload: Some(payload),
            timestamp_ms: Some(at.ms()),
            ..Outgoing::default()
        };
        send(&self.producer, &record, 0)?;
        self.records += 1;
        self.bytes += payload.len() as u64;
        let newest = &mut self.newest[partition as usize];
        *newest = (*newest).max(Some(at));
        if self.records.is_multiple_of(1_000) {
            acknowledged(&self.producer, Duration::ZERO)?;
        }
        Ok(())
    }
}

impl Filled {
    /// The watermark when all is read: the least, over the partitions, of the newest time less the
    /// allowed lateness. A partition without a record has no watermark: it is idle.
    pub(crate) fn final_watermark(&self, allowed_lateness_ms: i64) -> Timestamp {
        let least = self.newest.iter().flatten().min();
        least.copied().unwrap_or(Timestamp::MIN) - allowed_lateness_ms
    }
}

impl Cluster {
    /// Starts a broker, or takes the one that `FOGHORN_KAFKA` names.
    pub(crate) fn start() -> Result<Self, Failure> {
        let broker = Broker::start();
        if broker.kind() == Kind::Mock {
            return Err("a real broker is needed".into());
        }
        Ok(Self { broker })
    }

    /// Properties to connect with.
    pub(crate) fn properties(&self) -> Properties {
        self.broker.properties()
    }

    /// `host:port,…`
    pub(crate) fn bootstrap(&self) -> &str {
        self.broker.bootstrap()
    }

    /// Creates a topic that keeps what it is given, however old.
    pub(crate) fn topic(&self, purpose: &str, partitions: u32) -> Result<String, Failure> {
        self.create(TopicSpec::new(name_for(purpose), partitions))
    }

    /// The same, with records stamped by the broker when it has them.
    pub(crate) fn stamped_topic(&self, purpose: &str, partitions: u32) -> Result<String, Failure> {
        let spec = TopicSpec::new(name_for(purpose), partitions);
        self.create(spec.with("message.timestamp.type", "LogAppendTime"))
    }

    fn create(&self, spec: TopicSpec) -> Result<String, Failure> {
        let spec = spec.with("retention.ms", "-1");
        RdAdmin::open(&self.properties())?.create_topic(&spec)?;
        Ok(spec.name)
    }

    /// Creates a topic and lets it be filled, uncompressed.
    pub(crate) fn fill(
        &self,
        purpose: &str,
        fill: impl FnOnce(&mut Filling<'_>) -> Result<(), Failure>,
    ) -> Result<Filled, Failure> {
        let topic = self.topic(purpose, PARTITIONS)?;
        let properties = [
            ("bootstrap.servers", self.bootstrap()),
            ("compression.type", "none"),
            ("linger.ms", "50"),
            ("batch.size", "1000000"),
            ("queue.buffering.max.messages", "200000"),
            ("delivery.timeout.ms", "120000"),
        ];
        let properties: BTreeMap<_, _> = properties
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let mut filling = Filling {
            producer: RdProducer::open(&Properties::new(properties)?)?,
            topic: &topic,
            records: 0,
            bytes: 0,
            newest: [None; PARTITIONS as usize],
        };
        fill(&mut filling)?;
        filling.producer.flush(PATIENCE)?;
        acknowledged(&filling.producer, Duration::ZERO)?;
        let (records, bytes, newest) = (filling.records, filling.bytes, filling.newest);
        Ok(Filled {
            topic,
            records,
            bytes,
            newest,
        })
    }

    /// Reads a topic as it is now to its end.
    pub(crate) fn read(&self, topic: &str, mut each: impl FnMut(&[u8])) -> Result<u64, Failure> {
        let mut count = 0;
        for record in RdAdmin::open(&self.properties())?.read_to_end(topic, None)? {
            count += 1;
            each(record.payload.as_deref().unwrap_or_default());
        }
        Ok(count)
    }

    /// Reads so many records by the batch and adds up their lengths, and nothing more.
    pub(crate) fn bare(&self, topic: &str, records: u64) -> Result<Bare, Failure> {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        let group = format!("bare-{}", crate::measure::wall().ms());
        let config = ConsumerConfig::new(self.properties(), &group, &[topic]);
        let mut consumer: Box<dyn Consumer> = Box::new(RdConsumer::join(
            &config,
            Box::new(|_: &str, _: u32| Start::Earliest),
        )?);
        let (mut seen, mut bytes) = (0_u64, 0_usize);
        while seen < records {
            consumer.poll_batch(1_000, Duration::from_millis(100), &mut |record| {
                seen += 1;
                bytes += record.payload.map_or(0, <[u8]>::len);
            })?;
            consumer.events();
            if wall.elapsed() > PATIENCE {
                return Err(format!("only {seen} of {records} records came").into());
            }
        }
        consumer.close()?;
        if bytes == 0 {
            return Err("the records are empty".into());
        }
        Ok(Bare {
            cpu_s: cpu_seconds() - cpu,
            wall_s: wall.elapsed().as_secs_f64(),
        })
    }
}

/// A name that no other topic has.
fn name_for(purpose: &str) -> String {
    let (process, now) = (std::process::id(), crate::measure::wall().ms());
    format!("{purpose}-{process}-{now}")
}

/// Sends a record, waiting for room.
pub(crate) fn send(
    producer: &RdProducer,
    record: &Outgoing<'_>,
    token: u64,
) -> Result<(), Failure> {
    loop {
        match producer.send(record, token) {
            Ok(()) => return Ok(()),
            Err(SendError::Full) => acknowledged(producer, Duration::from_millis(5))?,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes acks; none may say that a record was lost.
pub(crate) fn acknowledged(producer: &RdProducer, timeout: Duration) -> Result<(), Failure> {
    for ack in producer.poll_acks(timeout) {
        ack.result?;
    }
    Ok(())
}
