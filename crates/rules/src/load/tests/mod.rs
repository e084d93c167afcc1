mod kinds;

use std::fmt::Write;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::plan::RuleKind;
use crate::{ChangedRule, diff};

fn loaded(yaml: &str) -> (RuleSet, Vec<Diagnostic>) {
    load(&[Source::new("rules/a.yml", yaml)], &LoadOptions::default())
}

/// Rules that loaded, and the problems as they are shown.
fn told(yaml: &str) -> String {
    let (rules, diagnostics) = loaded(yaml);
    let mut out = String::new();
    for group in &rules.groups {
        let names: Vec<&str> = group.rules.iter().map(|rule| &*rule.name).collect();
        let _ = writeln!(out, "group {}: {}", group.name, names.join(", "));
    }
    for diagnostic in &diagnostics {
        let _ = writeln!(out, "{}", diagnostic.render(yaml, false));
    }
    out
}

/// A file of one group with these rules (each a flow mapping or indented by two).
fn group(rules: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n{rules}")
}

fn only_rule(rule: &str) -> crate::plan::Rule {
    let (rules, diagnostics) = loaded(&group(rule));
    assert_eq!(diagnostics, [], "{rule}");
    rules.groups[0].rules[0].clone()
}

#[test]
fn a_prometheus_group() {
    let yaml = "groups:
- name: node
  interval: 30s
  query_offset: 10s
  limit: 5
  labels: {team: sre, severity: page}
  sources: [metrics]
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {kind: sum}
  - alert: Down
    expr: |
      up == 0
    for: 5m
    keep_firing_for: 1h30m
    labels: {severity: warn}
    annotations:
      summary: '{{ $labels.job }} is down'
";
    let (rules, diagnostics) = loaded(yaml);
    assert_eq!(diagnostics, []);
    let node = &rules.groups[0];
    assert_eq!(
        (
            node.interval_ms,
            node.query_offset_ms,
            node.limit,
            node.slot_ms
        ),
        (30_000, 10_000, 5, 0)
    );
    assert_eq!(
        (node.sources.as_slice(), node.rules[1].line),
        (&["metrics".to_owned()][..], 12)
    );
    assert_eq!(
        node.records().collect::<Vec<_>>(),
        ["job:up:sum", "ALERTS", "ALERTS_FOR_STATE"]
    );
    let down = &node.rules[1];
    assert_eq!((&*down.name, &*down.text), ("Down", "up == 0"));
    assert!(matches!(
        down.kind,
        RuleKind::Alert {
            for_ms: 300_000,
            keep_firing_ms: 5_400_000,
            detector: None
        }
    ));
    let labels: Vec<_> = down
        .labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.source()))
        .collect();
    assert_eq!(labels, [("severity", "warn"), ("team", "sre")]);
    assert_eq!(node.leaves.len(), 1, "both rules read `up`");
}

#[test]
fn a_bad_rule_costs_itself_only() {
    let yaml = group(
        "  - alert: A
    exprr: up == 0
  - alert: B
    expr: up == 0
  - alert: C
    expr: sum(rate(x[5m]) > 1
    for: 5
  - record: d{x=\"y\"}
    expr: up
    for: 1m
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: B
error[rule-expr]: this rule has no `expr`
 --> rules/a.yml:4:5
  |
4 |   - alert: A
  |     ^^^^^
error[unknown-field]: unknown field `exprr` in a rule
 --> rules/a.yml:5:5
  |
5 |     exprr: up == 0
  |     ^^^^^
  |
  = help: did you mean `expr`?
error[promql-syntax]: `(` is not closed
 --> rules/a.yml:9:14
  |
9 |     expr: sum(rate(x[5m]) > 1
  |              ^
error[duration]: `for`: `5` has no unit
  --> rules/a.yml:10:10
   |
10 |     for: 5
   |          ^
   |
   = help: say in which unit: 5s, 5m, …
error[metric-name]: a metric's name has no braces
  --> rules/a.yml:11:13
   |
11 |   - record: d{x="y"}
   |             ^^^^^^^^
   |
   = help: labels go to `labels:`, selectors to `expr:`
error[rule-kind]: a recording rule has no `for`
  --> rules/a.yml:13:5
   |
13 |     for: 1m
   |     ^^^
"#);
}

#[test]
fn problems_point_into_block_scalars() {
    let yaml = group(
        "  - alert: A
    expr: |
      sum(
        rte(x[5m])
      ) > 1
    annotations:
      summary: >-
        first
        {{ humanise $value }}
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: 
error[promql-syntax]: there is no function `rte`
 --> rules/a.yml:7:9
  |
7 |         rte(x[5m])
  |         ^^^
  |
  = help: did you mean `rate`?
error[template]: `summary`: there is no function `humanise` (did you mean `humanize`?)
  --> rules/a.yml:12:12
   |
12 |         {{ humanise $value }}
   |            ^^^^^^^^
"#);
}

#[test]
fn a_file_that_is_not_yaml() {
    assert_snapshot!(told("groups:\n- name: a\n\trules: []\n"), @r#"
error[yaml-syntax]: this is not YAML: while scanning a plain scalar, found a tab
 --> rules/a.yml:3:1
  |
3 |     rules: []
  | ^^^^
  |
  = help: YAML is indented by spaces, never by tabs
"#);
}

#[test]
fn groups_and_files() {
    let yaml = "groups:
- name: a
  interval: 0s
  rules: [{alert: A, expr: up == 0}]
- name: b
- name: b
- rules: []
extra: 1
---
groups: []
";
    assert_snapshot!(told(yaml), @r#"
group b: 
error[duration]: `interval` must be longer than 0
 --> rules/a.yml:3:13
  |
3 |   interval: 0s
  |             ^^
error[duplicate-group]: a second group `b` in this file
 --> rules/a.yml:6:9
  |
6 | - name: b
  |         ^
  |
  = help: give it another name
error[group-name]: this group has no `name`
 --> rules/a.yml:7:3
  |
7 | - rules: []
  |   ^^^^^
error[unknown-field]: unknown field `extra` in a rule file
 --> rules/a.yml:8:1
  |
8 | extra: 1
  | ^^^^^
  |
  = help: known are groups
error[yaml-documents]: a rule file holds one YAML document; what follows is not read
 --> rules/a.yml:9:1
  |
9 | ---
  | ^^^
"#);
    assert_snapshot!(told("apiVersion: x\nspec: {groups: []}\n"), @r#"
error[not-a-rule-file]: this is a Kubernetes resource, not a rule file
 --> rules/a.yml:1:1
  |
1 | apiVersion: x
  | ^
  |
  = help: take out what stands under `spec`
"#);
    assert_eq!(told(""), "");
    assert_eq!(told("groups:\n"), "");
}

#[test]
fn what_templates_ask_is_read() {
    let check = |text: &str, expect: &[&str]| {
        let yaml = group(&format!(
            "  - alert: A\n    expr: up == 0\n    annotations:\n      summary: '{text}'\n"
        ));
        let (rules, diagnostics) = loaded(&yaml);
        assert_eq!(diagnostics, [], "{text}");
        let group = &rules.groups[0];
        let selectors = group.selectors().skip(1).map(|selector| {
            let matchers = selector.matchers.iter();
            let matchers = matchers.map(|m| format!("{}{:?}{}", m.name, m.op, m.value));
            matchers.collect::<Vec<_>>().join(",")
        });
        assert_eq!(selectors.collect::<Vec<_>>(), expect, "{text}");
        assert_eq!(group.rules[0].queries.len(), expect.len());
    };
    check(
        "{{ query \"m{a=\\\"b\\\"}\" }}",
        &["__name__Equalm,aEqualb"],
    );
    check(
        "{{ with printf `rate(m{a=\"%s\",b=\"c\"}[%d]) > %f` $labels.a | query }}{{ . }}{{ end }}",
        &["__name__Equalm,bEqualc"],
    );
    check(
        "{{ $q := printf `m{a=%q}` .Value }}{{ range query $q }}{{ . }}{{ end }}",
        &["__name__Equalm"],
    );
    check(
        "{{ define `x` }}{{ query (print `m{a=\"` . `\"}`) }}{{ end }}{{ template `x` 1 }}",
        &["__name__Equalm"],
    );
    check("{{ `m` | query | first | value }}", &["__name__Equalm"]);
}

#[test]
fn labels_and_templates() {
    let yaml = group(
        "  - alert: A
    expr: up == 0
    labels: {1a: x, '': y, __name__: y, alertname: z}
  - alert: B
    expr: up == 0
    annotations: {summary: '{{ query $labels.q | first | value }}'}
  - alert: C
    expr: up == 0
    labels: {summary: '{{ query \"sum(\" }}'}
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: B
warning[label-name]: the label name `1a` must be quoted wherever a query uses it
 --> rules/a.yml:6:14
  |
6 |     labels: {1a: x, '': y, __name__: y, alertname: z}
  |              ^^
  |
  = help: plain names have letters, digits and underscores, and no digit first
error[label-name]: a label's name must not be empty
 --> rules/a.yml:6:21
  |
6 |     labels: {1a: x, '': y, __name__: y, alertname: z}
  |                     ^^
error[label-name]: `__name__` is the metric's name, not a label to set
 --> rules/a.yml:6:28
  |
6 |     labels: {1a: x, '': y, __name__: y, alertname: z}
  |                            ^^^^^^^^
  |
  = help: a recording rule's name is its `record`
warning[label-name]: `alertname` is always the rule's name; this label has no effect
 --> rules/a.yml:6:41
  |
6 |     labels: {1a: x, '': y, __name__: y, alertname: z}
  |                                         ^^^^^^^^^
warning[template]: `summary`: a `query` of which nothing is written out is not supported in a template
 --> rules/a.yml:9:32
  |
9 |     annotations: {summary: '{{ query $labels.q | first | value }}'}
  |                                ^^^^^
  |
  = help: the alert works, and this annotation says so in place of its text
error[template]: `summary`: this query is wrong: `(` is not closed
  --> rules/a.yml:12:27
   |
12 |     labels: {summary: '{{ query "sum(" }}'}
   |                           ^^^^^
"#);
}

#[test]
fn duplicates_and_needless_regexes() {
    let yaml = group(
        "  - {alert: A, expr: up == 0, labels: {a: b}}
  - {alert: A, expr: up == 0, labels: {a: c}}
  - {alert: A, expr: up == 0, labels: {a: b}, for: 5m}
  - {alert: B, expr: 'up{job=~\".*\"} == 0', expr: up}
  - {alert: C, expr: 'up{job=~\".*\"} == 0'}
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: A, A, C
warning[duplicate-rule]: `A` stands here a second time (name, expression and labels are the same)
 --> rules/a.yml:6:6
  |
6 |   - {alert: A, expr: up == 0, labels: {a: b}, for: 5m}
  |      ^^^^^
  |
  = help: the second one is left out
error[duplicate-field]: `expr` stands twice in a rule
 --> rules/a.yml:7:44
  |
7 |   - {alert: B, expr: 'up{job=~".*"} == 0', expr: up}
  |                                            ^^^^
warning[needless-regex]: every series passes `job=~".*"`
 --> rules/a.yml:8:32
  |
8 |   - {alert: C, expr: 'up{job=~".*"} == 0'}
  |                                ^^
  |
  = help: leave the matcher out
"#);
}

#[test]
fn reach_adds_up() {
    let reach = |rule: &str| loaded(&group(rule)).0.longest_range_ms();
    assert_eq!(reach("  - {alert: A, expr: up == 0}\n"), 300_000);
    assert_eq!(
        reach("  - {alert: A, expr: up == 0, for: 5m, keep_firing_for: 1m}\n"),
        660_000
    );
    assert_eq!(
        reach("  - {record: a, expr: 'rate(x[10m] offset 1h)'}\n"),
        4_200_000
    );
    assert_eq!(
        reach("  - {record: a, expr: 'max_over_time(rate(x[10m])[1h:1m] offset 1m)'}\n"),
        4_260_000
    );
    assert_eq!(
        reach("  - {alert: A, expr: '{a=\"b\"} |= \"x\"', resolve_after: 2m}\n"),
        120_000
    );
    assert_eq!(
        reach("  - {alert: A, expr: x, forecast: {limit: 1, over: 2h}}\n"),
        7_500_000
    );
}

#[test]
fn what_is_read() {
    let yaml = group(
        "  - {record: a, expr: 'x / rate(y[5m])'}\n  - {alert: B, expr: '{a=\"b\"} |= \"x\"'}\n",
    );
    let (rules, _) = loaded(&yaml);
    let metrics: Vec<_> = rules
        .selectors()
        .filter_map(|selector| selector.metric.as_deref())
        .collect();
    assert_eq!(metrics, ["x", "y"]);
    assert_eq!(rules.pipelines().count(), 1);
}

#[test]
fn a_reload_goes_by_identity() {
    let old = loaded(&group(
        "  - {alert: A, expr: up == 0}\n  - {alert: B, expr: up == 0}\n",
    ))
    .0;
    let new = loaded(&group(
        "  - {alert: B, expr: up == 0, for: 5m}\n  - {alert: A, expr: up == 1}\n",
    ))
    .0;
    let changes = diff(&old, &new);
    let names = |rules: &[ChangedRule]| {
        rules
            .iter()
            .map(|rule| rule.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        (
            names(&changes.removed),
            names(&changes.added),
            names(&changes.kept)
        ),
        (
            vec!["A".to_owned()],
            vec!["A".to_owned()],
            vec!["B".to_owned()]
        )
    );
}

#[test]
fn diagnostics_are_data() {
    let (_, diagnostics) = loaded(&group("  - {alert: A, expr: up, fro: 5m}\n"));
    let json = serde_json::to_string(&diagnostics[0]).unwrap();
    assert_snapshot!(json, @r#"{"severity":"error","file":"rules/a.yml","line":4,"column":26,"message":"unknown field `fro` in a rule","hint":"did you mean `for`?","code":"unknown-field","span":{"start":52,"end":55},"group":"g","rule":"A"}"#);
    assert_snapshot!(diagnostics[0].to_string(), @r#"rules/a.yml:4:26: unknown field `fro` in a rule [unknown-field]"#);
}

#[test]
fn large_files_are_refused() {
    let (rules, diagnostics) = loaded(&"#".repeat(MAX_FILE_BYTES + 1));
    assert!(rules.groups.is_empty());
    assert_eq!(diagnostics[0].code, "file-size");
}

proptest! {
    #[test]
    fn never_panics(text in "(groups:|\n|- |  |name: a|rules:|alert: A|expr: |up|'|\"|\\||>|\\{|\\}|\\[|\\]|&a |\\*a|<<: |é|: |,|labels: |#|---){0,40}") {
        for diagnostic in loaded(&text).1 {
            diagnostic.render(&text, false);
        }
    }
}
