//! Rules and alerts in the shape of Prometheus' HTTP API, so that its clients show them as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{self, State};
use axum::response::Response;
use foghorn_engine::{AlertView, GroupView, Health, Query, RuleView};
use foghorn_model::matcher::all_match;
use foghorn_model::{AlertState, Labels, RuleId, Timestamp};
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
    /// Each a list of matchers of a rule's labels as written; one of the lists must pass.
    matches: Vec<Query>,
    /// Most groups of one answer; 0 for all.
    group_limit: usize,
    /// Which group the answer begins at.
    from: Option<String>,
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
                ("match[]", text) => {
                    let selector = Query::parse(text)?;
                    if selector.selector().is_none() {
                        return Err(format!("match[] {text:?} is no selector"));
                    }
                    filter.matches.push(selector);
                }
                ("group_limit", text) => {
                    let limit = text.parse().ok().filter(|limit| *limit > 0);
                    filter.group_limit = limit
                        .ok_or("group_limit needs to be a valid number and larger than zero")?;
                }
                ("group_next_token", _) => filter.from = Some(value),
                ("exclude_alerts", _) => {
                    filter.without_alerts = matches!(value.as_str(), "true" | "1");
                }
                _ => {}
            }
        }
        if filter.from.is_some() && filter.group_limit == 0 {
            return Err(
                "group_limit needs to be set in order to paginate over the groups".to_owned(),
            );
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
            && self.lets_labels(rule)
    }

    fn lets_labels(&self, rule: &RuleView) -> bool {
        let labels = Labels::from_pairs(rule.labels.iter().map(|(n, v)| (n, v)));
        let mut selectors = self.matches.iter().filter_map(Query::selector);
        self.matches.is_empty() || selectors.any(|matchers| all_match(matchers, &labels))
    }
}

/// Names a group among all: where the next answer begins.
fn token(group: &GroupView) -> String {
    let name = Labels::from_pairs([("file", &*group.file), ("name", &*group.name)]);
    format!("{:032x}", name.fingerprint().0)
}

/// `GET /api/v1/rules`.
pub(crate) async fn rules(
    State(shared): State<Arc<Shared>>,
    extract::Query(pairs): extract::Query<Vec<(String, String)>>,
) -> Response {
    let filter = match Filter::parse(pairs) {
        Ok(filter) => filter,
        Err(error) => return bad_data(&error),
    };
    let mut alerts = Alerts::new();
    for alert in shared.api.view.alerts_in_order() {
        alerts.entry(alert.rule).or_default().push(alert);
    }
    let groups = shared.api.view.groups();
    let mut shown = groups
        .iter()
        .filter(|group| filter.lets_group(group))
        .filter_map(|group| {
            let took = shared.api.view.took(group);
            Some((group, group_json(group, took, &alerts, &filter)?))
        })
        .peekable();
    if let Some(from) = &filter.from {
        while shown.next_if(|(group, _)| token(group) != *from).is_some() {}
        if shown.peek().is_none() {
            return bad_data("invalid group_next_token. were rule groups changed?");
        }
    }
    if filter.group_limit == 0 {
        let groups: Vec<_> = shown.map(|(_, json)| json).collect();
        return success(&json!({"groups": groups}));
    }
    let page: Vec<_> = shown
        .by_ref()
        .take(filter.group_limit)
        .map(|(_, json)| json)
        .collect();
    let mut data = json!({"groups": page});
    if let Some((next, _)) = shown.next() {
        data["groupNextToken"] = token(next).into();
    }
    success(&data)
}

/// `GET /api/v1/alerts`.
pub(crate) async fn alerts(State(shared): State<Arc<Shared>>) -> Response {
    let alerts = shared.api.view.alerts_in_order();
    success(&json!({"alerts": alerts_json(&alerts)}))
}

/// `None` where the filter leaves no rule.
fn group_json(group: &GroupView, took: f64, alerts: &Alerts, filter: &Filter) -> Option<Value> {
    let each = took / group.rules.len().max(1) as f64;
    let rules: Vec<Value> = group
        .rules
        .iter()
        .filter(|rule| filter.lets_rule(rule))
        .map(|rule| rule_json(rule, each, alerts, filter))
        .collect();
    (!rules.is_empty() || group.rules.is_empty()).then(|| {
        json!({
            "name": group.name,
            "file": group.file,
            "interval": seconds(group.interval_ms),
            "limit": group.limit,
            "rules": rules,
            "evaluationTime": took,
            "lastEvaluation": instant(group.last_tick),
        })
    })
}

/// Rules are not timed one by one: each shows its share of the group's time.
fn rule_json(rule: &RuleView, took: f64, alerts: &Alerts, filter: &Filter) -> Value {
    let mut shown = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": by_name(&rule.labels),
        "health": health(rule.health),
        "evaluationTime": took,
        "lastEvaluation": instant(rule.last_tick),
        "type": rule.kind,
    });
    if !rule.last_error.is_empty() {
        shown["lastError"] = rule.last_error.as_str().into();
    }
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
        shown["annotations"] = by_name(&rule.annotations);
        shown["alerts"] = listed;
    }
    shown
}

fn by_name(texts: &[(String, String)]) -> Value {
    let texts = texts
        .iter()
        .map(|(name, text)| (name.clone(), text.as_str().into()));
    Value::Object(texts.collect())
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
pub(crate) fn value_text(value: f64) -> String {
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
    use foghorn_model::{AlertId, Reason};

    use super::*;
    use crate::fixtures::{Door, api};

    fn rule(name: &str, kind: &'static str, health: Health) -> RuleView {
        RuleView {
            id: RuleId::derive("api", name, "up == 0", &[]),
            name: name.into(),
            kind,
            query: "up == 0".into(),
            labels: Vec::new(),
            annotations: Vec::new(),
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
        let paging = RuleView {
            labels: vec![("severity".to_owned(), "page".to_owned())],
            annotations: vec![("summary".to_owned(), "{{ $value }}".to_owned())],
            ..rule("Down", "alerting", Health::Ok)
        };
        let rules = vec![
            paging,
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
            limit: 0,
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
            "keepFiringFor": 0.0, "labels": {"severity": "page"},
            "annotations": {"summary": "{{ $value }}"}, "health": "ok",
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
        check(
            "?match[]=%7Bseverity=%22page%22%7D&exclude_alerts=true",
            &["Down"],
        )
        .await;
        let either = "?match[]=%7Bteam=%22x%22%7D&match[]=%7Bseverity=~%22p.*%22%7D";
        check(either, &["Down"]).await;
        check("?group_limit=5", &["Down", "Quiet", "job:up"]).await;
        check("?file[]=rules/api.yml&rule_name%5B%5D=Down", &["Down"]).await;
        door()
            .await
            .check(
                "GET /api/v1/rules?type=pizza",
                400,
                "neither alert nor record",
            )
            .await;
        let wrong = [
            ("match[]=1%2B1", "no selector"),
            ("group_limit=0", "larger than zero"),
            ("group_next_token=x", "group_limit needs to be set"),
            (
                "group_next_token=x&group_limit=1",
                "invalid group_next_token",
            ),
        ];
        for (query, words) in wrong {
            door()
                .await
                .check(&format!("GET /api/v1/rules?{query}"), 400, words)
                .await;
        }
    }

    #[tokio::test]
    async fn groups_come_page_by_page() {
        let api = api();
        let group = |name: &str| GroupView {
            name: name.into(),
            file: "f".into(),
            interval_ms: 15_000,
            limit: 7,
            last_tick: None,
            rules: vec![rule(name, "recording", Health::Ok)],
        };
        api.view.set_groups(["a", "b", "c"].map(group).to_vec());
        let door = Door::open(api).await;
        let (mut path, mut names) = ("/api/v1/rules?group_limit=2".to_owned(), Vec::new());
        loop {
            let answer = door.ask(&format!("GET {path}"), "", b"").await.json();
            let groups = answer["data"]["groups"].as_array().unwrap();
            names.push(
                groups
                    .iter()
                    .map(|group| group["name"].clone())
                    .collect::<Vec<_>>(),
            );
            assert!(groups.iter().all(|group| group["limit"] == 7));
            let Some(next) = answer["data"]["groupNextToken"].as_str() else {
                break;
            };
            path = format!("/api/v1/rules?group_limit=2&group_next_token={next}");
        }
        assert_eq!(names, [vec!["a", "b"], vec!["c"]]);
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
