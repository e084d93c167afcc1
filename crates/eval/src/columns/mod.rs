//! What the rules of a group share within one tick: per-series results, computed once.
//!
//! A rule set asks the same of the same series again and again: ninety rules that compare one
//! average with ninety numbers. [`GroupPlan`] finds these when the rules are loaded; at a tick each
//! series is read once for all of them, its results stand in *columns* (a number a series), and the
//! thresholds of a column are tried weakest first, so that a series that passes none costs one
//! comparison, however many rules there are. Label sets are touched only for what passes.
//!
//! Nothing here changes what an expression means: what is not recognised, or could depend on what
//! the group itself records within the tick, goes the general way
//! ([`Evaluator`](crate::promql::Evaluator)), with the same bits.

mod ladder;
mod plan;
mod reader;
mod rows;
mod shape;
mod state;

#[cfg(test)]
mod tests;

pub use plan::GroupPlan;
pub use reader::{AskedReader, QueryReader, TickReader};
pub use state::{GroupColumns, Rows};

pub(crate) use ladder::Ladder;
pub(crate) use plan::{Dense, Grid, GridUse, Scan};
pub(crate) use rows::{ABSENT, Scanned, is_absent};
pub(crate) use shape::threshold;
