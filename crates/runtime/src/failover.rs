//! One active instance, any number that stand by: the topics that they share, and taking over.

use std::sync::Arc;
use std::time::Duration;

use foghorn_engine::Entry;
use foghorn_ingest::{KafkaConfig, SourceConfig};
use foghorn_kafka::{
    Admin as _, Consumer, ConsumerConfig, KafkaError, Position, Properties, RdAdmin, RdConsumer,
    RdProducer, RdReader, Start, TopicSpec,
};
use foghorn_store::{
    GivenUp, LogClients, SharedLog, SignalLog, SnapshotTopic, Snapshots, StoreError,
};
use serde::Deserialize;
use tracing::warn;

use crate::clock::wall;
use crate::cut_off::CutOff;
use crate::http_topic::HttpTopic;
use crate::lease::{Hold, Lease};
use crate::live::LiveError;

/// What a config says of failover.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverConfig {
    /// Beginning of the names of the topics that instances share: `<topics>.lease`, `<topics>.log`,
    /// `<topics>.state`, and `<topics>.http` for what comes by HTTP.
    /// Empty: there is no other instance, and state lives in `state_dir`.
    pub topics: String,
    /// Replicas of each topic, where they are created here; `None` is the cluster's default.
    pub replication: Option<u16>,
}

/// The topics that instances share.
#[derive(Clone, Debug)]
pub struct Failover {
    config: FailoverConfig,
    kafka: KafkaConfig,
    properties: Properties,
}

/// An active instance's part.
pub struct Active {
    failover: Failover,
    hold: Hold,
    /// This start's own name: no other process, before or after, has it.
    name: String,
}

/// A body that came by HTTP is at most so long, unpacked, in bytes.
const MOST_POSTED: usize = 64 << 20;

/// So often a takeover begins anew where the former owner forgets what is being read.
const TRIES: usize = 5;

impl Failover {
    /// Over the cluster that sources are read from.
    pub fn new(config: FailoverConfig, kafka: KafkaConfig, properties: Properties) -> Self {
        Self {
            config,
            kafka,
            properties,
        }
    }

    fn topic(&self, of: &str) -> String {
        format!("{}.{of}", self.config.topics)
    }

    /// Creates the topics, or verifies those that are there.
    ///
    /// # Errors
    /// One is not as it has to be, or the cluster does not answer.
    pub fn ensure_topics(&self) -> Result<(), KafkaError> {
        let admin = RdAdmin::open(&self.properties)?;
        let spec = |of: &str| TopicSpec {
            replication: self.config.replication,
            ..TopicSpec::new(self.topic(of), 1)
        };
        for of in ["lease", "log", "state"] {
            // What may be forgotten of the log its owner knows, and nobody else.
            let spec = spec(of)
                .with("cleanup.policy", "delete")
                .with("retention.ms", "-1")
                .with("retention.bytes", "-1");
            admin.ensure_topic(&spec)?;
        }
        // A source like any other: how long it is kept is for the cluster to say.
        let spec = spec("http")
            .with("cleanup.policy", "delete")
            .with("max.message.bytes", &MOST_POSTED.to_string());
        admin.ensure_topic(&spec)?;
        Ok(())
    }

    /// What came by HTTP, as a source: `of` says all but where it is read from.
    pub fn http_source(&self, of: SourceConfig) -> SourceConfig {
        SourceConfig {
            topics: vec![self.topic("http")],
            is_posted: true,
            ..of
        }
    }

    /// Where what comes by HTTP goes; so many bytes may be on their way.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn http_topic(&self, max_bytes: usize) -> Result<HttpTopic, KafkaError> {
        let properties = self.properties.clone();
        let properties = properties
            .with("linger.ms", "0")
            .with("message.max.bytes", &MOST_POSTED.to_string());
        let producer = RdProducer::open(&properties)?;
        Ok(HttpTopic::new(
            &self.topic("http"),
            Box::new(producer),
            max_bytes,
        ))
    }

    /// Joins the group whose one chosen member does the work; that the cluster is out of reach is noted
    /// in `cut_off`.
    ///
    /// # Errors
    /// [`LiveError`]
    pub fn ask(&self, cut_off: CutOff) -> Result<Lease, LiveError> {
        let topic = self.topic("lease");
        // Who has it keeps it when another comes.
        let properties = self
            .properties
            .clone()
            .with("partition.assignment.strategy", "cooperative-sticky");
        let session = properties.session_timeout();
        let group = format!("{}-lease", self.kafka.group);
        let mut config = ConsumerConfig::new(properties, &group, &[&topic]);
        config.instance = (!self.kafka.instance.is_empty()).then(|| self.kafka.instance.clone());
        let start = |_: &str, _: u32| Start::Earliest;
        let consumer: Box<dyn Consumer + Send> =
            Box::new(RdConsumer::join(&config, Box::new(start))?);
        let at = Position {
            topic,
            partition: 0,
            offset: 0,
        };
        Lease::ask(consumer, at, session, cut_off)
            .map_err(|error| LiveError::Thread(format!("no thread could be started: {error}")))
    }
}

impl Active {
    /// Of a lease that is held.
    pub fn new(failover: Failover, hold: Hold) -> Self {
        let instance = &failover.kafka.instance;
        let instance = if instance.is_empty() {
            "foghorn"
        } else {
            instance
        };
        let name = format!("{instance}-{}-{}", std::process::id(), wall().ms());
        Self {
            failover,
            hold,
            name,
        }
    }

    /// The topics.
    pub fn failover(&self) -> &Failover {
        &self.failover
    }

    fn given_up(&self) -> GivenUp {
        let hold = self.hold.clone();
        Arc::new(move || hold.over())
    }

    fn clients(&self, topic: &str) -> Result<LogClients, KafkaError> {
        let properties = &self.failover.properties;
        Ok(LogClients {
            producer: Box::new(RdProducer::open(
                &properties.clone().with("linger.ms", "0"),
            )?),
            reader: Box::new(RdReader::open(properties, topic, 0, None)?),
            admin: Box::new(RdAdmin::open(properties)?),
        })
    }

    /// Tries again where a former owner forgets what is being read.
    fn patiently<T>(work: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        for _ in 1..TRIES {
            match work() {
                Err(error @ StoreError::Forgotten { .. }) => {
                    warn!(%error, "the takeover begins anew");
                }
                other => return other,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        work()
    }

    /// Takes the signal log over; everything that is kept of it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_over(&self) -> Result<(SignalLog, Vec<Entry>), StoreError> {
        let topic = self.failover.topic("log");
        Self::patiently(|| {
            let clients = self.clients(&topic)?;
            let (log, entries) =
                SharedLog::take_over(clients, &topic, &self.name, self.given_up())?;
            Ok((SignalLog::shared(log), entries))
        })
    }

    /// Fetches snapshots that are newer than those at hand; where new ones are published.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn fetch(&self, into: &Snapshots) -> Result<SnapshotTopic, StoreError> {
        let topic = self.failover.topic("state");
        Self::patiently(|| {
            let clients = self.clients(&topic)?;
            SnapshotTopic::fetch(clients, &topic, &self.name, self.given_up(), into)
        })
    }
}
