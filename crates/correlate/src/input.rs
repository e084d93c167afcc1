//! All that correlation ever hears, as one closed enum.

use foghorn_model::{Change, IncidentId, OutsideAlert, Signal, Timestamp};
use serde::{Deserialize, Serialize};

/// One entry's worth of news.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// Evaluation said something.
    Signal(&'a Signal),
    /// Somebody changed the system.
    Change(&'a Change),
    /// Another program's alert.
    Outside(&'a OutsideAlert),
    /// Traces show that one service calls another.
    ServiceEdge {
        /// Caller.
        client: &'a str,
        /// Callee.
        server: &'a str,
    },
    /// Correlation's now, monotone; an earlier one than the last changes nothing. At
    /// [`Timestamp::MAX`] every deadline passes and "now" stays at the last of them.
    Timer(Timestamp),
    /// A person asked for something.
    Command(Command),
}

/// What a person may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Somebody takes an incident. One that was merged stands for the one that absorbed it.
    Acknowledge {
        /// Which.
        incident: IncidentId,
        /// Who.
        by: String,
    },
}
