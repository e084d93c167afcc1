//! Wiring of thought and hands: worker threads, rings, the one thread that releases ticks,
//! recovery, reload, shutdown. Makes no decision of the domain: those are the engine's.

mod alert_feed;
mod backlog;
mod brain_loop;
pub mod clock;
mod cut_off;
mod dead_letters;
mod directory;
mod failover;
mod http_feed;
mod http_topic;
mod hub;
mod kafka_worker;
mod lease;
pub mod live;
pub mod metrics;
pub mod pipeline;
mod planner;
mod rings;
mod scoping;
mod self_watch;
pub mod snapshot;
mod snapshotter;

pub use alert_feed::ViewAlerts;
pub use backlog::{OutboxBacklog, catch_up};
pub use cut_off::CutOff;
pub use dead_letters::DeadLetters;
pub use failover::{Active, Failover, FailoverConfig};
pub use http_feed::{HttpQueue, Offered};
pub use http_topic::HttpTopic;
pub use lease::{Hold, Lease};
pub use live::{Handle, Live, LiveConfig, LiveError, OnGap, StartFrom};
pub use metrics::Metrics;
pub use pipeline::{Layout, Pipeline, Step};
pub use scoping::ScopeTimes;
