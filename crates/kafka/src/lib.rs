//! Kafka behind traits: what moves records, and nothing about what they mean.
//!
//! Owns the client traits ([`Consumer`], [`Producer`], [`Admin`]), their implementation over
//! librdkafka ([`RdConsumer`], [`RdProducer`], [`RdAdmin`]), librdkafka's in-process mock brokers
//! ([`MockBrokers`], served by the same clients), and a deterministic log in memory
//! ([`ModelCluster`]) on which the rest of the house is simulated. Also the one audited `unsafe`
//! of the workspace, in `batch`.
//!
//! Refuses: decoding, positions in transactions, stored consumer positions (every position is the owner's, and
//! a committed offset is only a hint), and any property that would load code or undo that.

mod admin;
mod batch;
mod client;
mod config;
mod consumer;
mod context;
mod error;
mod mock;
mod model_group;
mod model_log;
mod partitioner;
mod peek;
mod producer;
mod reader;
mod record;
mod slots;
mod token;

pub use admin::RdAdmin;
pub use client::{
    Ack, Admin, Consumer, Coverage, Creation, Event, Lag, Outgoing, Position, Producer, Reader,
    Start, StartAt, Tail, TopicPartition, TopicSpec,
};
pub use config::{ConsumerConfig, GroupProtocol, Properties};
pub use consumer::RdConsumer;
pub use error::{KafkaError, SendError};
pub use mock::MockBrokers;
pub use model_group::ModelConsumer;
pub use model_log::{AckFate, ModelCluster, ModelProducer, ModelReader, ModelTail};
pub use partitioner::{murmur2, partition_of};
pub use peek::{Peek, PeekFrom};
pub use producer::RdProducer;
pub use reader::{RdReader, RdTail};
pub use record::{Headers, OwnedRecord, Record, TopicId};
