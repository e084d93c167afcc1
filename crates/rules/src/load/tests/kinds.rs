use insta::assert_snapshot;

use super::{group, only_rule, told};
use crate::plan::{Band, Detector, Direction, RuleKind};

#[test]
fn log_rules() {
    let rule = only_rule("  - {alert: A, expr: '{app=\"x\"} |= \"panic\"', resolve_after: 2m}\n");
    let RuleKind::Match {
        pipeline,
        resolve_after_ms,
    } = &rule.kind
    else {
        panic!("{:?}", rule.kind)
    };
    assert_eq!((pipeline.matchers.len(), *resolve_after_ms), (1, 120_000));
    let rule =
        only_rule("  - {alert: A, expr: 'sum(rate({app=\"x\"} |= \"e\" [5m])) > 1', for: 1m}\n");
    assert!(matches!(rule.kind, RuleKind::Alert { for_ms: 60_000, .. }));
    let rule = only_rule("  - {alert: A, language: logql, expr: '{app=\"x\"}'}\n");
    assert!(matches!(
        rule.kind,
        RuleKind::Match {
            resolve_after_ms: 300_000,
            ..
        }
    ));
    let bare = group("  - {alert: A, expr: 'rate({app=\"x\"}[5m]) > 1'}\n");
    assert_snapshot!(told(&bare), @r#"
group g: A
warning[nameless-selector]: this selector names no metric; it is read as PromQL, over every metric
 --> rules/a.yml:4:28
  |
4 |   - {alert: A, expr: 'rate({app="x"}[5m]) > 1'}
  |                            ^
  |
  = help: for logs say `language: logql` in the rule or group, else name the metric or say `language: promql`
"#);
    let yaml = group(
        "  - {alert: A, expr: '{app=\"x\"} |= \"panic\"', for: 1m}
  - {record: a, expr: '{app=\"x\"} |= \"panic\"'}
  - {alert: B, expr: up == 0, resolve_after: 1m}
  - {alert: C, expr: '{app=\"x\"} |= panic'}
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: 
error[rule-kind]: `for` has no meaning for a log query, which alerts on each record
 --> rules/a.yml:4:46
  |
4 |   - {alert: A, expr: '{app="x"} |= "panic"', for: 1m}
  |                                              ^^^
  |
  = help: to ask how many and for how long, wrap the query: count_over_time({…} [5m]) > 3
error[logql]: a log query gives records, and a recording rule needs numbers
 --> rules/a.yml:5:17
  |
5 |   - {record: a, expr: '{app="x"} |= "panic"'}
  |                 ^^^^
  |
  = help: wrap it: count_over_time({…} [5m])
error[rule-kind]: `resolve_after` is for alerts on log records
 --> rules/a.yml:6:31
  |
6 |   - {alert: B, expr: up == 0, resolve_after: 1m}
  |                               ^^^^^^^^^^^^^
  |
  = help: an alert on numbers ends when its condition does; `keep_firing_for` holds it longer
error[logql]: expected a text in quotes, found `panic`
 --> rules/a.yml:7:36
  |
7 |   - {alert: C, expr: '{app="x"} |= panic'}
  |                                    ^
"#);
}

#[test]
fn detectors() {
    let check = |block: &str, expect: Detector| {
        let rule = only_rule(&format!("  - {{alert: A, expr: 'rate(x[5m])', {block}}}\n"));
        let RuleKind::Alert { detector, .. } = rule.kind else {
            panic!("not an alert")
        };
        assert_eq!(detector, Some(expect), "{block}");
    };
    let band = Band {
        direction: Direction::Both,
        min_deviation_absolute: 0.0,
        min_deviation_relative: 0.0,
        sensitivity: 0.5,
        learn_samples: 60,
        season: true,
    };
    check("anomaly: {}", Detector::Band(band.clone()));
    let given = "anomaly: {direction: up, min_deviation: {absolute: 5, relative: 0.2}, sensitivity: high, learn: 10, season: false}";
    let full = Band {
        direction: Direction::Up,
        min_deviation_absolute: 5.0,
        min_deviation_relative: 0.2,
        sensitivity: 0.75,
        learn_samples: 10,
        season: false,
    };
    check(given, Detector::Band(full));
    check(
        "anomaly: {sensitivity: 0.9}",
        Detector::Band(Band {
            sensitivity: 0.9,
            ..band
        }),
    );
    check(
        "absence: {after: 3m}",
        Detector::Absence { after_ms: 180_000 },
    );
    let forecast = Detector::Forecast {
        limit: 1.0,
        within_ms: 14_400_000,
        over_ms: 3_600_000,
    };
    check("forecast: {limit: 1, within: 4h, over: 1h}", forecast);
    let yaml = group(
        "  - {alert: A, expr: x, anomaly: {direction: sideways, sensitivity: 2}, absence: {}}
  - {alert: B, expr: x, anomaly: {direction: sideways, sensitivity: 2, sensitivty: low}}
  - {alert: C, expr: x, forecast: {within: 4h}}
",
    );
    assert_snapshot!(told(&yaml), @r#"
group g: 
error[detector]: an alert has one detector: `anomaly`, `absence` or `forecast`
 --> rules/a.yml:4:73
  |
4 |   - {alert: A, expr: x, anomaly: {direction: sideways, sensitivity: 2}, absence: {}}
  |                                                                         ^^^^^^^
  |
  = help: write two rules
error[yaml-type]: `direction` of `anomaly` must be one of up, down, both, and here stands `sideways`
 --> rules/a.yml:5:46
  |
5 |   - {alert: B, expr: x, anomaly: {direction: sideways, sensitivity: 2, sensitivty: low}}
  |                                              ^^^^^^^^
error[yaml-type]: `sensitivity` of `anomaly` must be low, medium, high or a number from 0 to 1, and here stands `2`
 --> rules/a.yml:5:69
  |
5 |   - {alert: B, expr: x, anomaly: {direction: sideways, sensitivity: 2, sensitivty: low}}
  |                                                                     ^
error[unknown-field]: unknown field `sensitivty` in `anomaly`
 --> rules/a.yml:5:72
  |
5 |   - {alert: B, expr: x, anomaly: {direction: sideways, sensitivity: 2, sensitivty: low}}
  |                                                                        ^^^^^^^^^^
  |
  = help: did you mean `sensitivity`?
error[detector]: `forecast` needs a `limit`
 --> rules/a.yml:6:36
  |
6 |   - {alert: C, expr: x, forecast: {within: 4h}}
  |                                    ^^^^^^
"#);
}
