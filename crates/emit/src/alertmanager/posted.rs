//! An alert as it goes out: whose labels it gets, when it ends, where its link leads.

use std::collections::BTreeMap;
use std::time::Duration;

use foghorn_model::{Labels, Timestamp};
use foghorn_wire::out::{PostedAlert, alertmanager_v2};

use super::config::AlertmanagerConfig;
use super::feed::RuleAlert;

/// An alert outlives so many of the spans after which it is said again, as in Prometheus.
const LIVES: i64 = 4;

/// What all Alertmanagers of a sink have in common.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// Name of the sink.
    pub(super) name: String,
    /// What fires is said again after so long.
    pub(super) resend_delay: Duration,
    external_labels: Vec<(String, String)>,
    /// Without a slash at its end.
    external_url: String,
}

impl Terms {
    /// `external_labels` are everybody's.
    pub(super) fn new(
        config: &AlertmanagerConfig,
        external_labels: &BTreeMap<String, String>,
    ) -> Self {
        let labels = config.external_labels.as_ref().unwrap_or(external_labels);
        let labels = labels.iter();
        Self {
            name: config.name.clone(),
            resend_delay: config.resend_delay,
            external_labels: labels.map(|(n, v)| (n.clone(), v.clone())).collect(),
            external_url: config.external_url.trim_end_matches('/').to_owned(),
        }
    }

    /// The body of a post at wall time `wall`.
    pub(super) fn body<'a>(
        &self,
        alerts: impl Iterator<Item = &'a RuleAlert>,
        wall: Timestamp,
    ) -> Vec<u8> {
        let alerts: Vec<_> = alerts
            .map(|alert| {
                let labels = self.labels(alert);
                (alert, labels, self.link(alert))
            })
            .collect();
        let posted: Vec<_> = alerts
            .iter()
            .map(|(alert, labels, link)| PostedAlert {
                labels,
                annotations: &alert.annotations,
                starts_at: alert.fired_at,
                ends_at: self.ends_at(alert, wall),
                generator_url: link,
            })
            .collect();
        alertmanager_v2(&posted)
    }

    /// External labels yield to the alert's own.
    fn labels(&self, alert: &RuleAlert) -> Labels {
        let mut external = self.external_labels.iter();
        if external.all(|(name, _)| alert.labels.get(name).is_some()) {
            return alert.labels.clone();
        }
        let mut builder = alert.labels.to_builder();
        for (name, value) in &self.external_labels {
            if alert.labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    }

    /// What ended did so at its event time: never in the future, where an Alertmanager would take it
    /// for firing. What fires ends by itself so long after *now*, however old its samples are.
    fn ends_at(&self, alert: &RuleAlert, wall: Timestamp) -> Timestamp {
        let end = match alert.ended {
            Some(ended) => ended.at.min(wall),
            None => {
                let resend_ms = self.resend_delay.as_millis() as i64;
                wall + LIVES.saturating_mul(resend_ms.max(alert.interval_ms))
            }
        };
        end.max(alert.fired_at)
    }

    fn link(&self, alert: &RuleAlert) -> String {
        if self.external_url.is_empty() || alert.expr.is_empty() {
            return String::new();
        }
        let expr = query_escape(&alert.expr);
        format!("{}/graph?g0.expr={expr}&g0.tab=1", self.external_url)
    }
}

/// As Go's `url.QueryEscape`: so links are Prometheus' own, byte for byte.
fn query_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            b' ' => escaped.push('+'),
            _ => {
                let hex = |half: u8| char::from(b"0123456789ABCDEF"[usize::from(half)]);
                escaped.extend(['%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use foghorn_model::{AlertId, RuleId};
    use serde_json::{Value, json};

    use super::super::feed::Ended;
    use super::*;

    const WALL: Timestamp = Timestamp(1_700_000_000_000);

    /// A config's keys beyond name and url, an alert's, and what is posted.
    fn check(keys: &Value, change: impl Fn(&mut RuleAlert), expect: &Value) {
        let mut config = json!({"name": "am", "urls": ["http://a:9093"]});
        merge(&mut config, keys);
        let config: AlertmanagerConfig = serde_json::from_value(config).unwrap();
        let everybodys = BTreeMap::from([("cluster".to_owned(), "eu1".to_owned())]);
        let mut alert = RuleAlert {
            id: AlertId(1),
            rule: RuleId(1),
            labels: Labels::from_pairs([("alertname", "Slow")]),
            annotations: Labels::from_pairs([("summary", "s")]),
            fired_at: WALL - 3_600_000,
            ended: None,
            interval_ms: 30_000,
            expr: "a{b=~\"c|d\"} > 5 * 2".into(),
        };
        change(&mut alert);
        let body = Terms::new(&config, &everybodys).body(std::iter::once(&alert), WALL);
        let mut want = json!({
            "labels": {"alertname": "Slow", "cluster": "eu1"},
            "annotations": {"summary": "s"},
            "startsAt": "2023-11-14T21:13:20.000Z",
            "endsAt": "2023-11-14T22:17:20.000Z",
        });
        merge(&mut want, expect);
        let posted: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(posted, json!([want]));
    }

    fn merge(into: &mut Value, from: &Value) {
        for (key, value) in from.as_object().unwrap() {
            into[key] = value.clone();
        }
    }

    #[test]
    fn what_fires_ends_so_long_after_it_was_sent() {
        check(&json!({}), |_| {}, &json!({}));
        let ends = |at: &str| json!({ "endsAt": at });
        check(
            &json!({}),
            |alert| alert.interval_ms = 300_000,
            &ends("2023-11-14T22:33:20.000Z"),
        );
        check(
            &json!({"resend_delay": "2m"}),
            |_| {},
            &ends("2023-11-14T22:21:20.000Z"),
        );
    }

    #[test]
    fn what_ended_did_so_in_event_time_and_never_in_the_future() {
        let at = |at: Timestamp| {
            move |alert: &mut RuleAlert| alert.ended = Some(Ended { at, known_at: WALL })
        };
        let ends = |at: &str| json!({ "endsAt": at });
        check(
            &json!({}),
            at(WALL - 1_800_000),
            &ends("2023-11-14T21:43:20.000Z"),
        );
        check(
            &json!({}),
            at(WALL + 5_000),
            &ends("2023-11-14T22:13:20.000Z"),
        );
        check(
            &json!({}),
            at(WALL - 7_200_000),
            &ends("2023-11-14T21:13:20.000Z"),
        );
    }

    #[test]
    fn external_labels_yield_to_the_alerts_own() {
        let own = |alert: &mut RuleAlert| {
            alert.labels = Labels::from_pairs([("alertname", "Slow"), ("cluster", "own")]);
        };
        let labels = |labels: Value| json!({ "labels": labels });
        check(
            &json!({}),
            own,
            &labels(json!({"alertname": "Slow", "cluster": "own"})),
        );
        check(
            &json!({"external_labels": {"replica": "a", "cluster": "x"}}),
            own,
            &labels(json!({"alertname": "Slow", "cluster": "own", "replica": "a"})),
        );
        check(
            &json!({"external_labels": {}}),
            |_| {},
            &labels(json!({"alertname": "Slow"})),
        );
    }

    #[test]
    fn links_lead_where_prometheus_would() {
        let link = json!({
            "generatorURL": "http://prom:9090/p/graph?g0.expr=a%7Bb%3D~%22c%7Cd%22%7D+%3E+5+%2A+2&g0.tab=1"
        });
        check(
            &json!({"external_url": "http://prom:9090/p/"}),
            |_| {},
            &link,
        );
        check(
            &json!({"external_url": "http://prom:9090"}),
            |alert| alert.expr = "".into(),
            &json!({}),
        );
    }
}
