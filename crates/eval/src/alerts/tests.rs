//! The state machine told as stories: one line a tick.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};

use foghorn_model::labels::NAME;
use foghorn_model::{Labels, Reason, RuleId, Signal, Timestamp};
use foghorn_rules::plan::{Expr, Group, Rule, RuleKind};
use foghorn_rules::template::Template;

use super::{BaseOnly, BaseValues, Hit, Home, RuleAlerts, World};
use crate::promql::EvalError;
use crate::vector::Element;

const MINUTE: i64 = 60_000;

fn rule(for_ms: i64, keep_firing_ms: i64) -> Rule {
    Rule {
        id: RuleId(1),
        name: "Hot".into(),
        line: 1,
        text: "heat >\n  5".into(),
        kind: RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            detector: None,
        },
        expr: Expr::Number(0.0),
        labels: vec![("severity".to_owned(), Template::plain("page"))],
        annotations: vec![("summary".to_owned(), Template::plain("hot"))],
        queries: Vec::new(),
    }
}

fn group(limit: usize) -> Group {
    Group {
        name: "g".into(),
        file: "f".into(),
        interval_ms: MINUTE,
        slot_ms: 0,
        query_offset_ms: 0,
        subquery_step_ms: 60_000,
        limit,
        sources: Vec::new(),
        rules: Vec::new(),
        leaves: Vec::new(),
    }
}

fn labels(host: &str) -> Labels {
    Labels::from_pairs([(NAME, "heat"), ("host", host)])
}

/// `a=7 b=3`, where values over 5 are hits and all are the base.
fn read(tick: &str) -> (Vec<Hit>, Vec<Element>) {
    let elements: Vec<Element> = tick
        .split_whitespace()
        .map(|word| {
            let (host, value) = word.split_once('=').unwrap();
            Element {
                labels: labels(host),
                value: value.parse().unwrap(),
            }
        })
        .collect();
    let hits = elements.iter().filter(|e| e.value > 5.0);
    let hits = hits
        .map(|e| Hit {
            labels: e.labels.clone(),
            value: e.value,
            reason: None,
        })
        .collect();
    (hits, elements)
}

/// A base, as it is asked.
fn asked(base: &[Element]) -> impl World {
    let values = BaseValues::new(base);
    BaseOnly(move |element: &Labels| values.value(element))
}

fn tell(signals: &[Signal]) -> String {
    let mut told = String::new();
    for signal in signals {
        let Signal::Transition(t) = signal else {
            panic!("{signal:?}")
        };
        let space = if told.is_empty() { "" } else { ", " };
        write!(
            told,
            "{space}{} {} {}",
            t.labels.value("host"),
            t.kind.code(),
            t.reason.code()
        )
        .unwrap();
    }
    told
}

static NO_SCOPE: LazyLock<Labels> = LazyLock::new(Labels::empty);

/// As most are evaluated: in no scope.
fn nowhere() -> Home<'static> {
    Home {
        external: &[],
        scope: &NO_SCOPE,
    }
}

/// Runs ticks a minute apart; each is `input => what is said`.
fn check(rule: &Rule, limit: usize, ticks: &[(&str, &str)]) -> RuleAlerts {
    let (group, mut alerts) = (group(limit), RuleAlerts::default());
    for (i, (tick, expect)) in ticks.iter().enumerate() {
        let (hits, base) = read(tick);
        let mut out = Vec::new();
        let at = Timestamp(i as i64 * MINUTE);
        let result = alerts.advance(
            rule,
            &group,
            at,
            hits,
            &mut asked(&base),
            nowhere(),
            &mut out,
        );
        let mut told = tell(&out);
        if let Err(error) = result {
            write!(told, "!{error}").unwrap();
        }
        assert_eq!(told, *expect, "tick {i}: {tick}");
    }
    alerts
}

#[test]
fn fires_at_once_without_for() {
    check(
        &rule(0, 0),
        0,
        &[
            (
                "b=7 a=8 c=1",
                "a firing condition_true, b firing condition_true",
            ),
            ("a=8 b=9", ""),
            ("a=8 b=3", "b resolved condition_false"),
            ("b=3", "a resolved no_data"),
            ("a=6", "a firing condition_true"),
        ],
    );
}

#[test]
fn waits_for_as_long_as_for_asks() {
    check(
        &rule(2 * MINUTE, 0),
        0,
        &[
            (
                "a=7 b=7",
                "a pending condition_true, b pending condition_true",
            ),
            ("a=7 b=1", "b dropped condition_false"),
            ("a=7 b=8", "a firing held_for, b pending condition_true"),
            ("a=7", "b dropped no_data"),
            ("a=0", "a resolved condition_false"),
        ],
    );
}

#[test]
fn keeps_firing() {
    check(
        &rule(0, 2 * MINUTE),
        0,
        &[
            ("a=7", "a firing condition_true"),
            ("a=1", ""),
            ("a=1", ""),
            ("a=7", ""),
            ("a=1", ""),
            ("a=1", ""),
            ("a=1", "a resolved condition_false"),
        ],
    );
}

#[test]
fn a_good_value_after_missing_data_is_the_all_clear() {
    check(
        &rule(0, 0),
        0,
        &[
            (
                "a=7 b=7",
                "a firing condition_true, b firing condition_true",
            ),
            ("b=7", "a resolved no_data"),
            ("", "b resolved no_data"),
            ("a=2", "a resolved condition_false"),
            ("a=2 b=8", "b firing condition_true"),
            ("a=2 b=1", "b resolved condition_false"),
        ],
    );
}

#[test]
fn a_limit_ends_everything() {
    let ticks = [
        (
            "a=7 b=7",
            "a firing condition_true, b firing condition_true",
        ),
        (
            "a=7 b=7 c=7",
            "a resolved no_data, b resolved no_data!exceeded limit of 2 with 3 alerts",
        ),
        ("a=7", "a firing condition_true"),
    ];
    check(&rule(0, 0), 2, &ticks);
}

#[test]
fn two_elements_cannot_be_one_alert() {
    let (rule, group, mut alerts) = (rule(0, 0), group(0), RuleAlerts::default());
    let hit = |name: &str| Hit {
        labels: Labels::from_pairs([(NAME, name), ("host", "a")]),
        value: 1.0,
        reason: None,
    };
    let mut out = Vec::new();
    let mut tick = |hits| {
        alerts.advance(
            &rule,
            &group,
            Timestamp(0),
            hits,
            &mut BaseOnly(|_: &Labels| None),
            nowhere(),
            &mut out,
        )
    };
    assert_eq!(tick(vec![hit("x")]), Ok(()));
    assert_eq!(tick(vec![hit("x"), hit("y")]), Err(EvalError::SameAlert));
    assert_eq!(alerts.active().count(), 1);
    assert_eq!(tell(&out), "a firing condition_true");
}

#[test]
fn says_what_people_need() {
    let mut alerts = check(&rule(0, 0), 0, &[("a=7", "a firing condition_true")]);
    let alert = alerts.active().next().unwrap().clone();
    assert_eq!(
        alert.labels.to_string(),
        r#"{alertname="Hot", host="a", severity="page"}"#
    );
    assert_eq!(alert.annotations.to_string(), r#"{summary="hot"}"#);
    assert_eq!(alert.reason.to_string(), "heat > 5 (value 7)");
    assert_eq!(
        (alert.active_at, alert.fired_at),
        (Timestamp(0), Some(Timestamp(0)))
    );
    let mut out = Vec::new();
    let name = super::active::rule_ref(&rule(0, 0), &group(0));
    alerts.remove_all(&name, Timestamp(MINUTE), &Reason::RuleRemoved, &mut out);
    assert_eq!(tell(&out), "a resolved rule_removed");
    assert!(alerts.is_empty());
}

#[test]
fn a_detector_gives_its_own_reason() {
    let (mut alerts, mut out) = (RuleAlerts::default(), Vec::new());
    let reason = Reason::Absent { last_seen: None };
    let hits = vec![Hit {
        labels: labels("a"),
        value: 0.0,
        reason: Some(reason),
    }];
    alerts
        .advance(
            &rule(0, 0),
            &group(0),
            Timestamp(0),
            hits,
            &mut BaseOnly(|_: &Labels| None),
            nowhere(),
            &mut out,
        )
        .unwrap();
    assert_eq!(tell(&out), "a firing absent");
}

#[test]
fn an_alert_has_its_scope_over_all_else() {
    let (mut alerts, mut out) = (RuleAlerts::default(), Vec::new());
    let scope = Labels::from_pairs([("cluster", "eu"), ("severity", "none")]);
    let home = Home {
        scope: &scope,
        ..nowhere()
    };
    let (hits, base) = read("a=7");
    alerts
        .advance(
            &rule(0, 0),
            &group(0),
            Timestamp(0),
            hits,
            &mut asked(&base),
            home,
            &mut out,
        )
        .unwrap();
    assert_eq!(
        alerts.active().next().unwrap().labels.to_string(),
        r#"{alertname="Hot", cluster="eu", host="a", severity="none"}"#
    );
}

#[test]
fn survives_a_restart() {
    let alerts = check(&rule(0, 0), 0, &[("a=inf", "a firing condition_true")]);
    let mut alert = alerts.active().next().unwrap().clone();
    // A reason's own number must be one that JSON has.
    alert.reason = Reason::NoData;
    let text = serde_json::to_string(&alert).unwrap();
    let back: super::ActiveAlert = serde_json::from_str(&text).unwrap();
    assert_eq!(back, alert);
    let mut restored = RuleAlerts::default();
    restored.restore(back);
    let (hits, base) = read("a=9");
    let mut out = Vec::new();
    restored
        .advance(
            &rule(0, 0),
            &group(0),
            Timestamp(MINUTE),
            hits,
            &mut asked(&base),
            nowhere(),
            &mut out,
        )
        .unwrap();
    assert_eq!(tell(&out), "");
    assert_eq!(restored.active().next().map(|a| a.value), Some(9.0));
}

#[test]
fn long_conditions_are_cut() {
    let mut long = rule(0, 0);
    long.text = Arc::from("é".repeat(100));
    let alerts = check(&long, 0, &[("a=7", "a firing condition_true")]);
    let Reason::ConditionTrue { condition, .. } = alerts.active().next().unwrap().reason.clone()
    else {
        panic!()
    };
    assert_eq!(condition, "é".repeat(60) + "…");
}

#[test]
fn annotations_follow_the_value() {
    let mut rule = rule(0, 0);
    rule.annotations = vec![(
        "summary".to_owned(),
        Template::parse("{{ $labels.host }}: {{ $value }}").unwrap(),
    )];
    let alerts = check(
        &rule,
        0,
        &[("a=7", "a firing condition_true"), ("a=8", ""), ("a=8", "")],
    );
    let alert = alerts.active().next().unwrap();
    assert_eq!(alert.annotations.value("summary"), "a: 8");
    // What does not show the value is rendered once.
    rule.annotations = vec![(
        "summary".to_owned(),
        Template::parse("{{ $labels.host }}").unwrap(),
    )];
    let alerts = check(&rule, 0, &[("a=7", "a firing condition_true"), ("a=8", "")]);
    let alert = alerts.active().next().unwrap();
    assert_eq!(
        (alert.annotations.value("summary"), alert.value),
        ("a", 8.0)
    );
}
