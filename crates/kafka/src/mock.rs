//! librdkafka's mock brokers: real sockets and real clients in this process, no Java.
//!
//! Good for demonstrations and for tests of clients and groups. Not Kafka: partitions hold 5 MiB and
//! drop the oldest silently, there is no administration, no compaction, no transaction that means
//! anything, and `offsets_for_time` always says "none".

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, ClientContext};

use crate::error::KafkaError;

/// Mock brokers, which live as long as this value.
pub struct MockBrokers {
    /// A client that owns its mock cluster, which makes the whole shareable between threads.
    host: BaseProducer,
}

impl MockBrokers {
    /// Starts `brokers` of them on free loopback ports.
    ///
    /// # Errors
    /// Whatever keeps librdkafka from it.
    pub fn start(brokers: u32) -> Result<Self, KafkaError> {
        let host: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", "unused:0")
            .set("test.mock.num.brokers", brokers.to_string())
            .create()
            .map_err(|e| KafkaError::from_rd("start mock brokers", &e))?;
        let started = Self { host };
        started.cluster()?;
        Ok(started)
    }

    /// `host:port,…` of the brokers.
    ///
    /// # Errors
    /// None in practice: the mock cluster lives as long as its client.
    pub fn bootstrap(&self) -> Result<String, KafkaError> {
        Ok(self.cluster()?.bootstrap_servers())
    }

    /// Creates a topic (the mock brokers have no administration protocol).
    ///
    /// # Errors
    /// The topic exists.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), KafkaError> {
        let created = self.cluster()?.create_topic(name, partitions as i32, 1);
        created.map_err(|e| KafkaError::from_rd("create a topic", &e))
    }

    fn cluster(&self) -> Result<MockCluster<'_, impl ClientContext + use<>>, KafkaError> {
        self.host.client().mock_cluster().ok_or(KafkaError::Client {
            doing: "reach the mock brokers",
            code: String::new(),
            text: "the client has none".to_owned(),
        })
    }
}
