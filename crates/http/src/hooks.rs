//! What the owner puts behind the door.

use std::fmt;
use std::sync::Arc;

use foghorn_engine::{Answer, Command, Query, QueryError, View};
use foghorn_model::{Refusal, Timestamp};
use foghorn_wire::Format;
use prometheus::Registry;

use crate::readiness::Readiness;

/// Takes telemetry.
pub trait Intake: Send + Sync {
    /// Takes one body, unpacked. Returns only when it is durable (it may block: it is called off
    /// the threads that serve connections), because the sender forgets it then.
    ///
    /// # Errors
    /// It was not taken, and why.
    fn offer(
        &self,
        format: Format,
        body: Vec<u8>,
        received: Timestamp,
    ) -> Result<Accepted, Declined>;
}

/// A body was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Samples in it that can be used.
    pub samples: u64,
    /// Samples or records in it that cannot be used.
    pub rejected: u64,
    /// Why they cannot; empty where there are none.
    pub message: String,
}

/// Why something was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Declined {
    /// No room: come again after so many seconds.
    Busy {
        /// Seconds.
        retry_after_s: u32,
    },
    /// It can never be used: it is not what its format says, or names something that is not there.
    Refused(Refusal),
}

/// Takes commands of people.
pub trait Commands: Send + Sync {
    /// Takes one; returns when it is durable (it may block).
    ///
    /// # Errors
    /// It was not taken, and why.
    fn command(&self, command: Command) -> Result<(), Declined>;
}

/// Answers questions about what is kept.
pub trait Queries: Send + Sync {
    /// Evaluates an expression at each of some instants, in order. It may block.
    ///
    /// # Errors
    /// There was no answer in time.
    fn query(&self, query: &Query, at: &[Timestamp]) -> Result<Answers, Late>;

    /// Names of the metrics that rules name, in order. It may block.
    fn metrics(&self) -> Vec<String>;
}

/// Of each instant the answer, or why there is none.
pub type Answers = Vec<Result<Answer, QueryError>>;

/// There was no answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Late;

/// Why a reload did not happen; everything is as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReloadError {
    /// What was read is wrong: all problems.
    Rejected(Vec<String>),
    /// It could not be read, or not be put in force.
    Failed(Vec<String>),
}

/// Loads config and rules anew; what is in force then, for people. May block.
pub type Reload = dyn Fn() -> Result<String, ReloadError> + Send + Sync;

/// Says why the process is no longer alive (a worker's loop stands still), if it is not. Must not
/// depend on a broker: a broker's outage would restart every instance.
pub type Alive = dyn Fn() -> Result<(), String> + Send + Sync;

/// Everything that the door leads to.
#[derive(Clone)]
pub struct Api {
    /// The engine's read model.
    pub view: Arc<View>,
    /// What `/metrics` shows.
    pub registry: Registry,
    /// What `/-/ready` says.
    pub readiness: Readiness,
    /// Wall time.
    pub now: fn() -> Timestamp,
    /// This build's version.
    pub version: &'static str,
    /// This build's commit; empty where unknown.
    pub revision: &'static str,
    /// Behind the receivers; without it there are none.
    pub intake: Option<Arc<dyn Intake>>,
    /// Behind what people order; without it nothing can be ordered.
    pub commands: Option<Arc<dyn Commands>>,
    /// Behind queries; without it there are none.
    pub queries: Option<Arc<dyn Queries>>,
    /// What `/api/v1/status/config` shows: the configuration file's text, which holds no secrets.
    pub config_text: Arc<str>,
    /// Behind `/-/reload`.
    pub reload: Option<Arc<Reload>>,
    /// Behind `/-/healthy`; without it, answering is proof enough.
    pub alive: Option<Arc<Alive>>,
}

impl Api {
    /// A door that only shows: no receivers, no commands, no reload.
    pub fn new(view: Arc<View>, registry: Registry, now: fn() -> Timestamp) -> Self {
        Self {
            view,
            registry,
            readiness: Readiness::default(),
            now,
            version: env!("CARGO_PKG_VERSION"),
            revision: "",
            intake: None,
            commands: None,
            queries: None,
            config_text: "".into(),
            reload: None,
            alive: None,
        }
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("readiness", &self.readiness)
            .finish_non_exhaustive()
    }
}
