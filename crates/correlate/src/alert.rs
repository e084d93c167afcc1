//! An alert as correlation remembers it, whoever fired it.

use foghorn_model::incident::Edge;
use foghorn_model::{AlertId, AlertState, IncidentId, Labels, Reason, RuleRef, Timestamp};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Config;

/// Who says that an alert fires, and how it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    /// A rule over samples: it says so itself.
    Rule,
    /// A log rule: the alert ends after a span without a match.
    Match {
        /// Records that matched so far.
        count: u64,
        /// Event time of the latest match.
        last_at: Timestamp,
        /// How long without a match until it is over, in milliseconds.
        resolve_after_ms: i64,
    },
    /// Another program: the alert ends when it says so, or when its end passes.
    Outside {
        /// The end that it announced.
        ends_at: Option<Timestamp>,
        /// When it was last heard of (correlation's now).
        heard_at: Timestamp,
    },
}

/// An alert that is pending or firing, or resolved in an incident that is not closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Identity of this occurrence.
    pub id: AlertId,
    /// Its rule; for outside alerts one derived from its name, in the group `outside`.
    pub rule: RuleRef,
    /// Labels, `alertname` among them.
    pub labels: Labels,
    /// Annotations, rendered.
    pub annotations: Labels,
    /// State.
    pub state: AlertState,
    /// Onset.
    pub active_at: Timestamp,
    /// When it began to fire.
    pub fired_at: Option<Timestamp>,
    /// When it ended.
    pub resolved_at: Option<Timestamp>,
    /// Last value.
    pub value: f64,
    /// Why it is in this state.
    pub reason: Reason,
    /// Why it fired.
    pub fired_because: Reason,
    /// Its service; empty where no label names one.
    pub service: String,
    /// Who says so.
    pub source: Source,
    /// The incident that holds it; `None` while pending, or while incidents are at their bound.
    pub incident: Option<IncidentId>,
    /// Words of its summary.
    pub(crate) words: Vec<String>,
    /// Whether its labels were counted for rarity.
    pub(crate) counted: bool,
    /// Its accepted edges to alerts before it in (onset, id) order, best first.
    pub(crate) edges: Vec<Edge>,
}

impl Alert {
    /// Place in the canonical order.
    pub(crate) fn key(&self) -> (Timestamp, AlertId) {
        (self.active_at, self.id)
    }

    /// What its occurrences have in common: rule and labels.
    pub(crate) fn identity(&self) -> u64 {
        identity(&self.rule, &self.labels)
    }

    /// Whether it ended for want of data.
    pub(crate) fn ended_without_data(&self) -> bool {
        self.state == AlertState::Resolved && matches!(self.reason, Reason::NoData)
    }

    /// When it ends if nothing more is heard of it.
    pub(crate) fn ends_by_itself(&self, config: &Config) -> Option<(Timestamp, Reason)> {
        if self.state != AlertState::Firing {
            return None;
        }
        match &self.source {
            Source::Rule => None,
            Source::Match {
                last_at,
                resolve_after_ms,
                ..
            } => Some((
                *last_at + *resolve_after_ms,
                Reason::Quiet {
                    after_ms: *resolve_after_ms,
                },
            )),
            Source::Outside {
                ends_at: Some(end), ..
            } => Some((*end, Reason::Outside)),
            Source::Outside {
                ends_at: None,
                heard_at,
            } => Some((*heard_at + config.outside_timeout_ms, Reason::NoData)),
        }
    }
}

/// Key of (rule, labels).
pub(crate) fn identity(rule: &RuleRef, labels: &Labels) -> u64 {
    let mut bytes = rule.id.0.to_le_bytes().to_vec();
    bytes.extend_from_slice(&labels.fingerprint().0.to_le_bytes());
    xxh3_64(&bytes)
}

/// The service that labels name, or the empty string. Of a `job` in the form that OpenTelemetry
/// gives it (`namespace/name`) the name is taken.
pub(crate) fn service_of(labels: &Labels, config: &Config) -> String {
    let named = config.service_labels.iter().filter_map(|name| {
        let value = labels.get(name)?;
        let value = if name == "job" {
            value.rsplit('/').next()?
        } else {
            value
        };
        (!value.is_empty() && !config.not_services.contains(value)).then_some(value)
    });
    named.into_iter().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(labels: &[(&str, &str)], expect: &str) {
        let labels = Labels::from_pairs(labels.iter().copied());
        assert_eq!(service_of(&labels, &Config::default()), expect, "{labels}");
    }

    #[test]
    fn the_best_label_names_the_service() {
        check(&[("service", "checkout"), ("job", "web")], "checkout");
        check(&[("job", "shop/checkout")], "checkout");
        check(&[("job", "node-exporter"), ("instance", "a:9100")], "");
        check(&[("cluster", "prod")], "");
    }
}
