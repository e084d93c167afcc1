//! What a user writes about the HTTP door.

use std::io;

use serde::Deserialize;

/// Where it listens, and bounds on what may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// `address:port`. There is no authentication: anything but loopback belongs behind a proxy.
    pub listen: String,
    /// Largest body, as it comes.
    pub max_body_bytes: usize,
    /// Largest body, unpacked.
    pub max_decompressed_bytes: usize,
    /// Bodies of telemetry that are in memory at once; more are told to come again.
    pub max_concurrent_receives: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9490".to_owned(),
            max_body_bytes: 16 << 20,
            max_decompressed_bytes: 64 << 20,
            max_concurrent_receives: 32,
        }
    }
}

/// The door cannot be opened, or fell shut.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is taken, or none of this machine's.
    #[error("cannot listen on {listen}: {source}")]
    Listen {
        /// As configured.
        listen: String,
        /// What the system said.
        source: io::Error,
    },
    /// One of this room's metrics is registered already.
    #[error("cannot register a metric: {0}")]
    Metric(#[from] prometheus::Error),
    /// Accepting connections failed for good.
    #[error("the HTTP server failed: {0}")]
    Serve(io::Error),
}
