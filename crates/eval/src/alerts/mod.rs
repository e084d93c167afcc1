//! Alerts of a rule: Prometheus' state machine over a rule's results.
//!
//! Owns pending, firing and their ends, and says each change as a
//! [`Transition`](foghorn_model::Transition) with its reason. What becomes of an alert after it has
//! fired (grouping, silences, sending again) is correlation's.

mod active;
mod render;
mod rule_alerts;
mod world;

#[cfg(test)]
mod tests;

pub use active::{ActiveAlert, rule_ref};
pub use render::Home;
pub use rule_alerts::{BaseValues, Hit, RuleAlerts};
pub use world::{BaseOnly, World};
