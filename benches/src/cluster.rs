//! A real broker, the data set on it, and the bare loop over it.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_kafka::{
    Admin, Consumer, ConsumerConfig, Outgoing, Producer, Properties, RdAdmin, RdConsumer,
    RdProducer, SendError, Start, TopicSpec,
};
use foghorn_testkit::broker::{Broker, Kind};
use tokio::time::Instant;

use crate::Failure;
use crate::dataset::{Dataset, PARTITIONS};
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
        let name = format!(
            "{purpose}-{}-{}",
            std::process::id(),
            crate::measure::wall().ms()
        );
        let spec = TopicSpec::new(&name, partitions).with("retention.ms", "-1");
        RdAdmin::open(&self.properties())?.create_topic(&spec)?;
        Ok(name)
    }

    /// Creates a topic and produces a data set to it: keyed, uncompressed, in time order.
    pub(crate) fn produce(&self, purpose: &str, data: &Dataset) -> Result<String, Failure> {
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
        let producer = RdProducer::open(&Properties::new(properties)?)?;
        let mut text = String::new();
        for second in 0..data.seconds {
            for series in 0..data.series() {
                data.write(series, second, &mut text);
                let record = Outgoing {
                    topic: &topic,
                    key: Some(data.key(series).as_bytes()),
                    payload: Some(text.as_bytes()),
                    timestamp_ms: Some(data.at(series, second).ms()),
                    ..Outgoing::default()
                };
                send(&producer, &record, 0)?;
            }
            acknowledged(&producer, Duration::ZERO)?;
        }
        producer.flush(PATIENCE)?;
        acknowledged(&producer, Duration::ZERO)?;
        Ok(topic)
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
