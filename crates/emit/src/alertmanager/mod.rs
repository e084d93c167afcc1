//! Alerts (not incidents) to Alertmanagers, as Prometheus sends them.
//!
//! Prometheus keeps no promise that a message arrives: it says again and again what fires, each time
//! with an end a few minutes ahead, and what ended for a quarter of an hour. So nothing here needs an
//! outbox: state comes from [`AlertFeed`], and whatever a crash forgets is said again.
//!
//! Event time and wall time meet here: an alert began when its samples say so, and it ends by
//! itself so long after it was *sent*, whatever the engine's own now is.

mod config;
mod door;
mod feed;
mod metrics;
mod posted;
mod queue;
mod sender;

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_model::Timestamp;
use tokio::runtime::Handle;

pub use config::{AlertmanagerConfig, ApiVersion, BasicAuth, Problem};
pub use feed::{AlertFeed, AlertKey, Ended, RuleAlert};
pub(crate) use metrics::NotificationMetrics;

use crate::metrics::SinkMetrics;
use door::{Door, HttpDoor};
use posted::Terms;
use sender::Sender;

/// An Alertmanager sink, set up: every Alertmanager that it names is told of all alerts.
pub struct AlertmanagerSink {
    terms: Arc<Terms>,
    doors: Vec<Box<dyn Door>>,
}

impl AlertmanagerSink {
    /// Sets the sink up; reads its secrets, and connects to nothing yet. `external_labels` are
    /// everybody's, for a sink that names none. Must not be used on a thread of `runtime` itself.
    ///
    /// # Errors
    /// In words: a file cannot be read, or a setting makes no sense.
    pub fn open(
        config: &AlertmanagerConfig,
        external_labels: &BTreeMap<String, String>,
        runtime: &Handle,
    ) -> Result<Self, String> {
        Ok(Self {
            terms: Arc::new(Terms::new(config, external_labels)),
            doors: HttpDoor::open_all(config, runtime)?,
        })
    }

    /// What sends to each of the Alertmanagers.
    pub(crate) fn senders(
        self,
        feed: &Arc<dyn AlertFeed>,
        wall: fn() -> Timestamp,
        metrics: &SinkMetrics,
    ) -> Vec<Sender> {
        let sender = |door| {
            let (terms, feed) = (Arc::clone(&self.terms), Arc::clone(feed));
            Sender::new(door, terms, feed, Box::new(wall), &metrics.notifications)
        };
        self.doors.into_iter().map(sender).collect()
    }
}
