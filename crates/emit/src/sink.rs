//! What a sink is.

use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Incident;

/// Takes incidents to one place outside. Lives on a thread of its own, so it may block.
pub trait Sink: Send {
    /// Its name in config, metrics and logs.
    fn name(&self) -> &str;

    /// Delivers revisions in this order, as many as it can, and says how far it came. What it has
    /// not delivered is offered again.
    fn deliver(&mut self, incidents: &[Arc<Incident>]) -> Delivered;

    /// Looks after what it delivered, where it must; after how long it wants to do so again. Called now
    /// and then, whether there is anything to deliver or not.
    fn tend(&mut self) -> Option<Duration> {
        None
    }

    /// Whether a backlog may be thinned out to the latest revision of each incident. A sink that
    /// keeps a history says no.
    fn coalesces(&self) -> bool;
}

/// How far a delivery came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// So many of the revisions, from the first on, are delivered.
    pub count: usize,
    /// What stopped the next one, where something did.
    pub stopped: Option<DeliveryError>,
}

/// Why a revision was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DeliveryError {
    /// Whether trying again may help. Where it cannot, this revision is given up.
    pub retryable: bool,
    /// How long the receiver asked to wait.
    pub retry_after: Option<Duration>,
    /// For people; holds no secret.
    pub text: String,
}

impl DeliveryError {
    /// Trying again may help.
    pub fn retryable(text: impl Into<String>) -> Self {
        Self {
            retryable: true,
            retry_after: None,
            text: text.into(),
        }
    }

    /// Trying again cannot help.
    pub fn hopeless(text: impl Into<String>) -> Self {
        Self {
            retryable: false,
            retry_after: None,
            text: text.into(),
        }
    }
}

impl Delivered {
    /// All of them.
    pub fn all(incidents: &[Arc<Incident>]) -> Self {
        Self {
            count: incidents.len(),
            stopped: None,
        }
    }

    /// `count`, and then this.
    pub fn stopped(count: usize, error: DeliveryError) -> Self {
        Self {
            count,
            stopped: Some(error),
        }
    }
}
