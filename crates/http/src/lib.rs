//! The HTTP door: metrics, health, the API that tools expect, and receivers of telemetry.
//!
//! Owns what HTTP means here: paths, status codes, bodies, bounds on what strangers may send. Reads
//! the engine through its `View`, and hands everything that comes in to hooks ([`Intake`],
//! [`Commands`], a reload). Knows no Kafka, no disk, no clock of its own.

mod access;
mod body;
mod config;
mod door;
mod hooks;
mod incidents;
mod meter;
mod operate;
mod otlp;
mod prometheus_api;
mod prometheus_query;
mod prometheus_status;
mod readiness;
mod receive;
mod reply;
mod server;

#[cfg(test)]
mod fixtures;

pub use access::{
    Access, AccessError, ClientAuth, HttpServerConfig, ReadFile, Role, TlsConfig, TlsVersion,
    WebConfig,
};
pub use config::{HttpConfig, HttpError};
pub use hooks::{
    Accepted, Alive, Answers, Api, Commands, Declined, Intake, Late, Queries, Reload, ReloadError,
};
pub use readiness::Readiness;
pub use server::{Server, router};
