//! Correlation: a pure fold over a written order. Alerts go in, a few explained incidents come out.
//!
//! Owns the life of alerts after they fire, the service graph, changes, the scored edges between
//! alerts, grouping, priority, probable cause and the wording of incidents. Refuses samples,
//! `PromQL`, clocks, randomness and I/O: its "now" is the last [`Input::Timer`], its onsets are
//! event time.
//!
//! [`Correlator::fold`] takes one input and only remembers; [`Correlator::flush`], called after
//! each closed entry of the signal log, regroups what was touched and gives the revisions due.
//! Because grouping waits for the flush and then runs in (onset, id) order, it does not depend on
//! the order in which one entry's signals stand.

mod alert;
mod case;
mod changes;
mod config;
mod correlator;
mod edges;
mod evidence;
mod group;
mod index;
mod input;
mod intake;
mod priority;
mod publish;
mod rarity;
mod render;
mod settle;
mod state;
mod stats;
mod suspects;
#[cfg(test)]
mod tests;
mod text;
mod topology;
mod wording;

pub use alert::{Alert, Source};
pub use config::{Bounds, Config, ConfigError, Weights};
pub use correlator::Correlator;
pub use input::{Command, Input};
pub use state::State;
pub use stats::Stats;
pub use topology::{Observed, Reach, ServiceSpec, Topology, TopologyFile};
