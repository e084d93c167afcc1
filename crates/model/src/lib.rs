//! Nouns of Foghorn: labels, matchers, samples, logs, changes, signals, alerts, incidents.
//!
//! Owns what every other room talks about, and the typed ids that are derived (never drawn).
//! Knows no bytes, no rules, no clock: time is always a value that somebody handed in.

pub mod alert;
pub mod change;
pub mod ids;
pub mod incident;
pub mod labels;
pub mod matcher;
pub mod number;
pub mod reason;
pub mod signal;
pub mod sink;
pub mod source;
pub mod time;

pub use alert::{AlertState, OutsideAlert};
pub use change::{Change, ChangeKind};
pub use ids::{AlertId, ChangeId, IncidentId, RuleId, SignalId};
pub use incident::Incident;
pub use labels::{Fingerprint, Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use reason::Reason;
pub use signal::{Evidence, MatchKind, MatchSignal, RuleRef, Signal, Transition, TransitionKind};
pub use sink::{LogRecord, RecordSink, Refusal, SampleSink, SeriesKey, SeriesKind, SeriesRef};
pub use source::{Offset, Partition};
pub use time::{STALE_NAN, Timestamp, is_stale};
