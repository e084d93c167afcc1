//! Sinks: what takes incidents and alerts to the outside, each at its own pace.
//!
//! Owns delivery: order, retries, backoff, coalescing, idempotency keys, dead letters. A sink that
//! is down holds back only itself; the incidents that it has not delivered wait in the outbox, which
//! this room sees through [`Backlog`], and alerts are said again as they stand, which it sees through
//! [`AlertFeed`]. Does not know why anything was sent.

mod alertmanager;
mod backlog;
mod backoff;
mod config;
mod courier;
mod dead_letter;
mod duration;
mod emitter;
mod guard;
mod heartbeat;
mod hmac;
mod http;
mod kafka;
mod machine;
mod metrics;
mod ndjson;
mod pace;
mod recorded;
mod retry_after;
mod secret;
mod sink;
mod webhook;

#[cfg(test)]
mod fixtures;

pub use alertmanager::{
    AlertFeed, AlertKey, AlertmanagerConfig, AlertmanagerSink, ApiVersion, BasicAuth, Ended,
    Problem, RuleAlert,
};
pub use backlog::{Backlog, Pending};
pub use config::{
    Delivery, KafkaSinkConfig, NdjsonConfig, SinkConfig, SinkError, Sinks, WebhookConfig, build,
};
pub use courier::Courier;
pub use dead_letter::{DeadLetter, DeadLetterError, DeadLetterSink};
pub use emitter::{Emitter, SinkStatus};
pub use heartbeat::{Heartbeat, HeartbeatConfig, Pulse};
pub use kafka::{KafkaSink, Owner};
pub use machine::{Machine, Next};
pub use metrics::SinkMetrics;
pub use ndjson::NdjsonSink;
pub use pace::{BEHIND_MS, Pace};
pub use recorded::{
    RecordedConfig, RecordedFormat, RecordedKafkaConfig, RecordedSample, RecordedSink,
};
pub use secret::Secret;
pub use sink::{Delivered, DeliveryError, Sink};
pub use webhook::WebhookSink;
