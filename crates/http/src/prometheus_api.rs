//! Rules and alerts in the shape of Prometheus' HTTP API, so that its clients show them as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use foghorn_engine::{AlertView, GroupView, Health, RuleView};
use foghorn_model::{AlertState, RuleId, Timestamp};
use serde_json::{Value, json};

use crate::reply::{bad_data, success};
use crate::server::Shared;

type Alerts = BTreeMap<RuleId, Vec<Arc<AlertView>>>;

/// Which rules are asked for; an empty list lets everything through.
#[derive(Debug, Default)]
struct Filter {
    kind: Option<&'static str>,
    names: Vec<String>,
    groups: Vec<String>,
    files: Vec<String>,
    without_alerts: bool,
}

impl Filter {
    /// Reads Prometheus' parameters; unknown ones are ignored, as there.
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut filter = Self::default();
        for (key, value) in pairs {
            match (key.as_str(), value.as_str()) {
                ("type", "alert") => filter.kind = Some("alerting"),
                ("type", "record") => filter.kind = Some("recording"),
                ("type", other) => {
                    return Err(format!("type {other:?} is neither alert nor record"));
                }
                ("rule_name[]", _) => filter.names.push(value),
                ("rule_group[]", _) => filter.groups.push(value),
                ("file[]", _) => filter.files.push(value),
                ("exclude_alerts", _) => {
                    filter.without_alerts = matches!(value.as_str(), "true" | "1");
                }
                _ => {}
            }
        }
        Ok(filter)
    }

    fn lets_group(&self, group: &GroupView) -> bool {
        let among =
            |list: &[String], name: &str| list.is_empty() || list.iter().any(|item| item == name);
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn lets_rule(&self, rule: &RuleView) -> bool {
        self.kind.is_none_or(|kind| kind == rule.kind)
            && (self.names.is_empty() || self.names.iter().any(|name| **name == *rule.name))
    }
}

/// `GET /api/v1/rules`.
pub(crate) async fn rules(
    State(shared): State<Arc<Shared>>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let filter = match Filter::parse(pairs) {
        Ok(filter) => filter,
        Err(error) => return bad_data(&error),
    };
    let mut alerts = Alerts::new();
    for alert in shared.api.view.alerts_in_order() {
        alerts.entry(alert.rule).or_default().push(alert);
    }
    let groups: Vec<Value> = shared
        .api
        .view
        .groups()
        .iter()
        .filter(|group| filter.lets_group(group))
        .filter_map(|group| group_json(group, &alerts, &filter))
        .collect();
    success(&json!({"groups": groups}))
}

/// `GET /api/v1/alerts`.
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>) -> Response {
    let alerts = shared.api.view.alerts_in_order();
    success(&json!({"alerts": alerts_json(&alerts)}))
}

/// `None` where the filter leaves no rule.
fn group_json(group: &GroupView, alerts: &Alerts, filter: &Filter) -> Option<Value> {
    let rules: Vec<Value> = group
        .rules
        .iter()
        .filter(|rule| filter.lets_rule(rule))
        .map(|rule| rule_json(rule, alerts, filter))
        .collect();
    (!rules.is_empty() || group.rules.is_empty()).then(|| {
        json!({
            "name": group.name,
            "file": group.file,
            "interval": seconds(group.interval_ms),
            "limit": 0,
            "rules": rules,
            "evaluationTime": 0.0,
            "lastEvaluation": instant(group.last_tick),
        })
    })
}

fn rule_json(rule: &RuleView, alerts: &Alerts, filter: &Filter) -> Value {
    let mut shown = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": {},
        "health": health(rule.health),
        "lastError": rule.last_error,
        "evaluationTime": 0.0,
        "lastEvaluation": instant(rule.last_tick),
        "type": rule.kind,
    });
    if rule.kind == "alerting" {
        let active = alerts.get(&rule.id).map_or(&[][..], Vec::as_slice);
        let listed = if filter.without_alerts {
            json!([])
        } else {
            alerts_json(active)
        };
        shown["state"] = state(active).into();
        shown["duration"] = seconds(rule.for_ms).into();
        shown["keepFiringFor"] = seconds(rule.keep_firing_ms).into();
        shown["annotations"] = json!({});
        shown["alerts"] = listed;
    }
    shown
}

fn alerts_json(alerts: &[Arc<AlertView>]) -> Value {
    alerts
        .iter()
        .filter(|alert| alert.state != AlertState::Resolved)
        .map(|alert| {
            json!({
                "labels": alert.labels,
                "annotations": alert.annotations,
                "state": alert.state,
                "activeAt": alert.active_at.to_string(),
                "value": value_text(alert.value),
            })
        })
        .collect()
}

/// A rule is as bad as its worst alert.
fn state(alerts: &[Arc<AlertView>]) -> &'static str {
    let any = |state| alerts.iter().any(|alert| alert.state == state);
    match () {
        () if any(AlertState::Firing) => "firing",
        () if any(AlertState::Pending) => "pending",
        () => "inactive",
    }
}

/// Prometheus knows no warming; to its clients such a rule was not evaluated yet.
fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Err => "err",
        Health::Unknown | Health::Warming => "unknown",
    }
}

fn seconds(span_ms: i64) -> f64 {
    span_ms as f64 / 1e3
}

/// RFC 3339; Go's zero time where there is none, as Prometheus says it.
fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

/// As Go's `strconv.FormatFloat(value, 'e', -1, 64)`: `1e+00`, `1.5e-07`, `+Inf`.
fn value_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = exponent
        .strip_prefix('-')
        .map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use foghorn_model::{AlertId, Labels, Reason};

    use super::*;
    use crate::fixtures::{Door, api};

    fn rule(name: &str, kind: &'static str, health: Health) -> RuleView {
        RuleView {
            id: RuleId::derive("api", name, "up == 0", &[]),
            name: name.into(),
            kind,
            query: "up == 0".into(),
            for_ms: 90_000,
            keep_firing_ms: 0,
            health,
            last_error: String::new(),
            last_tick: (health == Health::Ok).then_some(Timestamp(60_000)),
        }
    }

    fn alert(rule: &RuleView, instance: &str, state: AlertState, value: f64) -> AlertView {
        let labels = Labels::from_pairs([("alertname", &*rule.name), ("instance", instance)]);
        AlertView {
            id: AlertId::derive(rule.id, &labels, Timestamp(30_000)),
            rule: rule.id,
            group: "api".into(),
            name: Arc::clone(&rule.name),
            labels,
            annotations: Labels::from_pairs([("summary", "down")]),
            state,
            active_at: Timestamp(30_000),
            fired_at: None,
            value,
            reason: Reason::NoData,
        }
    }

    async fn door() -> Door {
        let api = api();
        let rules = vec![
            rule("Down", "alerting", Health::Ok),
            rule("Quiet", "alerting", Health::Warming),
            rule("job:up", "recording", Health::Ok),
        ];
        let alerts = [
            alert(&rules[0], "b", AlertState::Firing, 0.0),
            alert(&rules[0], "a", AlertState::Pending, f64::INFINITY),
        ];
        for alert in alerts {
            api.view.alerts.insert(alert.id, Arc::new(alert));
        }
        api.view.set_groups(vec![GroupView {
            name: "api".into(),
            file: "rules/api.yml".into(),
            interval_ms: 15_000,
            last_tick: Some(Timestamp(60_000)),
            rules,
        }]);
        Door::open(api).await
    }

    #[tokio::test]
    async fn rules_as_prometheus_shows_them() {
        let answer = door().await.ask("GET /api/v1/rules", "", b"").await.json();
        assert_eq!(answer["status"], "success");
        let group = &answer["data"]["groups"][0];
        assert_eq!(
            (&group["name"], &group["interval"]),
            (&json!("api"), &json!(15.0))
        );
        assert_eq!(group["lastEvaluation"], "1970-01-01T00:01:00.000Z");
        let expected = json!({
            "name": "Down", "query": "up == 0", "type": "alerting", "state": "firing", "duration": 90.0,
            "keepFiringFor": 0.0, "labels": {}, "annotations": {}, "health": "ok", "lastError": "",
            "evaluationTime": 0.0, "lastEvaluation": "1970-01-01T00:01:00.000Z",
            "alerts": [
                {"labels": {"alertname": "Down", "instance": "a"}, "annotations": {"summary": "down"},
                 "state": "pending", "activeAt": "1970-01-01T00:00:30.000Z", "value": "+Inf"},
                {"labels": {"alertname": "Down", "instance": "b"}, "annotations": {"summary": "down"},
                 "state": "firing", "activeAt": "1970-01-01T00:00:30.000Z", "value": "0e+00"},
            ],
        });
        assert_eq!(group["rules"][0], expected);
        let quiet = &group["rules"][1];
        assert_eq!(
            (&quiet["state"], &quiet["health"]),
            (&json!("inactive"), &json!("unknown"))
        );
        assert_eq!(quiet["lastEvaluation"], "0001-01-01T00:00:00Z");
        assert_eq!(group["rules"][2].get("alerts"), None);
    }

    /// Names of the rules that a query leaves.
    async fn check(query: &str, expect: &[&str]) {
        let answer = door()
            .await
            .ask(&format!("GET /api/v1/rules{query}"), "", b"")
            .await
            .json();
        let names: Vec<_> = answer["data"]["groups"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|group| {
                group["rules"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|rule| rule["name"].clone())
            })
            .collect();
        assert_eq!(names, expect, "{query}");
    }

    #[tokio::test]
    async fn rules_by_name_and_kind() {
        check("?type=alert", &["Down", "Quiet"]).await;
        check("?type=record&limit=5", &["job:up"]).await;
        check(
            "?rule_name[]=Quiet&rule_name[]=job:up",
            &["Quiet", "job:up"],
        )
        .await;
        check("?rule_group[]=other", &[]).await;
        check("?file[]=rules/api.yml&rule_name%5B%5D=Down", &["Down"]).await;
        door()
            .await
            .check(
                "GET /api/v1/rules?type=pizza",
                400,
                "neither alert nor record",
            )
            .await;
    }

    #[tokio::test]
    async fn alerts_without_their_rules() {
        let answer = door().await.ask("GET /api/v1/alerts", "", b"").await.json();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        assert_eq!(alerts.len(), 2);
        assert_eq!(alerts[0]["labels"]["instance"], "a");
    }

    #[test]
    fn values_as_go_writes_them() {
        for (value, expect) in [
            (1.0, "1e+00"),
            (0.0, "0e+00"),
            (1.5e-7, "1.5e-07"),
            (-123.25, "-1.2325e+02"),
            (1e100, "1e+100"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(value_text(value), expect);
        }
    }
}
