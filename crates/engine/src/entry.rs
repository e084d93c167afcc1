//! The signal log's entries: the one written order that correlation folds over, and every
//! decision that is in no source.
//!
//! An entry is appended and durable *before* its first effect leaves the process. The order is
//! chosen once; a replay reads it.

use std::sync::Arc;

use foghorn_eval::intake::TurnedAway;
use foghorn_model::{
    Change, IncidentId, Labels, Offset, OutsideAlert, Partition, Signal, Timestamp,
};
use serde::{Deserialize, Serialize};

/// Which rule group, by what does not change when files are reordered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKey {
    /// The file that it stands in.
    pub file: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl GroupKey {
    /// Stands where no group speaks: what ends with a removed rule.
    pub fn nobody() -> Self {
        Self {
            file: "".into(),
            name: "".into(),
        }
    }
}

/// A tick closed without waiting for a partition: from `offset` on, the partition's watermark is
/// at least `tick`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pin {
    /// Which partition.
    pub partition: Partition,
    /// Its next offset when the decision was taken.
    pub offset: Offset,
    /// The tick that closed without it.
    pub tick: Timestamp,
}

/// One rule file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFile {
    /// Path as configured.
    pub path: String,
    /// Whole text.
    pub text: String,
}

/// What a group sees of a scope from a tick on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeNews {
    /// The scope's labels.
    pub scope: Labels,
    /// Its elected replica (empty where its series have none); `None` where the scope has been
    /// silent for so long that it is no more.
    pub replica: Option<Arc<str>>,
}

/// What a person or a program asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Somebody takes an incident.
    Acknowledge {
        /// Which.
        incident: IncidentId,
        /// Who.
        by: String,
    },
}

/// One entry of the signal log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum Entry {
    /// First start: event time begins here.
    Start {
        /// Ticks after this instant are evaluated.
        origin: Timestamp,
        /// Nothing is said for ticks at or before this one; at the first tick after it, every
        /// pending and firing alert is said once.
        silent_until: Timestamp,
    },
    /// The rules in force from here on (first load, or a reload): for each group from its first
    /// tick that is not closed. The positions stand in a [`Entry::Read`] before it.
    Rules {
        /// The files, whole.
        files: Vec<RuleFile>,
    },
    /// A partition that is new: a pin at its first offset, and its name.
    Join {
        /// The pin.
        pin: Pin,
        /// Its topic, or what stands for it.
        topic: String,
    },
    /// A tick is about to close without a partition.
    Pin(Pin),
    /// A pin leaves a partition behind (it is out of reach, or trails the others): ticks in
    /// (`after`, `until`] that read it give no all-clear.
    Blind {
        /// Which partition.
        partition: Partition,
        /// Its watermark when it was pinned.
        after: Timestamp,
        /// The tick that it was pinned to.
        until: Timestamp,
    },
    /// A record's stamp was lowered to wall time, and that mattered.
    Lowered {
        /// Which partition.
        partition: Partition,
        /// Which record.
        offset: Offset,
        /// The stamp that holds.
        stamp: Timestamp,
    },
    /// Series that were turned away, since there were as many as the bound allows.
    TurnedAway {
        /// Which, where, and for how long.
        decisions: Vec<TurnedAway>,
    },
    /// How far the partitions had been read when the ticks behind it closed: (partition, next
    /// offset, watermark). Samples that ran ahead of their stamps count in this watermark: nothing
    /// before the offset lies after it by more than the allowed lateness.
    Read {
        /// Only those that moved since the last such entry.
        positions: Vec<(Partition, Offset, Timestamp)>,
    },
    /// Scopes that a group sees from a tick on, which is about to close: those that changed.
    Scopes {
        /// Which group.
        group: GroupKey,
        /// Which tick.
        tick: Timestamp,
        /// What changed, in scope order.
        news: Vec<ScopeNews>,
    },
    /// A tick of a group closed: all its signals, at once.
    Tick {
        /// Which group.
        group: GroupKey,
        /// Which tick.
        tick: Timestamp,
        /// What it said, in rule and label order.
        signals: Vec<Signal>,
    },
    /// What one record said on arrival, at once.
    Arrival {
        /// Which partition.
        partition: Partition,
        /// Which record.
        offset: Offset,
        /// Log matches.
        signals: Vec<Signal>,
        /// Changes.
        changes: Vec<Change>,
        /// Other programs' alerts.
        alerts: Vec<OutsideAlert>,
        /// Edges of the service graph seen for the first time: (client, server).
        edges: Vec<(String, String)>,
    },
    /// What Foghorn has noticed about itself.
    Own {
        /// Alerts that begin or end.
        alerts: Vec<OutsideAlert>,
    },
    /// Correlation's now.
    Timer {
        /// Wall time, monotone (in a replay: the low watermark of all sources).
        now: Timestamp,
    },
    /// A command.
    Command(Command),
    /// What sinks have acknowledged, where another instance may take over: it does not say it again.
    Delivered {
        /// Per sink: incidents and their revisions.
        told: Vec<(String, Vec<(IncidentId, u32)>)>,
    },
}

impl Entry {
    /// Whether alerts may begin, change or end with it.
    pub fn tells_of_alerts(&self) -> bool {
        match self {
            Self::Tick { signals, .. } | Self::Arrival { signals, .. } => !signals.is_empty(),
            // Alerts of log matches end as time passes.
            Self::Timer { .. } => true,
            Self::Start { .. }
            | Self::Rules { .. }
            | Self::Join { .. }
            | Self::Pin(_)
            | Self::Blind { .. }
            | Self::Lowered { .. }
            | Self::TurnedAway { .. }
            | Self::Read { .. }
            | Self::Scopes { .. }
            | Self::Own { .. }
            | Self::Delivered { .. }
            | Self::Command(_) => false,
        }
    }
}
