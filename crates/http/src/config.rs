//! What a user writes about the HTTP door.

use std::io;
use std::path::PathBuf;

use serde::Deserialize;

/// Where it listens, and bounds on what may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// `address:port`. Anything but loopback needs a [`Self::web_config_file`] that asks who is there.
    pub listen: String,
    /// Prometheus' web configuration: TLS, users, tokens.
    pub web_config_file: Option<PathBuf>,
    /// Whether other machines are let in though nobody is asked who they are.
    pub allow_unauthenticated: bool,
    /// Connections at once; more are closed.
    pub max_connections: usize,
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
            web_config_file: None,
            allow_unauthenticated: false,
            max_connections: 1_024,
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
    /// The address is open to other machines, and nobody is asked who they are.
    #[error(
        "{listen} is open to other machines, and nobody would be asked who they are: name an `http.web_config_file` \
         with `basic_auth_users`, `bearer_token_files` or client certificates; or listen on 127.0.0.1; or set \
         `http.allow_unauthenticated: true` where something in front of it asks"
    )]
    Open {
        /// As configured.
        listen: String,
    },
    /// One of this room's metrics is registered already.
    #[error("cannot register a metric: {0}")]
    Metric(#[from] prometheus::Error),
    /// Accepting connections failed for good.
    #[error("the HTTP server failed: {0}")]
    Serve(io::Error),
}
