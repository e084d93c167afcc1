//! Worlds: several clusters and their replicas in one stream, each seen as one Prometheus sees its
//! own.
//!
//! A source may name *scope* labels (say `cluster`) and a *replica* label. Its series then live in
//! the world of their values, without these labels: rules are evaluated once for each scope, over
//! its series that have no replica and those of one replica, which is elected at the tick.

mod election;
mod heard;

use std::sync::Arc;

use foghorn_model::Labels;
use serde::{Deserialize, Serialize};

pub use election::elect;
pub use heard::Heard;

/// Where a series of a scoped source lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct World {
    /// The scope labels that it has, with their values.
    pub scope: Labels,
    /// Its replica; empty where it has no such label.
    pub replica: Arc<str>,
}

/// Which labels of a source's series are scope and replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRule {
    /// Names of the scope labels.
    pub labels: Vec<String>,
    /// Name of the replica label.
    pub replica: Option<String>,
}

/// What a source sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceScope {
    /// Series that live in no scope.
    #[default]
    Plain,
    /// Series of several worlds.
    Scoped(ScopeRule),
    /// No series.
    NoSeries,
}

/// A replica that was not heard for so long gives way, where the config does not say otherwise.
pub const DEFAULT_REPLICA_TIMEOUT_MS: i64 = 60_000;
/// A scope that was not heard for so long is no more, where the config does not say otherwise.
pub const DEFAULT_SCOPE_TTL_MS: i64 = 86_400_000;

/// What all sources send, and how long a silence matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scoping {
    /// By position in the config.
    pub sources: Vec<SourceScope>,
    /// A replica that was not heard for so long gives way to another, in milliseconds.
    pub replica_timeout_ms: i64,
    /// A scope that was not heard for so long is no more, in milliseconds.
    pub scope_ttl_ms: i64,
}

impl Default for Scoping {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            replica_timeout_ms: DEFAULT_REPLICA_TIMEOUT_MS,
            scope_ttl_ms: DEFAULT_SCOPE_TTL_MS,
        }
    }
}

impl Scoping {
    /// Whether any source's series have a scope or a replica.
    pub fn is_any(&self) -> bool {
        let scoped = |scope: &SourceScope| matches!(scope, SourceScope::Scoped(_));
        self.sources.iter().any(scoped)
    }

    /// A source's rule; `None` where it has none.
    pub fn rule_of(&self, source: u16) -> Option<&ScopeRule> {
        match self.sources.get(source as usize)? {
            SourceScope::Scoped(rule) => Some(rule),
            SourceScope::Plain | SourceScope::NoSeries => None,
        }
    }
}

impl ScopeRule {
    /// A series' world, and the labels that rules see.
    pub fn split(&self, labels: &Labels) -> (World, Labels) {
        let is_scope = |name: &str| self.labels.iter().any(|known| known == name);
        let is_replica = |name: &str| self.replica.as_deref() == Some(name);
        let scope = Labels::from_pairs(labels.iter().filter(|(name, _)| is_scope(name)));
        let replica = self
            .replica
            .as_deref()
            .map_or("", |name| labels.value(name));
        let seen = labels
            .iter()
            .filter(|(name, _)| !is_scope(name) && !is_replica(name));
        let world = World {
            scope,
            replica: replica.into(),
        };
        (world, Labels::from_pairs(seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rule: &[&str], replica: Option<&str>, labels: &[(&str, &str)], expect: &str) {
        let rule = ScopeRule {
            labels: rule.iter().map(|&name| name.to_owned()).collect(),
            replica: replica.map(str::to_owned),
        };
        let (world, seen) = rule.split(&Labels::from_pairs(labels.iter().copied()));
        let got = format!("{} {:?} {seen}", world.scope, world.replica);
        assert_eq!(got, expect);
    }

    #[test]
    fn scope_and_replica_are_hidden() {
        let up = [
            ("__name__", "up"),
            ("cluster", "eu"),
            ("job", "api"),
            ("prometheus_replica", "b"),
        ];
        let replica = Some("prometheus_replica");
        check(
            &["cluster"],
            replica,
            &up,
            r#"{cluster="eu"} "b" up{job="api"}"#,
        );
        check(
            &["cluster"],
            None,
            &up,
            r#"{cluster="eu"} "" up{job="api", prometheus_replica="b"}"#,
        );
        check(
            &["region"],
            replica,
            &up,
            r#"{} "b" up{cluster="eu", job="api"}"#,
        );
    }
}
