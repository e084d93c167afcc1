//! The grammar as a table, errors with their positions, and what the plan keeps.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{LogExpr, LogqlError, MetricExpr, Stage, lower, parse};
use crate::plan::{Expr, Func, Leaf, Read};

/// Queries as public rule files and Loki's documentation write them.
const GOOD: &[&str] = &[
    r#"{job="a"}"#,
    r#"({job="a"} |= "x")"#,
    r#"{job=~".+", env!="dev"} |= "a" != "b" |~ "c|d" !~ `e\d`"#,
    r#"{job="a"} |= "a" or "b" or "c" != "d" or "e""#,
    r#"{job="a"} | json"#,
    r#"{job="a"} | json | level="error" |= "retry""#,
    r#"{job="a"} | json status="response.code", first="a[0].b", x, y="[\"q r\"].z" | status >= 500"#,
    r#"{job="a"} | logfmt --strict --keep-empty | duration > 1m30s or (size <= 5KB and level =~ "err.*")"#,
    r#"{job="a"} | logfmt lvl="level", msg | lvl="warn", msg!="" x=`y`"#,
    r#"{job="a"} | json != "x""#,
    r#"{job="a"} | __error__="" | status == 500 | took > -2.5"#,
    r#"{job="a"} | pattern "<ip> - <_> <status>" | regexp "(?P<code>[0-9]+)""#,
    r#"{job="a"} | line_format "{{.x}} {{__line__}}" | label_format a=b, c="{{ .d }}!" | decolorize"#,
    r#"{job="a"} | drop a, b="x" | keep c, d=~"y.*""#,
    r#"rate({job="a"}[5m])"#,
    r#"rate({job="a"} |= "x" [5m]) > 0.1"#,
    r#"rate({job="a"} [5m] |= "x")"#,
    r#"rate(({job="a"} |= "x")[1h30m] offset 5m)"#,
    r#"count_over_time(({job="a"} | json [5m]))"#,
    "sum by (a, b) (count_over_time({job=\"a\"}[5m])) # comment\n  > 5",
    r#"sum(bytes_rate({job="a"}[5m])) without (pod) / 1e6"#,
    r#"topk(5, sum by (a) (bytes_over_time({job="a"}[5m])))"#,
    r#"sum(rate({a="b"}[1m])) by (x) / on (x) group_left (y) sum(rate({a="c"}[1m])) by (x, z)"#,
    r#"absent_over_time({job="a", job2=~"b"}[10m])"#,
    r#"rate({a="b"}[1m]) and ignoring (x) rate({a="c"}[1m]) or vector(0) unless rate({a="d"}[1m])"#,
    r#"-rate({a="b"}[1m]) ^ 2 ^ 3 >= bool 1 + 2 * -3"#,
    r#"label_replace(rate({a="b"}[1m]), "dst", "$1", "src", "(.*)")"#,
    r#"sort_desc(avg(stddev by () (rate({a="b"}[90s]))))"#,
];

#[test]
fn reads_what_rule_files_hold() {
    for text in GOOD {
        if let Err(error) = parse(text) {
            panic!("{text}\n  {error}");
        }
    }
}

/// The query, the place of the error, and the error.
fn shown(text: &str) -> String {
    let LogqlError { at, message, hint } = parse(text).unwrap_err();
    let column = text[..at].chars().count();
    let hint = hint
        .map(|hint| format!("\n  hint: {hint}"))
        .unwrap_or_default();
    format!("{text}\n{}^ {message}{hint}\n", " ".repeat(column))
}

#[test]
fn errors_stand_where_they_arise() {
    let bad = [
        r#"{job="a""#,
        r"{job=a}",
        r#"{job=~"a("}"#,
        r#"{job=~".*"}"#,
        r"{job='a'}",
        r#"{job="a"} |= x"#,
        r#"{job="a"} |~ "(?i)é(""#,
        r#"{job="a"} | foo"#,
        r#"{job="a"} | level > "x""#,
        r#"{job="a"} | level =~ 5"#,
        r#"{job="a"} | json x="a..b""#,
        r#"{job="a"} | regexp "x""#,
        r#"{job="a"} | pattern "<a><b>""#,
        r#"{job="a"} | line_format "{{ .x | upper }}""#,
        r#"{job="a"} |> "<_> x""#,
        r#"{job="a"} | addr = ip("10.0.0.0/8")"#,
        r#"avg_over_time({job="a"} | json | unwrap ms [5m])"#,
        r#"sum(count_over_time({job="a"} | unwrap ms [5m]))"#,
        r#"rate({job="a"})"#,
        r#"rate({job="a"}[$__interval])"#,
        r#"rate({job="a"}[5])"#,
        r#"rate({job="a"}[5m:1m])"#,
        r#"rate({job="a"}[5m]) by (x)"#,
        r#"sum({job="a"})"#,
        r#"cuont_over_time({job="a"}[5m])"#,
        r#"topk(0, rate({job="a"}[5m]))"#,
        r#"rate({job="a"}[5m]) and 1"#,
        r#"rate({job="a"}[5m]) + bool 1"#,
        r#"rate({job="a"}[5m]) > 0 )"#,
        r#"sum by (a) (rate({job="a"}[5m])) by (b)"#,
        "",
    ];
    assert_snapshot!(bad.map(shown).join("\n"));
}

#[test]
fn operators_bind_as_in_promql() {
    let LogExpr::Metric(MetricExpr::Binary { op, lhs, .. }) =
        parse(r#"1 + 2 * 3 > rate({a="b"}[1m])"#).unwrap()
    else {
        panic!("not a comparison");
    };
    assert_eq!(op, crate::plan::BinaryOp::Gt);
    assert_eq!(
        *lhs,
        match parse("1 + (2 * 3)").unwrap() {
            LogExpr::Metric(expr) => expr,
            LogExpr::Logs(_) => unreachable!(),
        }
    );
    assert_eq!(parse("2 ^ 3 ^ 4").unwrap(), parse("2 ^ (3 ^ 4)").unwrap());
    assert_eq!(parse("1 - 2 - 3").unwrap(), parse("(1 - 2) - 3").unwrap());
}

fn plan(text: &str) -> (Expr, Vec<Leaf>) {
    let mut leaves = Vec::new();
    let expr = lower(&parse(text).unwrap(), &mut leaves).unwrap();
    (expr, leaves)
}

/// What each leaf keeps.
fn check_keep(text: &str, expect: &[Option<&[&str]>]) {
    let (_, leaves) = plan(text);
    let kept: Vec<Option<Vec<String>>> = leaves
        .iter()
        .map(|leaf| match &leaf.read {
            Read::Log { pipeline, .. } => pipeline.keep.clone(),
            _ => panic!("not a log leaf"),
        })
        .collect();
    let expect: Vec<Option<Vec<String>>> = expect
        .iter()
        .map(|keep| keep.map(|labels| labels.iter().map(|l| (*l).to_owned()).collect()))
        .collect();
    assert_eq!(kept, expect, "{text}");
}

#[test]
fn only_a_sum_right_around_a_window_lets_labels_go() {
    check_keep(r#"sum by (b, a) (rate({j="x"}[1m]))"#, &[Some(&["a", "b"])]);
    check_keep(r#"sum(rate({j="x"}[1m]))"#, &[Some(&[])]);
    check_keep(r#"sum without (a) (rate({j="x"}[1m]))"#, &[None]);
    check_keep(r#"max by (a) (rate({j="x"}[1m]))"#, &[None]);
    check_keep(r#"sum by (a) (rate({j="x"}[1m]) > 0)"#, &[None]);
    check_keep(
        r#"count(sum by (a) (count_over_time({j="x"}[1m])))"#,
        &[Some(&["a"])],
    );
    check_keep(r#"absent_over_time({j="x"}[1m])"#, &[Some(&[])]);
}

#[test]
fn one_window_is_one_leaf() {
    let (_, leaves) =
        plan(r#"sum(rate({a="b"} |= "x" [1m])) / sum(rate({ a = "b" } |= `x`[60s])) > 0"#);
    assert_eq!(leaves.len(), 1);
    let (_, leaves) =
        plan(r#"rate({a="b"}[1m]) / rate({a="b"}[1m] offset 1m) / rate({a="b"}[2m])"#);
    assert_eq!(leaves.len(), 3);
}

#[test]
fn stages_that_only_make_labels_go_when_none_is_wanted() {
    let stages = |text: &str| match &plan(text).1[0].read {
        Read::Log { pipeline, .. } => pipeline.stages.clone(),
        _ => panic!("not a log leaf"),
    };
    assert_eq!(stages(r#"sum(rate({a="b"} | json [1m]))"#), []);
    assert_eq!(
        stages(r#"sum by (x) (rate({a="b"} | json [1m]))"#),
        [Stage::Json(vec![])]
    );
    assert_eq!(
        stages(r#"sum(rate({a="b"} | json | x="y" | logfmt [1m]))"#).len(),
        2
    );
}

#[test]
fn absence_is_known_by_its_equality_matchers() {
    let (expr, _) = plan(r#"absent_over_time({a="1", b=~"x", c="2", c!="3", d=""}[1m])"#);
    let Expr::Call(call) = expr else {
        panic!("not a call")
    };
    assert_eq!(call.func, Func::Absent);
    assert_eq!(call.absent_labels, [("a".to_owned(), "1".to_owned())]);
}

#[test]
fn a_log_query_has_no_value() {
    assert!(lower(&parse(r#"{a="b"}"#).unwrap(), &mut Vec::new()).is_err());
}

#[test]
fn deep_and_long_queries_are_refused_not_overflowed() {
    assert!(parse(&"(".repeat(10_000)).is_err());
    assert!(parse(&"-".repeat(10_000)).is_err());
    assert!(parse(&format!("1{}", "+1".repeat(10_000))).is_err());
    assert!(parse(&format!("1{}", "^1".repeat(10_000))).is_err());
    assert!(parse(&" ".repeat(super::MAX_QUERY_BYTES + 1)).is_err());
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused_inside_it(text in ".{0,80}") {
        if let Err(error) = parse(&text) {
            prop_assert!(text.is_char_boundary(error.at));
        }
    }

    #[test]
    fn mutilated_queries_never_panic(
        which in 0..GOOD.len(),
        at in 0usize..120,
        len in 0usize..12,
        put in r#"[{}()\[\]|=~!"`<>a1m, \\]{0,4}"#,
    ) {
        let text: Vec<char> = GOOD[which].chars().collect();
        let from = at.min(text.len());
        let to = (from + len).min(text.len());
        let text: String = text[..from].iter().chain(put.chars().collect::<Vec<_>>().iter()).chain(&text[to..]).collect();
        if let Err(error) = parse(&text) {
            prop_assert!(text.is_char_boundary(error.at));
        }
    }
}
