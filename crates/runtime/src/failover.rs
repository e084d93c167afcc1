//! One active instance, any number that stand by: the topics that they share, and taking over.

use std::sync::Arc;
use std::time::Duration;

use foghorn_engine::Entry;
use foghorn_ingest::KafkaConfig;
use foghorn_kafka::{
    Admin as _, Consumer, ConsumerConfig, KafkaError, Position, Properties, RdAdmin, RdConsumer,
    RdProducer, RdReader, Start, TopicSpec,
};
use foghorn_store::{GivenUp, LogClients, SharedLog, SignalLog, StoreError};
use serde::Deserialize;
use tracing::warn;

use crate::clock::wall;
use crate::lease::{Hold, Lease};
use crate::live::LiveError;

/// What a config says of failover.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FailoverConfig {
    /// Beginning of the names of the topics that instances share: `<topics>.lease`, `<topics>.log`.
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
    /// The topics.
    pub failover: Failover,
    /// The lease.
    pub hold: Hold,
}

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
        for of in ["lease", "log"] {
            let spec = TopicSpec {
                replication: self.config.replication,
                ..TopicSpec::new(self.topic(of), 1)
            };
            // What may be forgotten of the log its owner knows, and nobody else.
            let spec = spec
                .with("cleanup.policy", "delete")
                .with("retention.ms", "-1")
                .with("retention.bytes", "-1");
            admin.ensure_topic(&spec)?;
        }
        Ok(())
    }

    /// Joins the group whose one chosen member does the work.
    ///
    /// # Errors
    /// [`LiveError`]
    pub fn ask(&self) -> Result<Lease, LiveError> {
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
        Lease::ask(consumer, at, session)
            .map_err(|error| LiveError::Thread(format!("no thread could be started: {error}")))
    }
}

impl Active {
    /// Takes the signal log over; everything that is kept of it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn take_over(&self) -> Result<(SignalLog, Vec<Entry>), StoreError> {
        let Failover {
            kafka, properties, ..
        } = &self.failover;
        let topic = self.failover.topic("log");
        let instance = if kafka.instance.is_empty() {
            "foghorn"
        } else {
            &kafka.instance
        };
        let hold = self.hold.clone();
        let given_up: GivenUp = Arc::new(move || hold.over());
        let mut tried = 0;
        loop {
            tried += 1;
            let clients = LogClients {
                // What was sent is tried for as long as there is a lease; the log's own numbers tell
                // what came twice.
                producer: Box::new(RdProducer::open(
                    &properties.clone().with("linger.ms", "0"),
                )?),
                reader: Box::new(RdReader::open(properties, &topic, 0, None)?),
                admin: Box::new(RdAdmin::open(properties)?),
            };
            let name = format!("{instance}-{}-{}", std::process::id(), wall().ms());
            match SharedLog::take_over(clients, &topic, &name, Arc::clone(&given_up)) {
                Ok((log, entries)) => return Ok((SignalLog::shared(log), entries)),
                Err(error @ StoreError::Forgotten { .. }) if tried < TRIES => {
                    warn!(%error, "the takeover begins anew");
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(error),
            }
        }
    }
}
