//! The whole of Foghorn from outside: the binary, a cluster, HTTP, signals, crashes.
//!
//! A real Kafka where it can be had; on mock brokers, what they cannot do is said on stderr. Each
//! test has topics, a group and a state folder of its own, and waits by looking, within bounds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the helpers of a test fail by panicking, like the test, and then say what they saw"
)]

#[path = "e2e/access.rs"]
mod access;
#[path = "e2e/alertmanagers.rs"]
mod alertmanagers;
#[path = "e2e/backlog.rs"]
mod backlog;
#[path = "e2e/bounds.rs"]
mod bounds;
#[path = "e2e/client.rs"]
mod client;
#[path = "e2e/crashes.rs"]
mod crashes;
#[path = "e2e/failover.rs"]
mod failover;
#[path = "faults/mod.rs"]
mod faults;
#[path = "e2e/feed.rs"]
mod feed;
#[path = "e2e/flow.rs"]
mod flow;
#[path = "e2e/heartbeat.rs"]
mod heartbeat;
#[path = "e2e/home.rs"]
mod home;
#[path = "e2e/instances.rs"]
mod instances;
#[path = "e2e/live.rs"]
mod live;
#[path = "e2e/login.rs"]
mod login;
#[path = "e2e/outage.rs"]
mod outage;
#[path = "e2e/pressure.rs"]
mod pressure;
#[path = "e2e/receivers.rs"]
mod receivers;
#[path = "e2e/recorded.rs"]
mod recorded;
#[path = "e2e/reload.rs"]
mod reload;
#[path = "e2e/snapshots.rs"]
mod snapshots;
#[path = "e2e/start.rs"]
mod start;
