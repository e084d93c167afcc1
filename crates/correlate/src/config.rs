//! What an operator may choose about correlation. Every value has a default that works.
//!
//! Owns thresholds, weights, windows and bounds. Refuses settings that contradict each other
//! ([`Config::validate`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How much each kind of evidence can add to an edge at most. The threshold is in the same units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Weights {
    /// A shared label that is as rare as can be.
    pub shared_labels: f64,
    /// The same service; one call apart is 0.85 of it, each further call 0.7 of the one before.
    pub topology: f64,
    /// The same onset; falls linearly to 0 at `max_span_ms`.
    pub onset: f64,
    /// A change just before both onsets, on a service that both depend on.
    pub shared_change: f64,
    /// Summaries of two different rules with the same words.
    pub text: f64,
    /// The same rule and labels again, within `reopen_window_ms` after they ended.
    pub recurrence: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            shared_labels: 0.8,
            topology: 0.9,
            onset: 0.4,
            shared_change: 0.7,
            text: 0.3,
            recurrence: 1.0,
        }
    }
}

/// Upper bounds of every table. What is over a bound is refused and counted in
/// [`Stats`](crate::Stats).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Alerts remembered: pending, firing, and resolved ones of incidents that are not closed.
    pub alerts: usize,
    /// Incidents that are not closed. Alerts over it wait until one closes.
    pub incidents: usize,
    /// Closed and merged incidents of which the last revision is kept for readers.
    pub recent_incidents: usize,
    /// Changes within their window.
    pub changes: usize,
    /// Evidence signals within their window.
    pub evidence: usize,
    /// Services of the graph.
    pub services: usize,
    /// Services that one walk over the graph visits.
    pub reach: usize,
    /// Label pairs of which the rarity is counted, per day.
    pub label_terms: usize,
    /// Alerts looked at per index key, on either side of an onset.
    pub candidates: usize,
    /// Edges that an alert keeps, the best.
    pub edges_per_alert: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            alerts: 100_000,
            incidents: 10_000,
            recent_incidents: 1_000,
            changes: 10_000,
            evidence: 10_000,
            services: 20_000,
            reach: 1_024,
            label_terms: 200_000,
            candidates: 32,
            edges_per_alert: 16,
        }
    }
}

/// Settings of correlation. Spans are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Score from which an edge joins two alerts.
    pub join_threshold: f64,
    /// Kinds of evidence that an edge needs at least.
    pub min_kinds: usize,
    /// Weights of the evidence.
    pub weights: Weights,
    /// Calls between two services that still count as near.
    pub max_hops: u32,
    /// Distance of two onsets beyond which no edge is looked for.
    pub max_span_ms: i64,
    /// Distance of a member's onset from its incident's onset, at most: a window never rolls on
    /// for ever.
    pub max_incident_span_ms: i64,
    /// How far before the onset a change may lie and still be suspected.
    pub change_window_ms: i64,
    /// How long after an alert's end its return reopens the incident.
    pub reopen_window_ms: i64,
    /// How long an incident stays resolved until it is closed; at least `reopen_window_ms`.
    pub close_after_ms: i64,
    /// How long an alert that ended for want of data still keeps its incident open.
    pub no_data_close_ms: i64,
    /// How long an outside alert without an end lives after it was last heard of; it then ends
    /// as *no data*.
    pub outside_timeout_ms: i64,
    /// Least span between two revisions of one incident, the first excepted.
    pub min_revision_interval_ms: i64,
    /// Members that a revision lists, at most; the totals count all.
    pub member_cap: usize,
    /// Approximate size of the members that a revision lists, at most, in bytes.
    pub max_revision_bytes: usize,
    /// Labels that may name the service, best first.
    pub service_labels: Vec<String>,
    /// Label that names the severity.
    pub severity_label: String,
    /// Labels that name the environment, compared with a change's environment.
    pub environment_labels: Vec<String>,
    /// Values of `service_labels` that are not services: exporters and other observers, whose
    /// alerts have nothing in common.
    pub not_services: BTreeSet<String>,
    /// Labels that tie nothing together.
    pub ignored_labels: BTreeSet<String>,
    /// Assumed share of alerts that carry a given value of a label, until enough were counted:
    /// 1 ties nothing, 0.01 ties fully.
    pub label_shares: BTreeMap<String, f64>,
    /// The same for labels not listed.
    pub default_label_share: f64,
    /// Score from which a suspected change is named as the probable cause.
    pub blame_threshold: f64,
    /// Bounds.
    pub bounds: Bounds,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            join_threshold: 1.0,
            min_kinds: 2,
            weights: Weights::default(),
            max_hops: 3,
            max_span_ms: 15 * MINUTE_MS,
            max_incident_span_ms: 2 * HOUR_MS,
            change_window_ms: HOUR_MS,
            reopen_window_ms: 30 * MINUTE_MS,
            close_after_ms: 30 * MINUTE_MS,
            no_data_close_ms: HOUR_MS,
            outside_timeout_ms: 24 * HOUR_MS,
            min_revision_interval_ms: 1_000,
            member_cap: 50,
            max_revision_bytes: 192 * 1024,
            service_labels: owned(&[
                "service",
                "service_name",
                "service.name",
                "app_kubernetes_io_name",
                "app",
                "job",
            ]),
            severity_label: "severity".to_owned(),
            environment_labels: owned(&[
                "environment",
                "env",
                "deployment_environment_name",
                "deployment.environment.name",
                "deployment_environment",
                "stage",
            ]),
            not_services: owned(&[
                "node",
                "node-exporter",
                "node_exporter",
                "kubelet",
                "kube-state-metrics",
                "cadvisor",
                "blackbox",
                "blackbox-exporter",
                "blackbox_exporter",
                "prometheus",
                "user",
                "unknown",
            ]),
            ignored_labels: owned(&[
                "__name__",
                "alertname",
                "alertgroup",
                "severity",
                "priority",
                "level",
                "le",
                "quantile",
                "status",
                "code",
            ]),
            label_shares: default_shares(),
            default_label_share: 0.1,
            blame_threshold: 0.5,
            bounds: Bounds::default(),
        }
    }
}

fn owned<C: FromIterator<String>>(words: &[&str]) -> C {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Labels whose name alone says how much they tell: where everything runs, and what is one thing.
fn default_shares() -> BTreeMap<String, f64> {
    const EVERYWHERE: &[&str] = &[
        "cluster",
        "env",
        "environment",
        "deployment_environment",
        "deployment_environment_name",
        "stage",
        "region",
        "zone",
        "availability_zone",
        "datacenter",
        "dc",
        "cloud",
        "account",
        "tenant",
        "prometheus",
        "replica",
        "monitor",
        "source",
        "receiver",
    ];
    const WIDE: &[&str] = &[
        "namespace",
        "k8s_namespace_name",
        "service_namespace",
        "team",
        "owner",
        "container",
    ];
    const ONE_THING: &[&str] = &[
        "instance",
        "host",
        "hostname",
        "host_name",
        "node",
        "k8s_node_name",
        "pod",
        "pod_name",
        "k8s_pod_name",
        "trace_id",
        "request_id",
        "persistentvolumeclaim",
    ];
    let all = [(EVERYWHERE, 1.0), (WIDE, 0.3), (ONE_THING, 0.01)];
    all.iter()
        .flat_map(|(names, share)| names.iter().map(move |name| ((*name).to_owned(), *share)))
        .collect()
}

/// Settings that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A span that must be positive is not.
    #[error("`{0}` must be greater than 0")]
    NotPositive(&'static str),
    /// Incidents would close while they can still be reopened.
    #[error("`close_after_ms` must be at least `reopen_window_ms`")]
    ClosesTooEarly,
    /// A share or a threshold that is not in (0, 1].
    #[error("`{0}` must be greater than 0 and at most 1")]
    NotAShare(String),
}

impl Config {
    /// Checks the settings against each other; gives the first that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let positive = [
            ("max_span_ms", self.max_span_ms),
            ("max_incident_span_ms", self.max_incident_span_ms),
            ("change_window_ms", self.change_window_ms),
            ("outside_timeout_ms", self.outside_timeout_ms),
            ("min_revision_interval_ms", self.min_revision_interval_ms),
            ("member_cap", self.member_cap as i64),
            ("bounds.edges_per_alert", self.bounds.edges_per_alert as i64),
            ("bounds.candidates", self.bounds.candidates as i64),
        ];
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value <= 0) {
            return Err(ConfigError::NotPositive(name));
        }
        if self.close_after_ms < self.reopen_window_ms {
            return Err(ConfigError::ClosesTooEarly);
        }
        let listed = self
            .label_shares
            .iter()
            .map(|(name, share)| (name.as_str(), *share));
        let shares = listed.chain([("default_label_share", self.default_label_share)]);
        match shares
            .into_iter()
            .find(|(_, share)| !(*share > 0.0 && *share <= 1.0))
        {
            Some((name, _)) => Err(ConfigError::NotAShare(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether a label may tie two alerts together: it is neither ignored nor a service's name
    /// (which the service graph weighs).
    pub(crate) fn ties(&self, name: &str) -> bool {
        !self.ignored_labels.contains(name)
            && !self.service_labels.iter().any(|label| label == name)
    }

    /// Assumed share of alerts that carry one value of this label.
    pub(crate) fn share(&self, name: &str) -> f64 {
        self.label_shares
            .get(name)
            .copied()
            .unwrap_or(self.default_label_share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expect: Option<&ConfigError>) {
        let config: Config = serde_json::from_str(json).unwrap();
        assert_eq!(config.validate().err().as_ref(), expect, "{json}");
    }

    #[test]
    fn contradictions_are_named() {
        check("{}", None);
        check(
            r#"{"max_span_ms": 0}"#,
            Some(&ConfigError::NotPositive("max_span_ms")),
        );
        check(
            r#"{"close_after_ms": 5}"#,
            Some(&ConfigError::ClosesTooEarly),
        );
        check(
            r#"{"label_shares": {"rack": 0}}"#,
            Some(&ConfigError::NotAShare("rack".to_owned())),
        );
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_str::<Config>(r#"{"max_spam_ms": 1}"#).is_err());
    }
}
