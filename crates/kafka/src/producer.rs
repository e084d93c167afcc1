//! An idempotent producer over librdkafka, whose acks are taken by the caller.

use std::error::Error;
use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as RdError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::client::{Ack, Outgoing, Producer};
use crate::config::Properties;
use crate::context::{FIRST_TOKEN, lock, log};
use crate::error::{KafkaError, SendError};
use crate::token::token;

/// A producer over librdkafka: idempotent, all in-sync replicas, lz4, Java's partitioner.
pub struct RdProducer {
    client: BaseProducer<Acks>,
    has_transactions: bool,
}

/// Acks that have come and were not taken.
#[derive(Default)]
struct Acks(Mutex<Vec<Ack>>);

/// How long a step of a transaction may take.
const TRANSACTION: Duration = Duration::from_secs(10);
/// The wrapper's `poll` always uses up its time; so it is given little of it at once.
const SLICE: Duration = Duration::from_millis(1);

// A token travels through librdkafka as a pointer.
const _: () = assert!(usize::BITS >= u64::BITS, "tokens need 64 bit pointers");

impl RdProducer {
    /// Opens a producer.
    ///
    /// # Errors
    /// A property that librdkafka refuses.
    pub fn open(properties: &Properties) -> Result<Self, KafkaError> {
        let client = properties.producer().create_with_context(Acks::default());
        let client: BaseProducer<Acks> =
            client.map_err(|e| KafkaError::from_rd("open a producer", &e))?;
        if properties.needs_token() {
            client.poll(FIRST_TOKEN);
        }
        Ok(Self {
            client,
            has_transactions: false,
        })
    }

    /// Opens a producer with transactions: from now on every other one of this name, whoever has it, is
    /// refused by the brokers. Asks the cluster.
    ///
    /// # Errors
    /// A property that librdkafka refuses, or a cluster that does not answer.
    pub fn open_transactional(properties: &Properties, name: &str) -> Result<Self, KafkaError> {
        let mut config = properties.producer();
        config.set("transactional.id", name);
        config.set("transaction.timeout.ms", "10000");
        // Brokers would wait for longer than the transaction.
        config.set("delivery.timeout.ms", "9000");
        let client: BaseProducer<Acks> = config
            .create_with_context(Acks::default())
            .map_err(|e| KafkaError::from_rd("open a producer", &e))?;
        if properties.needs_token() {
            client.poll(FIRST_TOKEN);
        }
        client
            .init_transactions(TRANSACTION)
            .map_err(|e| KafkaError::from_rd("begin with transactions", &e))?;
        Ok(Self {
            client,
            has_transactions: true,
        })
    }

    fn transaction(&self, doing: &'static str, done: KafkaResult<()>) -> Result<(), KafkaError> {
        done.map_err(|error| {
            let error = KafkaError::from_rd(doing, &error);
            self.fatal().unwrap_or(error)
        })
    }

    /// The fatal error, if there was one: then the producer must be made anew.
    pub fn fatal(&self) -> Option<KafkaError> {
        let (code, text) = self.client.client().fatal_error()?;
        Some(KafkaError::Fatal {
            code: format!("{code:?}"),
            text,
        })
    }

    fn taken(&self) -> Vec<Ack> {
        std::mem::take(&mut *lock(&self.client.context().0))
    }

    /// Polls until `done` or `timeout`, in slices. Returns whether it was done in time.
    fn poll_until(&self, timeout: Duration, done: impl Fn() -> bool) -> bool {
        self.client.poll(Duration::ZERO);
        let mut left = timeout;
        while !done() {
            if left.is_zero() {
                return false;
            }
            let slice = left.min(SLICE);
            self.client.poll(slice);
            left -= slice;
        }
        true
    }
}

impl Producer for RdProducer {
    fn send(&self, outgoing: &Outgoing<'_>, token: u64) -> Result<(), SendError> {
        let mut record = BaseRecord::with_opaque_to(outgoing.topic, token as usize);
        record.partition = outgoing.partition.map(|p| p as i32);
        record.key = outgoing.key;
        record.payload = outgoing.payload;
        record.timestamp = outgoing.timestamp_ms;
        record.headers = native_headers(outgoing.headers)?;
        self.client
            .send(record)
            .map_err(|(error, _)| match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => SendError::Full,
                Some(RDKafkaErrorCode::Fatal) => self
                    .fatal()
                    .unwrap_or_else(|| KafkaError::from_rd("send", &error))
                    .into(),
                _ => KafkaError::from_rd("send", &error).into(),
            })
    }

    fn poll_acks(&self, timeout: Duration) -> Vec<Ack> {
        self.poll_until(timeout, || !lock(&self.client.context().0).is_empty());
        self.taken()
    }

    fn flush(&self, timeout: Duration) -> Result<(), KafkaError> {
        let done = self.poll_until(timeout, || self.client.in_flight_count() == 0);
        if done {
            Ok(())
        } else {
            Err(KafkaError::TimedOut {
                doing: "flush the producer",
            })
        }
    }

    fn in_flight(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0)
    }

    fn begin(&self) -> Result<(), KafkaError> {
        if !self.has_transactions {
            return Ok(());
        }
        self.transaction("begin a transaction", self.client.begin_transaction())
    }

    fn commit(&self) -> Result<(), KafkaError> {
        if !self.has_transactions {
            return Ok(());
        }
        let committed = self.client.commit_transaction(TRANSACTION);
        self.transaction("commit a transaction", committed)
    }
}

impl ClientContext for Acks {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        token(config)
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: RdError, reason: &str) {
        tracing::warn!(%error, reason, "kafka producer");
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivered: &DeliveryResult<'_>, token: usize) {
        let result = match delivered {
            Ok(message) => Ok((message.partition() as u32, message.offset())),
            Err((error, _)) => Err(KafkaError::from_rd("send", error)),
        };
        lock(&self.0).push(Ack {
            token: token as u64,
            result,
        });
    }
}

/// # Errors
/// A name with a zero byte, which librdkafka's C strings cannot hold.
fn native_headers(headers: &[(&str, &[u8])]) -> Result<Option<OwnedHeaders>, SendError> {
    if headers.is_empty() {
        return Ok(None);
    }
    let mut native = OwnedHeaders::new_with_capacity(headers.len());
    for &(key, value) in headers {
        if key.contains('\0') {
            return Err(SendError::Refused(KafkaError::Client {
                doing: "send",
                code: "InvalidArgument".to_owned(),
                text: "a header's name contains a zero byte".to_owned(),
            }));
        }
        native = native.insert(Header {
            key,
            value: Some(value),
        });
    }
    Ok(Some(native))
}
