//! Rule files → ([`plan::RuleSet`], diagnostics).
//!
//! Owns the languages that rules are written in: Prometheus groups, PromQL, LogQL, anomaly blocks,
//! templates; and what changed on a reload. Knows no state and no passing of time.

mod changes;
pub mod diagnostic;
pub mod duration;
mod go_text;
mod load;
pub mod logql;
pub mod notation;
pub mod plan;
pub mod promql;
mod reach;
mod slot;
pub mod template;
pub mod unit_test;
mod yaml;

pub use changes::{ChangedRule, RuleChanges, diff};
pub use diagnostic::{Diagnostic, Severity};
pub use load::{LoadOptions, MAX_FILE_BYTES, Source, load};
pub use slot::Slots;
