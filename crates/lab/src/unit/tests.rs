use super::*;

const RULES: &str = "\
groups:
- name: a
  interval: 5m
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page}
    annotations: {summary: '{{ $labels.instance }} down'}
- name: b
  rules:
  - record: up:of_a
    expr: job:up:sum
";

fn run_with(test: &str, rules: &str, options: &Options) -> Vec<Case> {
    let (file, diagnostics) = TestFile::load(&Source::new("t.yml", test));
    let file = file.unwrap_or_else(|| panic!("{diagnostics:?}"));
    run(&file, &[Source::new("r.yml", rules)], options, |_| {})
}

/// Runs the checks over two series that go down after a minute; the failures.
fn check(checks: &str) -> Vec<String> {
    let test = format!(
        "tests:\n- interval: 1m\n  input_series:\n  - {{series: 'up{{job=\"a\",instance=\"x\"}}', values: 1 0x10}}\n  - {{series: 'up{{job=\"a\",instance=\"y\"}}', values: 1x10}}\n{checks}"
    );
    let cases = run_with(&test, RULES, &Options::default());
    assert_eq!(cases.len(), 1);
    cases.into_iter().flat_map(|case| case.failures).collect()
}

#[test]
fn alerts_that_fire() {
    let down = "  alert_rule_test:\n  - {eval_time: 2m59s, alertname: Down}\n  - eval_time: 3m\n    alertname: Down\n    exp_alerts:\n    - exp_labels: {severity: page, job: a, instance: x}\n      exp_annotations: {summary: x down}\n";
    assert_eq!(check(down), Vec::<String>::new());
    let wrong =
        check("  alert_rule_test:\n  - {eval_time: 90s, alertname: Down, exp_alerts: [{}]}\n");
    assert_eq!(
        wrong,
        [
            "    alertname: Down, time: 1m30s, \n        exp:[\n            0:\n              Labels:{alertname=\"Down\"}\n              Annotations:{}\n            ], \n        got:[]"
        ]
    );
}

#[test]
fn expressions() {
    let right = "  promql_expr_test:\n  - expr: job:up:sum\n    eval_time: 5m\n    exp_samples: [{labels: 'job:up:sum{job=\"a\"}', value: 1}]\n  - {expr: '1', exp_samples: [{value: 1}]}\n  - {expr: up:of_a offset 4m, eval_time: 5m, exp_samples: [{labels: 'up:of_a{job=\"a\"}', value: 1}]}\n";
    assert_eq!(check(right), Vec::<String>::new());
    let wrong = check(
        "  promql_expr_test:\n  - {expr: job:up:sum, eval_time: 1h}\n  - {expr: job:up:sum}\n  - {expr: up +, eval_time: 1m}\n",
    );
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    assert_eq!(
        wrong[0],
        "    expr: \"job:up:sum\", time: 0s,\n        exp: nil\n        got: {__name__=\"job:up:sum\", job=\"a\"} 2E+00"
    );
    assert!(
        wrong[1].starts_with("    expr: \"up +\", time: 1m, err: 1:"),
        "{wrong:?}"
    );
}

#[test]
fn the_last_bit_may_be_fuzzy() {
    let test = |fuzzy: bool| {
        let text = format!(
            "fuzzy_compare: {fuzzy}\ntests:\n- promql_expr_test:\n  - {{expr: vector(0.1 + 0.2), exp_samples: [{{value: 0.3}}]}}\n"
        );
        let cases = run_with(&text, "", &Options::default());
        cases[0].failures.len()
    };
    assert_eq!((test(true), test(false)), (0, 1));
}

#[test]
fn time_begins_where_the_test_says() {
    let test = "tests:\n- interval: 1m\n  start_timestamp: 2026-01-02T03:04:05.5Z\n  input_series: [{series: 'up{instance=\"a\"}', values: 1 0x10}]\n  alert_rule_test:\n  - {eval_time: 2m, alertname: Down}\n  - {eval_time: 3m, alertname: Down, exp_alerts: [{exp_labels: {instance: a, severity: page}, exp_annotations: {summary: a down}}]}\n  promql_expr_test:\n  - {expr: time(), eval_time: 1m, exp_samples: [{value: 1767323105.5}]}\n  - {expr: timestamp(up), eval_time: 90s, exp_samples: [{labels: '{instance=\"a\"}', value: 1767323105.5}]}\n";
    let cases = run_with(test, RULES, &Options::default());
    assert_eq!(cases[0].failures, Vec::<String>::new());
}

#[test]
fn groups_in_the_order_asked_for() {
    let test = |order: &str| {
        let text = format!(
            "group_eval_order: {order}\ntests:\n- interval: 1m\n  input_series: [{{series: up, values: 1 2}}]\n  promql_expr_test:\n  - {{expr: 'up:of_a', eval_time: 1m, exp_samples: [{{labels: 'up:of_a', value: 2}}]}}\n"
        );
        run_with(&text, RULES, &Options::default())[0]
            .failures
            .len()
    };
    assert_eq!(test("[a, b]"), 0);
    // The second group sees what the first recorded a tick ago.
    assert_eq!(test("[b, a]"), 1);
}

#[test]
fn only_tests_that_are_asked_for() {
    let text = "tests:\n- name: first\n- name: second\n- {}\n";
    let names = |patterns: &[&str]| {
        let patterns: Vec<_> = patterns.iter().map(|p| (*p).to_owned()).collect();
        let cases = run_with(text, RULES, &Options::only(&patterns).unwrap());
        let names: Vec<_> = cases.into_iter().map(|case| case.name).collect();
        names.join(" ")
    };
    assert_eq!(names(&[]), "first second unnamed#2");
    assert_eq!(names(&["^s", "irs"]), "first second");
    assert_eq!(names(&["none"]), "");
    assert!(Options::only(&["(".to_owned()]).is_err());
}

#[test]
fn rules_that_fail_end_the_test() {
    let rules = "groups:\n- name: g\n  rules:\n  - {record: x, expr: up, labels: {a: '1'}}\n";
    let test = "tests:\n- input_series:\n  - {series: 'up{a=\"x\"}', values: 1x9}\n  - {series: 'up{a=\"y\"}', values: _ 1x9}\n  alert_rule_test: [{eval_time: 5m, alertname: A, exp_alerts: [{}]}]\n";
    assert_eq!(
        run_with(test, rules, &Options::default())[0].failures,
        [
            "    rule: x, time: 1m0s, err: vector contains metrics with the same labelset after applying rule labels"
        ]
    );
    let broken = "groups:\n- name: g\n  rules:\n  - {record: x, expr: up +}\n";
    let failures = &run_with(test, broken, &Options::default())[0].failures;
    assert!(failures[0].starts_with("r.yml:4:"), "{failures:?}");
}

#[test]
fn annotations_ask_queries_at_their_tick() {
    let rules = "\
groups:
- name: g
  rules:
  - alert: Low
    expr: free < 5
    annotations:
      free: '{{ with printf `free{host=%q}` $labels.host | query }}{{ . | first | value }}{{ end }}'
      sizes: '{{ range query `size` }}{{ .Labels.host }}={{ .Value }} {{ end }}'
      rate: '{{ query (printf `increase(free{host=\"%s\"}[2m] offset 1m)` .Labels.host) | first | value }}'
      unread: '{{ query `max by (zone) (size{host=\"b\"})` | first | label `zone` }}'
";
    let test = "\
tests:
- interval: 1m
  input_series:
  - {series: 'free{host=\"a\"}', values: '10 1 2 4 4 4'}
  - {series: 'free{host=\"b\"}', values: '9 9 9 9 9 9'}
  - {series: 'size{host=\"a\"}', values: '1 2 3 4 5 6'}
  - {series: 'size{host=\"b\",zone=\"z\"}', values: '7x9'}
  alert_rule_test:
  - eval_time: 4m
    alertname: Low
    exp_alerts:
    - exp_labels: {host: a}
      exp_annotations: {free: 4, sizes: 'a=5 b=7 ', rate: 4, unread: z}
";
    let failures = run_with(test, rules, &Options::default());
    assert_eq!(failures[0].failures, Vec::<String>::new());
}

#[test]
fn alerts_show_in_series() {
    let rules = "\
groups:
- name: g
  rules:
  - {record: before, expr: count(ALERTS) or vector(0)}
  - {alert: Down, expr: up == 0, for: 1m}
  - {record: after, expr: 'count(ALERTS{alertstate=\"firing\"}) or vector(0)'}
";
    let test = "\
tests:
- interval: 1m
  input_series: [{series: 'up{job=\"a\"}', values: '1 0 0 0 1 1'}]
  promql_expr_test:
  - {expr: ALERTS, eval_time: 1m, exp_samples: [{labels: 'ALERTS{alertname=\"Down\",alertstate=\"pending\",job=\"a\"}', value: 1}]}
  - {expr: ALERTS, eval_time: 2m, exp_samples: [{labels: 'ALERTS{alertname=\"Down\",alertstate=\"firing\",job=\"a\"}', value: 1}]}
  - {expr: ALERTS_FOR_STATE, eval_time: 3m, exp_samples: [{labels: 'ALERTS_FOR_STATE{alertname=\"Down\",job=\"a\"}', value: 60}]}
  - {expr: '{job=\"a\"}', eval_time: 4m, exp_samples: [{labels: 'up{job=\"a\"}', value: 1}]}
  - {expr: before, eval_time: 2m, exp_samples: [{labels: before, value: 1}]}
  - {expr: after, eval_time: 2m, exp_samples: [{labels: after, value: 1}]}
  - {expr: after, eval_time: 4m, exp_samples: [{labels: after, value: 0}]}
";
    let failures = run_with(test, rules, &Options::default());
    assert_eq!(failures[0].failures, Vec::<String>::new());
}

#[test]
fn a_dump_shows_all_series() {
    let test = "tests:\n- input_series: [{series: 'up{job=\"a\"}', values: 1 0x10}]\n  alert_rule_test: [{eval_time: 1m, alertname: Down}]\n";
    let options = Options {
        debug: true,
        ..Options::default()
    };
    let cases = run_with(test, RULES, &options);
    assert_eq!(
        cases[0].dump.join("\n"),
        r#"DEBUG: Dump of all data (input_series and rules) at 1m1s:
{__name__="ALERTS", alertname="Down", alertstate="pending", job="a", severity="page"} =>
1 @[60000]
{__name__="ALERTS_FOR_STATE", alertname="Down", job="a", severity="page"} =>
60 @[60000]
{__name__="job:up:sum", job="a"} =>
0 @[60000]
{__name__="up", job="a"} =>
0 @[60000]
{__name__="up:of_a", job="a"} =>
0 @[60000]"#
    );
}

#[test]
fn a_diff_shows_what_is_another() {
    let test = "tests:\n- input_series: [{series: 'up{job=\"a\"}', values: 0x10}, {series: 'up{job=\"b\"}', values: 0x10}]\n  alert_rule_test:\n  - eval_time: 5m\n    alertname: Down\n    exp_alerts: [{exp_labels: {job: a, team: x}, exp_annotations: {summary: up}}]\n";
    let options = Options {
        diff: true,
        ..Options::default()
    };
    let failures = &run_with(test, RULES, &options)[0].failures;
    let shown = failures[0].replace('\u{1b}', "^");
    assert_eq!(
        shown,
        "    alertname: Down, time: 5m, \n        diff: [\n                {\n                    \"Annotations\": {\n                        \"summary\": ^[0;33m\"up\" => \" down\"^[0m\n                    },\n                    \"Labels\": {\n                        \"alertname\": \"Down\",\n                        \"job\": \"a\",\n                        ^[0;32m\"severity\": \"page\"^[0m,\n                        ^[0;31m\"team\": \"x\"^[0m\n                    }\n                },\n                ^[0;32m{^[0m\n                    ^[0;32m\"Annotations\": {^[0m\n                        ^[0;32m\"summary\": \" down\"^[0m\n                    ^[0;32m},^[0m\n                    ^[0;32m\"Labels\": {^[0m\n                        ^[0;32m\"alertname\": \"Down\",^[0m\n                        ^[0;32m\"job\": \"b\",^[0m\n                        ^[0;32m\"severity\": \"page\"^[0m\n                    ^[0;32m}^[0m\n                ^[0;32m}^[0m\n            ]"
    );
}

#[test]
fn results_for_build_servers() {
    let suites = [
        Suite {
            file: "a&b.yml".to_owned(),
            timestamp: "2026-01-02T03:04:05".to_owned(),
            aborted: None,
            cases: vec![
                Case {
                    name: "x".to_owned(),
                    failures: vec!["<\"\n".to_owned()],
                    ..Case::default()
                },
                Case {
                    name: "y".to_owned(),
                    ..Case::default()
                },
            ],
        },
        Suite {
            file: "c.yml".to_owned(),
            aborted: Some("broken".to_owned()),
            ..Suite::default()
        },
    ];
    assert_eq!(
        junit(&suites),
        "<testsuites><testsuite name=\"a&amp;b.yml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" timestamp=\"2026-01-02T03:04:05\"><testcase name=\"x\"><failure>&lt;&#34;&#xA;</failure></testcase><testcase name=\"y\"></testcase></testsuite><testsuite name=\"c.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"\"><testcase name=\"unknown\"><error>broken</error></testcase></testsuite></testsuites>"
    );
}
